#include "tests/hostile/readers.h"

#include "base/file.h"
#include "base/json.h"
#include "core/imatrix.h"
#include "core/journal.h"
#include "core/lora.h"
#include "core/model_plan.h"
#include "core/rewrite.h"
#include "core/tokens.h"
#include "formats/encoder.h"
#include "formats/layout.h"
#include "formats/npy.h"
#include "formats/torch_audit.h"
#include "models/model.h"
#include "plots/heatmap.h"
#include "plots/png.h"
#include "tests/hostile/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 << 10, TEXT_MAX_BYTES = 16 << 20, READ_MAX = 8 << 20 };

#define PROMISE(what)                                                                                                                                         \
    do {                                                                                                                                                      \
        if (!(what)) {                                                                                                                                        \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #what);                                                                        \
            abort();                                                                                                                                          \
        }                                                                                                                                                     \
    } while (0)

/* --- containers --- */

static enum status read_tensor(struct container *c, const struct tensor *t, uint64_t *left, struct error *err)
{
    static char chunk[CHUNK];
    size_t step = t->contiguous ? CHUNK : CHUNK / 16 * 16;
    uint64_t elem = dtype_info(t->dtype)->block_bytes;
    if (!t->contiguous) step -= step % elem;
    for (uint64_t off = 0, n; off < t->size_bytes && off < *left; off += n) {
        n = t->size_bytes - off < step ? t->size_bytes - off : step;
        TRY(container_read(c, t, off, chunk, (size_t)n, err));
    }
    *left -= t->size_bytes < *left ? t->size_bytes : *left;
    return STATUS_OK;
}

static void check_tensor(const struct container *c, const struct tensor *t)
{
    PROMISE(t->n_dims >= 0 && t->n_dims <= TENSOR_DIMS_MAX);
    PROMISE(dtype_info(t->dtype) && t->n_elements >= 0);
    PROMISE(utf8_valid(t->name, strlen(t->name)) && container_find(c, t->name) == t);
    PROMISE(!t->contiguous || t->off_file <= c->file.size_bytes);
}

static enum status use_container(struct container *c, struct error *err)
{
    struct layout l;
    uint64_t left = READ_MAX;
    for (size_t i = 0; i < c->n_kvs; i++) PROMISE(container_kv(c, c->kvs[i].key) == &c->kvs[i] || i > 512);
    for (size_t i = 0; i < c->n_tensors; i++) check_tensor(c, &c->tensors[i]);
    TRY(layout_measure(&l, c, NULL, 0, err));
    for (size_t i = 0; i < c->n_tensors; i++) TRY(read_tensor(c, &c->tensors[i], &left, err));
    return STATUS_OK;
}

static enum status run_container(const char *path, struct error *err)
{
    struct container *c;
    enum status st = container_open(&c, path, err);
    PROMISE(st == STATUS_OK || (!c && strcmp(err->path, path) == 0));
    TRY(st);
    st = use_container(c, err);
    container_close(c);
    return st;
}

/* --- tokenizers --- */

static enum status use_encoder(struct encoder *e, const struct tokenizer *t, struct error *err)
{
    static const char text[] = "Hello, w\xc3\xb6rld 123\n\t <s>ab  ba</s>\xff\xe2\x96\x81 \xf0\x9f\x98\x80";
    struct id_list ids = {0};
    struct buf out = {0};
    enum status st = encoder_encode(e, text, sizeof text - 1, ENCODE_SPECIAL, &ids, err);
    for (size_t i = 0; i < ids.n && st == STATUS_OK; i++) PROMISE(ids.ids[i] >= 0 && (size_t)ids.ids[i] < t->n_tokens);
    if (st == STATUS_OK) st = encoder_decode(e, ids.ids, ids.n, 0, &out, err);
    id_list_clear(&ids);
    buf_clear(&out);
    return st;
}

static enum status use_tokenizer(const struct tokenizer *t, struct error *err)
{
    struct encoder *e;
    struct buf out = {0};
    if (t->kind == TOKENIZER_NONE || t->kind == TOKENIZER_OTHER) return STATUS_OK;
    for (size_t i = 0; i < t->n_tokens && i < 600; i++) tokenizer_token_text(t, (int64_t)i, &out);
    buf_clear(&out);
    TRY(encoder_new(&e, t, err));
    enum status st = use_encoder(e, t, err);
    encoder_free(e);
    return st;
}

static enum status run_tokenizer(const char *path, struct error *err)
{
    struct warnings warnings = {0};
    struct tokenizer *t;
    enum status st = tokenizer_load(&t, path, 0, &warnings, err);
    PROMISE(st == STATUS_OK || !t);
    if (st == STATUS_OK) st = use_tokenizer(t, err);
    if (st == STATUS_OK) {
        struct gguf_writer w = {0};
        tokenizer_put(t, &w);
        gguf_writer_clear(&w);
    }
    tokenizer_free(t);
    warnings_clear(&warnings);
    return st;
}

/* --- GGUF as convert and inspect see it: metadata, vocabulary, the plan of a copy --- */

static enum status use_gguf(struct checkpoint *ckpt, struct error *err)
{
    struct tokenizer *t;
    struct plan plan = {0};
    struct warnings warnings = {0};
    struct rewrite_options options = {0};
    struct container *c = ckpt_gguf(ckpt);
    if (!c) return error_set(err, STATUS_FORMAT, "no GGUF");
    TRY(use_container(c, err));
    TRY(tokenizer_from_gguf(&t, c, err));
    enum status st = use_tokenizer(t, err);
    tokenizer_free(t);
    if (st == STATUS_OK && c->n_tensors > 0) {
        st = plan_rewrite(&plan, ckpt, &options, &warnings, err);
        if (st == STATUS_OK) st = plan_layout(&plan, err);
        plan_clear(&plan);
        warnings_clear(&warnings);
    }
    return st;
}

static enum status run_gguf(const char *path, struct error *err)
{
    struct checkpoint *ckpt;
    TRY(ckpt_open(&ckpt, path, err));
    enum status st = use_gguf(ckpt, err);
    ckpt_close(ckpt);
    return st;
}

/* A GGUF as a model that is run */
static enum status run_gguf_model(const char *path, struct error *err)
{
    struct model *m;
    struct warnings warnings = {0};
    enum status st = model_open(&m, path, &(struct model_options){0}, &warnings, err);
    if (st == STATUS_OK) model_close(m);
    warnings_clear(&warnings);
    return st;
}

/* --- folders --- */

static enum status run_checkpoint(const char *path, struct error *err)
{
    struct checkpoint *c;
    TRY(ckpt_open(&c, path, err));
    ckpt_close(c);
    return STATUS_OK;
}

static enum status run_model(const char *path, struct error *err)
{
    struct model *m;
    struct plan plan = {0};
    struct warnings warnings = {0};
    struct model_plan_options options = {.receipt = RECEIPT_LEAN};
    enum status st = model_open(&m, path, &(struct model_options){0}, &warnings, err);
    if (st == STATUS_OK) {
        st = model_plan(&plan, m, &options, &warnings, err);
        if (st == STATUS_OK) st = plan_layout(&plan, err);
        plan_clear(&plan);
        model_close(m);
    }
    warnings_clear(&warnings);
    return st;
}

/* An adapter for the model of the reader "config": bound, as a file, and merged */
static enum status use_adapter(struct lora *l, struct model *base, struct error *err)
{
    struct plan file = {0}, merged = {0};
    struct warnings warnings = {0};
    struct error refused;
    struct model_plan_options options = {.receipt = RECEIPT_NONE};
    TRY(lora_bind(l, base, err));
    enum status as_file = lora_plan(l, &file, &warnings, &refused); /* may be refused where a merge is not */
    if (as_file == STATUS_OK) as_file = plan_layout(&file, &refused);
    PROMISE(as_file == STATUS_OK || refused.text[0]);
    enum status st = model_plan(&merged, base, &options, &warnings, err);
    if (st == STATUS_OK) st = lora_merge(&l, 1, &merged, &warnings, err);
    if (st == STATUS_OK) st = plan_layout(&merged, err);
    for (size_t i = 0; i < merged.n_tensors && st == STATUS_OK; i++) {
        struct lora_pair pair;
        if (!merged.tensors[i].lora) continue;
        PROMISE(lora_load_bytes(merged.tensors[i].lora) < READ_MAX);
        st = lora_load(merged.tensors[i].lora, &pair, err);
        if (st == STATUS_OK) lora_unload(&pair);
    }
    plan_clear(&file);
    plan_clear(&merged);
    warnings_clear(&warnings);
    return st;
}

static enum status run_adapter(const char *path, struct error *err)
{
    static struct model *base; /* the same for all */
    struct warnings warnings = {0};
    struct lora *l;
    char model[600];
    const char *root = getenv("LATHE_ROOT");
    snprintf(model, sizeof model, "%s/tests/vectors/families/llama-biases", root ? root : ".");
    enum status st = base ? STATUS_OK : model_open(&base, model, &(struct model_options){0}, &warnings, err);
    PROMISE(st == STATUS_OK);
    warnings_clear(&warnings);
    TRY(lora_open(&l, path, 1, err));
    st = use_adapter(l, base, err);
    lora_close(l);
    return st;
}

/* --- pickles without a reader that refuses --- */

static enum status run_audit(const char *path, struct error *err)
{
    struct file f;
    struct torch_audit a;
    unsigned char head[4] = "";
    TRY(file_open(&f, path, err));
    size_t n = f.size_bytes < sizeof head ? (size_t)f.size_bytes : sizeof head;
    enum status st = file_read_at(&f, 0, head, n, err);
    bool zip = n == sizeof head && memcmp(head, "PK\3\4", 4) == 0;
    if (st == STATUS_OK) {
        st = torch_audit_file(&a, &f, zip ? TORCH_FORM_ZIP : TORCH_FORM_PLAIN, true, err);
        if (st == STATUS_OK) torch_audit_clear(&a);
    }
    file_close(&f);
    return st;
}

/* --- single files --- */

static enum status run_json(const char *path, struct error *err)
{
    struct json *doc;
    struct buf b = {0};
    TRY(json_load(&doc, path, TEXT_MAX_BYTES, err));
    json_print(json_root(doc), &b);
    struct json *again;
    PROMISE(!b.failed && json_parse(&again, b.data, b.len, "printed", err) == STATUS_OK);
    json_free(again);
    buf_clear(&b);
    json_free(doc);
    return STATUS_OK;
}

static enum status run_npy(const char *path, struct error *err)
{
    struct npy a;
    TRY(npy_read(&a, path, READ_MAX, err));
    for (int64_t i = 0; i < a.n_elements; i++) (void)npy_double(&a, i);
    npy_clear(&a);
    return STATUS_OK;
}

static enum status run_tokens(const char *path, struct error *err)
{
    struct tokens t;
    TRY(tokens_read(&t, path, 1000, err));
    for (int64_t i = 0; i < t.n; i++) PROMISE(t.ids[i] >= 0 && t.ids[i] < 1000);
    tokens_clear(&t);
    return STATUS_OK;
}

static enum status use_imatrix(const struct imatrix *im, struct error *err)
{
    for (size_t i = 0; i < im->n_entries; i++) {
        const struct imatrix_entry *e = &im->entries[i];
        PROMISE(e->n_values > 0 && imatrix_find(im, e->name) == e);
        float *v = calloc((size_t)e->n_values, sizeof *v);
        enum status st = v ? imatrix_read(im, e, v, err) : error_nomem(err, (size_t)e->n_values);
        free(v);
        TRY(st);
    }
    return STATUS_OK;
}

static enum status run_imatrix(const char *path, struct error *err)
{
    struct imatrix *im;
    TRY(imatrix_open(&im, path, err));
    enum status st = use_imatrix(im, err);
    imatrix_close(im);
    return st;
}

static enum status use_receipt(const struct receipt *r, struct error *err)
{
    struct buf b = {0};
    const char *name = "";
    enum status st = STATUS_OK;
    for (size_t i = 0; i < r->n_tensors; i++) PROMISE(r->tensors[i].name[0] && r->tensors[i].transform < TRANSFORM_COUNT);
    for (size_t i = 0; st == STATUS_OK && name; i++) {
        buf_clear(&b);
        st = receipt_read_file(r, i, &name, &b, err);
        PROMISE(st != STATUS_OK || !name || receipt_file_name(name));
    }
    buf_clear(&b);
    return st;
}

static enum status run_receipt_gguf(const char *path, struct error *err)
{
    struct container *c;
    struct receipt *r;
    TRY(container_open(&c, path, err));
    enum status st = receipt_read(&r, c, err);
    if (st == STATUS_OK && r) {
        st = use_receipt(r, err);
        receipt_free(r);
    }
    container_close(c);
    return st;
}

/* The packed text of a receipt */
static enum status run_receipt(const char *path, struct error *err)
{
    struct buf text = {0}, out = {0};
    TRY(file_read_all(&text, path, TEXT_MAX_BYTES, err));
    enum status st = receipt_unpack(&out, text.data, text.len, 1 << 20, err);
    PROMISE(st != STATUS_OK || out.len <= 1 << 20);
    buf_clear(&text);
    buf_clear(&out);
    return st;
}

/* The lines of a journal, behind the first, of an interrupted run of two tensors */
static enum status begin_journal(struct plan *plan, const char *out, size_t *n_done, struct error *err)
{
    static const struct checkpoint none;
    struct outfile *o;
    struct journal j;
    TRY(outfile_create(&o, out, OUTFILE_KEEP, plan->size_bytes, err));
    enum status st = journal_begin(&j, out, "", plan, &none, o, err);
    *n_done = j.n_done;
    journal_end(&j, false);
    outfile_discard(o);
    return st;
}

static enum status use_journal(struct plan *plan, const struct buf *lines, struct error *err)
{
    char out[600], journal[640];
    struct buf b = {0};
    size_t n_done;
    snprintf(out, sizeof out, "%s", folder_path("o.gguf"));
    snprintf(journal, sizeof journal, "%s.partial.journal", out);
    TRY(begin_journal(plan, out, &n_done, err)); /* makes the first line */
    enum status st = file_read_all(&b, journal, 1 << 20, err);
    char *end = st == STATUS_OK && b.data ? strchr(b.data, '\n') : NULL;
    PROMISE(end);
    b.len = (size_t)(end + 1 - b.data);
    if (lines->len) buf_append(&b, lines->data, lines->len);
    st = file_write_whole(journal, OUTFILE_REPLACE, b.data, b.len, err);
    buf_clear(&b);
    if (st == STATUS_OK) st = begin_journal(plan, out, &n_done, err);
    PROMISE(st != STATUS_OK || n_done <= plan->n_tensors);
    return st;
}

static enum status run_journal(const char *path, struct error *err)
{
    static const float zeros[16];
    struct plan plan = {0};
    struct buf lines = {0};
    enum status st = STATUS_OK;
    gguf_put_string(&plan.out, "general.architecture", "x");
    for (int i = 0; i < 2 && st == STATUS_OK; i++)
        st = plan_add(&plan, &(struct plan_tensor){.name = i ? "b" : "a", .data = zeros, .n_dims = 1, .shape = {8 + 8 * i}, .from = DTYPE_F32, .to = DTYPE_F32, .wanted = DTYPE_F32, .why = "test"},
                      NULL, err);
    if (st == STATUS_OK) st = plan_layout(&plan, err);
    if (st == STATUS_OK) st = file_read_all(&lines, path, TEXT_MAX_BYTES, err);
    if (st == STATUS_OK) st = use_journal(&plan, &lines, err);
    buf_clear(&lines);
    plan_clear(&plan);
    return st;
}

/* ROWS COLS: the picture of such a matrix */
static enum status run_picture(const char *path, struct error *err)
{
    struct buf text = {0}, png = {0};
    struct canvas canvas;
    long long rows = 0, cols = 0;
    TRY(file_read_all(&text, path, 100, err));
    if (text.data) sscanf(text.data, "%lld %lld", &rows, &cols);
    buf_clear(&text);
    bool small = rows > 0 && cols > 0 && rows <= 4096 && cols <= 4096;
    double *cells = calloc(small ? (size_t)(rows * cols) : 1, sizeof *cells);
    struct heatmap h = {.title = "t", .subtitle = "s", .row_label = "r", .col_label = "c", .cells = cells, .rows = rows, .cols = cols,
                        .row_step = 1, .col_step = 1, .n_rows = rows, .n_cols = cols, .scale = {.lo = 0, .hi = 1, .unit = ""}, .map = COLORMAP_VIRIDIS};
    enum status st = cells ? heatmap_draw(&canvas, &h, 1, NULL, err) : error_nomem(err, 1);
    if (st == STATUS_OK) {
        st = png_encode(&png, &canvas, NULL, 0, err);
        canvas_clear(&canvas);
    }
    buf_clear(&png);
    free(cells);
    return st;
}

const struct reader readers[] = {
    {"picture", run_picture, false, NULL},
    {"journal", run_journal, false, NULL},
    {"container", run_container, false, NULL},
    {"gguf", run_gguf, false, NULL},
    {"gguf-model", run_gguf_model, false, NULL},
    {"audit", run_audit, false, NULL},
    {"json", run_json, false, NULL},
    {"npy", run_npy, false, NULL},
    {"tokens", run_tokens, false, NULL},
    {"imatrix", run_imatrix, false, NULL},
    {"receipt", run_receipt, false, NULL},
    {"receipt-gguf", run_receipt_gguf, false, NULL},
    {"index", run_checkpoint, true, "model.safetensors.index.json"},
    {"config", run_model, true, "config.json"},
    {"adapter-config", run_adapter, true, "adapter_config.json"},
    {"adapter-weights", run_adapter, true, "adapter_model.safetensors"},
    {"sentencepiece", run_tokenizer, true, "tokenizer.model"},
    {"tokenizer-json", run_tokenizer, true, "tokenizer.json"},
    {"merges", run_tokenizer, true, "merges.txt"},
    {"vocab", run_tokenizer, true, "vocab.json"},
    {"tokenizer-config", run_tokenizer, true, "tokenizer_config.json"},
};
const size_t n_readers = sizeof readers / sizeof readers[0];

const struct reader *reader_find(const char *name)
{
    for (size_t i = 0; i < n_readers; i++)
        if (strcmp(readers[i].name, name) == 0) return &readers[i];
    return NULL;
}

#include "core/receipt.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/joined.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char key_version[] = "lathe.receipt.version";
static const char key_level[] = "lathe.receipt.level";
static const char key_tensors[] = "lathe.receipt.tensors";
static const char key_sha256[] = "lathe.receipt.sha256";
static const char key_prefix[] = "lathe.receipt.";
static const char key_file_prefix[] = "lathe.receipt.file.";

enum { DIGEST_HEX = 2 * SHA256_BYTES };
/* Of one tensor that no GGUF holds, and of all: GPT-2's masks are 4 MiB each, and take some kilobytes packed. */
static const uint64_t stored_max_bytes = 16u << 20, stored_all_max_bytes = 128u << 20;
static const char key_dropped_prefix[] = "lathe.receipt.dropped.";

static const char *const file_names[] = {
    "added_tokens.json",  "chat_template.jinja",     "chat_template.json", "cog-pretrain.model",
    "generation_config.json", "ice_text.model",   "merges.txt",         "params.json",
    "special_tokens_map.json", "tokenizer.json",  "tokenizer.model",    "tokenizer_config.json",
    "vocab.json",
};

bool receipt_file_name(const char *name)
{
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names; i++)
        if (strcmp(file_names[i], name) == 0) return true;
    return strcmp(name, "config.json") == 0;
}

bool receipt_key(const char *key)
{
    return strncmp(key, key_prefix, sizeof key_prefix - 1) == 0;
}

/* --- packing --- */

enum status receipt_pack(struct buf *out, const void *src, size_t n, struct error *err)
{
    struct buf packed = {0};
    enum status st = zlib_pack(&packed, src, n, err);
    if (st == STATUS_OK) base64_append(out, (const unsigned char *)packed.data, packed.len);
    buf_clear(&packed);
    return st == STATUS_OK ? buf_check(out, err) : st;
}

enum status receipt_unpack(struct buf *out, const char *text, size_t n, size_t max_bytes, struct error *err)
{
    struct buf packed = {0};
    enum status st = base64_decode(&packed, text, n)
                         ? buf_check(&packed, err)
                         : error_set(err, STATUS_FORMAT, "receipt text is no base64");
    size_t likely = packed.len < SIZE_MAX / LIMIT_UNPACK_RATIO ? packed.len * LIMIT_UNPACK_RATIO : SIZE_MAX;
    if (likely < LIMIT_RECEIPT_UNPACK_FREE) likely = LIMIT_RECEIPT_UNPACK_FREE;
    if (st == STATUS_OK) st = zlib_unpack(out, packed.data, packed.len, max_bytes < likely ? max_bytes : likely, err);
    buf_clear(&packed);
    return st;
}

static enum status put_packed(struct plan *p, const char *key, const void *src, size_t n, struct error *err)
{
    struct buf text = {0};
    enum status st = receipt_pack(&text, src, n, err);
    if (st == STATUS_OK) gguf_put_string(&p->out, key, text.data ? text.data : "");
    buf_clear(&text);
    return st;
}

/* --- the list of tensors --- */

static size_t file_number(const struct checkpoint *c, const struct container *file)
{
    size_t i = 0;
    while (i < c->n_files && c->files[i] != file) i++;
    return i;
}

/* The file, or the files whose parts follow each other along a dimension (copies are not told). */
static void put_place(struct jwriter *w, const struct checkpoint *c, const struct ckpt_tensor *t)
{
    if (!container_is_joined(t->container)) {
        jw_uint(w, "file", file_number(c, t->container));
        return;
    }
    const struct joint *j = joined_joint(t->container, (size_t)(t->t - t->container->tensors));
    jw_uint(w, "file", file_number(c, j->parts[0].container));
    if (j->n_parts == 1) return;
    jw_uint(w, "parts", j->n_parts);
    jw_int(w, "dim", j->dim);
}

static void put_source(struct jwriter *w, const struct checkpoint *c, const struct ckpt_tensor *t)
{
    jw_string(w, "name", t->t->name);
    jw_string(w, "dtype", plan_source_type_name(t->t->dtype));
    jw_begin_array(w, "shape");
    for (int d = 0; d < t->t->n_dims; d++) jw_int(w, NULL, t->t->shape[d]);
    jw_end_array(w);
    put_place(w, c, t);
}

static void put_output(struct jwriter *w, const struct checkpoint *c, const struct plan_tensor *t)
{
    jw_begin_object(w, NULL);
    jw_string(w, "name", t->name);
    plan_put_transform(w, t);
    jw_begin_array(w, "sources");
    for (size_t i = 0; i < t->n_sources; i++) {
        jw_begin_object(w, NULL);
        put_source(w, c, t->sources[i].t);
        jw_end_object(w);
    }
    jw_end_array(w);
    if (t->scales.t) {
        jw_begin_object(w, "scales");
        put_source(w, c, t->scales.t);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* What no GGUF has a place for, but a folder that is to be the same needs: masks, tables of frequencies, small heads. Not what training saved. */
static bool is_stored(const struct plan_dropped *d, uint64_t *left_bytes)
{
    static const char *const reasons[] = {"buffer", "head of another task", "scale of activations"};
    bool wanted = false;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) wanted = wanted || strcmp(d->why, reasons[i]) == 0;
    if (!wanted || d->t->t->size_bytes > stored_max_bytes || d->t->t->size_bytes > *left_bytes) return false;
    *left_bytes -= d->t->t->size_bytes;
    return true;
}

static enum status put_stored_tensor(struct plan *p, size_t i, struct error *err)
{
    const struct ckpt_tensor *t = p->dropped[i].t;
    char key[64];
    void *raw;
    snprintf(key, sizeof key, "%s%zu", key_dropped_prefix, i);
    TRY(mem_alloc(&raw, t->t->size_bytes, 1, err));
    enum status st = ckpt_read(t, 0, raw, (size_t)t->t->size_bytes, err);
    if (st == STATUS_OK) st = put_packed(p, key, raw, (size_t)t->t->size_bytes, err);
    free(raw);
    return st;
}

static enum status put_stored(struct plan *p, struct error *err)
{
    uint64_t left = stored_all_max_bytes;
    for (size_t i = 0; i < p->n_dropped; i++)
        if (is_stored(&p->dropped[i], &left)) TRY(put_stored_tensor(p, i, err));
    return STATUS_OK;
}

static enum status put_tensors(struct plan *p, const struct checkpoint *c, struct error *err)
{
    struct buf text = {0};
    struct jwriter w = {.out = &text};
    jw_begin_object(&w, NULL);
    jw_string(&w, "format", c->format);
    jw_begin_array(&w, "files");
    for (size_t i = 0; i < c->n_files; i++) jw_string(&w, NULL, path_base(c->files[i]->file.path));
    jw_end_array(&w);
    jw_begin_array(&w, "tensors");
    for (size_t i = 0; i < p->n_tensors; i++) put_output(&w, c, &p->tensors[i]);
    jw_end_array(&w);
    jw_begin_array(&w, "dropped");
    for (size_t i = 0; i < p->n_dropped; i++) {
        jw_begin_object(&w, NULL);
        put_source(&w, c, p->dropped[i].t);
        jw_string(&w, "reason", p->dropped[i].why);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    enum status st = buf_check(&text, err);
    if (st == STATUS_OK) st = put_packed(p, key_tensors, text.data, text.len, err);
    buf_clear(&text);
    return st;
}

static size_t count_sources(const struct plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++)
        n += p->tensors[i].n_sources + (p->tensors[i].scales.t ? 1 : 0);
    return n;
}

/* Zeros of the final length. */
static enum status put_digest_room(struct plan *p, struct error *err)
{
    uint64_t n;
    if (!size_mul(count_sources(p), DIGEST_HEX, &n) || n >= SIZE_MAX) return error_nomem(err, SIZE_MAX);
    char *zeros = malloc((size_t)n + 1);
    if (!zeros) return error_nomem(err, (size_t)n + 1);
    memset(zeros, '0', (size_t)n);
    zeros[n] = 0;
    gguf_put_string(&p->out, key_sha256, zeros);
    free(zeros);
    return STATUS_OK;
}

static char *put_digest(char *to, const uint8_t sha256[SHA256_BYTES])
{
    char hex[SHA256_HEX];
    sha256_hex(sha256, hex);
    memcpy(to, hex, DIGEST_HEX);
    return to + DIGEST_HEX;
}

void receipt_patch(struct plan *p)
{
    uint64_t off = plan_string_offset(p, key_sha256);
    if (off == 0) return;
    char *to = p->out.header.data + off;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[p->as_added ? p->as_added[i] : i];
        for (size_t k = 0; k < t->n_sources; k++) to = put_digest(to, t->sources[k].sha256);
        if (t->scales.t) to = put_digest(to, t->scales.sha256);
    }
}

/* --- files of the source's folder --- */

static enum status put_file(struct plan *p, const char *name, const char *path, struct error *err)
{
    struct buf content = {0};
    char *key = arena_printf(&p->mem, "%s%s", key_file_prefix, name);
    enum status st =
        key ? file_read_all(&content, path, LIMIT_RECEIPT_FILE, err) : error_nomem(err, strlen(name));
    if (st == STATUS_OK) st = put_packed(p, key, content.data, content.len, err);
    buf_clear(&content);
    return st;
}

/* The configuration first, under its own kind's name wherever it was. */
static enum status put_files(struct plan *p, const struct model *m, struct error *err)
{
    const struct checkpoint *c = m->ckpt;
    const char *config_name = m->from_params ? "params.json" : "config.json";
    if (m->config_path) TRY(put_file(p, config_name, m->config_path, err));
    for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++) {
        if (strcmp(file_names[i], config_name) == 0) continue;
        bool tokenizer = strcmp(file_names[i], "tokenizer.model") == 0;
        const char *path = path_join(&p->mem, tokenizer ? c->tokenizer_dir : c->dir, file_names[i]);
        if (!path) return error_nomem(err, strlen(c->dir));
        if (file_exists(path)) TRY(put_file(p, file_names[i], path, err));
    }
    return STATUS_OK;
}

enum status receipt_put(struct plan *p, const struct model *m, enum receipt_level level, struct error *err)
{
    if (level == RECEIPT_NONE) return STATUS_OK;
    gguf_put_u32(&p->out, key_version, RECEIPT_VERSION);
    gguf_put_string(&p->out, key_level, level == RECEIPT_FULL ? "full" : "lean");
    TRY(put_tensors(p, m->ckpt, err));
    TRY(put_digest_room(p, err));
    if (level != RECEIPT_FULL) return STATUS_OK;
    TRY(put_files(p, m, err));
    return put_stored(p, err);
}

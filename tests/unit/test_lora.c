/* Adapters merged and as files: against sums written out here, and every way to be wrong that a small adapter has. */
#include "core/lora.h"
#include "core/model_plan.h"
#include "core/writer.h"
#include "formats/safetensors_write.h"
#include "tests/unit/temp_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct error err;

struct matrix {
    const char *name;
    int64_t rows, cols; /* cols 0: a vector */
};
enum { RANK = 2, MATRICES_MAX = 4 };
#define PREFIX "base_model.model.model.layers.1.self_attn.k_proj"
static const struct matrix key_pair[] = {{PREFIX ".lora_A.weight", RANK, 256}, {PREFIX ".lora_B.weight", 128, RANK}};

/* Small multiples of 1/64, different everywhere */
static float value(int64_t i)
{
    return (float)((i * 37 + 11) % 129 - 64) / 64;
}

/* A folder with this configuration and these matrices; its path. */
static const char *make(const char *config, const struct matrix *m, size_t n)
{
    struct tensor t[MATRICES_MAX];
    struct safetensors_out out[MATRICES_MAX];
    struct buf file = {0};
    static char path[1024];
    char name[1100];
    for (size_t i = 0; i < n; i++) {
        t[i] = (struct tensor){.name = m[i].name, .dtype = DTYPE_F32, .n_dims = m[i].cols ? 2 : 1, .shape = {m[i].rows, m[i].cols}};
        assert_int_equal(tensor_set_size(&t[i], "", &err), STATUS_OK);
        out[i] = (struct safetensors_out){.t = &t[i]};
    }
    qsort(out, n, sizeof *out, safetensors_compare);
    assert_int_equal(safetensors_header(&file, out, n, &err), STATUS_OK);
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < out[i].t->n_elements; k++) {
            float v = value(k);
            buf_append(&file, &v, sizeof v);
        }
    snprintf(path, sizeof path, "%s/adapter", temp_dir());
    mkdir(path, 0777);
    snprintf(name, sizeof name, "%s/adapter_model.safetensors", path);
    assert_int_equal(file_write_whole(name, OUTFILE_REPLACE, file.data, file.len, &err), STATUS_OK);
    snprintf(name, sizeof name, "%s/adapter_config.json", path);
    assert_int_equal(file_write_whole(name, OUTFILE_REPLACE, config, strlen(config), &err), STATUS_OK);
    buf_clear(&file);
    return path;
}

struct run {
    struct warnings warn;
    struct model *base;
    struct lora *lora;
    struct plan plan;
    char *bytes;
};

static void open_base(struct run *r)
{
    *r = (struct run){0};
    assert_int_equal(model_open(&r->base, "tests/data/tiny-llama", &(struct model_options){0}, &r->warn, &err), STATUS_OK);
}

static enum status write_bytes(void *ctx, uint64_t off, const void *src, size_t n, struct error *e)
{
    (void)e;
    memcpy((char *)ctx + off, src, n);
    return STATUS_OK;
}

static void execute(struct run *r)
{
    struct workers *workers;
    assert_int_equal(plan_layout(&r->plan, &err), STATUS_OK);
    r->bytes = calloc(1, (size_t)r->plan.size_bytes);
    assert_int_equal(workers_new(&workers, 2, &err), STATUS_OK);
    assert_int_equal(writer_run_to(&r->plan, &(struct writer_sink){write_bytes, r->bytes}, &(struct writer_options){.workers = workers, .piece_bytes = 3000}, &err),
                     STATUS_OK);
    workers_free(workers);
}

static void clear(struct run *r)
{
    free(r->bytes);
    plan_clear(&r->plan);
    lora_close(r->lora);
    model_close(r->base);
    warnings_clear(&r->warn);
}

static const void *find(const struct run *r, const char *name)
{
    for (size_t i = 0; i < r->plan.n_tensors; i++)
        if (strcmp(r->plan.tensors[i].name, name) == 0) return r->bytes + r->plan.tensors[i].place.off_file;
    fail_msg("no tensor '%s'", name);
    return NULL;
}

/* Row of the source that row i of blk.1.attn_k has: two heads of 64, halves to pairs. */
static int64_t source_row(int64_t i)
{
    int64_t r = i % 64;
    return i - r + r % 2 * 32 + r / 2;
}

static void check_merged(const char *config, double scale, double wanted_scale)
{
    struct run r;
    const char *path = make(config, key_pair, 2);
    open_base(&r);
    assert_true(lora_is_adapter(path));
    assert_int_equal(lora_open(&r.lora, path, scale, &err), STATUS_OK);
    assert_int_equal(lora_bind(r.lora, r.base, &err), STATUS_OK);
    assert_int_equal(model_plan(&r.plan, r.base, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &r.warn, &err), STATUS_OK);
    assert_int_equal(lora_merge(&r.lora, 1, &r.plan, &r.warn, &err), STATUS_OK);
    execute(&r);
    const uint16_t *got = find(&r, "blk.1.attn_k.weight");
    const struct ckpt_tensor *source = ckpt_find(r.base->ckpt, "model.layers.1.self_attn.k_proj.weight");
    uint16_t row[256];
    for (int64_t i = 0; i < 128; i++) {
        int64_t from = source_row(i);
        assert_int_equal(ckpt_read_rows(source, from, 1, row, &err), STATUS_OK);
        for (int64_t j = 0; j < 256; j++) {
            double sum = (double)bf16_to_f32(row[j]);
            for (int64_t k = 0; k < RANK; k++) sum += wanted_scale * (double)value(from * RANK + k) * (double)value(k * 256 + j);
            assert_int_equal(got[i * 256 + j], bf16_from_f32((float)sum));
        }
    }
    clear(&r);
}

static void test_merge(void **state)
{
    (void)state;
    check_merged("{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 2}", 1, 2);
    check_merged("{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 2, \"modules_to_save\": null, \"bias\": \"none\"}", 0.25, 0.5);
    check_merged("{\"peft_type\": \"LORA\", \"lora_alpha\": 3, \"r\": 2, \"use_rslora\": true}", 1, 3 / 1.4142135623730951);
}

static const char plain_config[] = "{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"r\": 2}";
#define TABLE "base_model.model.model.embed_tokens"
static const struct matrix table_pair[] = {{TABLE ".lora_embedding_A", RANK, 512}, {TABLE ".lora_embedding_B", 256, RANK}};

/* The adapters, of one folder, merged with these scales */
static enum status merge(struct run *r, struct lora **adapters, const char *path, const double *scales, size_t n)
{
    open_base(r);
    assert_int_equal(model_plan(&r->plan, r->base, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &r->warn, &err), STATUS_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(lora_open(&adapters[i], path, scales[i], &err), STATUS_OK);
        assert_int_equal(lora_bind(adapters[i], r->base, &err), STATUS_OK);
    }
    return lora_merge(adapters, n, &r->plan, &r->warn, &err);
}

static void close_all(struct run *r, struct lora **adapters, size_t n)
{
    for (size_t i = 0; i < n; i++) lora_close(adapters[i]);
    clear(r);
}

/* Table + s (B A)^T: row v of the table is a token, k a rank */
static void test_embedding(void **state)
{
    (void)state;
    struct run r;
    struct lora *l[2];
    uint16_t row[256];
    assert_int_equal(merge(&r, l, make(plain_config, table_pair, 2), (const double[]){1, -0.75}, 2), STATUS_OK);
    assert_true(warnings_has(&r.warn, "merged-tied"));
    execute(&r);
    const uint16_t *got = find(&r, "token_embd.weight");
    const struct ckpt_tensor *source = ckpt_find(r.base->ckpt, "model.embed_tokens.weight");
    for (int64_t v = 0; v < 512; v++) {
        assert_int_equal(ckpt_read_rows(source, v, 1, row, &err), STATUS_OK);
        for (int64_t j = 0; j < 256; j++) {
            double sum = (double)bf16_to_f32(row[j]);
            for (int64_t k = 0; k < RANK; k++) sum += 0.25 * 2 * (double)value(k * 512 + v) * (double)value(j * RANK + k);
            assert_int_equal(got[v * 256 + j], bf16_from_f32((float)sum));
        }
    }
    close_all(&r, l, 2);
    open_base(&r);
    assert_int_equal(lora_open(&l[0], make(plain_config, table_pair, 2), 1, &err), STATUS_OK);
    assert_int_equal(lora_bind(l[0], r.base, &err), STATUS_OK);
    assert_int_equal(lora_plan(l[0], &r.plan, &r.warn, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "where that is the output matrix as well"));
    close_all(&r, l, 1);
}

/* Two adapters with one tensor each in place of the base's norm */
static void test_several_wholes(void **state)
{
    (void)state;
    struct run r;
    struct lora *l[2];
    const struct matrix m[] = {key_pair[0], key_pair[1], {"base_model.model.model.norm.weight", 256, 0}};
    const char *config = "{\"peft_type\": \"LORA\", \"lora_alpha\": 4, \"modules_to_save\": [\"norm\"]}";
    assert_int_equal(merge(&r, l, make(config, m, 3), (const double[]){1, 1}, 1), STATUS_OK);
    close_all(&r, l, 1);
    assert_int_equal(merge(&r, l, make(config, m, 3), (const double[]){1, 1}, 2), STATUS_MISMATCH);
    assert_non_null(strstr(err.text, "another adapter changes the same tensor"));
    close_all(&r, l, 2);
}

static void test_file(void **state)
{
    (void)state;
    struct run r;
    const char *path = make("{\"peft_type\": \"LORA\", \"lora_alpha\": 6}", key_pair, 2);
    double alpha;
    open_base(&r);
    assert_int_equal(lora_open(&r.lora, path, 1, &err), STATUS_OK);
    assert_int_equal(lora_bind(r.lora, r.base, &err), STATUS_OK);
    assert_int_equal(lora_plan(r.lora, &r.plan, &r.warn, &err), STATUS_OK);
    execute(&r);
    const float *a = find(&r, "blk.1.attn_k.weight.lora_a"), *b = find(&r, "blk.1.attn_k.weight.lora_b");
    for (int64_t i = 0; i < RANK * 256; i++) assert_true(a[i] == value(i));
    for (int64_t i = 0; i < 128 * RANK; i++) assert_true(b[i] == value(source_row(i / RANK) * RANK + i % RANK));
    for (size_t i = 0; i < r.plan.out.n_kvs; i++)
        if (strcmp(r.plan.out.kvs[i].key, "adapter.lora.alpha") == 0) assert_true(kv_get_double(&r.plan.out.kvs[i], &alpha) && alpha == 6);
    clear(&r);
}

static void test_refusals(void **state)
{
    (void)state;
#define CONFIG(more) "{\"peft_type\": \"LORA\", \"lora_alpha\": 4" more "}"
    static const struct {
        const char *config;
        struct matrix m[2];
        enum status want;
        const char *text;
    } rows[] = {
        {CONFIG(", \"use_dora\": true"), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 128, 2}}, STATUS_UNSUPPORTED, "use_dora"},
        {CONFIG(", \"bias\": \"all\""), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 128, 2}}, STATUS_UNSUPPORTED, "bias"},
        {"{\"peft_type\": \"IA3\"}", {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 128, 2}}, STATUS_UNSUPPORTED, "peft_type"},
        {"{\"peft_type\": \"LORA\"}", {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 128, 2}}, STATUS_NOTFOUND, "lora_alpha"},
        {CONFIG(), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 128, 3}}, STATUS_MISMATCH, "rank"},
        {CONFIG(), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_C.weight", 128, 2}}, STATUS_UNSUPPORTED, "expected pairs"},
        {CONFIG(), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX "x.lora_B.weight", 128, 2}}, STATUS_NOTFOUND, "missing"},
        {CONFIG(), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".lora_B.weight", 256, 2}}, STATUS_MISMATCH, "expected matrices for 128 x 256"},
        {CONFIG(), {{TABLE ".lora_embedding_A", 2, 512}, {TABLE ".lora_embedding_B", 255, 2}}, STATUS_MISMATCH, "expected matrices for 512 x 256"},
        {CONFIG(), {{TABLE ".lora_embedding_A", 2, 512}, {TABLE ".lora_B.weight", 256, 2}}, STATUS_MISMATCH, "several adapters in one file"},
        {CONFIG(), {{TABLE ".lora_embedding_C", 2, 512}, {TABLE ".lora_embedding_B", 256, 2}}, STATUS_UNSUPPORTED, "expected pairs"},
        {CONFIG(), {{"nobody.lora_A.weight", 2, 256}, {"nobody.lora_B.weight", 128, 2}}, STATUS_NOTFOUND, "has no weight 'nobody.weight'"},
        {CONFIG(), {{PREFIX ".lora_A.weight", 2, 256}, {PREFIX ".bias", 128, 0}}, STATUS_UNSUPPORTED, "expected pairs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run r;
        open_base(&r);
        enum status st = lora_open(&r.lora, make(rows[i].config, rows[i].m, 2), 1, &err);
        if (st == STATUS_OK) st = lora_bind(r.lora, r.base, &err);
        if (st != rows[i].want || !strstr(err.text, rows[i].text)) fail_msg("row %zu: %s: %s", i, status_name(st), err.text);
        clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merge), cmocka_unit_test(test_embedding), cmocka_unit_test(test_several_wholes), cmocka_unit_test(test_file), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The receipt: packing against Python's zlib and base64, keys and digests in place, the same size before and after. */
#include "core/receipt.h"
#include "core/writer.h"
#include "tests/unit/temp_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static void test_unpack_python(void **state)
{
    (void)state;
    /* base64.b64encode(zlib.compress(text, 9)) */
    static const struct {
        const char *packed, *text;
    } rows[] = {
        {"eNoDAAAAAAE=", ""},
        {"eNpLBAAAYgBi", "a"},
        {"eNrLSSzJSAUABjYCDw==", "lathe"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        assert_int_equal(receipt_unpack(&b, rows[i].packed, strlen(rows[i].packed), 100, &err), STATUS_OK);
        assert_int_equal(b.len, strlen(rows[i].text));
        if (b.len > 0) assert_memory_equal(b.data, rows[i].text, b.len);
        buf_clear(&b);
    }
    static const char repeated[] = "eNqrVsrITElJzYsvzqxKVbJSMDU3q+WqHhUcFRwVJEUQAOyKD1A=";
    struct buf b = {0};
    assert_int_equal(receipt_unpack(&b, repeated, strlen(repeated), 1000, &err), STATUS_OK);
    assert_int_equal(b.len, 840);
    for (int i = 0; i < 40; i++) assert_memory_equal(b.data + 21 * i, "{\"hidden_size\": 576}\n", 21);
    buf_clear(&b);
    assert_int_equal(receipt_unpack(&b, repeated, strlen(repeated), 839, &err), STATUS_RANGE);
    buf_clear(&b);
}

static void test_unpack_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "=",
        "eNpLBAAAYgB",
        "eNpLBAAAYgB=",
        "eNpLBAAAYgBi====",
        "eNpL BAAAYgBi",
        "eNpLBAAAYgBj",
        "eNpLBAAAYg==",
        "eNoD=AAAAAE=",
        "eNoDAAAAAAF=" /* bits under the padding */,
        "eNpLBAAAYgBieNpL" /* text behind the stream */,
        "eNp-BAAAYgBi",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = {0};
        if (receipt_unpack(&b, bad[i], strlen(bad[i]), 100, &err) != STATUS_FORMAT)
            fail_msg("'%s' is accepted", bad[i]);
        buf_clear(&b);
    }
}

static void test_pack_round_trip(void **state)
{
    (void)state;
    unsigned char text[600];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * i >> 3);
    for (size_t n = 0; n <= sizeof text; n += n < 9 ? 1 : 37) {
        struct buf packed = {0}, back = {0};
        assert_int_equal(receipt_pack(&packed, text, n, &err), STATUS_OK);
        assert_int_equal(packed.len % 4, 0);
        assert_int_equal(receipt_unpack(&back, packed.data, packed.len, n, &err), STATUS_OK);
        assert_int_equal(back.len, n);
        if (n > 0) assert_memory_equal(back.data, text, n);
        buf_clear(&packed);
        buf_clear(&back);
    }
}

static const struct kv *find_kv(const struct plan *p, const char *key)
{
    for (size_t i = 0; i < p->out.n_kvs; i++)
        if (strcmp(p->out.kvs[i].key, key) == 0) return &p->out.kvs[i];
    return NULL;
}

static struct json *unpacked(const struct plan *p, const char *key)
{
    const struct kv *kv = find_kv(p, key);
    struct buf b = {0};
    struct json *doc;
    assert_non_null(kv);
    assert_int_equal(kv->type, KV_STRING);
    assert_int_equal(receipt_unpack(&b, kv->v.str.s, kv->v.str.len, 1 << 20, &err), STATUS_OK);
    assert_int_equal(json_parse(&doc, b.data, b.len, key, &err), STATUS_OK);
    buf_clear(&b);
    return doc;
}

static const struct temp_tensor sources[] = {
    {"wq", DTYPE_F32, 2, {64, 96}, NULL},
    {"bias", DTYPE_F32, 1, {96}, NULL},
    {"mask", DTYPE_F32, 1, {1}, NULL},
};

static void make_plan(struct plan *p, const struct checkpoint *c)
{
    struct plan_tensor q = {
        .name = "q", .to = DTYPE_F16, .transform = TRANSFORM_ROPE_ROWS, .args = {.heads = 4}, .why = "matrix"};
    struct plan_tensor b = {.name = "b", .to = DTYPE_F32, .why = "vector"};
    gguf_put_string(&p->out, "general.architecture", "llama");
    assert_int_equal(plan_add(p, &q, ckpt_find(c, "wq"), &err), STATUS_OK);
    assert_int_equal(plan_add(p, &b, ckpt_find(c, "bias"), &err), STATUS_OK);
    assert_int_equal(plan_drop(p, ckpt_find(c, "mask"), "no weight", &err), STATUS_OK);
}

static void test_keys(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, 3);
    char config[512];
    snprintf(config, sizeof config, "%s", temp_path("config.json"));
    struct model m = {.ckpt = c, .config_path = config};
    assert_int_equal(file_write_whole(temp_path("config.json"), OUTFILE_REPLACE, "{}", 2, &err), STATUS_OK);
    assert_int_equal(file_write_whole(temp_path("tokenizer.json"), OUTFILE_REPLACE, "[1]", 3, &err),
                     STATUS_OK);
    for (int level = RECEIPT_NONE; level <= RECEIPT_FULL; level++) {
        struct plan p = {0};
        make_plan(&p, c);
        assert_int_equal(receipt_put(&p, &m, (enum receipt_level)level, &err), STATUS_OK);
        assert_int_equal(find_kv(&p, "lathe.receipt.version") != NULL, level != RECEIPT_NONE);
        assert_int_equal(find_kv(&p, "lathe.receipt.file.config.json") != NULL, level == RECEIPT_FULL);
        assert_int_equal(find_kv(&p, "lathe.receipt.file.tokenizer.json") != NULL, level == RECEIPT_FULL);
        assert_null(find_kv(&p, "lathe.receipt.file.vocab.json"));
        if (level != RECEIPT_NONE) {
            assert_string_equal(find_kv(&p, "lathe.receipt.level")->v.str.s,
                                level == RECEIPT_FULL ? "full" : "lean");
            struct json *doc = unpacked(&p, "lathe.receipt.tensors");
            const struct jvalue *root = json_root(doc), *q = json_first(json_get(root, "tensors")),
                                *source = json_first(json_get(q, "sources"));
            assert_string_equal(json_string(json_get(root, "format")), "gguf");
            assert_string_equal(json_string(json_first(json_get(root, "files"))), "in.gguf"); /* no folder */
            assert_int_equal(json_count(json_get(root, "tensors")), 2);
            assert_string_equal(json_string(json_get(q, "transform")), "rope_rows");
            assert_string_equal(json_string(json_get(source, "name")), "wq");
            assert_string_equal(json_string(json_get(source, "dtype")), "F32");
            assert_string_equal(json_string(json_get(json_first(json_get(root, "dropped")), "name")), "mask");
            json_free(doc);
        }
        plan_clear(&p);
    }
    ckpt_close(c);
}

static void test_patch(void **state)
{
    (void)state;
    struct checkpoint *c = temp_model("in.gguf", sources, 3);
    struct model m = {.ckpt = c};
    struct plan p = {0};
    struct workers *workers;
    struct outfile *o;
    make_plan(&p, c);
    assert_int_equal(receipt_put(&p, &m, RECEIPT_LEAN, &err), STATUS_OK);
    assert_int_equal(plan_layout(&p, &err), STATUS_OK);
    assert_int_equal(workers_new(&workers, 2, &err), STATUS_OK);
    assert_int_equal(outfile_create(&o, temp_path("out.gguf"), OUTFILE_REPLACE, p.out.size_bytes, &err),
                     STATUS_OK);
    assert_int_equal(writer_run(&p, o, &(struct writer_options){.workers = workers, .hash = true}, &err),
                     STATUS_OK);
    receipt_patch(&p);
    assert_int_equal(writer_header(&p, o, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    workers_free(workers);
    plan_clear(&p);

    struct container *file;
    assert_int_equal(container_open(&file, temp_path("out.gguf"), &err), STATUS_OK);
    /* hashlib.sha256 of the values of temp_model.h, first 64 * 96, then 96 */
    assert_string_equal(kv_get_string(container_kv(file, "lathe.receipt.sha256")),
                        "e29c3fc70182a1f1d6d932bed093e384232cb8226c42e758bae52a6aba926582"
                        "ac381702b322c62bbcd530a81b641af72a15f151aba81eeb1f51df946926be86");
    container_close(file);
    ckpt_close(c);
}

static void test_key_names(void **state)
{
    (void)state;
    assert_true(receipt_key("lathe.receipt.file.config.json"));
    assert_true(receipt_key("lathe.receipt.version"));
    assert_false(receipt_key("lathe.family"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_python),   cmocka_unit_test(test_unpack_refuses),
        cmocka_unit_test(test_pack_round_trip), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_patch),           cmocka_unit_test(test_key_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

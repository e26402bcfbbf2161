/* The way back in pieces: transforms that undo each other, safetensors headers, folders that appear whole, receipts that lie. */
#include "base/base64.h"
#include "base/digest.h"
#include "base/outset.h"
#include "core/parts.h"
#include "core/receipt.h"
#include "core/restore.h"
#include "core/transform.h"
#include "formats/safetensors_write.h"
#include "tests/unit/temp_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;

/* --- transforms --- */

/* source index of each target index of `there`, then of its inverse: together nothing moves */
static void check_inverse(enum transform kind, int n_dims, const int64_t *shape, struct transform_args args)
{
    struct transform_spec there, back;
    assert_int_equal(transform_init(&there, kind, DTYPE_F32, n_dims, shape, &args, &err), STATUS_OK);
    assert_int_equal(transform_init(&back, transform_inverse(kind), DTYPE_F32, there.n_dims, there.shape, &args, &err), STATUS_OK);
    assert_int_equal(back.n_dims, n_dims);
    assert_memory_equal(back.shape, shape, (size_t)n_dims * sizeof *shape);
    size_t n_moved = 0;
    for (int64_t i = 0; i < back.n_elements; i++) {
        int64_t middle = transform_source_index(&back, i);
        assert_int_equal(transform_source_index(&there, middle), i);
        n_moved += middle != i;
    }
    assert_int_equal(n_moved > 0, kind != TRANSFORM_NONE);
}

static void test_inverses(void **state)
{
    (void)state;
    check_inverse(TRANSFORM_NONE, 2, (int64_t[]){6, 5}, (struct transform_args){0});
    check_inverse(TRANSFORM_TRANSPOSE, 2, (int64_t[]){6, 5}, (struct transform_args){0});
    check_inverse(TRANSFORM_ROPE_ROWS, 2, (int64_t[]){24, 5}, (struct transform_args){.heads = 3});
    check_inverse(TRANSFORM_ROPE_ROWS, 1, (int64_t[]){24}, (struct transform_args){.heads = 2});
    check_inverse(TRANSFORM_HALVES_ROWS, 2, (int64_t[]){30, 3}, (struct transform_args){.heads = 3, .rotated = 8});
    check_inverse(TRANSFORM_QKV_GROUPS, 2, (int64_t[]){36, 3}, (struct transform_args){.heads = 4, .groups = 4});
    check_inverse(TRANSFORM_QKV_GROUPS, 1, (int64_t[]){80}, (struct transform_args){.heads = 6, .groups = 2});
    check_inverse(TRANSFORM_QKV_UNGROUP, 2, (int64_t[]){40, 2}, (struct transform_args){.heads = 6, .groups = 2});
}

/* --- safetensors --- */

static void test_header(void **state)
{
    (void)state;
    /* safetensors.numpy.save({...}, metadata={"format": "pt"}) of the Python library: the order is its, the text up to the data */
    static const char want[] = "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                               "\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[24,26]},\"c\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[26,26]}}";
    struct tensor t[3] = {{.name = "c", .dtype = DTYPE_F16, .n_dims = 2, .shape = {0, 4}},
                          {.name = "a", .dtype = DTYPE_F16},
                          {.name = "b", .dtype = DTYPE_F32, .n_dims = 2, .shape = {2, 3}}};
    struct safetensors_out out[3];
    struct buf header = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tensor_set_size(&t[i], "", &err), STATUS_OK);
        out[i] = (struct safetensors_out){.t = &t[i]};
    }
    qsort(out, 3, sizeof *out, safetensors_compare);
    assert_int_equal(safetensors_header(&header, out, 3, &err), STATUS_OK);
    assert_int_equal(header.len % 8, 0);
    assert_memory_equal(header.data + 8, want, sizeof want - 1);
    assert_int_equal((unsigned char)header.data[0] + 256 * (unsigned char)header.data[1], header.len - 8);
    assert_int_equal(out[0].off, header.len);
    assert_int_equal(out[1].off, header.len + 24);
    buf_clear(&header);
    t[0].name = "a";
    assert_int_equal(safetensors_header(&header, out, 3, &err), STATUS_RANGE);
    buf_clear(&header);
    t[0] = (struct tensor){.name = "q", .dtype = DTYPE_Q4_0, .n_dims = 1, .shape = {32}};
    assert_int_equal(tensor_set_size(&t[0], "", &err), STATUS_OK);
    assert_int_equal(safetensors_header(&header, out, 3, &err), STATUS_UNSUPPORTED);
    buf_clear(&header);
}

/* --- folders --- */

static bool any_json(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0;
}

static void fill_set(struct outset *s, const char *name, const char *text)
{
    struct outfile *file;
    assert_int_equal(outset_add(s, name, strlen(text), &file, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(file, 0, text, strlen(text), &err), STATUS_OK);
}

static void expect_file(const char *path, const char *text)
{
    struct buf b = {0};
    assert_int_equal(file_read_all(&b, path, 1000, &err), STATUS_OK);
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.data, text, b.len);
    buf_clear(&b);
}

static void expect_nothing_partial(void)
{
    struct arena mem = {0};
    char **names;
    size_t n;
    assert_int_equal(dir_list(temp_dir(), &mem, &names, &n, &err), STATUS_OK);
    for (size_t i = 0; i < n; i++) assert_null(strstr(names[i], ".partial"));
    arena_clear(&mem);
}

static void test_folder(void **state)
{
    (void)state;
    struct outset *s;
    const char *path = temp_path("folder");
    assert_int_equal(outset_folder(&s, path, false, any_json, &err), STATUS_OK);
    fill_set(s, "a.json", "one");
    assert_false(file_exists(path));
    outset_discard(s);
    assert_false(file_exists(path));
    expect_nothing_partial();
    assert_int_equal(outset_folder(&s, path, false, any_json, &err), STATUS_OK);
    fill_set(s, "a.json", "one");
    fill_set(s, "b.json", "two");
    assert_int_equal(outset_commit(s, &err), STATUS_OK);
    char inside[1024];
    snprintf(inside, sizeof inside, "%s/b.json", path);
    expect_file(inside, "two");
    assert_int_equal(outset_folder(&s, path, false, any_json, &err), STATUS_EXISTS);
    assert_int_equal(outset_folder(&s, path, true, any_json, &err), STATUS_OK);
    fill_set(s, "c.json", "three");
    assert_int_equal(outset_commit(s, &err), STATUS_OK);
    assert_false(file_exists(inside));
    snprintf(inside, sizeof inside, "%s/c.json", path);
    expect_file(inside, "three");
    /* a file that is not whole keeps everything back */
    struct outfile *file;
    assert_int_equal(outset_folder(&s, path, true, any_json, &err), STATUS_OK);
    assert_int_equal(outset_add(s, "d.json", 5, &file, &err), STATUS_OK);
    assert_int_equal(outset_commit(s, &err), STATUS_MISMATCH);
    expect_file(inside, "three");
    /* a stranger's file */
    snprintf(inside, sizeof inside, "%s/letter.txt", path);
    assert_int_equal(file_write_whole(inside, OUTFILE_NEW, "dear", 4, &err), STATUS_OK);
    assert_int_equal(outset_folder(&s, path, true, any_json, &err), STATUS_EXISTS);
    expect_file(inside, "dear");
    expect_nothing_partial();
}

static void test_beside(void **state)
{
    (void)state;
    struct outset *s;
    struct outfile *file;
    assert_int_equal(outset_beside(&s, temp_dir(), OUTFILE_NEW, &err), STATUS_OK);
    fill_set(s, "p1.json", "1");
    fill_set(s, "p2.json", "2");
    assert_int_equal(outset_commit(s, &err), STATUS_OK);
    expect_file(temp_path("p2.json"), "2");
    /* the second name is taken meanwhile: the first is not given, the third is taken back */
    assert_int_equal(outset_beside(&s, temp_dir(), OUTFILE_NEW, &err), STATUS_OK);
    fill_set(s, "r1.json", "1");
    fill_set(s, "r2.json", "2");
    fill_set(s, "r3.json", "3");
    assert_int_equal(file_write_whole(temp_path("r2.json"), OUTFILE_NEW, "mine", 4, &err), STATUS_OK);
    assert_int_equal(outset_commit(s, &err), STATUS_EXISTS);
    assert_false(file_exists(temp_path("r1.json")));
    assert_false(file_exists(temp_path("r3.json")));
    expect_file(temp_path("r2.json"), "mine");
    assert_int_equal(outset_add((assert_int_equal(outset_beside(&s, temp_dir(), OUTFILE_NEW, &err), STATUS_OK), s), "p1.json", 1, &file, &err), STATUS_EXISTS);
    outset_discard(s);
    expect_nothing_partial();
}

/* --- receipts --- */

/* A GGUF with a receipt of this list; NULL leaves the key out. */
static enum status read_made(const char *list, const char *digests, const char *file_key, uint32_t version)
{
    struct gguf_writer w = {0};
    struct buf packed = {0};
    struct outfile *o;
    struct container *c;
    struct receipt *r;
    gguf_put_string(&w, "general.architecture", "llama");
    gguf_put_u32(&w, "lathe.receipt.version", version);
    gguf_put_string(&w, "lathe.receipt.level", "full");
    if (list) assert_int_equal(receipt_pack(&packed, list, strlen(list), &err), STATUS_OK);
    if (list) gguf_put_string(&w, "lathe.receipt.tensors", packed.data);
    if (digests) gguf_put_string(&w, "lathe.receipt.sha256", digests);
    if (file_key) gguf_put_string(&w, file_key, "eNoDAAAAAAE=");
    buf_clear(&packed);
    assert_int_equal(gguf_add_tensor(&w, "t", DTYPE_F32, 1, (int64_t[]){4}, &err), STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    assert_int_equal(outfile_create(&o, temp_path("receipt.gguf"), OUTFILE_REPLACE, w.size_bytes, &err), STATUS_OK);
    char data[32] = {0};
    assert_int_equal(outfile_write_at(o, 0, w.header.data, w.header.len, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, w.header.len, data, (size_t)(w.size_bytes - w.header.len), &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    gguf_writer_clear(&w);
    assert_int_equal(container_open(&c, temp_path("receipt.gguf"), &err), STATUS_OK);
    enum status st = receipt_read(&r, c, &err);
    if (st == STATUS_OK) {
        const char *name = "";
        for (size_t i = 0; st == STATUS_OK && name; i++) {
            struct buf content = {0};
            st = receipt_read_file(r, i, &name, &content, &err);
            buf_clear(&content);
        }
        receipt_free(r);
    }
    container_close(c);
    return st;
}

#define LIST(tensors, dropped) "{\"format\":\"safetensors\",\"files\":[\"m\"],\"tensors\":[" tensors "],\"dropped\":[" dropped "]}"
#define ZERO8 "00000000"
#define ZERO64 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8
#define SOURCE(shape) "{\"name\":\"s\",\"dtype\":\"F32\",\"shape\":" shape ",\"file\":0}"
#define TENSOR(transform, rest, sources) "{\"name\":\"t\",\"transform\":\"" transform "\"," rest "\"sources\":[" sources "]}"

static void test_receipts(void **state)
{
    (void)state;
    static const struct {
        const char *list, *digests, *file_key;
        uint32_t version;
        enum status want;
    } rows[] = {
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO64, "lathe.receipt.file.config.json", 1, STATUS_OK},
        {LIST(TENSOR("none", "\"scale\":0.5,\"scaled_rows\":2,", ), SOURCE("[]")), "", NULL, 1, STATUS_FORMAT}, /* a source dropped without reason */
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO64, NULL, 2, STATUS_UNSUPPORTED},
        {NULL, ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), NULL, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO64 ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO8, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), "G" ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("turned", , SOURCE("[4]")), ), ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", "\"scale\":0,\"scaled_rows\":2,", SOURCE("[4]")), ), ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", "\"heads\":-1,", SOURCE("[4]")), ), ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4,1e3]")), ), ZERO64, NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[-4]")), ), ZERO64, NULL, 1, STATUS_RANGE},
        {LIST(TENSOR("none", , SOURCE("[4294967296,4294967296,4]")), ), ZERO64, NULL, 1, STATUS_RANGE},
        {LIST(TENSOR("none", , SOURCE("[1,1,1,1,1,1,1,1,1]")), ), ZERO64, NULL, 1, STATUS_FORMAT},
        {"{\"tensors\":[],\"dropped\":[]}", "", NULL, 1, STATUS_FORMAT},
        {"{\"format\":\"x\",\"tensors\":{},\"dropped\":[]}", "", NULL, 1, STATUS_FORMAT},
        {"[", "", NULL, 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO64, "lathe.receipt.file.../../etc/passwd", 1, STATUS_FORMAT},
        {LIST(TENSOR("none", , SOURCE("[4]")), ), ZERO64, "lathe.receipt.file.modeling.py", 1, STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum status st = read_made(rows[i].list, rows[i].digests, rows[i].file_key, rows[i].version);
        if (st != rows[i].want) fail_msg("row %zu: expected %s, found %s: %s", i, status_name(rows[i].want), status_name(st), err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inverses), cmocka_unit_test(test_header),   cmocka_unit_test(test_folder),
        cmocka_unit_test(test_beside),   cmocka_unit_test(test_receipts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

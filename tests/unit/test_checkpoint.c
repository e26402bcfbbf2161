/* Folders, indexes, shards: what is opened, what is refused and how it is named. */
#include "container_support.h"

#include "base/cursor.h"
#include "formats/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error err;

/* A safetensors file with one-byte tensors of these names (separated by spaces); byte i of the data is `first` + i. */
static void put_safetensors(const char *file, const char *names, int first)
{
    struct buf header = {0}, b = {0};
    unsigned char n[8];
    char list[256];
    int count = 0;
    snprintf(list, sizeof list, "%s", names);
    buf_puts(&header, "{");
    for (char *name = strtok(list, " "); name; name = strtok(NULL, " "), count++)
        buf_printf(&header, "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                   count ? "," : "", name, count, count + 1);
    buf_puts(&header, "}");
    le_put64(n, header.len);
    buf_append(&b, n, 8);
    buf_append(&b, header.data, header.len);
    for (int i = 0; i < count; i++) buf_append(&b, &(char){(char)(first + i)}, 1);
    scratch_write(file, b.data, b.len);
    buf_clear(&header);
    buf_clear(&b);
}

static void put_copy(const char *file, const char *vector)
{
    size_t n;
    unsigned char *b = slurp(vector_path(vector), &n);
    scratch_write(file, b, n);
    free(b);
}

static void put_text(const char *file, const char *text)
{
    scratch_write(file, text, strlen(text));
}

static struct checkpoint *must_open(const char *name)
{
    struct checkpoint *c;
    const char *path = name ? scratch_path(name) : scratch_dir();
    if (ckpt_open(&c, path, &err) != STATUS_OK) fail_msg("%s: %s: %s", path, err.path, err.text);
    return c;
}

static void must_fail(const char *what, const char *name, enum status status, const char *text)
{
    struct checkpoint *c;
    enum status st = ckpt_open(&c, name ? scratch_path(name) : scratch_dir(), &err);
    expect_error(what, st, &err, status, text);
    assert_null(c);
}

static void expect_byte(const struct checkpoint *c, const char *name, int value)
{
    unsigned char b;
    const struct ckpt_tensor *t = ckpt_find(c, name);
    if (!t) fail_msg("no tensor '%s'", name);
    assert_int_equal(ckpt_read(t, 0, &b, 1, &err), STATUS_OK);
    assert_int_equal(b, value);
}

static bool has_note(const struct checkpoint *c, const char *text)
{
    for (size_t i = 0; i < c->notes.count; i++)
        if (strstr(c->notes.items[i], text)) return true;
    return false;
}

#define INDEX "model.safetensors.index.json"

static void put_set(void)
{
    scratch_clear();
    put_safetensors("model-00001-of-00002.safetensors", "b a", 10);
    put_safetensors("model-00002-of-00002.safetensors", "c", 20);
    put_text(INDEX,
             "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\","
             "\"b\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}");
}

static void check_set(const char *name)
{
    struct checkpoint *c = must_open(name);
    assert_int_equal(c->n_files, 2);
    assert_int_equal(c->n_tensors, 3);
    assert_string_equal(c->tensors[0].t->name, "b");
    assert_string_equal(c->tensors[2].t->name, "c");
    assert_string_equal(c->format, "safetensors");
    assert_string_equal(c->dir, scratch_dir());
    assert_int_equal(c->notes.count, 0);
    assert_null(ckpt_gguf(c));
    assert_null(ckpt_find(c, "d"));
    expect_byte(c, "b", 10);
    expect_byte(c, "a", 11);
    expect_byte(c, "c", 20);
    ckpt_close(c);
}

/* The folder, the index, each shard: the same set, with or without index */
static void test_set(void **state)
{
    (void)state;
    put_set();
    check_set(NULL);
    check_set(INDEX);
    check_set("model-00001-of-00002.safetensors");
    check_set("model-00002-of-00002.safetensors");
    unlink(scratch_path(INDEX));
    check_set(NULL);
    check_set("model-00002-of-00002.safetensors");
}

static void test_trailing_slash(void **state)
{
    struct checkpoint *c;
    char path[128];
    (void)state;
    put_set();
    snprintf(path, sizeof path, "%s///", scratch_dir());
    assert_int_equal(ckpt_open(&c, path, &err), STATUS_OK);
    assert_string_equal(c->dir, scratch_dir());
    ckpt_close(c);
}

/* Relative names without a folder part */
static void test_bare_name(void **state)
{
    struct checkpoint *c;
    char cwd[512];
    (void)state;
    put_set();
    put_safetensors("single.safetensors", "x", 1);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(scratch_dir()), 0);
    enum status st = ckpt_open(&c, "single.safetensors", &err);
    if (st == STATUS_OK) {
        assert_string_equal(c->dir, ".");
        assert_string_equal(c->files[0]->file.path, "single.safetensors");
        ckpt_close(c);
    }
    enum status set = ckpt_open(&c, "model-00001-of-00002.safetensors", &err);
    if (set == STATUS_OK) ckpt_close(c);
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(st, STATUS_OK);
    assert_int_equal(set, STATUS_OK);
}

static void test_shards_missing(void **state)
{
    (void)state;
    put_set();
    unlink(scratch_path("model-00002-of-00002.safetensors"));
    must_fail("index", INDEX, STATUS_NOTFOUND, "model-00002-of-00002.safetensors");
    must_fail("folder", NULL, STATUS_NOTFOUND, INDEX);
    must_fail("shard", "model-00001-of-00002.safetensors", STATUS_NOTFOUND,
              "model-00002-of-00002.safetensors");
    unlink(scratch_path(INDEX));
    must_fail("set", NULL, STATUS_NOTFOUND, "model-00002-of-00002.safetensors");
    must_fail("set by shard", "model-00001-of-00002.safetensors", STATUS_NOTFOUND, "model-00002");
    must_fail("absent file", "nothing.safetensors", STATUS_NOTFOUND, "nothing.safetensors");
    scratch_clear();
    put_safetensors("model-00001-of-99999.safetensors", "a", 0);
    must_fail("large set", NULL, STATUS_NOTFOUND, "model-00002-of-99999");
}

static void test_index_contradicted(void **state)
{
    (void)state;
    put_set();
    put_safetensors("model-00002-of-00002.safetensors", "d", 20);
    must_fail("promised", NULL, STATUS_MISMATCH, "tensor 'c'");
    put_safetensors("model-00002-of-00002.safetensors", "c d", 20);
    must_fail("not promised", NULL, STATUS_MISMATCH, "tensor 'd'");
    put_safetensors("model-00002-of-00002.safetensors", "c a", 20);
    must_fail("twice", NULL, STATUS_MISMATCH, "tensor 'a'");
    put_safetensors("model-00001-of-00002.safetensors", "b", 20);
    must_fail("in the other shard", NULL, STATUS_MISMATCH, "tensor 'a'");
    put_set();
    put_copy("model-00002-of-00002.safetensors", "torch/single.pt");
    must_fail("mixed formats", NULL, STATUS_MISMATCH, "torch-zip");
    put_set();
    put_text("model-00002-of-00002.safetensors", "garbage");
    must_fail("damaged shard", NULL, STATUS_FORMAT, "model-00002-of-00002.safetensors");
}

static void test_total_size(void **state)
{
    static const struct {
        const char *value;
        const char *note; /* NULL: none */
    } cases[] = {{"3", NULL},
                 {"4", "total_size is 4"},
                 {"3.5", "total_size is 3.5"},
                 {"\"3\"", "total_size"},
                 {"-3", "total_size"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        scratch_clear();
        put_safetensors("x.safetensors", "a b c", 0);
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"total_size\":%s},\"weight_map\":{\"a\":\"x.safetensors\","
                 "\"b\":\"x.safetensors\",\"c\":\"x.safetensors\"}}",
                 cases[i].value);
        put_text(INDEX, text);
        struct checkpoint *c = must_open(NULL);
        if (cases[i].note)
            assert_true(has_note(c, cases[i].note));
        else
            assert_int_equal(c->notes.count, 0);
        ckpt_close(c);
    }
}

/* A shard is a bare name inside the folder, whatever the index says. */
static void test_shard_names(void **state)
{
    static const char *const names[] = {"..",
                                        ".",
                                        "",
                                        "/etc/passwd",
                                        "../x.safetensors",
                                        "a/../../b",
                                        "a/b",
                                        "a\\\\b",
                                        "./x.safetensors",
                                        "x\\u0000y",
                                        "sub/x.safetensors"};
    struct buf text = {0};
    (void)state;
    scratch_clear();
    put_safetensors("x.safetensors", "w", 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        buf_clear(&text);
        buf_printf(&text, "{\"weight_map\":{\"w\":\"%s\"}}", names[i]);
        put_text(INDEX, text.data);
        must_fail(names[i], NULL, STATUS_FORMAT, INDEX);
    }
    buf_clear(&text);
    buf_puts(&text, "{\"weight_map\":{\"w\":\"");
    for (int i = 0; i < 5000; i++) buf_puts(&text, "x");
    buf_puts(&text, "\"}}");
    put_text(INDEX, text.data);
    struct checkpoint *c;
    assert_int_not_equal(ckpt_open(&c, scratch_dir(), &err), STATUS_OK);
    buf_clear(&text);
}

static void test_bad_index(void **state)
{
    static const struct {
        const char *text;
        enum status status;
        const char *words;
    } cases[] = {
        {"{}", STATUS_FORMAT, "weight_map"},
        {"{\"weight_map\":[]}", STATUS_FORMAT, "weight_map"},
        {"{\"weight_map\":{}}", STATUS_FORMAT, "empty"},
        {"{\"weight_map\":{\"w\":1}}", STATUS_FORMAT, "tensor 'w'"},
        {"{\"weight_map\":{\"w\":null}}", STATUS_FORMAT, "tensor 'w'"},
        {"{\"weight_map\":{\"w\":\"x.safetensors\",\"w\":\"x.safetensors\"}}", STATUS_FORMAT, "duplicate"},
        {"{\"weight_map\":{\"w\":\"x.safetensors\"}", STATUS_FORMAT, INDEX},
        {"{\"weight_map\":{\"w\":\"x.safetensors\"}} x", STATUS_FORMAT, INDEX},
        {"", STATUS_FORMAT, INDEX},
        {"{\"weight_map\":{\"\xff\":\"x.safetensors\"}}", STATUS_FORMAT, "UTF-8"},
    };
    (void)state;
    scratch_clear();
    put_safetensors("x.safetensors", "w", 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_text(INDEX, cases[i].text);
        must_fail(cases[i].text, NULL, cases[i].status, cases[i].words);
    }
}

/* safetensors before PyTorch before GGUF; what is left out is said; files of the training are not opened */
static void test_preference(void **state)
{
    (void)state;
    scratch_clear();
    put_copy("model.gguf", "gguf/all_types.gguf");
    struct checkpoint *c = must_open(NULL);
    assert_string_equal(c->format, "gguf");
    assert_ptr_equal(ckpt_gguf(c), c->files[0]);
    assert_int_equal(c->notes.count, 0);
    ckpt_close(c);

    put_copy("pytorch_model.bin", "torch/single.pt");
    put_copy("training_args.bin", "torch/refused/module.pt");
    put_copy("optimizer.pt", "torch/refused/module.pt");
    put_copy("rng_state_0.pth", "torch/refused/module.pt");
    put_copy("scheduler.pt", "torch/refused/module.pt");
    put_text("tokenizer.bin", "not weights");
    c = must_open(NULL);
    assert_string_equal(c->format, "torch-zip");
    assert_int_equal(c->n_files, 1);
    assert_true(has_note(c, "model.gguf"));
    assert_int_equal(c->notes.count, 1);
    ckpt_close(c);

    put_safetensors("model.safetensors", "w", 5);
    put_safetensors("adapter.safetensors", "w", 6);
    c = must_open(NULL);
    assert_string_equal(c->format, "safetensors");
    assert_int_equal(c->n_files, 1);
    expect_byte(c, "w", 5);
    assert_true(has_note(c, "adapter.safetensors is passed over"));
    assert_true(has_note(c, "pytorch_model.bin"));
    ckpt_close(c);
    /* named, it is opened */
    c = must_open("adapter.safetensors");
    expect_byte(c, "w", 6);
    ckpt_close(c);
    must_fail("named training file", "training_args.bin", STATUS_UNSUPPORTED, "torch.nn");
}

static void test_torch_index(void **state)
{
    (void)state;
    scratch_clear();
    put_copy("pytorch_model-00001-of-00002.bin", "torch/single.pt");
    put_copy("pytorch_model-00002-of-00002.bin", "torch/tied.pt");
    put_text("pytorch_model.bin.index.json",
             "{\"weight_map\":{\"tensor\":\"pytorch_model-00001-of-00002.bin\","
             "\"embed.weight\":\"pytorch_model-00002-of-00002.bin\",\"proj.weight\":\"pytorch_model-00002-of-"
             "00002.bin\","
             "\"norm.weight\":\"pytorch_model-00002-of-00002.bin\",\"norm.bias\":\"pytorch_model-00002-of-"
             "00002.bin\"}}");
    struct checkpoint *c = must_open(NULL);
    assert_string_equal(c->format, "torch-zip");
    assert_int_equal(c->n_tensors, 5);
    assert_true(ckpt_same_bytes(ckpt_find(c, "embed.weight"), ckpt_find(c, "proj.weight")));
    assert_true(ckpt_same_bytes(ckpt_find(c, "tensor"), ckpt_find(c, "tensor")));
    assert_false(ckpt_same_bytes(ckpt_find(c, "embed.weight"), ckpt_find(c, "norm.weight")));
    assert_false(ckpt_same_bytes(ckpt_find(c, "norm.bias"), ckpt_find(c, "norm.weight")));
    ckpt_close(c);
}

static void test_views_are_other_bytes(void **state)
{
    struct checkpoint *c;
    (void)state;
    assert_int_equal(ckpt_open(&c, vector_path("torch/views.pt"), &err), STATUS_OK);
    const struct ckpt_tensor *whole = ckpt_find(c, "whole");
    assert_true(ckpt_same_bytes(whole, ckpt_find(c, "same")));
    assert_false(ckpt_same_bytes(whole, ckpt_find(c, "alias")));
    assert_false(ckpt_same_bytes(whole, ckpt_find(c, "transposed")));
    assert_false(ckpt_same_bytes(whole, ckpt_find(c, "rows")));
    ckpt_close(c);
}

static void test_rows(void **state)
{
    struct checkpoint *c, *plain;
    float row[30], all[24 * 30];
    (void)state;
    assert_int_equal(ckpt_open(&c, vector_path("torch/views.pt"), &err), STATUS_OK);
    assert_int_equal(ckpt_open(&plain, vector_path("torch/views.safetensors"), &err), STATUS_OK);
    const struct ckpt_tensor *t = ckpt_find(c, "transposed"), *e = ckpt_find(plain, "transposed");
    assert_int_equal(tensor_rows(t->t), 30);
    assert_int_equal(tensor_cols(t->t), 24);
    assert_int_equal(ckpt_read_rows(e, 0, 30, all, &err), STATUS_OK);
    for (int r = 0; r < 30; r++) {
        assert_int_equal(ckpt_read_rows(t, r, 1, row, &err), STATUS_OK);
        assert_memory_equal(row, all + r * 24, 24 * sizeof(float));
    }
    assert_int_equal(ckpt_read_rows(t, 30, 1, row, &err), STATUS_RANGE);
    assert_int_equal(ckpt_read_rows(t, -1, 1, row, &err), STATUS_RANGE);
    assert_int_equal(ckpt_read_rows(t, 30, 0, row, &err), STATUS_OK);
    const struct ckpt_tensor *scalar = ckpt_find(c, "scalar");
    assert_int_equal(tensor_rows(scalar->t), 1);
    assert_int_equal(tensor_cols(scalar->t), 1);
    assert_int_equal(ckpt_read_rows(scalar, 0, 1, row, &err), STATUS_OK);
    assert_true(row[0] == 7.25f);
    ckpt_close(c);
    ckpt_close(plain);
}

static void test_gguf_sets(void **state)
{
    (void)state;
    scratch_clear();
    put_copy("one.gguf", "gguf/all_types.gguf");
    put_copy("two.gguf", "gguf/align64.gguf");
    must_fail("two models", NULL, STATUS_MISMATCH, "one.gguf");
}

static void test_nothing(void **state)
{
    (void)state;
    scratch_clear();
    must_fail("empty folder", NULL, STATUS_NOTFOUND, "no weights");
    put_text("config.json", "{}");
    put_text("pytorch_model.bin", "not torch");
    assert_int_equal(mkdir(scratch_path("x.safetensors"), 0700), 0);
    must_fail("no weights", NULL, STATUS_NOTFOUND, "no weights");
    must_fail("config", "config.json", STATUS_FORMAT, "weight_map");
    must_fail("text", "pytorch_model.bin", STATUS_FORMAT, "not a checkpoint");
}

/* Hubs keep snapshots as symbolic links into a store: followed, and the set is that of the folder that was named */
static void test_links(void **state)
{
    (void)state;
    scratch_clear();
    put_safetensors("blob", "w", 7);
    assert_int_equal(symlink("blob", scratch_path("model.safetensors")), 0);
    struct checkpoint *c = must_open(NULL);
    expect_byte(c, "w", 7);
    ckpt_close(c);
    assert_int_equal(symlink("loop.safetensors", scratch_path("loop.safetensors")), 0);
    struct checkpoint *none;
    assert_int_not_equal(ckpt_open(&none, scratch_path("loop.safetensors"), &err), STATUS_OK);
}

static void test_fifo(void **state)
{
    struct checkpoint *c;
    (void)state;
    scratch_clear();
    assert_int_equal(mkfifo(scratch_path("model.safetensors"), 0600), 0);
    assert_int_not_equal(ckpt_open(&c, scratch_path("model.safetensors"), &err), STATUS_OK);
    must_fail("folder with a FIFO", NULL, STATUS_NOTFOUND, "no weights");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_trailing_slash),
        cmocka_unit_test(test_bare_name),
        cmocka_unit_test(test_shards_missing),
        cmocka_unit_test(test_index_contradicted),
        cmocka_unit_test(test_total_size),
        cmocka_unit_test(test_shard_names),
        cmocka_unit_test(test_bad_index),
        cmocka_unit_test(test_preference),
        cmocka_unit_test(test_torch_index),
        cmocka_unit_test(test_views_are_other_bytes),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_gguf_sets),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_fifo),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

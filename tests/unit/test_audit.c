/* Audits: names that a pickle refers to, in whatever opcode they hide; bytes that belong to no tensor. */
#include "container_support.h"

#include "base/cursor.h"
#include "formats/layout.h"
#include "formats/pickle.h"
#include "formats/torch_audit.h"
#include "temp_model.h"
#include "torch_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

#define BYTES(s) (s), sizeof(s) - 1

static void walk(struct pickle_audit *a, const char *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly this size, so that a sanitizer sees one byte too many */
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    if (pickle_audit(a, copy, n, NULL, &err) != STATUS_OK) fail_msg("%s", err.text);
    free(copy); /* names are copies */
}

static void test_names_wherever_they_hide(void **state)
{
    static const struct {
        const char *what, *bytes;
        size_t n;
        const char *module, *name;
    } cases[] = {
        {"GLOBAL", BYTES("\x80\x02"
                         "cos\nsystem\nU\2lsR."),
         "os", "system"},
        {"INST", BYTES("(S'ls'\nios\nsystem\n."), "os", "system"},
        {"STACK_GLOBAL", BYTES("\x80\x04\x8c\2os\x8c\6system\x93\x8c\2ls\x85R."), "os", "system"},
        {"STACK_GLOBAL of text opcodes", BYTES("\x80\x04S'os'\nVsystem\n\x93."), "os", "system"},
        {"STACK_GLOBAL through the memo", BYTES("\x80\x04\x8c\2os\x94\x8c\6system\x94""00h\0h\1\x93."), "os", "system"},
        {"memo slot written twice", BYTES("\x80\x04\x8c\4safeq\5""0\x8c\2osq\5""0h\5\x8c\6system\x93."), "os", "system"},
        {"PUT and MEMOIZE mixed", BYTES("\x80\x04\x8c\4safeq\1""0\x8c\2os\x94""0h\1""0\x8c\1xr\1\0\0\0""0\x8c\1y\x94""0g1\n\x8c\6system\x93."), "y", "system"},
        {"DUP", BYTES("\x80\x04\x8c\1p2\x93."), "p", "p"},
        {"a computed name", BYTES("\x80\x04K\1\x8c\6system\x93."), "?", "system"},
        {"marks between", BYTES("\x80\x04\x8c\2os(K\1K\2""1\x8c\6system\x93."), "os", "system"},
        {"a memo slot far away", BYTES("\x80\x02X\2\0\0\0osr\xff\xff\xff\xff" "0Nj\xff\xff\xff\xffX\6\0\0\0system\x93."), "os", "system"},
        {"a memo slot among others, as text", BYTES("Vos\np77\n0Vsystem\np5\n0g77\ng5\n\x93."), "os", "system"},
        {"a slot that comes into reach", BYTES("\x80\x04\x8c\2osr\x10\x27\0\0" "0\x8c\1xr\x10\x27\0\0" "0j\x10\x27\0\0\x8c\6system\x93."), "x", "system"},
        {"an extension", BYTES("\x80\x02\x82\x2a."), "copyreg", "extension 42"},
        {"a name among newlines", BYTES("cos\n\n."), "os", ""},
        {"longer than a known one", BYTES("\x80\x02""ctorch\nFloatStorage2\n."), "torch", "FloatStorage2"},
        {"after what readers stop at", BYTES("\x80\x05\x95\1\0\0\0\0\0\0\0N0cnt\nsystem\n."), "nt", "system"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pickle_audit a;
        walk(&a, cases[i].bytes, cases[i].n);
        if (a.n_names != 1 || a.n_outside != 1 || strcmp(a.names[0].module, cases[i].module) != 0 ||
            strcmp(a.names[0].name, cases[i].name) != 0)
            fail_msg("%s: %zu names, %zu outside, first %s.%s", cases[i].what, a.n_names, a.n_outside,
                     a.n_names ? a.names[0].module : "", a.n_names ? a.names[0].name : "");
        if (a.problem) fail_msg("%s: %s", cases[i].what, a.problem);
        pickle_audit_clear(&a);
    }
}

static void test_standing(void **state)
{
    static const char bytes[] = "\x80\x02(ctorch\nFloatStorage\nctorch._utils\n_rebuild_sparse_tensor\ncposix\nsystem\n"
                                "ctorch\nFloatStorage\nt.";
    struct pickle_audit a;
    (void)state;
    walk(&a, BYTES(bytes));
    assert_int_equal(a.n_names, 3);
    assert_int_equal(a.n_outside, 1);
    assert_true(a.names[0].standing == NAME_KNOWN && a.names[0].count == 2 && a.names[0].off_first == 3);
    assert_true(a.names[1].standing == NAME_HARMLESS && strcmp(a.names[1].what, "a sparse tensor") == 0);
    assert_true(a.names[2].standing == NAME_OUTSIDE);
    assert_int_equal(a.protocol, 2);
    assert_int_equal(a.counts['c'], 4);
    assert_int_equal(a.n_ops, 8);
    assert_int_equal(a.n_used, sizeof bytes - 1);
    pickle_audit_clear(&a);
}

/* Every name that the reader knows is known here, and nothing else: the audit has no list of its own. */
static void test_one_list(void **state)
{
    static const char *const names[][2] = {{"collections", "OrderedDict"}, {"os", "system"},   {"torch", "BFloat16Storage"},
                                           {"builtins", "eval"},           {"torch", "load"},  {"torch._utils", "_rebuild_tensor_v2"},
                                           {"argparse", "Namespace"},      {"torch", "Size"}};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char bytes[100];
        struct pickle_audit a;
        int n = snprintf(bytes, sizeof bytes, "\x80\x02" "c%s\n%s\n.", names[i][0], names[i][1]);
        walk(&a, bytes, (size_t)n);
        assert_int_equal(a.names[0].standing == NAME_KNOWN, pickle_knows(names[i][0], names[i][1]));
        pickle_audit_clear(&a);
    }
}

static void test_damage_is_said(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *problem;
    } cases[] = {
        {BYTES(""), "at byte 0: the pickle ends without STOP"},
        {BYTES("\x80\x02N"), "at byte 3: the pickle ends without STOP"},
        {BYTES("\x80\x02X\5\0\0\0abc"), "at byte 2: the pickle ends inside BINUNICODE"},
        {BYTES("\x80\x02X\xff\xff\xff\xff"), "at byte 2: the pickle ends inside BINUNICODE"},
        {BYTES("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "at byte 2: the pickle ends inside BINUNICODE8"},
        {BYTES("\x80\x02" "cos\nsystem"), "at byte 2: the pickle ends inside GLOBAL"},
        {BYTES("\x80\x02\xff"), "at byte 2: there is no opcode 0xff"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pickle_audit a;
        walk(&a, cases[i].bytes, cases[i].n);
        assert_non_null(a.problem);
        assert_string_equal(a.problem, cases[i].problem);
        pickle_audit_clear(&a);
    }
}

/* Every opcode on an empty stack and every first byte: no crash, an answer. */
static void test_every_opcode_alone(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++)
        for (size_t n = 0; n <= 16; n++) {
            char bytes[20] = {(char)0x80, 2, (char)code, 0};
            struct pickle_audit a;
            memset(bytes + 3, '\n', n);
            walk(&a, bytes, 3 + n);
            pickle_audit_clear(&a);
        }
}

static void test_plain_files(void **state)
{
    struct torch_audit a;
    struct file f;
    (void)state;
    scratch_write("two", BYTES("\x80\x02N.\x80\x02" "cos\nsystem\n.\0\0\0data"));
    assert_int_equal(file_open(&f, scratch_path("two"), &err), STATUS_OK);
    assert_int_equal(torch_audit_file(&a, &f, TORCH_FORM_PLAIN, true, &err), STATUS_OK);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.items[1].off_file, 4);
    assert_int_equal(a.items[1].audit.n_outside, 1);
    assert_string_equal(a.items[1].trace.data, "0 PROTO\n2 GLOBAL\n13 STOP\n");
    torch_audit_clear(&a);
    file_close(&f);
    scratch_write("text", BYTES("some text, which is no pickle\n"));
    assert_int_equal(file_open(&f, scratch_path("text"), &err), STATUS_OK);
    assert_int_equal(torch_audit_file(&a, &f, TORCH_FORM_PLAIN, false, &err), STATUS_OK);
    assert_int_equal(a.n, 0);
    torch_audit_clear(&a);
    file_close(&f);
}

/* A pickle of nothing but names, values or memo slots ends the walk, not the memory. */
static void test_floods(void **state)
{
    static const struct {
        const char *unit, *problem;
        size_t n;
    } cases[] = {{"c%zu\nx\n", "more than 16384 names", 40000},
                 {"N", "more than 1048576 values on the stack", 1100000},
                 {"p%zu000000\n", "more than 16384 memo slots", 40000},
                 {"\x94", "more than 4194304 values in the memo", 4200000}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        struct pickle_audit a;
        for (size_t k = 0; k < cases[i].n; k++) {
            char unit[32];
            int n = snprintf(unit, sizeof unit, cases[i].unit, k);
            buf_append(&b, unit, (size_t)n);
            if (i == 0) buf_puts(&b, "0");
        }
        walk(&a, b.data, b.len);
        assert_non_null(a.problem);
        if (!strstr(a.problem, cases[i].problem)) fail_msg("%s", a.problem);
        pickle_audit_clear(&a);
        buf_clear(&b);
    }
}

/* A file cut anywhere: no crash, and never more pickles than the whole has. */
static void test_every_prefix(void **state)
{
    struct torch_writer w = {0};
    const int64_t shape[] = {2, 2};
    const float data[4] = {1, 2, 3, 4};
    struct torch_audit a;
    struct file f;
    size_t n;
    (void)state;
    torch_writer_open(&w, "model");
    torch_writer_tensor(&w, "a", 2, shape, data);
    torch_writer_close(&w);
    torch_writer_write(&w, scratch_path("whole.bin"));
    unsigned char *bytes = slurp(scratch_path("whole.bin"), &n);
    for (size_t k = 0; k <= n; k++) {
        scratch_write("cut.bin", bytes, k);
        assert_int_equal(file_open(&f, scratch_path("cut.bin"), &err), STATUS_OK);
        assert_int_equal(torch_audit_file(&a, &f, TORCH_FORM_PLAIN, false, &err), STATUS_OK);
        assert_true(a.n <= 5 && (k < n || (a.n == 5 && !a.items[4].audit.problem)));
        for (size_t i = 0; i < a.n; i++) assert_int_equal(a.items[i].audit.n_outside, 0);
        torch_audit_clear(&a);
        file_close(&f);
    }
    free(bytes);
}

/* ---- layout ---- */

static void measure(const char *path, struct layout *l)
{
    struct container *c;
    if (container_open(&c, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (layout_measure(l, c, NULL, 0, &err) != STATUS_OK) fail_msg("%s", err.text);
    l->largest = NULL;
    container_close(c);
}

static void test_layout_of_gguf(void **state)
{
    struct temp_tensor tensors[] = {{.name = "a", .dtype = DTYPE_F32, .n_dims = 1, .shape = {3}},
                                    {.name = "b", .dtype = DTYPE_F32, .n_dims = 2, .shape = {2, 8}}};
    struct layout l;
    size_t n;
    (void)state;
    ckpt_close(temp_model("layout.gguf", tensors, 2));
    measure(temp_path("layout.gguf"), &l);
    assert_true(l.tensor_bytes == 12 + 64 && l.alignment >= 32 && l.n_shared == 0);
    assert_true(l.n_gaps == 1 && l.gap_bytes == 20 && l.n_filled == 0 && l.trailing_bytes == 0);
    unsigned char *bytes = slurp(temp_path("layout.gguf"), &n), *longer = malloc(n + 5);
    assert_non_null(longer);
    memcpy(longer, bytes, n);
    longer[l.off_first + 12 + 3] = 'x';
    memcpy(longer + n, "extra", 5);
    scratch_write("hidden.gguf", longer, n + 5);
    measure(scratch_path("hidden.gguf"), &l);
    assert_true(l.n_gaps == 2 && l.gap_bytes == 25 && l.n_filled == 2 && l.off_filled == l.off_first + 15);
    assert_int_equal(l.trailing_bytes, 5);
    free(bytes);
    free(longer);
}

static void test_layout_of_safetensors(void **state)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[8,8]}}";
    unsigned char file[8 + sizeof header - 1 + 8] = {0};
    struct layout l;
    (void)state;
    le_put64(file, sizeof header - 1);
    memcpy(file + 8, header, sizeof header - 1);
    scratch_write("x.safetensors", file, sizeof file);
    measure(scratch_path("x.safetensors"), &l);
    assert_true(l.tensor_bytes == 8 && l.n_gaps == 0 && l.n_empty == 1 && l.dims_max == 1 && l.name_max == 1);
    assert_int_equal(l.off_end - l.off_first, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_wherever_they_hide), cmocka_unit_test(test_standing),
        cmocka_unit_test(test_one_list),                 cmocka_unit_test(test_damage_is_said),
        cmocka_unit_test(test_every_opcode_alone),       cmocka_unit_test(test_plain_files),
        cmocka_unit_test(test_floods),                   cmocka_unit_test(test_every_prefix),             cmocka_unit_test(test_layout_of_gguf),           cmocka_unit_test(test_layout_of_safetensors),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

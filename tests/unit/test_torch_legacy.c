/* PyTorch files in the form before zip, built here part by part: what is refused, with which words, and every prefix. What torch itself
 * wrote is in test_torch.c. */
#include "container_support.h"

#include "base/cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error err;

#define BYTES(s) (s), sizeof(s) - 1
#define P        "\x80\x02"
#define FLOATS   "ctorch\nFloatStorage\n"
#define REBUILD  "ctorch._utils\n_rebuild_tensor\n"
/* (storage, offset 0, shape 2 x 3, strides 3, 1) */
#define SHAPE "K\x00K\x02K\x03\x86K\x03K\x01\x86t"
#define STORAGE_N(key, n, view)                                                                              \
    "((U\x07storage" FLOATS "U\x01" key "U\x03"                                                              \
    "cpu" n view "tQ"
#define STORAGE(key, view) STORAGE_N(key, "K\x06", view)
#define SAVED(storage)                                                                                       \
    P "}(U\x01"                                                                                              \
      "w" REBUILD storage SHAPE "Ru."

/* The parts of a file, in order. */
enum { MAGIC, PROTOCOL, SYSTEM, SAVED_VALUE, KEYS, COUNT, ELEMENTS, N_PARTS };
struct bytes {
    const char *data;
    size_t n;
};
static const struct bytes good[N_PARTS] = {
    [MAGIC] = {BYTES(P "\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.")},
    [PROTOCOL] = {BYTES(P "M\xe9\x03.")},
    [SYSTEM] = {BYTES(P "}(U\x0dlittle_endian\x88U\x10protocol_versionM\xe9\x03u.")},
    [SAVED_VALUE] = {BYTES(SAVED(STORAGE("0", "N")))},
    [KEYS] = {BYTES(P "]U\x01"
                      "0a.")},
    [COUNT] = {BYTES("\6\0\0\0\0\0\0\0")},
    [ELEMENTS] = {BYTES("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40")},
};

static size_t build(const struct bytes parts[N_PARTS], char dst[4096])
{
    size_t n = 0;
    for (int i = 0; i < N_PARTS; i++) {
        assert_true(n + parts[i].n <= 4096);
        memcpy(dst + n, parts[i].data, parts[i].n);
        n += parts[i].n;
    }
    return n;
}

/* One part of the file replaced. */
static const struct {
    const char *name;
    int part;
    const char *data;
    size_t n;
    enum status status;
    const char *text;
} cases[] = {
    {"another number first", MAGIC, BYTES(P "\x8a\x0am\xfc\x9c\x46\xf9 j\xa8P\x19."), STATUS_FORMAT,
     "bare pickle"},
    {"protocol 1000", PROTOCOL, BYTES(P "M\xe8\x03."), STATUS_UNSUPPORTED,
     "protocol: expected 1001, found 1000"},
    {"protocol as text", PROTOCOL,
     BYTES(P "U\x04"
             "1001."),
     STATUS_FORMAT, "protocol: expected a number"},
    {"protocol of 9 bytes", PROTOCOL, BYTES(P "\x8a\x09\0\0\0\0\0\0\0\0\0."), STATUS_RANGE, "protocol: "},
    {"protocol calls", PROTOCOL, BYTES(P "cos\nsystem\nU\x01x\x85R."), STATUS_UNSUPPORTED, "os.system"},
    {"system as list", SYSTEM, BYTES(P "]."), STATUS_FORMAT, "system information: expected a dict"},
    {"system calls", SYSTEM, BYTES(P "cposix\nsystem\nU\x01x\x85R."), STATUS_UNSUPPORTED, "posix.system"},
    {"value calls", SAVED_VALUE, BYTES(P "cbuiltins\neval\nU\x01x\x85R."), STATUS_UNSUPPORTED,
     "builtins.eval"},
    {"list calls", KEYS, BYTES(P "cbuiltins\nexec\nU\x01x\x85R."), STATUS_UNSUPPORTED, "builtins.exec"},
    {"a module", SAVED_VALUE, BYTES(P "(U\x06modulectorch.nn.modules.linear\nLinear\nU\x01xU\x01xtQ."),
     STATUS_UNSUPPORTED, "torch.nn.modules.linear.Linear"},
    {"five items", SAVED_VALUE, BYTES(SAVED(STORAGE("0", ""))), STATUS_FORMAT, "six items"},
    {"no tensors", SAVED_VALUE, BYTES(P "K\x05."), STATUS_FORMAT,
     "list of storages: expected 0 keys, found 1"},
    {"a negative size", SAVED_VALUE, BYTES(SAVED(STORAGE_N("0", "J\xff\xff\xff\xff", "N"))), STATUS_FORMAT,
     "number of elements"},
    {"a view as list", SAVED_VALUE, BYTES(SAVED(STORAGE("0", "]"))), STATUS_FORMAT, "three items"},
    {"a view of two items", SAVED_VALUE, BYTES(SAVED(STORAGE("0", "U\x01vK\0\x86"))), STATUS_FORMAT,
     "three items"},
    {"a view from -1", SAVED_VALUE, BYTES(SAVED(STORAGE("0", "U\x01vJ\xff\xff\xff\xffK\x06\x87"))),
     STATUS_FORMAT, "offset and size"},
    {"a view too long", SAVED_VALUE, BYTES(SAVED(STORAGE("0", "U\x01vK\x01K\x06\x87"))), STATUS_FORMAT,
     "view 'v' reaches beyond its storage of 6"},
    {"a view that wraps", SAVED_VALUE,
     BYTES(SAVED(STORAGE(
         "0", "U\x01v\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x87"))),
     STATUS_FORMAT, "reaches beyond"},
    {"a tensor beyond its view", SAVED_VALUE, BYTES(SAVED(STORAGE("0", "U\x01vK\0K\x05\x87"))), STATUS_FORMAT,
     "tensor 'w': its view reaches beyond its storage of 5"},
    {"a view of two meanings", SAVED_VALUE,
     BYTES(P "}(U\x01"
             "w" REBUILD STORAGE("0", "U\x01vK\0K\x06\x87") SHAPE
           "RU\x01x" REBUILD STORAGE("0", "U\x01vK\x01K\x05\x87") SHAPE "Ru."),
     STATUS_FORMAT, "two meanings"},
    {"a storage of two sizes", SAVED_VALUE,
     BYTES(P "}(U\x01"
             "w" REBUILD STORAGE("0", "N") SHAPE "RU\x01x" REBUILD STORAGE_N("0", "K\x07", "N") SHAPE "Ru."),
     STATUS_FORMAT, "two types or two sizes"},
    {"a meta storage", SAVED_VALUE,
     BYTES(P "}(U\x01"
             "w" REBUILD "((U\x07storage" FLOATS "U\x01"
             "0U\x04metaK\x06NtQ" SHAPE "Ru."),
     STATUS_UNSUPPORTED, "meta tensor"},
    {"a bare storage", SAVED_VALUE,
     BYTES(P "}(U\x01"
             "w(U\x07storage" FLOATS "U\x01"
             "0U\x03"
             "cpuK\x06NtQu."),
     STATUS_UNSUPPORTED, "bare storage"},
    {"keys as tuple", KEYS,
     BYTES(P "U\x01"
             "0\x85."),
     STATUS_FORMAT, "list of storages: expected a list"},
    {"keys as number", KEYS, BYTES(P "K\x01."), STATUS_FORMAT, "list of storages: expected a list"},
    {"a key as number", KEYS, BYTES(P "]K\0a."), STATUS_FORMAT, "expected a key, a string"},
    {"no key", KEYS, BYTES(P "]."), STATUS_FORMAT, "expected 1 keys, found 0"},
    {"a key twice", KEYS,
     BYTES(P "](U\x01"
             "0U\x01"
             "0e."),
     STATUS_FORMAT, "expected 1 keys, found 2"},
    {"an unknown key", KEYS,
     BYTES(P "]U\x01"
             "1a."),
     STATUS_FORMAT, "nothing is saved in storage '1'"},
    {"a key with NUL", KEYS,
     BYTES(P "]U\x02"
             "0\0a."),
     STATUS_FORMAT, "nothing is saved in storage"},
    {"protocol 4", KEYS,
     BYTES("\x80\x04]U\x01"
           "0a."),
     STATUS_UNSUPPORTED, "list of storages: pickle opcode PROTO"},
    {"count + 1", COUNT, BYTES("\7\0\0\0\0\0\0\0"), STATUS_FORMAT,
     "expected 6 elements as in the pickle, found 7"},
    {"count - 1", COUNT, BYTES("\5\0\0\0\0\0\0\0"), STATUS_FORMAT, "found 5"},
    {"count negative", COUNT, BYTES("\x73\xb3\x47\x6e\x4f\xf3\xb2\x95"), STATUS_FORMAT, "found -7659"},
    {"count huge", COUNT, BYTES("\xff\xff\xff\xff\xff\xff\xff\x7f"), STATUS_FORMAT,
     "found 9223372036854775807"},
    {"elements short", ELEMENTS, BYTES("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0"),
     STATUS_FORMAT, "6 elements of 4 bytes, found 23 bytes"},
    {"a byte more", ELEMENTS,
     BYTES("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40\0"), STATUS_FORMAT,
     "1 bytes follow the last storage"},
};

static void test_good(void **state)
{
    char file[4096];
    struct container *c;
    (void)state;
    scratch_write("good", file, build(good, file));
    if (container_open(&c, scratch_path("good"), &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_string_equal(c->format->name, "torch-legacy");
    assert_int_equal(c->n_tensors, 1);
    assert_string_equal(c->tensors[0].name, "w");
    unsigned char *b = tensor_bytes(c, &c->tensors[0], 0);
    assert_memory_equal(b, good[ELEMENTS].data, 24);
    free(b);
    container_close(c);
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes parts[N_PARTS];
        char file[4096];
        memcpy(parts, good, sizeof parts);
        parts[cases[i].part] = (struct bytes){cases[i].data, cases[i].n};
        expect_refused(cases[i].name, file, build(parts, file), cases[i].status, cases[i].text);
    }
}

/* Two keys for two storages, the second of them the first one again. */
static void test_key_twice(void **state)
{
    struct bytes parts[N_PARTS];
    char file[4096], elements[56] = "", two[] = "\6\0\0\0\0\0\0\0";
    (void)state;
    memcpy(elements + 24, two, 8);
    memcpy(parts, good, sizeof parts);
    parts[SAVED_VALUE] = (struct bytes){BYTES(P "}(U\x01"
                                                "w" REBUILD STORAGE("0", "N") SHAPE
                                              "RU\x01x" REBUILD STORAGE("1", "N") SHAPE "Ru.")};
    parts[KEYS] = (struct bytes){BYTES(P "](U\x01"
                                         "0U\x01"
                                         "0e.")};
    parts[ELEMENTS] = (struct bytes){elements, sizeof elements};
    expect_refused("a key twice of two", file, build(parts, file), STATUS_FORMAT, "it has '0' twice");
}

static void test_prefixes(void **state)
{
    char file[4096];
    size_t n = build(good, file);
    (void)state;
    for (size_t k = 0; k < n; k++) expect_refused("prefix", file, k, STATUS_FORMAT, NULL);
}

/* Each byte changed in several ways: refused, or the same tensors' worth of bytes. */
static void test_flips(void **state)
{
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    char file[4096];
    size_t n = build(good, file);
    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof values; k++) {
            struct container *c;
            char old = file[i];
            file[i] = (char)values[k];
            scratch_write("flip", file, n);
            if (container_open(&c, scratch_path("flip"), &err) == STATUS_OK) {
                for (size_t t = 0; t < c->n_tensors; t++) free(tensor_bytes(c, &c->tensors[t], 0));
                container_close(c);
            }
            file[i] = old;
        }
}

/* A value that is longer than the window in which pickles are read, and the words for one that has no end. */
static void test_long_pickle(void **state)
{
    struct bytes parts[N_PARTS];
    enum { LONG = 600000 };
    char *text = malloc(LONG), *file = malloc(LONG + 4096);
    struct container *c;
    (void)state;
    assert_true(text && file);
    /* {"w": tensor, "x": text} */
    static const char begin[] = P "}(U\x01xX", end[] = "U\x01"
                                                       "w" REBUILD STORAGE("0", "N") SHAPE "Ru.";
    size_t n_text = LONG - sizeof begin - 4 - sizeof end, n = 0;
    memcpy(text, begin, sizeof begin - 1), n += sizeof begin - 1;
    le_put32(text + n, (uint32_t)n_text), n += 4;
    memset(text + n, 'a', n_text), n += n_text;
    memcpy(text + n, end, sizeof end - 1), n += sizeof end - 1;
    memcpy(parts, good, sizeof parts);
    parts[SAVED_VALUE] = (struct bytes){text, n};
    size_t total = 0;
    for (int i = 0; i < N_PARTS; i++) memcpy(file + total, parts[i].data, parts[i].n), total += parts[i].n;
    scratch_write("long", file, total);
    if (container_open(&c, scratch_path("long"), &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(c->n_tensors, 1);
    container_close(c);
    expect_refused("long and cut", file, 500000, STATUS_FORMAT, "saved value: pickle opcode BINUNICODE");
    free(text);
    free(file);
}

/* The form before that, which Python's tarfile wrote. */
static void test_tar(void **state)
{
    char file[1024] = "sys_info";
    (void)state;
    memcpy(file + 257, "ustar", 5);
    expect_refused("tar", file, sizeof file, STATUS_FORMAT, "tar");
    memcpy(file, "weights.bin", 12);
    expect_refused("tar", file, sizeof file, STATUS_FORMAT, "a tar archive");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_refused), cmocka_unit_test(test_key_twice),
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_flips),   cmocka_unit_test(test_long_pickle),
        cmocka_unit_test(test_tar),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

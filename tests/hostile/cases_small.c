/* Arrays of numbers, importance matrices, packed texts of receipts, pictures */
#include "tests/hostile/hostile.h"


#define ARRAY(dict, data) "x93 'NUMPY' x0100 h('" dict "') " data

const struct hostile_case npy_cases[] = {
    {"good", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (2,)}\\n", "8:1"), STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "not a NumPy array: it is too short"},
    {"magic-cut", "x93 'NUM'", STATUS_FORMAT, "not a NumPy array: it is too short"},
    {"version-0", "x93 'NUMPY' x0000 2:0", STATUS_FORMAT, "not a NumPy array: it is too short"},
    {"version-9", "x93 'NUMPY' x0900 4:0", STATUS_FORMAT, "not a NumPy array: unknown version"},
    {"length-missing", "x93 'NUMPY' x0100", STATUS_FORMAT, "not a NumPy array: it is too short"},
    {"length-65535", "x93 'NUMPY' x0100 2:65535 '{}'", STATUS_FORMAT, "not a NumPy array: its header is"},
    {"length-4-gigabytes", "x93 'NUMPY' x0200 4:0xffffffff '{}'", STATUS_FORMAT, "not a NumPy array: its header is"},
    {"length-0", "x93 'NUMPY' x0100 2:0", STATUS_FORMAT, "not a NumPy array: it is too short"},
    {"header-garbage", "x93 'NUMPY' x0100 2:4 'abcd'", STATUS_FORMAT, "not a NumPy array: its header is"},
    {"header-calls", "x93 'NUMPY' x0100 h('__import__(\\'os\\').x()\\n')", STATUS_FORMAT, "not a NumPy array: its header is"},
    {"descr-missing", "x93 'NUMPY' x0100 h('{\\'fortran_order\\': False, \\'shape\\': (2,)}\\n') 8:1", STATUS_FORMAT, "not a NumPy array: its header is"},
    {"descr-object", ARRAY("{\\'descr\\': \\'|O\\', \\'fortran_order\\': False, \\'shape\\': (2,)}\\n", "8:1"), STATUS_UNSUPPORTED, "expected elements of type <i4,"},
    {"descr-big-endian", ARRAY("{\\'descr\\': \\'>i4\\', \\'fortran_order\\': False, \\'shape\\': (2,)}\\n", "8:1"), STATUS_UNSUPPORTED, "expected elements of type <i4,"},
    {"shape-2^63", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (9223372036854775808,)}\\n", "8:1"), STATUS_FORMAT, "not a NumPy array: its header is"},
    {"shape-2^62", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (4611686018427387904,)}\\n", "8:1"), STATUS_FORMAT, "its shape does not match the 8"},
    {"shape-wraps", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (4294967296,4294967296)}\\n", "8:1"), STATUS_FORMAT, "its shape does not match the 8"},
    {"shape-negative", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (-2,)}\\n", "8:1"), STATUS_FORMAT, "not a NumPy array: its header is"},
    {"shape-3d", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (1,1,2)}\\n", "8:1"), STATUS_UNSUPPORTED, "expected at most 2 dimensions,"},
    {"data-short", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (2,)}\\n", "4:1"), STATUS_FORMAT, "its shape does not match the 4"},
    {"data-long", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': False, \\'shape\\': (2,)}\\n", "8:1 x00"), STATUS_FORMAT, "its shape does not match the 9"},
    {"fortran", ARRAY("{\\'descr\\': \\'<i4\\', \\'fortran_order\\': True, \\'shape\\': (2,)}\\n", "8:1"), STATUS_UNSUPPORTED, "expected C order, found Fortran"},
};
HOSTILE_COUNT(npy_cases)

#define NAMED(name) "4:1 '" name "' 4:1 4:1 4:0x3f800000 "

const struct hostile_case imatrix_cases[] = {
    {"good", "4:1 " NAMED("a"), STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "is no importance matrix: neither"},
    {"three-bytes", "x010000", STATUS_FORMAT, "is no importance matrix: neither"},
    {"entries-0", "4:0", STATUS_FORMAT, "is no importance matrix: neither"},
    {"entries-negative", "4:-1 " NAMED("a"), STATUS_FORMAT, "is no importance matrix: neither"},
    {"entries-2^31-1", "4:0x7fffffff " NAMED("a"), STATUS_FORMAT, "is no importance matrix: neither"},
    {"entries-one-more", "4:2 " NAMED("a"), STATUS_FORMAT, "is no importance matrix: neither"},
    {"name-length-0", "4:1 4:0 4:1 4:1 4:0", STATUS_FORMAT, "is no importance matrix: neither"},
    {"name-length-negative", "4:1 4:-1 'a' 4:1 4:1 4:0", STATUS_FORMAT, "a name of -1 bytes at offset 4"},
    {"name-length-2-gigabytes", "4:1 4:0x7fffffff 'a' 4:1 4:1 4:0", STATUS_FORMAT, "a name of 2147483647 bytes at"},
    {"name-no-utf8", "4:1 4:1 xff 4:1 4:1 4:0", STATUS_FORMAT, "a name that is no UTF-8"},
    {"name-nul", "4:1 4:1 x00 4:1 4:1 4:0", STATUS_FORMAT, "a name that is no UTF-8"},
    {"name-twice", "4:2 " NAMED("a") NAMED("a"), STATUS_FORMAT, "has two entries"},
    {"values-0", "4:1 4:1 'a' 4:1 4:0 4:0", STATUS_FORMAT, "0 values at offset 17, 4 bytes"},
    {"values-negative", "4:1 4:1 'a' 4:1 4:-1 4:0", STATUS_FORMAT, "-1 values at offset 17, 4 bytes"},
    {"values-2-gigabytes", "4:1 4:1 'a' 4:1 4:0x1fffffff 4:0", STATUS_FORMAT, "536870911 values at offset 17, 4"},
    {"values-2^31-1", "4:1 4:1 'a' 4:1 4:0x7fffffff 4:0", STATUS_FORMAT, "2147483647 values at offset 17, 4"},
    {"values-nan", "4:1 4:1 'a' 4:1 4:1 4:0x7fc00000", STATUS_RANGE, "importance of value 0 is nan;"},
    {"values-infinite", "4:1 4:1 'a' 4:1 4:1 4:0x7f800000", STATUS_RANGE, "importance of value 0 is inf;"},
    {"calls-negative-is-read", "4:1 4:1 'a' 4:-1 4:1 4:0", STATUS_OK, NULL},
    {"dataset-length-2-gigabytes", "4:1 " NAMED("a") "4:1 4:0x7fffffff 'x'", STATUS_FORMAT, "a name of 2147483647 bytes at"},
    {"gguf-of-something-else", "'GGUF' 4:3 8:0 8:0", STATUS_FORMAT, "a GGUF file without the keys of"},
    {"a-safetensors", "n('{}')", STATUS_FORMAT, "is no importance matrix: neither"},
};
HOSTILE_COUNT(imatrix_cases)

/* zlib in base64 */
const struct hostile_case receipt_cases[] = {
    {"good", "z('{`a`: 1}')", STATUS_OK, NULL},
    {"of-nothing-is-read", "z()", STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "broken zlib stream: it ends too"},
    {"no-base64", "'!!!!'", STATUS_FORMAT, "receipt text is no base64"},
    {"base64-three-characters", "'eJy'", STATUS_FORMAT, "receipt text is no base64"},
    {"base64-padding-inside", "'eJ==' z('{`a`: 1}')", STATUS_FORMAT, "receipt text is no base64"},
    {"base64-newline", "z('{`a`: 1}') '\\n'", STATUS_FORMAT, "receipt text is no base64"},
    {"base64-nul", "z('{`a`: 1}') @8 x00", STATUS_FORMAT, "receipt text is no base64"},
    {"base64-loose-bits", "z('{`a`: 1}') cut:3 'R=='", STATUS_FORMAT, "receipt text is no base64"},
    {"two-streams", "'eJyrVkpUslIwrAUACeUCKXg='", STATUS_FORMAT, "broken zlib stream: bytes after"},
    {"zlib-garbage", "'AAAAAAAA'", STATUS_FORMAT, "broken zlib stream: unknown"},
    {"zlib-cut", "z('{`a`: 1}') cut:8", STATUS_FORMAT, "broken zlib stream: it ends too"},
    {"zlib-checksum", "z('{`a`: 1}') cut:4 'Kg=='", STATUS_FORMAT, "broken zlib stream: incorrect"},
    {"zlib-bomb", "z(5000000*x00)", STATUS_RANGE, "unpacks to more than the 1048576"},
};
HOSTILE_COUNT(receipt_cases)

/* The keys of a receipt */
#define KV(key, type, value) "n('lathe.receipt." key "') 4:" #type " " value " "
#define GGUF(n) "'GGUF' 4:3 8:0 8:" #n " "
#define VERSION KV("version", 4, "4:1")
#define LEVEL KV("level", 8, "n('lean')")
#define DIGESTS(n) KV("sha256", 8, "n(" #n "*'0123456789abcdef')")
#define LIST(list) KV("tensors", 8, "n(z('" list "'))")
#define SOURCE "{`name`: `w`, `dtype`: `F32`, `shape`: [2]}"
#define TENSORS(tensor) "{`format`: `safetensors`, `tensors`: [" tensor "], `dropped`: []}"
#define COPY(sources) "{`name`: `t`, `transform`: `none`, `sources`: [" sources "]}"
#define FOUR(list) GGUF(4) VERSION LEVEL DIGESTS(4) LIST(list)

const struct hostile_case receipt_gguf_cases[] = {
    {"good", FOUR(TENSORS(COPY(SOURCE))), STATUS_OK, NULL},
    {"none-is-read", GGUF(1) "n('a') 4:4 4:1", STATUS_OK, NULL},
    {"version-2", GGUF(1) KV("version", 4, "4:2"), STATUS_UNSUPPORTED, "version"},
    {"version-string", GGUF(1) KV("version", 8, "n('1')"), STATUS_UNSUPPORTED, "version"},
    {"level-missing", GGUF(1) VERSION, STATUS_FORMAT, "level"},
    {"level-unknown", GGUF(3) VERSION KV("level", 8, "n('fat')") DIGESTS(4), STATUS_FORMAT, "neither lean nor full"},
    {"digests-missing", GGUF(2) VERSION LEVEL, STATUS_FORMAT, "digests"},
    {"digests-number", GGUF(3) VERSION LEVEL KV("sha256", 4, "4:1"), STATUS_FORMAT, "digests"},
    {"digests-fewer", GGUF(4) VERSION LEVEL DIGESTS(3) LIST(TENSORS(COPY(SOURCE))), STATUS_FORMAT, "fewer digests"},
    {"digests-more", GGUF(4) VERSION LEVEL DIGESTS(8) LIST(TENSORS(COPY(SOURCE))), STATUS_FORMAT, "more digests"},
    {"digests-no-hex", GGUF(4) VERSION LEVEL KV("sha256", 8, "n(64*'x')") LIST(TENSORS(COPY(SOURCE))), STATUS_FORMAT, "hexadecimal"},
    {"list-missing", GGUF(3) VERSION LEVEL DIGESTS(4), STATUS_FORMAT, "missing"},
    {"list-number", GGUF(4) VERSION LEVEL DIGESTS(4) KV("tensors", 4, "4:1"), STATUS_FORMAT, "expected a string"},
    {"list-no-base64", GGUF(4) VERSION LEVEL DIGESTS(4) KV("tensors", 8, "n('!')"), STATUS_FORMAT, "base64"},
    {"list-no-json", FOUR("hello"), STATUS_FORMAT, "expected a value"},
    {"list-array", FOUR("[]"), STATUS_FORMAT, "expected lists"},
    {"list-bomb", GGUF(4) VERSION LEVEL DIGESTS(4) KV("tensors", 8, "n(z(70000000*' '))"), STATUS_RANGE, "unpacks to more"},
    {"tensor-number", FOUR(TENSORS("1")), STATUS_FORMAT, "expected a text"},
    {"tensor-no-name", FOUR(TENSORS("{`transform`: `none`, `sources`: []}")), STATUS_FORMAT, "expected a text"},
    {"transform-unknown", FOUR(TENSORS("{`name`: `t`, `transform`: `dragon`, `sources`: []}")), STATUS_FORMAT, "unknown transform"},
    {"heads-negative", FOUR(TENSORS("{`name`: `t`, `transform`: `none`, `heads`: -1, `sources`: []}")), STATUS_FORMAT, "expected a count"},
    {"scale-missing", FOUR(TENSORS("{`name`: `t`, `transform`: `none`, `scaled_rows`: 1, `sources`: []}")), STATUS_FORMAT, "no number"},
    {"sources-missing", FOUR(TENSORS("{`name`: `t`, `transform`: `none`}")), STATUS_FORMAT, "list of sources"},
    {"source-dtype-unknown", FOUR(TENSORS(COPY("{`name`: `w`, `dtype`: `F33`, `shape`: [2]}"))), STATUS_FORMAT, "unknown type"},
    {"source-9-dims", FOUR(TENSORS(COPY("{`name`: `w`, `dtype`: `F32`, `shape`: [1,1,1,1,1,1,1,1,1]}"))), STATUS_FORMAT, "too many dimensions"},
    {"source-shape-negative", FOUR(TENSORS(COPY("{`name`: `w`, `dtype`: `F32`, `shape`: [-2]}"))), STATUS_RANGE, "63 bits"},
    {"source-shape-wraps", FOUR(TENSORS(COPY("{`name`: `w`, `dtype`: `F32`, `shape`: [4503599627370496, 4503599627370496]}"))), STATUS_RANGE, "63 bits"},
    {"file-with-a-path", GGUF(5) VERSION LEVEL DIGESTS(4) LIST(TENSORS(COPY(SOURCE))) KV("file.../../x", 8, "n(z('x'))"), STATUS_FORMAT, "has this name"},
    {"file-of-code", GGUF(5) VERSION LEVEL DIGESTS(4) LIST(TENSORS(COPY(SOURCE))) KV("file.modeling.py", 8, "n(z('x'))"), STATUS_FORMAT, "has this name"},
    {"file-number", GGUF(5) VERSION LEVEL DIGESTS(4) LIST(TENSORS(COPY(SOURCE))) KV("file.config.json", 4, "4:1"), STATUS_FORMAT, "expected a string"},
};
HOSTILE_COUNT(receipt_gguf_cases)

/* Lines that do not hold are no error: the run begins anew. */
const struct hostile_case journal_cases[] = {
    {"no-lines", "", STATUS_OK, NULL},
    {"junk", "'junk\\n'", STATUS_OK, NULL},
    {"noise", "100*x00ff0a80", STATUS_OK, NULL},
    {"line-of-a-megabyte", "1000000*'0' '\\n'", STATUS_OK, NULL},
    {"no-end", "1000*'0 '", STATUS_OK, NULL},
    {"million-lines", "1000000*'\\n'", STATUS_OK, NULL},
    {"index-of-20-digits", "'99999999999999999999 ' 64*'0' ' 00000000\\n'", STATUS_OK, NULL},
};
HOSTILE_COUNT(journal_cases)

/* ROWS COLS of a matrix that is drawn */
const struct hostile_case picture_cases[] = {
    {"good", "'2 3'", STATUS_OK, NULL},
    {"no-rows", "'0 3'", STATUS_RANGE, "a heatmap of 0 x 3 cells is"},
    {"no-columns", "'3 0'", STATUS_RANGE, "a heatmap of 3 x 0 cells is"},
    {"negative", "'-1 3'", STATUS_RANGE, "a heatmap of -1 x 3 cells is"},
    {"rows-2^31", "'2147483648 1'", STATUS_RANGE, "a heatmap of 2147483648 x 1 cells"},
    {"columns-2^31", "'1 2147483648'", STATUS_RANGE, "a heatmap of 1 x 2147483648 cells"},
    {"rows-2^62", "'4611686018427387904 1'", STATUS_RANGE, "a heatmap of 4611686018427387904"},
    {"product-wraps", "'4294967296 4294967296'", STATUS_RANGE, "a heatmap of 4294967296 x"},
    {"most-rows", "'9223372036854775807 9223372036854775807'", STATUS_RANGE, "a heatmap of 9223372036854775807"},
    {"one-cell", "'1 1'", STATUS_OK, NULL},
    {"one-row", "'1 1000'", STATUS_OK, NULL},
    {"one-column", "'1000 1'", STATUS_OK, NULL},
};
HOSTILE_COUNT(picture_cases)

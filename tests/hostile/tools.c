#include "tests/hostile/tools.h"

#include "tests/hostile/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *sound;
static size_t sound_bytes;

void tool_sound_gguf(const void *bytes, size_t n)
{
    sound = bytes;
    sound_bytes = n;
}

/* --- files that a tool looks at only inside a sound one --- */

enum { HEAD_BYTES = 24, ALIGNMENT = 32 };

static uint64_t count_at(const char *bytes)
{
    uint64_t n;
    memcpy(&n, bytes, sizeof n);
    return n;
}

/* The sound GGUF with the metadata of a small one before its own. A key of filling keeps the tensors aligned. */
static void graft(struct buf *b, const struct buf *small)
{
    static const char key[] = "filling";
    size_t fixed = 8 + sizeof key - 1 + 4 + 8, added = small->len - HEAD_BYTES + fixed;
    uint32_t string = 8;
    uint64_t n_key = sizeof key - 1, n_fill = (ALIGNMENT - added % ALIGNMENT) % ALIGNMENT, n_kv = count_at(sound + 16) + count_at(small->data + 16) + 1;
    buf_append(b, sound, 16);
    buf_append(b, &n_kv, 8);
    buf_append(b, small->data + HEAD_BYTES, small->len - HEAD_BYTES);
    buf_append(b, &n_key, 8);
    buf_append(b, key, sizeof key - 1);
    buf_append(b, &string, 4);
    buf_append(b, &n_fill, 8);
    for (uint64_t i = 0; i < n_fill; i++) buf_append(b, "x", 1);
    buf_append(b, sound + HEAD_BYTES, sound_bytes - HEAD_BYTES);
}

static void graft_keys(struct buf *b, const struct hostile_group *g, const struct hostile_case *c)
{
    struct buf small = {0};
    hostile_build(g, c, &small);
    graft(b, &small);
    buf_clear(&small);
}

/* A packed text as the list of tensors of a receipt */
static void graft_list(struct buf *b, const struct hostile_group *g, const struct hostile_case *c)
{
    struct buf small = {0}, text = {0};
    (void)g;
    buf_printf(&text,
               "'GGUF' 4:3 8:0 8:4 n('lathe.receipt.version') 4:4 4:1 n('lathe.receipt.level') 4:8 n('lean') n('lathe.receipt.sha256') 4:8 n(64*'0') "
               "n('lathe.receipt.tensors') 4:8 n(%s)",
               c->text);
    pack(&small, text.data);
    graft(b, &small);
    buf_clear(&small);
    buf_clear(&text);
}

/* A tensor of ROWS COLS, whose bytes are there where that is possible */
static void tensor_of_shape(struct buf *b, const struct hostile_group *g, const struct hostile_case *c)
{
    struct buf text = {0};
    long long rows = 0, cols = 0;
    (void)g;
    sscanf(c->text, "'%lld %lld'", &rows, &cols);
    bool small = rows >= 0 && cols >= 0 && rows <= 4096 && cols <= 4096;
    long long n = small ? rows * cols : 2;
    buf_printf(&text, "n('{`t`: {`dtype`: `F32`, `shape`: [%lld,%lld], `data_offsets`: [0,%lld]}}')", rows, cols, 4 * n);
    if (n > 0) buf_printf(&text, " %lld*4:0x3f800000", n);
    pack(b, text.data);
    buf_clear(&text);
}

/* --- the calls --- */

#define QUIET "--quiet", "--threads", "1"
#define INSPECT "lathe-inspect"
#define CONVERT "lathe-convert"

const struct tool_call tool_calls[] = {
    {"gguf", {INSPECT, "%f", "--tensors", "--metadata", QUIET}, NULL, NULL, 0, NULL},
    {"gguf", {CONVERT, "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"gguf", {"lathe-quantize", "%f", "%o/x.gguf", "q8_0", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"vocabulary", {INSPECT, "%f", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"safetensors", {INSPECT, "%f", "--stats", "--hash", QUIET}, NULL, NULL, 0, NULL},
    {"safetensors", {CONVERT, "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"zip", {INSPECT, "%f", "--stats", "--hash", QUIET}, NULL, NULL, 0, NULL},
    {"zip", {CONVERT, "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"zip", {INSPECT, "%f", "--audit", QUIET}, NULL, NULL, CALL_ANY, NULL},
    {"pickle", {INSPECT, "%f", "--tensors", QUIET}, NULL, NULL, 0, NULL},
    {"pickle", {"lathe-verify", "%m", "%f", "--weights", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"pickle", {INSPECT, "%f", "--audit", QUIET}, NULL, NULL, CALL_ANY, NULL},
    {"torch-legacy", {INSPECT, "%f", "--stats", QUIET}, NULL, NULL, 0, NULL},
    {"torch-legacy", {CONVERT, "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"torch-legacy", {INSPECT, "%f", "--audit", QUIET}, NULL, NULL, CALL_ANY, NULL},
    {"json", {INSPECT, "%d", "--config", QUIET}, "config", NULL, 0, NULL},
    {"json", {CONVERT, "%m", "--config", "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"index", {INSPECT, "%d", "--tensors", QUIET}, NULL, NULL, 0, NULL},
    {"index", {CONVERT, "%d", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"config", {CONVERT, "%d", "-o", "%o/x.gguf", QUIET}, NULL, NULL, 0, NULL},
    {"config", {"lathe-verify", "%d", "--prompt", "ab", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"sentencepiece", {INSPECT, "%d", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"tokenizer", {INSPECT, "%d", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"tokenizer-config", {INSPECT, "%d", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"merges", {INSPECT, "%d", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"vocab", {INSPECT, "%d", "--tokenize", "ab", QUIET}, NULL, NULL, 0, NULL},
    {"sentencepiece", {INSPECT, "--tokenizer-check", "%d", "%t", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"tokenizer", {INSPECT, "--tokenizer-check", "%d", "%t", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"npy", {"lathe-verify", "%m", "--tokens", "%f", QUIET}, NULL, NULL, 0, NULL},
    {"npy", {"lathe-quantize", "--collect-imatrix", "%m", "--tokens", "%f", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"imatrix", {"lathe-quantize", "%g", "%o/x.gguf", "q8_0", "--imatrix", "%f", QUIET}, NULL, NULL, 0, NULL},
    {"imatrix", {CONVERT, "%m", "-o", "%o/x.gguf", "--type", "q8_0", "--imatrix", "%f", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"receipt", {CONVERT, "%f", "-o", "%o/x", QUIET}, NULL, graft_list, 0, "expected lists"},
    {"receipt-gguf", {CONVERT, "%f", "-o", "%o/x", QUIET}, NULL, graft_keys, 0, NULL},
    {"adapter-config", {CONVERT, "%m", "--merge-lora", "%d", "-o", "%o/x.gguf", QUIET}, NULL, NULL, 0, NULL},
    {"adapter-config", {CONVERT, "%d", "--lora-base", "%g", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"adapter-weights", {CONVERT, "%m", "--merge-lora", "%d", "-o", "%o/x.gguf", QUIET}, NULL, NULL, 0, NULL},
    {"adapter-weights", {CONVERT, "%d", "--lora-base", "%g", "-o", "%o/x.gguf", QUIET}, NULL, NULL, CALL_REFUSED, NULL},
    {"picture", {INSPECT, "%f", "--heatmap", "t", "-o", "%o/x.png", QUIET}, NULL, tensor_of_shape, CALL_OWN_WORDS, NULL},
};
const size_t n_tool_calls = sizeof tool_calls / sizeof tool_calls[0];

/* Where a tool judges otherwise than the reader of the table, and why */
static const struct tool_exception exceptions[] = {
    {"safetensors", "f4-even-is-read", INSPECT, 2, "tensor 'w': elements of type f4"}, /* --stats needs values */
    {"safetensors", "json-index", INSPECT, 2, "weight_map"},                           /* taken for an index */
    {"safetensors", "json-index", CONVERT, 2, "weight_map"},
    {"zip", "crc-of-storage", CONVERT, 2, "config.json"}, /* a storage is read when its tensor is, which a missing configuration precedes */
    {"zip", "crc-zero", CONVERT, 2, "config.json"},
    {"zip", "data-changed", CONVERT, 2, "config.json"},
    {"zip", "deflate-broken", CONVERT, 2, "config.json"},
    {"json", "depth-64-is-read", INSPECT, 2, "expected an object"}, /* JSON, but no configuration */
    {"json", "number-1e-400-is-read", INSPECT, 2, "expected an object"},
    {"json", "scalar-is-read", INSPECT, 2, "expected an object"},
    {"sentencepiece", "model-word-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.model"}, /* a warning of a conversion */
    {"sentencepiece", "no-pieces-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.model"},
    {"sentencepiece", "ranks-of-tiktoken-broken", INSPECT, 2, "no tokenizer that can be used: tokenizer.model"},
    {"tokenizer", "model-number", INSPECT, 2, "no tokenizer that can be used: tokenizer.json"},
    {"tokenizer", "model-unknown-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.json"},
    {"tokenizer", "no-model-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.json"},
    {"tokenizer", "array-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.json"},
    {"tokenizer", "word-piece-is-not-read", INSPECT, 2, "no tokenizer that can be used: tokenizer.json"},
    {"tokenizer", "regex-backtracks-without-end", INSPECT, 2, "no tokenizer that can be used"},
    {"tokenizer", "regex-deep-is-not-read", INSPECT, 2, "no tokenizer that can be used"},
    {"tokenizer", "regex-nothing-to-repeat-is-not-read", INSPECT, 2, "no tokenizer that can be used"},
    {"tokenizer", "regex-unclosed-is-not-read", INSPECT, 2, "no tokenizer that can be used"},
    {"npy", "empty", "lathe-verify", 2, "found none"}, /* no array: ids in words */
    {"npy", "magic-cut", "lathe-verify", 2, "expected an id"},
    {"npy", "empty", "lathe-quantize", 2, "found none"},
    {"npy", "magic-cut", "lathe-quantize", 2, "expected an id"},
    {"receipt", "zlib-bomb", CONVERT, 2, "expected a value"}, /* 5 MB are a list that may be, 1 MB the table's limit */
    {"receipt", "of-nothing-is-read", CONVERT, 2, "expected a value"},
    {"receipt-gguf", "good", CONVERT, 2, "the receipt speaks of it"}, /* a sound list, of a tensor that is not there; files come after the tensors */
    {"receipt-gguf", "file-with-a-path", CONVERT, 2, "the receipt speaks of it"},
    {"receipt-gguf", "file-of-code", CONVERT, 2, "the receipt speaks of it"},
    {"receipt-gguf", "file-number", CONVERT, 2, "the receipt speaks of it"},
};

const struct tool_exception *tool_exception(const struct tool_call *call, const struct hostile_case *c)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        const struct tool_exception *e = &exceptions[i];
        if (strcmp(e->group, call->group) == 0 && strcmp(e->name, c->name) == 0 && strcmp(e->tool, call->words[0]) == 0) return e;
    }
    return NULL;
}

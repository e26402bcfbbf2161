#include "tests/hostile/hostile.h"

#include "tests/hostile/folder.h"
#include "tests/hostile/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* data.pkl in a sound archive with one storage of 8 bytes */
static void pickle_in_zip(struct buf *b, const char *text)
{
    struct buf whole = {0};
    buf_puts(&whole, "entry('a/data.pkl' ");
    buf_puts(&whole, text);
    buf_puts(&whole, ") entry('a/byteorder' 'little') entry('a/version' '3') entry('a/data/0' 8:1) zipend");
    pack(b, whole.data);
    buf_clear(&whole);
}

/* Behind the value that begins at s: the end of a member of a flat object. */
static const char *value_end(const char *s)
{
    int depth = 0;
    bool quoted = false;
    for (; *s; s++) {
        if (*s == '"') quoted = !quoted;
        if (quoted) continue;
        if (*s == '[' || *s == '{') depth++;
        if (*s == ']' || *s == '}') depth--;
        if (depth < 0 || (depth == 0 && *s == ',')) break;
    }
    return s;
}

/* The good config.json with `key=JSON` or without `-key`; anything else is the whole file. */
static void edit_config(struct buf *b, const char *text)
{
    char key[80], *at;
    size_t n;
    const char *equals = strchr(text, '=');
    bool drop = text[0] == '-';
    if (!equals && !drop) {
        buf_puts(b, text);
        return;
    }
    char *good = folder_good("config", &n);
    snprintf(key, sizeof key, "\"%.*s\":", drop ? (int)strlen(text + 1) : (int)(equals - text), drop ? text + 1 : text);
    if ((at = strstr(good, key))) {
        const char *end = value_end(at);
        if (*end == ',')
            end++;
        else
            while (*at != ',') at--; /* the last member: the comma before it goes instead */
        memmove(at, end, strlen(end) + 1);
    }
    buf_puts(b, "{");
    if (!drop) buf_printf(b, "%s %s,", key, equals + 1);
    buf_puts(b, strchr(good, '{') + 1);
    free(good);
}

const struct hostile_group hostile_groups[] = {
    {"gguf", "container", "x.gguf", gguf_cases, &n_gguf_cases, NULL},
    {"vocabulary", "gguf", "x.gguf", vocabulary_cases, &n_vocabulary_cases, NULL},
    {"safetensors", "container", "x.safetensors", safetensors_cases, &n_safetensors_cases, NULL},
    {"zip", "container", "x.pt", zip_cases, &n_zip_cases, NULL},
    {"pickle", "container", "x.pt", pickle_cases, &n_pickle_cases, pickle_in_zip},
    {"torch-legacy", "container", "x.pt", legacy_cases, &n_legacy_cases, NULL},
    {"json", "json", "x.json", json_cases, &n_json_cases, NULL},
    {"index", "index", "model.safetensors.index.json", index_cases, &n_index_cases, NULL},
    {"config", "config", "config.json", config_cases, &n_config_cases, edit_config},
    {"sentencepiece", "sentencepiece", "tokenizer.model", sentencepiece_cases, &n_sentencepiece_cases, NULL},
    {"tokenizer", "tokenizer-json", "tokenizer.json", tokenizer_cases, &n_tokenizer_cases, NULL},
    {"tokenizer-config", "tokenizer-config", "tokenizer_config.json", tokenizer_config_cases, &n_tokenizer_config_cases, NULL},
    {"merges", "merges", "merges.txt", merges_cases, &n_merges_cases, NULL},
    {"vocab", "vocab", "vocab.json", vocab_cases, &n_vocab_cases, NULL},
    {"npy", "npy", "x.npy", npy_cases, &n_npy_cases, NULL},
    {"imatrix", "imatrix", "x.dat", imatrix_cases, &n_imatrix_cases, NULL},
    {"receipt", "receipt", "x.txt", receipt_cases, &n_receipt_cases, NULL},
    {"receipt-gguf", "receipt-gguf", "x.gguf", receipt_gguf_cases, &n_receipt_gguf_cases, NULL},
    {"adapter-config", "adapter-config", "adapter_config.json", adapter_config_cases, &n_adapter_config_cases, NULL},
    {"adapter-weights", "adapter-weights", "adapter_model.safetensors", adapter_weights_cases, &n_adapter_weights_cases, NULL},
    {"journal", "journal", "x.txt", journal_cases, &n_journal_cases, NULL},
    {"picture", "picture", "x.txt", picture_cases, &n_picture_cases, NULL},
};
const size_t n_hostile_groups = sizeof hostile_groups / sizeof hostile_groups[0];

void hostile_build(const struct hostile_group *g, const struct hostile_case *c, struct buf *b)
{
    if (g->build)
        g->build(b, c->text);
    else
        pack(b, c->text);
    if (!b->data) buf_puts(b, ""); /* an empty file is one, too */
    if (b->failed) exit(99);
}

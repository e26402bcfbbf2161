#include "tests/hostile/folder.h"

#include "base/file.h"
#include "tests/hostile/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A pair of rank 1 for the first query matrix of llama-biases, 24 x 24 */
#define ADAPTER_CONFIG "'{`peft_type`: `LORA`, `lora_alpha`: 2, `r`: 1}'"
#define ADAPTER_WEIGHTS                                                                                                                                        \
    "n('{`base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`: {`dtype`: `F32`, `shape`: [1, 24], `data_offsets`: [0, 96]}, "                      \
    "`base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight`: {`dtype`: `F32`, `shape`: [24, 1], `data_offsets`: [96, 192]}}') 192*x3e"

/* What lies in the folder of a reader: a copy of a committed file, or bytes written as text (pack.h). The first is the reader's own file. */
static const struct good {
    const char *reader, *name, *copy_of, *text;
} goods[] = {
    {"index", "model.safetensors.index.json", NULL,
     "'{\"metadata\": {\"total_size\": 24}, \"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\", \"c\": \"two.safetensors\"}}'"},
    {"index", "one.safetensors", NULL, "n('{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}') 8:1"},
    {"index", "two.safetensors", NULL,
     "n('{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"c\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[8,16]}}') 8:1 8:2"},
    {"config", "config.json", "tests/vectors/families/llama-biases/config.json", NULL},
    {"config", "model.safetensors", "tests/vectors/families/llama-biases/model.safetensors", NULL},
    {"adapter-config", "adapter_config.json", NULL, ADAPTER_CONFIG},
    {"adapter-config", "adapter_model.safetensors", NULL, ADAPTER_WEIGHTS},
    {"adapter-weights", "adapter_model.safetensors", NULL, ADAPTER_WEIGHTS},
    {"adapter-weights", "adapter_config.json", NULL, ADAPTER_CONFIG},
    {"sentencepiece", "tokenizer.model", NULL,
     "x0a w(x0a w('<unk>') x15 4:0 x1802) x0a w(x0a w('<s>') x15 4:0 x1803) x0a w(x0a w('</s>') x15 4:0 x1803) "
     "x0a w(x0a w('\\xe2\\x96\\x81') x15 4:0xc0a00000) x0a w(x0a w('a') x15 4:0xc0000000) "
     "x0a w(x0a w('b') x15 4:0xc0400000) x0a w(x0a w('ab') x15 4:0xbf800000) x12 w(x1802) x1a w(x2000)"},
    {"tokenizer-json", "tokenizer.json", "tests/data/tiny-llama/tokenizer.json", NULL},
    {"tokenizer-json", "tokenizer_config.json", "tests/data/tiny-llama/tokenizer_config.json", NULL},
    {"merges", "merges.txt", "tests/data/tiny-gpt2/merges.txt", NULL},
    {"merges", "vocab.json", "tests/data/tiny-gpt2/vocab.json", NULL},
    {"vocab", "vocab.json", "tests/data/tiny-gpt2/vocab.json", NULL},
    {"vocab", "merges.txt", "tests/data/tiny-gpt2/merges.txt", NULL},
    {"tokenizer-config", "tokenizer_config.json", "tests/data/tiny-llama/tokenizer_config.json", NULL},
    {"tokenizer-config", "tokenizer.json", "tests/data/tiny-llama/tokenizer.json", NULL},
};
enum { N_GOODS = sizeof goods / sizeof goods[0] };

static char dir[256];

static void fail(const char *what, const struct error *err)
{
    fprintf(stderr, "folder: %s: %s\n", what, err ? err->text : "");
    exit(99);
}

static void empty(void)
{
    struct error err;
    struct arena a = {0};
    char **names;
    size_t n;
    if (dir[0] && dir_list(dir, &a, &names, &n, &err) == STATUS_OK)
        for (size_t i = 0; i < n; i++) unlink(folder_path(names[i]));
    arena_clear(&a);
}

static void remove_folder(void)
{
    empty();
    rmdir(dir);
}

const char *folder_path(const char *name)
{
    static char path[600];
    if (!dir[0]) {
        const char *base = getenv("TMPDIR");
        if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(dir, sizeof dir, "%s/lathe-hostile-XXXXXX", base);
        if (!mkdtemp(dir)) fail("cannot make a scratch folder", NULL);
        atexit(remove_folder);
    }
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || (n && fwrite(bytes, 1, n, f) != n) || fclose(f) != 0) fail(path, NULL);
}

void folder_write(const char *name, const void *bytes, size_t n)
{
    if (bytes)
        write_file(folder_path(name), bytes, n);
    else
        unlink(folder_path(name));
}

static struct buf content(const struct good *g)
{
    struct buf b = {0};
    struct error err;
    if (g->text) {
        pack(&b, g->text);
        return b;
    }
    char path[600];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", g->copy_of);
    if (file_read_all(&b, path, UINT64_C(1) << 30, &err) != STATUS_OK) fail(path, &err);
    return b;
}

void folder_copy(const char *reader, const char *to)
{
    char path[600];
    for (size_t i = 0; i < N_GOODS; i++) {
        if (strcmp(goods[i].reader, reader) != 0) continue;
        struct buf b = content(&goods[i]);
        snprintf(path, sizeof path, "%s/%s", to, goods[i].name);
        write_file(path, b.data, b.len);
        buf_clear(&b);
    }
}

const char *folder_make(const char *reader)
{
    folder_path("");
    empty();
    folder_copy(reader, dir);
    return dir;
}

char *folder_good(const char *reader, size_t *n)
{
    for (size_t i = 0; i < N_GOODS; i++) {
        if (strcmp(goods[i].reader, reader) != 0) continue;
        struct buf b = content(&goods[i]);
        *n = b.len;
        return b.data;
    }
    *n = 0;
    return NULL;
}

/* Tiny Hugging Face folders, made in code: config.json and model.safetensors with F32 numbers that depend on the tensor's name alone.
 *
 *     struct fixture f;
 *     fixture_llama(&f, NULL);
 *     fixture_config(&f, "attention_bias", "\"yes\"");      then damage it
 *     st = model_open(&m, fixture_write(&f), ...);
 *     fixture_clear(&f);                                    removes the folder
 *
 * Failures of the helper itself end the test.
 */
#ifndef LATHE_FIXTURES_H
#define LATHE_FIXTURES_H

#include "dtypes/dtype.h"

#include <stddef.h>
#include <stdint.h>

struct fixture_sizes {
    int64_t vocab, ctx, layers, embd, ff, heads, heads_kv, head_dim;
};
/* 40, 64, 2, 32, 48, 4, 2, 8; gpt2 has heads_kv = heads and head_dim = embd / heads */
extern const struct fixture_sizes fixture_sizes_default;

struct fixture_tensor {
    char name[96];
    enum dtype dtype; /* F32 unless a test says otherwise; data is encoded when written */
    int n_dims;
    int64_t shape[4];
    int64_t n_elements;
    float *data;
};
enum { FIXTURE_TENSORS_MAX = 128, FIXTURE_KEYS_MAX = 64 };
struct fixture {
    char dir[64];
    char weights[96]; /* path of model.safetensors */
    struct fixture_sizes sizes;
    struct fixture_tensor tensors[FIXTURE_TENSORS_MAX];
    size_t n_tensors;
    struct {
        char key[64], value[512]; /* value: JSON text */
    } config[FIXTURE_KEYS_MAX];
    size_t n_config;
};

/* LlamaForCausalLM, untied, as transformers 4 writes it; sizes NULL: the default */
void fixture_llama(struct fixture *f, const struct fixture_sizes *sizes);
/* GPT2LMHeadModel, tied (no lm_head) */
void fixture_gpt2(struct fixture *f, const struct fixture_sizes *sizes);
/* Sets, adds, or (json NULL) removes a key of config.json. */
void fixture_config(struct fixture *f, const char *key, const char *json);
struct fixture_tensor *fixture_find(struct fixture *f, const char *name); /* ends the test if absent */
struct fixture_tensor *fixture_add(struct fixture *f, const char *name, int n_dims, const int64_t *shape);
void fixture_remove(struct fixture *f, const char *name);
/* Gives a tensor another shape and new numbers. */
void fixture_reshape(struct fixture *f, const char *name, int n_dims, const int64_t *shape);
/* Takes the prefix from the names that carry it (if add is not NULL: puts that there instead). */
void fixture_reprefix(struct fixture *f, const char *prefix, const char *add);
/* Writes both files and returns f->dir; may be called again after a change. */
const char *fixture_write(struct fixture *f);
/* Writes another small file into the folder. */
void fixture_file(struct fixture *f, const char *name, const char *text);
void fixture_clear(struct fixture *f);

#endif

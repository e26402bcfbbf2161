/* A tiny checkpoint of every family of arch_list, made in code from the family's own rules: names and shapes are the rules', numbers depend on the
 * tensor's name. Sizes are free, so that every matrix can be square, or as wide as a block type needs.
 *
 *     struct family_model f;
 *     family_write(&f, &family_models[i], &family_sizes_small, false);      f.dir is what the tools take
 *     family_clear(&f);
 *
 * Failures of the helper itself end the test. A family without a row here ends test_faults.
 */
#ifndef LATHE_FAMILY_MODELS_H
#define LATHE_FAMILY_MODELS_H

#include "models/model.h"

struct family_sizes {
    int64_t vocab, ctx, layers, embd, ff, heads, heads_kv, head_dim;
};
/* 61, 48, 2, 32, 32, 4, 2, 8: square attention and feed-forward matrices */
extern const struct family_sizes family_sizes_small;
/* 61, 48, 1, 256, 256, 4, 2, 64: rows for the longest blocks */
extern const struct family_sizes family_sizes_wide;

struct family_row {
    const struct arch *arch;
    const char *form; /* to tell rows of one family apart */
    /* JSON text; @V, @P, @L, @E, @F, @H, @K, @D stand for the sizes */
    const char *config;
    bool is_params; /* the config is a params.json */
    bool heads_alike; /* as many key heads as query heads: @K is @H */
    bool one_key_head;
    bool ff_is_4e;    /* the family has no key for F: 4 E */
    struct hparams hp; /* switches that decide which rules hold; sizes are filled in */
};
extern const struct family_row family_models[];
extern const size_t n_family_models;

struct family_model {
    const struct family_row *row;
    char dir[256];
    struct hparams hp; /* sizes and switches, as the rules see them */
};
/* Untied: an output matrix of its own is stored though the config ties it. False when the family's checkpoints have no place for one. */
bool family_write(struct family_model *f, const struct family_row *row, const struct family_sizes *sizes, bool untie);
/* The same model without the biases of its attention, which the config says; false when it has no such switch, or they are off. */
bool family_write_unbiased(struct family_model *f, const struct family_row *row, const struct family_sizes *sizes);
void family_clear(struct family_model *f);
/* A checkpoint or GGUF that has to be a model; ends the test if it is none. */
struct model *family_open(const char *path);
/* Ids of a window, from a fixed sequence: context and a piece to fill in where the family builds positions from the ids. */
void family_ids(const struct model *m, int32_t *ids, int64_t n);

#endif

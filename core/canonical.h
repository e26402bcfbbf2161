/* A model's tensors in the layout of its GGUF, whatever file they are in: a checkpoint's through the family's rules, as convert would write
 * them; a GGUF's as they are. So any two forms of one model can be laid side by side, row by row.
 *
 *     struct canonical c;
 *     TRY(canonical_open(&c, m, other, err));
 *     TRY(canonical_read(&c.tensors[i], row, n_rows, floats, &scratch, err));
 *     canonical_close(&c);
 *
 * Rows of a matrix are its outputs; of stacked experts, all experts' one behind the other; of a vector, its elements.
 */
#ifndef LATHE_CANONICAL_H
#define LATHE_CANONICAL_H

#include "core/model_plan.h"
#include "core/plan_read.h"
#include "models/model.h"

/* Rows of a tensor that other files hold as a tensor of its own: q of a fused qkv, the gate of a fused ffn_up. */
struct canonical_part {
    enum role role;
    int64_t row, n_rows;
};
struct canonical_tensor {
    const char *name;   /* in the GGUF's layout; for a GGUF, of its tensor */
    const char *stored; /* the (first) tensor in the file; NULL: the file has none, convert makes it */
    enum role role;
    enum part part;
    int64_t layer; /* -1: outside of layers */
    enum dtype dtype;  /* of the file's elements */
    enum dtype values; /* that holds the numbers: F32 where small floats or integers are multiplied by scales, else dtype */
    bool rounds; /* numbers are not those of the file: multiplied by something, or computed */
    int64_t n_rows, n_cols;
    struct canonical_part parts[3];
    int n_parts; /* 1: the tensor itself */
    const struct plan_tensor *planned; /* one of these two */
    const struct ckpt_tensor *t;
};
struct canonical {
    const struct model *m;
    struct canonical_tensor *tensors; /* in the order of the rules */
    size_t n;
    struct plan plan;
};
/* `other`: the model of the other side. What is the same in both is left as it is stored (an attention scale that a GGUF needs folded in), and
 * rotary positions are for the length that either was made for. m outlives c. */
enum status canonical_open(struct canonical *c, const struct model *m, const struct model *other, struct error *err);
void canonical_close(struct canonical *c);
/* (n_rows, n_cols) floats. Rows that are made of others are cheapest in multiples of canonical_grain. */
enum status canonical_read(const struct canonical_tensor *t, int64_t row, int64_t n_rows, float *dst,
                           struct plan_scratch *s, struct error *err);
int64_t canonical_grain(const struct canonical_tensor *t);
/* The length that a side was baked for (--rope-context of lathe-convert), which the other side is to be run as; 0: none was. */
int64_t canonical_baked_length(const struct model *a, const struct model *b);

#endif

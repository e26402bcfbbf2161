/* Low-rank adapters in PEFT's form (adapter_config.json and adapter_model.safetensors or .bin): as llama.cpp's adapter file, or merged into weights.
 *
 *     TRY(lora_open(&l, "adapter/", 1.0, err));
 *     TRY(lora_bind(l, model, err));                         every pair of matrices has a weight of the base; names it if not
 *     TRY(lora_plan(l, &plan, &warn, err));                  an adapter file: tensors NAME.lora_a and NAME.lora_b
 *     TRY(lora_merge(&l, 1, &plan, &warn, err));             or, for a plan of the base that is complete but for its layout
 *     lora_close(l);                                         after the plan
 *
 * The weight W of (out, in) becomes W + s B A, A (r, in), B (out, r), s = scale * alpha / r, or alpha / sqrt(r) with use_rslora. A table of
 * embeddings (rows, columns) becomes W + s (B A)^T, A (r, rows), B (columns, r). Tensors of modules_to_save stand in place of the base's, in a merge.
 * What several adapters add is added up before anything is rounded. Whatever else an adapter can hold (DoRA, biases, patterns of alpha) is refused by
 * name.
 */
#ifndef LATHE_LORA_H
#define LATHE_LORA_H

#include "base/warnings.h"
#include "core/plan.h"
#include "models/model.h"

struct lora;
/* true for a folder with an adapter_config.json */
bool lora_is_adapter(const char *path);
enum status lora_open(struct lora **out, const char *path, double scale, struct error *err);
/* base: a GGUF or a checkpoint; outlives the adapter. */
enum status lora_bind(struct lora *l, const struct model *base, struct error *err);
enum status lora_plan(struct lora *l, struct plan *p, struct warnings *warn, struct error *err);
/* Two adapters that both have a tensor of their own in place of one of the base, or one that adds to what another replaces: STATUS_MISMATCH. */
enum status lora_merge(struct lora *const *adapters, size_t n, struct plan *p, struct warnings *warn, struct error *err);
const struct checkpoint *lora_checkpoint(const struct lora *l);
void lora_close(struct lora *l); /* NULL is allowed */

/* --- for core/writer.c --- */
/* The matrices of a plan's tensor in memory, of several adapters side by side: rows of B in the target's order and times the scale. */
struct lora_pair {
    double *a, *b;
    int64_t rank, cols;
};
uint64_t lora_load_bytes(const struct plan_lora *l); /* at its peak */
enum status lora_load(const struct plan_lora *l, struct lora_pair *out, struct error *err);
void lora_unload(struct lora_pair *p);
/* values are those of elements [first, first + n) of the target: whole rows, or parts of them. Sums are in double, and rounded to float once. */
void lora_add(const struct lora_pair *p, int64_t first, int64_t n, float *values);

#endif

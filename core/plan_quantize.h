/* Gives the tensors of a plan the types of a recipe, and the file the order and keys that llama-quantize writes.
 *
 *     all plan_add and metadata first; tensors have the types they would have without a recipe
 *     TRY(plan_quantize(&plan, &(struct plan_quantize_options){.recipe = r, ...}, &warn, err));
 *     TRY(plan_layout(&plan, err));
 *
 * Equal inputs give the bytes llama-quantize writes, save for our own keys (lathe.quantize.*, docs/format.md). A model that is planned straight
 * from a checkpoint and one that went through an F32 file get the same bytes.
 */
#ifndef LATHE_PLAN_QUANTIZE_H
#define LATHE_PLAN_QUANTIZE_H

#include "base/warnings.h"
#include "core/imatrix.h"
#include "core/plan.h"
#include "core/recipe.h"

struct plan_quantize_options {
    const struct recipe *recipe;
    struct recipe_options types;
    const struct imatrix *imatrix; /* NULL: none; outlives the plan's run */
    bool allow_requantize;         /* tensors of block types may become another type; told as a warning */
    bool in_place;                 /* only types: order and keys stay as they are */
    bool keep_order;               /* tensors stay in their order: parts of a split file */
    bool record;                   /* write our own keys */
};
/* Errors name the tensor: a quantized one without allow_requantize, a type that cannot be written here (perhaps for want of an importance matrix),
 * an entry of the matrix that does not fit. Warnings: imatrix-missing, requantized, tensor-type-unused. */
enum status plan_quantize(struct plan *p, const struct plan_quantize_options *opt, struct warnings *warn, struct error *err);

/* lathe.quantize.damage: figures of the tensors, put into the header when they are known. Nothing when the plan has no such key. */
void plan_patch_damage(struct plan *p);
/* Columns and rows of a matrix, and how many matrices: importance weights are shared by the rows of one. */
int64_t plan_matrix_rows(const struct plan_tensor *t);

#endif

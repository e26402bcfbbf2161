/* The plan of a GGUF file that becomes another GGUF file: other types, the same metadata.
 *
 *     TRY(plan_rewrite(&plan, ckpt, &(struct rewrite_options){.recipe = r}, err));
 *     TRY(plan_layout(&plan, err));
 *
 * With a recipe, tensors are in llama-quantize's order (outside of blocks first, then block by block; by name), metadata in the source's with
 * general.quantization_version and general.file_type set anew at the end: the bytes llama-quantize writes. Without one nothing changes but
 * what the format's writer normalises. Keys of splits are left out; the alignment is 32.
 */
#ifndef LATHE_REWRITE_H
#define LATHE_REWRITE_H

#include "core/plan.h"
#include "core/recipe.h"

struct rewrite_options {
    const struct recipe *recipe; /* NULL: every tensor keeps its type */
    bool pure;
    bool allow_requantize; /* tensors of block types may become another type */
    bool drop_receipt;
};
/* STATUS_UNSUPPORTED for a quantized tensor that would get another type without allow_requantize; STATUS_FORMAT when c is no GGUF. */
enum status plan_rewrite(struct plan *p, const struct checkpoint *c, const struct rewrite_options *opt,
                         struct error *err);

#endif

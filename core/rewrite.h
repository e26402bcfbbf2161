/* The plan of a GGUF file that becomes another GGUF file: other types, the same metadata.
 *
 *     TRY(plan_rewrite(&plan, ckpt, &(struct rewrite_options){.quantize = &q}, &warn, err));
 *     TRY(plan_layout(&plan, err));
 *
 * With a recipe, tensors and keys are in llama-quantize's order (core/plan_quantize.h). Without one nothing changes but what the format's writer
 * normalises. Keys of splits are left out; the alignment is 32.
 */
#ifndef LATHE_REWRITE_H
#define LATHE_REWRITE_H

#include "core/plan_quantize.h"

struct rewrite_options {
    const struct plan_quantize_options *quantize; /* NULL: every tensor keeps its type */
    bool drop_receipt;
};
/* STATUS_FORMAT when c is no GGUF; else as plan_quantize. */
enum status plan_rewrite(struct plan *p, const struct checkpoint *c, const struct rewrite_options *opt, struct warnings *warn,
                         struct error *err);

#endif

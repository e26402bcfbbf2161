/* The plan of a model in a source layout (safetensors, torch) that becomes a file of the unified format. */
#ifndef LATHE_MODEL_PLAN_H
#define LATHE_MODEL_PLAN_H

#include "base/warnings.h"
#include "core/plan_quantize.h"
#include "core/receipt.h"

struct model_plan_options {
    const struct plan_quantize_options *quantize; /* NULL: every matrix keeps its type, as far as GGUF has it */
    enum receipt_level receipt;
    int64_t rope_context;    /* > 0: RoPE that depends on the length is fixed as it is for a context of this many positions */
};
/* Tensors and metadata; plan_layout is left to the caller. m is not a GGUF and outlives the plan. */
enum status model_plan(struct plan *p, const struct model *m, const struct model_plan_options *opt,
                       struct warnings *warn, struct error *err);

/* The tensors alone, none of them quantized, each with its rule and layer: what a file of the unified format would hold. rope_context as above;
 * ignored where the model's rotary positions do not depend on the length. */
enum status model_plan_tensors(struct plan *p, const struct model *m, int64_t rope_context, struct error *err);

#endif

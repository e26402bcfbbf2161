#include "core/quantize_args.h"

#include "dtypes/kernels.h"

bool quantize_args_any(const struct quantize_args *a)
{
    return a->pure || a->imatrix_path || a->tensor_types.count > 0 || a->output_type || a->token_embd_type;
}

enum status quantize_args_kernels(const struct quantize_args *a, struct error *err)
{
    return a->kernels ? kernels_select(a->kernels, err) : STATUS_OK;
}

enum status quantize_args_resolve(struct quantize_args *a, struct error *err)
{
    struct plan_quantize_options *o = &a->options;
    *o = (struct plan_quantize_options){.types = RECIPE_OPTIONS_INIT, .allow_requantize = a->allow_requantize, .record = true};
    TRY(quantize_args_kernels(a, err));
    if (recipe_find(&o->recipe, a->type, err) != STATUS_OK) return err->status;
    o->types.pure = a->pure;
    if (a->output_type) TRY(matrix_type_parse(&o->types.output_type, "--output-tensor-type", a->output_type, err));
    if (a->token_embd_type) TRY(matrix_type_parse(&o->types.token_embd_type, "--token-embedding-type", a->token_embd_type, err));
    for (size_t i = 0; i < a->tensor_types.count; i++) TRY(name_patterns_add(&a->patterns, a->tensor_types.items[i], err));
    if (a->patterns.count > 0) o->types.patterns = &a->patterns;
    if (a->imatrix_path) TRY(imatrix_open(&a->imatrix, a->imatrix_path, err));
    o->imatrix = a->imatrix;
    return STATUS_OK;
}

void quantize_args_clear(struct quantize_args *a)
{
    name_patterns_clear(&a->patterns);
    imatrix_close(a->imatrix);
    a->imatrix = NULL;
}

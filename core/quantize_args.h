/* Options about types that convert and quantize share, from words of a command line to what plan_quantize wants.
 *
 *     struct quantize_args a = {.type = "Q4_K_M"};         filled by the option table
 *     TRY(quantize_args_resolve(&a, err));                  a.options; opens the importance matrix
 *     quantize_args_clear(&a);
 */
#ifndef LATHE_QUANTIZE_ARGS_H
#define LATHE_QUANTIZE_ARGS_H

#include "base/options.h"
#include "core/plan_quantize.h"

struct quantize_args {
    const char *type; /* a recipe's name */
    const char *output_type, *token_embd_type, *imatrix_path;
    const char *kernels; /* a set of kernels.h, or NULL */
    struct string_list tensor_types;
    bool pure, allow_requantize;
    /* results */
    struct name_patterns patterns;
    struct imatrix *imatrix;
    struct plan_quantize_options options;
};
/* Rows of an option table; `a` is a struct quantize_args. */
#define QUANTIZE_ARGS_SPECS(a)                                                                               \
    {"pure", 0, NULL, OPTION_FLAG, &(a).pure, "the one type for every matrix, without the recipe's exceptions", "Types"},      \
    {"imatrix", 0, "FILE", OPTION_STRING, &(a).imatrix_path, "importance matrix: llama.cpp's .gguf or .dat", NULL},            \
    {"tensor-type", 0, "REGEX=TYPE", OPTION_LIST, &(a).tensor_types,                                         \
     "type of the tensors whose names match, before the recipe; may be repeated, the first match counts", NULL},               \
    {"output-tensor-type", 0, "TYPE", OPTION_STRING, &(a).output_type, "type of the output matrix", NULL},   \
    {"token-embedding-type", 0, "TYPE", OPTION_STRING, &(a).token_embd_type, "type of the token embedding", NULL},             \
    {"allow-requantize", 0, NULL, OPTION_FLAG, &(a).allow_requantize, "let quantized tensors become another type", NULL},      \
    {"kernels", 0, "SET", OPTION_STRING, &(a).kernels,                                                       \
     "instructions to encode with: auto (default), ref, portable, avx2, avx512; the bytes are the same", NULL}

/* STATUS_USAGE for words that are no types, patterns that are none, options that exclude each other; errors of the importance matrix. */
enum status quantize_args_resolve(struct quantize_args *a, struct error *err);
/* Selects the kernels; STATUS_USAGE for a set that is unknown or not this processor's. Part of quantize_args_resolve. */
enum status quantize_args_kernels(const struct quantize_args *a, struct error *err);
/* Whether any option about types but the type was given. */
bool quantize_args_any(const struct quantize_args *a);
void quantize_args_clear(struct quantize_args *a);

#endif

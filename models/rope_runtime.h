/* RoPE as llama.cpp computes it from a GGUF's keys and tensors, and how to tell it what a source says.
 *
 * Of pair p: angle = t * f_p / q_p * scale, f_p = freq_base^(-2p/dim). q is the tensor rope_freqs, or with the type "longrope" one of
 * rope_factors_short and _long; scale is 1/factor. The type "yarn" mixes the scaled and the unscaled angle with betas 32 and 1 and whole
 * pairs as ends, and multiplies cos and sin by 1 + 0.1 ln(factor); attn_factor multiplies for every type. All of it was read from
 * llama.cpp's sources and checked against its logits (docs/format.md section 3.3); nothing here shares code with rope.c, on purpose: a
 * GGUF is judged by what its runtime does.
 */
#ifndef LATHE_ROPE_RUNTIME_H
#define LATHE_ROPE_RUNTIME_H

#include "models/rope.h"

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN, ROPE_SCALING_LONGROPE, ROPE_SCALING_COUNT };
/* Values as the file holds them: floats. */
struct rope_runtime {
    enum rope_scaling scaling;
    bool scaling_given; /* the key is there; without it llama.cpp takes linear */
    float freq_base;
    float factor;      /* 0: none */
    float attn_factor; /* 1: none */
    int64_t n_ctx_orig; /* original_context_length, else context_length */
    const float *freqs, *short_factors, *long_factors; /* dim/2 each, or NULL */
};
const char *rope_scaling_name(enum rope_scaling s); /* "linear" */
enum rope_scaling rope_scaling_from_name(const char *name); /* ROPE_SCALING_COUNT if unknown */
/* STATUS_RANGE for a number that gives no frequencies. */
enum status rope_runtime_check(const struct rope_runtime *r, int64_t dim, struct error *err);
/* inv_freq: dim/2 values. n_positions stands for the context that llama.cpp was started with. */
void rope_runtime_frequencies(const struct rope_runtime *r, int64_t dim, int64_t n_positions, double *inv_freq, double *attn_factor);

/* Does `keys` give what the block gives, for every length of call, up to the rounding of floats? Without memory: STATUS_NOMEM. */
enum status rope_runtime_matches(const struct rope_runtime *keys, const struct rope *block, bool *same, struct error *err);
/* The same of two sets of keys. */
enum status rope_runtime_same(const struct rope_runtime *a, const struct rope_runtime *b, int64_t dim, bool *same, struct error *err);
/* Keys and tensors that make llama.cpp compute what the block says: plain keys if they do, else factor tensors if the architecture has
 * them (has_tensors). *exact: the runtime will compute the same for every length. If nothing does: the nearest keys. Arrays are in mem. */
enum status rope_runtime_choose(const struct rope *block, bool has_tensors, struct rope_runtime *out, bool *exact, struct arena *mem,
                                struct error *err);

#endif

/* Rotary position embedding: which frequencies, from which description.
 *
 *     double f[64], a;
 *     TRY(rope_frequencies(&model->hp.rope, n_positions, f, &a, err));      dim/2 values
 *
 * Angle of pair p at position t: t * inv_freq[p], p in [0, dim/2). cos and sin are multiplied by attn_factor (of queries and of keys, so
 * that scores grow by its square). Base frequencies f_p = theta^(-2p/dim). Scaling types follow Hugging Face transformers'
 * modeling_rope_utils (5.23); s factor, o original context, M trained context, n = max(T, M) with T the highest position of the call + 1:
 *   default   f_p
 *   linear    f_p / s
 *   dynamic   theta' = theta * (s n / M - (s - 1))^(dim / (dim - 2)), then as default
 *   yarn      f_p / s * r_p + f_p * (1 - r_p), r_p = clamp((p - A) / (B - A), 0, 1): see rope.c
 *   longrope  f_p / long_p if T > o, else f_p / short_p
 *   llama3    f_p where the wavelength is below o / high, f_p / s where it is above o / low, a mixture between
 * transformers keeps a state between calls for `dynamic`; what counts here is one full pass with a fresh model.
 *
 * The block is read from either spelling: top-level rope_theta + rope_scaling {type|rope_type, ...}, or rope_parameters {...}
 * (config_rope.c). A GGUF without such a block has llama.cpp's own description instead: models/rope_runtime.h.
 */
#ifndef LATHE_ROPE_H
#define LATHE_ROPE_H

#include "base/json.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum rope_type { ROPE_NONE, ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LONGROPE, ROPE_LLAMA3, ROPE_TYPE_COUNT };
/* Which two elements of a head form pair p: (p, p + dim/2) or (2p, 2p + 1). A property of the layout of the weights. */
enum rope_style { ROPE_HALVES, ROPE_PAIRS };

struct rope_runtime;
struct rope {
    enum rope_type type;
    int64_t dim; /* rotated elements at the start of a head; even */
    double theta;
    double factor;      /* linear, dynamic, yarn, longrope, llama3. yarn and longrope: 0 stands for n_ctx / n_ctx_orig */
    int64_t n_ctx;      /* M: trained context, as the config says it */
    double n_ctx_orig;  /* o: yarn, longrope, llama3; 0: not given, n_ctx */
    bool top_theta, top_ctx_orig; /* the block does not hold theta, o: from beside it, or the default */
    double attn_factor; /* yarn, longrope; 0: from the other numbers */
    double beta_fast, beta_slow;   /* yarn; 0 stands for 32 and 1 */
    double mscale, mscale_all_dim; /* yarn; 0: not given */
    bool no_truncate;              /* yarn: the ramp's ends are not rounded to whole pairs */
    double low_freq_factor, high_freq_factor; /* llama3 */
    const double *short_factors, *long_factors; /* longrope: n_factors = dim/2 each */
    int64_t n_factors;
    int64_t n_baked; /* the file was made for this length: T in the formulas, whatever is run; 0: no */
    /* A GGUF whose keys and tensors differ from the block above, or that has no block: they count. NULL: the block counts. */
    const struct rope_runtime *runtime;
    const char *source; /* the source's block as JSON text, verbatim, or NULL. All pointers belong to the model's arena. */
};

/* Hugging Face's type word ("default", "linear", ...) */
const char *rope_type_name(enum rope_type t);
enum rope_type rope_type_from_name(const char *name); /* ROPE_TYPE_COUNT if unknown */
/* STATUS_RANGE naming the first number that has no meaning for the type (0, negative, not finite, a list of another length). */
enum status rope_check(const struct rope *r, struct error *err);
/* inv_freq: dim/2 values; *attn_factor. n_positions: highest position in the call + 1 (types that depend on the length). STATUS_RANGE
 * also when the numbers give frequencies that are not finite. */
enum status rope_frequencies(const struct rope *r, int64_t n_positions, double *inv_freq, double *attn_factor, struct error *err);
/* Positions that the model saw in training before any scaling: o, or M for the types without it. 0: not known. */
int64_t rope_original_context(const struct rope *r);
/* Do frequencies depend on the length of the call? */
bool rope_is_dynamic(const struct rope *r);

#endif

/* Rotary position embedding: which frequencies, from which description.
 *
 * Angle of pair p at position t: t * inv_freq[p], p in [0, dim/2). cos and sin are multiplied by attn_factor.
 * Base frequencies f_p = theta^(-2p/dim). Scaling types follow Hugging Face transformers' modeling_rope_utils (5.23):
 *   default  f_p            linear  f_p / factor
 * The block is read from either spelling: top-level rope_theta + rope_scaling {type|rope_type, ...}, or rope_parameters {...}.
 * Order of precedence (LlamaConfig 5.23): block = rope_scaling if it is not empty, else rope_parameters; theta = block.rope_theta, else
 * top-level rope_theta, else 10000; type = block.rope_type, else block.type, else "default".
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

struct rope {
    enum rope_type type;
    int64_t dim; /* rotated elements at the start of a head; even */
    double theta;
    double factor;         /* linear, dynamic, yarn, longrope, llama3; 1 otherwise */
    int64_t n_ctx_orig;    /* original context; 0: not given */
    const char *source;    /* the source's block as JSON text, verbatim, or NULL; owned by the model's arena */
};

/* Hugging Face's type word ("default", "linear", ...) */
const char *rope_type_name(enum rope_type t);
enum rope_type rope_type_from_name(const char *name); /* ROPE_TYPE_COUNT if unknown */
bool rope_type_supported(enum rope_type t);
/* STATUS_UNSUPPORTED naming a type that has no frequencies yet; STATUS_RANGE for dim, theta or factor out of bounds. */
enum status rope_check(const struct rope *r, struct error *err);
/* inv_freq: dim/2 values; *attn_factor. n_positions: highest position in the call + 1 (types that depend on the length). */
enum status rope_frequencies(const struct rope *r, int64_t n_positions, double *inv_freq, double *attn_factor, struct error *err);

#endif

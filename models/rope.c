#include "models/rope.h"

#include <math.h>
#include <string.h>

/* One row per scaling type. Types without a function are recognised, so that they are refused by their name.
 */
static enum status frequencies_default(const struct rope *r, double *inv_freq, double *attn_factor);
static enum status frequencies_linear(const struct rope *r, double *inv_freq, double *attn_factor);

static const struct rope_kind {
    const char *name;
    const char *alias; /* another spelling, or NULL */
    enum status (*frequencies)(const struct rope *r, double *inv_freq, double *attn_factor);
} kinds[ROPE_TYPE_COUNT] = {
    [ROPE_NONE] = {"none", NULL, NULL},
    [ROPE_DEFAULT] = {"default", NULL, frequencies_default},
    [ROPE_LINEAR] = {"linear", NULL, frequencies_linear},
    [ROPE_DYNAMIC] = {"dynamic", NULL, NULL},
    [ROPE_YARN] = {"yarn", NULL, NULL},
    [ROPE_LONGROPE] = {"longrope", "su", NULL},
    [ROPE_LLAMA3] = {"llama3", NULL, NULL},
};

const char *rope_type_name(enum rope_type t)
{
    return (unsigned)t < ROPE_TYPE_COUNT ? kinds[t].name : "?";
}

enum rope_type rope_type_from_name(const char *name)
{
    for (int t = ROPE_DEFAULT; t < ROPE_TYPE_COUNT; t++)
        if (strcmp(kinds[t].name, name) == 0 || (kinds[t].alias && strcmp(kinds[t].alias, name) == 0))
            return (enum rope_type)t;
    return ROPE_TYPE_COUNT;
}

bool rope_type_supported(enum rope_type t)
{
    return (unsigned)t < ROPE_TYPE_COUNT && kinds[t].frequencies;
}

enum status rope_check(const struct rope *r, struct error *err)
{
    if (r->type == ROPE_NONE) return STATUS_OK;
    if (!rope_type_supported(r->type))
        return error_set(err, STATUS_UNSUPPORTED, "RoPE type '%s' is not supported yet",
                         rope_type_name(r->type));
    if (r->dim <= 0 || r->dim % 2 != 0)
        return error_set(err, STATUS_RANGE,
                         "RoPE: expected an even, positive number of rotated dimensions, found %lld",
                         (long long)r->dim);
    if (!(r->theta > 0) || !isfinite(r->theta))
        return error_set(err, STATUS_RANGE, "RoPE: expected a positive, finite theta, found %g", r->theta);
    if (!(r->factor > 0) || !isfinite(r->factor))
        return error_set(err, STATUS_RANGE, "RoPE: expected a positive, finite factor, found %g", r->factor);
    return STATUS_OK;
}

static enum status frequencies_default(const struct rope *r, double *inv_freq, double *attn_factor)
{
    for (int64_t p = 0; p < r->dim / 2; p++) inv_freq[p] = pow(r->theta, -(double)(2 * p) / (double)r->dim);
    *attn_factor = 1;
    return STATUS_OK;
}

static enum status frequencies_linear(const struct rope *r, double *inv_freq, double *attn_factor)
{
    TRY(frequencies_default(r, inv_freq, attn_factor));
    for (int64_t p = 0; p < r->dim / 2; p++) inv_freq[p] /= r->factor;
    return STATUS_OK;
}

enum status rope_frequencies(const struct rope *r, int64_t n_positions, double *inv_freq, double *attn_factor,
                             struct error *err)
{
    (void)n_positions; /* for the types that depend on the length */
    if (r->type == ROPE_NONE) return error_set(err, STATUS_RANGE, "RoPE: the model has no rotary positions");
    TRY(rope_check(r, err));
    return kinds[r->type].frequencies(r, inv_freq, attn_factor);
}

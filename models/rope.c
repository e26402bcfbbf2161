#include "models/rope.h"

#include "models/rope_runtime.h"

#include <math.h>
#include <string.h>

/* One row per scaling type. `check` sees numbers that are finite; `frequencies` sees what `check` let pass. */
static enum status check_dynamic(const struct rope *r, struct error *err);
static enum status check_yarn(const struct rope *r, struct error *err);
static enum status check_longrope(const struct rope *r, struct error *err);
static enum status check_llama3(const struct rope *r, struct error *err);
static void frequencies_default(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);
static void frequencies_linear(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);
static void frequencies_dynamic(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);
static void frequencies_yarn(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);
static void frequencies_longrope(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);
static void frequencies_llama3(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor);

static const struct rope_kind {
    const char *name;
    const char *alias;   /* another spelling, or NULL */
    bool may_infer;      /* the factor may be 0: taken from the two contexts */
    enum status (*check)(const struct rope *r, struct error *err); /* NULL: theta, dim and factor are all */
    void (*frequencies)(const struct rope *r, int64_t n_positions, double *inv_freq, double *attn_factor);
} kinds[ROPE_TYPE_COUNT] = {
    [ROPE_NONE] = {.name = "none"},
    [ROPE_DEFAULT] = {.name = "default", .frequencies = frequencies_default},
    [ROPE_LINEAR] = {.name = "linear", .frequencies = frequencies_linear},
    [ROPE_DYNAMIC] = {.name = "dynamic", .check = check_dynamic, .frequencies = frequencies_dynamic},
    [ROPE_YARN] = {.name = "yarn", .may_infer = true, .check = check_yarn, .frequencies = frequencies_yarn},
    [ROPE_LONGROPE] = {.name = "longrope",
                       .alias = "su",
                       .may_infer = true,
                       .check = check_longrope,
                       .frequencies = frequencies_longrope},
    [ROPE_LLAMA3] = {.name = "llama3", .check = check_llama3, .frequencies = frequencies_llama3},
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

/* --- what the numbers may be --- */

static enum status need_positive(const struct rope *r, const char *what, double v, struct error *err)
{
    if (v > 0 && isfinite(v)) return STATUS_OK;
    return error_set(err, STATUS_RANGE, "RoPE type '%s': expected a positive, finite %s, found %g",
                     rope_type_name(r->type), what, v);
}

enum status rope_check(const struct rope *r, struct error *err)
{
    if (r->type == ROPE_NONE) return STATUS_OK;
    if ((unsigned)r->type >= ROPE_TYPE_COUNT)
        return error_set(err, STATUS_UNSUPPORTED, "unknown RoPE type %d", (int)r->type);
    const struct rope_kind *kind = &kinds[r->type];
    if (r->dim <= 0 || r->dim % 2 != 0)
        return error_set(err, STATUS_RANGE,
                         "RoPE: expected an even, positive number of rotated dimensions, found %lld",
                         (long long)r->dim);
    if (r->runtime) return rope_runtime_check(r->runtime, r->dim, err);
    TRY(need_positive(r, "theta", r->theta, err));
    if (!kind->may_infer || r->factor != 0) TRY(need_positive(r, "factor", r->factor, err));
    return kind->check ? kind->check(r, err) : STATUS_OK;
}

static double original_context(const struct rope *r)
{
    return r->n_ctx_orig != 0 ? r->n_ctx_orig : (double)r->n_ctx;
}

static double effective_factor(const struct rope *r)
{
    return r->factor != 0 ? r->factor : (double)r->n_ctx / original_context(r);
}

static enum status check_dynamic(const struct rope *r, struct error *err)
{
    if (r->dim == 2)
        return error_set(err, STATUS_RANGE,
                         "RoPE type 'dynamic': expected more than 2 rotated dimensions, found 2");
    return need_positive(r, "max_position_embeddings", (double)r->n_ctx, err);
}

/* What yarn and longrope share */
static enum status check_original(const struct rope *r, struct error *err)
{
    TRY(need_positive(r, "original_max_position_embeddings", original_context(r), err));
    if (r->factor == 0) TRY(need_positive(r, "max_position_embeddings", (double)r->n_ctx, err));
    if (r->attn_factor != 0) TRY(need_positive(r, "attention_factor", r->attn_factor, err));
    return STATUS_OK;
}

static enum status check_yarn(const struct rope *r, struct error *err)
{
    TRY(check_original(r, err));
    if (r->beta_fast != 0) TRY(need_positive(r, "beta_fast", r->beta_fast, err));
    if (r->beta_slow != 0) TRY(need_positive(r, "beta_slow", r->beta_slow, err));
    if (!isfinite(r->mscale) || !isfinite(r->mscale_all_dim))
        return error_set(err, STATUS_RANGE, "RoPE type 'yarn': expected finite mscale and mscale_all_dim");
    if (r->theta == 1)
        return error_set(err, STATUS_RANGE, "RoPE type 'yarn': expected a theta other than 1, found 1");
    return STATUS_OK;
}

static enum status check_factors(const char *name, const double *v, int64_t n, struct error *err)
{
    for (int64_t p = 0; p < n; p++)
        if (!(v[p] > 0) || !isfinite(v[p]))
            return error_set(err, STATUS_RANGE,
                             "RoPE type 'longrope': %s %lld: expected a positive, finite number, found %g",
                             name, (long long)p, v[p]);
    return STATUS_OK;
}

static enum status check_longrope(const struct rope *r, struct error *err)
{
    TRY(check_original(r, err));
    if (r->n_factors != r->dim / 2 || !r->short_factors || !r->long_factors)
        return error_set(err, STATUS_MISMATCH,
                         "RoPE type 'longrope': expected %lld short and long factors (half the rotated "
                         "dimensions), found %lld",
                         (long long)(r->dim / 2), (long long)r->n_factors);
    TRY(check_factors("short factor", r->short_factors, r->n_factors, err));
    TRY(check_factors("long factor", r->long_factors, r->n_factors, err));
    if (r->attn_factor == 0 && effective_factor(r) > 1 && !(original_context(r) > 1))
        return error_set(err, STATUS_RANGE,
                         "RoPE type 'longrope': expected an original_max_position_embeddings above 1, found %g",
                         original_context(r));
    return STATUS_OK;
}

static enum status check_llama3(const struct rope *r, struct error *err)
{
    TRY(need_positive(r, "original_max_position_embeddings", original_context(r), err));
    TRY(need_positive(r, "low_freq_factor", r->low_freq_factor, err));
    return need_positive(r, "high_freq_factor", r->high_freq_factor, err);
}

/* --- frequencies --- */

static void base_frequencies(double theta, int64_t dim, double *inv_freq)
{
    for (int64_t p = 0; p < dim / 2; p++) inv_freq[p] = pow(theta, -(double)(2 * p) / (double)dim);
}

static void frequencies_default(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    (void)n;
    base_frequencies(r->theta, r->dim, inv_freq);
    *attn_factor = 1;
}

static void frequencies_linear(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    frequencies_default(r, n, inv_freq, attn_factor);
    for (int64_t p = 0; p < r->dim / 2; p++) inv_freq[p] /= r->factor;
}

static void frequencies_dynamic(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    double s = r->factor, m = (double)r->n_ctx, d = (double)r->dim, longest = fmax((double)n, m);
    base_frequencies(r->theta * pow(s * longest / m - (s - 1), d / (d - 2)), r->dim, inv_freq);
    *attn_factor = 1;
}

/* The scale of scores that yarn's paper suggests */
static double yarn_mscale(double s, double m)
{
    return s <= 1 ? 1 : 0.1 * m * log(s) + 1;
}

static double yarn_attn_factor(const struct rope *r, double s)
{
    if (r->attn_factor != 0) return r->attn_factor;
    if (r->mscale != 0 && r->mscale_all_dim != 0) return yarn_mscale(s, r->mscale) / yarn_mscale(s, r->mscale_all_dim);
    return yarn_mscale(s, 1);
}

/* The pair that turns `rotations` times within the original context */
static double yarn_pair(const struct rope *r, double rotations)
{
    return (double)r->dim * log(original_context(r) / (rotations * 2 * M_PI)) / (2 * log(r->theta));
}

static void frequencies_yarn(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    (void)n;
    double s = effective_factor(r);
    double a = yarn_pair(r, r->beta_fast != 0 ? r->beta_fast : 32);
    double b = yarn_pair(r, r->beta_slow != 0 ? r->beta_slow : 1);
    if (!r->no_truncate) {
        a = floor(a);
        b = ceil(b);
    }
    a = fmax(a, 0);
    b = fmin(b, (double)(r->dim - 1)); /* dim - 1 although pairs end at dim/2 - 1: as published */
    if (a == b) b += 0.001;
    base_frequencies(r->theta, r->dim, inv_freq);
    for (int64_t p = 0; p < r->dim / 2; p++) {
        double ramp = fmin(fmax(((double)p - a) / (b - a), 0), 1);
        inv_freq[p] = inv_freq[p] / s * ramp + inv_freq[p] * (1 - ramp);
    }
    *attn_factor = yarn_attn_factor(r, s);
}

static void frequencies_longrope(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    double s = effective_factor(r), o = original_context(r);
    const double *factors = (double)n > o ? r->long_factors : r->short_factors;
    base_frequencies(r->theta, r->dim, inv_freq);
    for (int64_t p = 0; p < r->dim / 2; p++) inv_freq[p] /= factors[p];
    *attn_factor = r->attn_factor != 0 ? r->attn_factor : s <= 1 ? 1 : sqrt(1 + log(s) / log(o));
}

static void frequencies_llama3(const struct rope *r, int64_t n, double *inv_freq, double *attn_factor)
{
    double s = r->factor, o = original_context(r), low = r->low_freq_factor, high = r->high_freq_factor;
    frequencies_default(r, n, inv_freq, attn_factor);
    for (int64_t p = 0; p < r->dim / 2; p++) {
        double f = inv_freq[p], wavelength = 2 * M_PI / f;
        if (wavelength > o / low) {
            inv_freq[p] = f / s;
        } else if (wavelength >= o / high) {
            double smooth = (o / wavelength - low) / (high - low);
            inv_freq[p] = (1 - smooth) * f / s + smooth * f;
        }
    }
}

enum status rope_frequencies(const struct rope *r, int64_t n_positions, double *inv_freq, double *attn_factor,
                             struct error *err)
{
    if (r->type == ROPE_NONE) return error_set(err, STATUS_RANGE, "RoPE: the model has no rotary positions");
    if (r->n_baked > 0) n_positions = r->n_baked;
    TRY(rope_check(r, err));
    if (r->runtime)
        rope_runtime_frequencies(r->runtime, r->dim, n_positions, inv_freq, attn_factor);
    else
        kinds[r->type].frequencies(r, n_positions, inv_freq, attn_factor);
    bool finite = isfinite(*attn_factor);
    for (int64_t p = 0; p < r->dim / 2; p++) finite = finite && isfinite(inv_freq[p]) && inv_freq[p] >= 0;
    if (finite) return STATUS_OK;
    return error_set(err, STATUS_RANGE,
                     "RoPE type '%s': theta %g, factor %g and the numbers beside them give frequencies that are "
                     "not finite",
                     rope_type_name(r->type), r->theta, r->factor);
}

int64_t rope_original_context(const struct rope *r)
{
    bool own = r->type == ROPE_YARN || r->type == ROPE_LONGROPE || r->type == ROPE_LLAMA3;
    double o = own ? original_context(r) : (double)r->n_ctx;
    return o >= 1 && o < 0x1p62 ? (int64_t)o : 0;
}

bool rope_is_dynamic(const struct rope *r)
{
    return (r->type == ROPE_DYNAMIC || r->type == ROPE_LONGROPE) && r->n_baked == 0;
}

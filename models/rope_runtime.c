#include "models/rope_runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const scaling_names[ROPE_SCALING_COUNT] = {
    [ROPE_SCALING_NONE] = "none",
    [ROPE_SCALING_LINEAR] = "linear",
    [ROPE_SCALING_YARN] = "yarn",
    [ROPE_SCALING_LONGROPE] = "longrope",
};

const char *rope_scaling_name(enum rope_scaling s)
{
    return (unsigned)s < ROPE_SCALING_COUNT ? scaling_names[s] : "?";
}

enum rope_scaling rope_scaling_from_name(const char *name)
{
    int s = 0;
    while (s < ROPE_SCALING_COUNT && strcmp(scaling_names[s], name) != 0) s++;
    return (enum rope_scaling)s;
}

/* --- evaluation --- */

enum { YARN_BETA_FAST = 32, YARN_BETA_SLOW = 1 }; /* keys of other values are not read for these architectures */

static enum status check_divisors(const char *name, const float *v, int64_t n, struct error *err)
{
    for (int64_t p = 0; v && p < n; p++)
        if (!(v[p] > 0) || !isfinite(v[p]))
            return error_set(err, STATUS_RANGE, "%s: element %lld: expected a positive, finite number, found %g",
                             name, (long long)p, (double)v[p]);
    return STATUS_OK;
}

enum status rope_runtime_check(const struct rope_runtime *r, int64_t dim, struct error *err)
{
    if (!(r->freq_base > 0) || !isfinite(r->freq_base))
        return error_set(err, STATUS_RANGE, "rope.freq_base: expected a positive, finite number, found %g",
                         (double)r->freq_base);
    if (!(r->factor >= 0) || !isfinite(r->factor))
        return error_set(err, STATUS_RANGE, "rope.scaling.factor: expected a finite number of at least 0, found %g",
                         (double)r->factor);
    if (!(r->attn_factor > 0) || !isfinite(r->attn_factor))
        return error_set(err, STATUS_RANGE,
                         "rope.scaling.attn_factor: expected a positive, finite number, found %g",
                         (double)r->attn_factor);
    if (r->scaling == ROPE_SCALING_YARN && r->freq_base == 1)
        return error_set(err, STATUS_RANGE, "rope.freq_base: expected another number than 1 for yarn");
    TRY(check_divisors("rope_freqs.weight", r->freqs, dim / 2, err));
    TRY(check_divisors("rope_factors_short.weight", r->short_factors, dim / 2, err));
    return check_divisors("rope_factors_long.weight", r->long_factors, dim / 2, err);
}

static const float *divisors(const struct rope_runtime *r, int64_t n_positions)
{
    if (r->scaling != ROPE_SCALING_LONGROPE) return r->freqs;
    return n_positions > r->n_ctx_orig ? r->long_factors : r->short_factors;
}

static double scale_of(const struct rope_runtime *r)
{
    return r->scaling == ROPE_SCALING_NONE || r->factor == 0 ? 1 : 1 / (double)r->factor;
}

/* ggml's correction dimension: the pair that turns `rotations` times within the original context */
static double correction_pair(const struct rope_runtime *r, int64_t dim, double rotations)
{
    double turns = (double)r->n_ctx_orig / (rotations * 2 * M_PI);
    return (double)dim * log(turns) / (2 * log((double)r->freq_base));
}

/* Share of the scaled angle: 0 for pairs that turn often, 1 for those that turn less than once */
static double yarn_share(double low, double high, int64_t p)
{
    double y = ((double)p - low) / fmax(0.001, high - low);
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

void rope_runtime_frequencies(const struct rope_runtime *r, int64_t dim, int64_t n_positions, double *inv_freq,
                              double *attn_factor)
{
    const float *q = divisors(r, n_positions);
    double scale = scale_of(r);
    bool yarn = r->scaling == ROPE_SCALING_YARN;
    double low = 0, high = 0;
    if (yarn) {
        low = fmax(0, floor(correction_pair(r, dim, YARN_BETA_FAST)));
        high = fmin((double)(dim - 1), ceil(correction_pair(r, dim, YARN_BETA_SLOW)));
    }
    for (int64_t p = 0; p < dim / 2; p++) {
        double f = pow((double)r->freq_base, -2 * (double)p / (double)dim) / (q ? (double)q[p] : 1);
        double share = yarn ? yarn_share(low, high, p) : 1;
        inv_freq[p] = f * scale * share + f * (1 - share);
    }
    *attn_factor = r->attn_factor * (yarn && scale < 1 ? 1 + 0.1 * log(1 / scale) : 1);
}

/* --- comparison --- */

static const double rounding = 0x1p-22; /* of a value that is kept as a float or two: half a step each */

static bool close_to(double a, double b)
{
    return fabs(a - b) <= rounding * fmax(fabs(a), fabs(b));
}

static bool all_close(const double *a, const double *b, int64_t n)
{
    for (int64_t p = 0; p < n; p++)
        if (!close_to(a[p], b[p])) return false;
    return true;
}

static enum status two_arrays(double **a, double **b, int64_t n, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, 2 * sizeof(double), err));
    *a = p;
    *b = *a + n;
    return STATUS_OK;
}

/* Lengths of call between which any description changes: short, just behind the original context, far beyond. */
enum { N_LENGTHS = 3 };
static void lengths_of(int64_t n_ctx, int64_t n_ctx_orig, int64_t out[N_LENGTHS])
{
    int64_t longest = n_ctx > n_ctx_orig ? n_ctx : n_ctx_orig;
    out[0] = 1;
    out[1] = n_ctx_orig + 1;
    out[2] = longest < INT32_MAX ? 8 * longest + 8 : longest;
}

enum status rope_runtime_matches(const struct rope_runtime *keys, const struct rope *block, bool *same,
                                 struct error *err)
{
    double *f, *g, a, b;
    int64_t lengths[N_LENGTHS], n = block->dim / 2;
    struct rope plain = *block;
    plain.runtime = NULL;
    lengths_of(block->n_ctx, rope_original_context(block), lengths);
    TRY(two_arrays(&f, &g, n, err));
    *same = true;
    enum status st = STATUS_OK;
    for (int i = 0; i < N_LENGTHS && *same; i++) {
        st = rope_frequencies(&plain, lengths[i], f, &a, err);
        if (st != STATUS_OK) break;
        rope_runtime_frequencies(keys, block->dim, lengths[i], g, &b);
        *same = close_to(a, b) && all_close(f, g, n);
    }
    free(f);
    return st;
}

enum status rope_runtime_same(const struct rope_runtime *x, const struct rope_runtime *y, int64_t dim, bool *same,
                              struct error *err)
{
    double *f, *g, a, b;
    int64_t lengths[N_LENGTHS];
    lengths_of(x->n_ctx_orig, y->n_ctx_orig, lengths);
    TRY(two_arrays(&f, &g, dim / 2, err));
    *same = true;
    for (int i = 0; i < N_LENGTHS && *same; i++) {
        rope_runtime_frequencies(x, dim, lengths[i], f, &a);
        rope_runtime_frequencies(y, dim, lengths[i], g, &b);
        *same = close_to(a, b) && all_close(f, g, dim / 2);
    }
    free(f);
    return STATUS_OK;
}

/* --- choice --- */

static double factor_of(const struct rope *block)
{
    double o = block->n_ctx_orig != 0 ? block->n_ctx_orig : (double)block->n_ctx;
    return block->factor != 0 ? block->factor : (double)block->n_ctx / o;
}

/* The base that dynamic scaling has at the length it is baked for; theta otherwise. f: the block's frequencies. */
static double base_of(const struct rope *block, const double *f)
{
    bool other = block->type == ROPE_DYNAMIC && block->n_baked > 0 && block->dim > 2;
    return other ? pow(f[1], -(double)block->dim / 2) : block->theta;
}

/* What keys alone can say. f, a: the block's frequencies and factor for short calls. */
static struct rope_runtime plain_keys(const struct rope *block, const double *f, double a)
{
    struct rope_runtime k = {.scaling = ROPE_SCALING_LINEAR,
                             .freq_base = (float)base_of(block, f),
                             .attn_factor = 1,
                             .n_ctx_orig = rope_original_context(block)};
    if (block->type == ROPE_LINEAR || block->type == ROPE_YARN) {
        k.scaling = block->type == ROPE_YARN ? ROPE_SCALING_YARN : ROPE_SCALING_LINEAR;
        k.scaling_given = true;
        k.factor = (float)factor_of(block);
    }
    double usual = k.scaling == ROPE_SCALING_YARN && k.factor > 1 ? 1 + 0.1 * log((double)k.factor) : 1;
    if (!close_to(a, usual)) k.attn_factor = (float)(a / usual);
    return k;
}

static enum status to_floats(const double *v, int64_t n, const float **out, struct arena *mem, struct error *err)
{
    float *f = arena_array(mem, (uint64_t)n, sizeof *f);
    if (!f) return error_nomem(err, (size_t)n * sizeof *f);
    for (int64_t p = 0; p < n; p++) f[p] = (float)v[p];
    *out = f;
    return STATUS_OK;
}

/* Divisors of the base frequencies, for any static scaling */
static enum status tensor_keys(const struct rope *block, const double *f, double a, struct rope_runtime *out,
                               struct arena *mem, struct error *err)
{
    int64_t n = block->dim / 2;
    *out = (struct rope_runtime){.scaling = ROPE_SCALING_LINEAR,
                                 .freq_base = (float)block->theta,
                                 .attn_factor = close_to(a, 1) ? 1 : (float)a,
                                 .n_ctx_orig = rope_original_context(block)};
    if (block->type == ROPE_LONGROPE && block->n_baked == 0) {
        out->scaling = ROPE_SCALING_LONGROPE;
        out->scaling_given = true;
        TRY(to_floats(block->short_factors, n, &out->short_factors, mem, err));
        return to_floats(block->long_factors, n, &out->long_factors, mem, err);
    }
    float *q = arena_array(mem, (uint64_t)n, sizeof *q);
    if (!q) return error_nomem(err, (size_t)n * sizeof *q);
    for (int64_t p = 0; p < n; p++)
        q[p] = (float)(pow(block->theta, -2 * (double)p / (double)block->dim) / f[p]);
    out->freqs = q;
    return STATUS_OK;
}

static enum status choose(const struct rope *block, bool has_tensors, const double *f, double a,
                          struct rope_runtime *out, bool *exact, struct arena *mem, struct error *err)
{
    *out = plain_keys(block, f, a);
    TRY(rope_runtime_matches(out, block, exact, err));
    if (*exact || !has_tensors) return STATUS_OK;
    struct rope_runtime tensors;
    TRY(tensor_keys(block, f, a, &tensors, mem, err));
    TRY(rope_runtime_matches(&tensors, block, exact, err));
    if (*exact) *out = tensors;
    return STATUS_OK;
}

enum status rope_runtime_choose(const struct rope *block, bool has_tensors, struct rope_runtime *out, bool *exact,
                                struct arena *mem, struct error *err)
{
    struct rope plain = *block;
    plain.runtime = NULL;
    TRY(rope_check(&plain, err));
    void *p;
    TRY(mem_alloc(&p, (uint64_t)(block->dim / 2), sizeof(double), err));
    double *f = p, a;
    enum status st = rope_frequencies(&plain, 1, f, &a, err);
    if (st == STATUS_OK) st = choose(&plain, has_tensors, f, a, out, exact, mem, err);
    free(f);
    return st;
}

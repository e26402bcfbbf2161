#include "inspect/rope_words.h"

#include "models/rope_runtime.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static double original(const struct rope *r)
{
    return (double)rope_original_context(r);
}

/* yarn and longrope may leave it to the two lengths */
static double factor(const struct rope *r)
{
    if (r->factor != 0) return r->factor;
    return original(r) > 0 ? (double)r->n_ctx / original(r) : 0;
}

/* What cos and sin are multiplied by; 1 if it cannot be told. */
static double attention_factor(const struct rope *r, struct buf *out)
{
    struct error ignored;
    double a = 1, *f = malloc((size_t)r->dim * sizeof *f);
    out->failed |= !f;
    if (!f || rope_frequencies(r, r->n_ctx > 0 ? r->n_ctx : 1, f, &a, &ignored) != STATUS_OK) a = 1;
    free(f);
    return a;
}

static void attention_words(const struct rope *r, struct buf *out)
{
    double a = attention_factor(r, out);
    if (a != 1) buf_printf(out, "; cos and sin times %.6g", a);
}

static void range_words(const double *v, int64_t n, struct buf *out)
{
    double lo = n ? v[0] : 0, hi = lo;
    for (int64_t i = 1; i < n; i++) {
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    buf_printf(out, "%.4g to %.4g", lo, hi);
}

/* ---- the types of scaling ---- */

static void linear_words(const struct rope *r, struct buf *out)
{
    buf_printf(out, "; linear scaling: positions are divided by %g", r->factor);
}

static void dynamic_words(const struct rope *r, struct buf *out)
{
    buf_printf(out, "; dynamic NTK scaling, factor %g: the base grows with the length of a text beyond %.0f positions", r->factor,
               original(r));
}

static void yarn_words(const struct rope *r, struct buf *out)
{
    double fast = r->beta_fast != 0 ? r->beta_fast : 32, slow = r->beta_slow != 0 ? r->beta_slow : 1;
    buf_printf(out,
               "; YaRN scaling, factor %g over %.0f original positions: frequencies that turn at least %g times over those stay, those that turn at most "
               "%g times are divided by %g, a ramp between%s",
               factor(r), original(r), fast, slow, factor(r), r->no_truncate ? " (ends not rounded)" : "");
    attention_words(r, out);
}

static void longrope_words(const struct rope *r, struct buf *out)
{
    buf_printf(out, "; LongRoPE scaling, factor %g over %.0f original positions: each frequency has a divisor of its own, short ones (", factor(r),
               original(r));
    range_words(r->short_factors, r->n_factors, out);
    buf_puts(out, ") up to that length, long ones (");
    range_words(r->long_factors, r->n_factors, out);
    buf_puts(out, ") beyond");
    attention_words(r, out);
}

static void llama3_words(const struct rope *r, struct buf *out)
{
    double o = original(r);
    buf_printf(out,
               "; llama3 scaling, factor %g over %.0f original positions: wavelengths below %g positions stay, those above %g are divided by %g, a "
               "mixture between (high_freq_factor %g, low_freq_factor %g)",
               r->factor, o, o / r->high_freq_factor, o / r->low_freq_factor, r->factor, r->high_freq_factor, r->low_freq_factor);
}

static void (*const words[ROPE_TYPE_COUNT])(const struct rope *r, struct buf *out) = {
    [ROPE_LINEAR] = linear_words,     [ROPE_DYNAMIC] = dynamic_words, [ROPE_YARN] = yarn_words,
    [ROPE_LONGROPE] = longrope_words, [ROPE_LLAMA3] = llama3_words,
};

/* ---- a runtime's keys and tensors, which count where they differ from a block or there is none ---- */

static void divisors_words(const char *what, const float *f, int64_t n, struct buf *out)
{
    float lo = f[0], hi = f[0];
    for (int64_t i = 1; i < n; i++) {
        lo = fminf(lo, f[i]);
        hi = fmaxf(hi, f[i]);
    }
    buf_printf(out, "; each frequency has a divisor of its own in %s (%.4g to %.4g)", what, (double)lo, (double)hi);
}

static void runtime_words(const struct rope_runtime *k, int64_t dim, struct buf *out)
{
    double s = (double)k->factor;
    if (k->scaling == ROPE_SCALING_YARN)
        buf_printf(out, "; YaRN scaling as llama.cpp computes it, factor %g over %" PRId64 " original positions", s, k->n_ctx_orig);
    else if (k->scaling == ROPE_SCALING_LONGROPE)
        buf_printf(out, "; LongRoPE scaling over %" PRId64 " original positions", k->n_ctx_orig);
    else if (k->scaling != ROPE_SCALING_NONE && s != 0 && s != 1)
        buf_printf(out, "; linear scaling: positions are divided by %g", s);
    if (k->freqs && dim > 1) divisors_words("rope_freqs", k->freqs, dim / 2, out);
    if (k->short_factors && dim > 1) divisors_words("rope_factors_short", k->short_factors, dim / 2, out);
    if (k->long_factors && dim > 1) divisors_words("rope_factors_long", k->long_factors, dim / 2, out);
    if (k->attn_factor != 1 && k->attn_factor != 0) buf_printf(out, "; cos and sin times %g", (double)k->attn_factor);
}

void rope_words(const struct hparams *h, struct buf *out)
{
    const struct rope *r = &h->rope;
    if (r->type == ROPE_NONE) {
        buf_puts(out, "learned positions, no rotary embedding");
        return;
    }
    buf_printf(out, "rope %s, base %g, %" PRId64 " of a head's %" PRId64 " dimensions", rope_type_name(r->type), r->theta, r->dim,
               h->head_dim);
    if (r->runtime)
        runtime_words(r->runtime, r->dim, out);
    else if (words[r->type])
        words[r->type](r, out);
    if (r->n_baked > 0) buf_printf(out, "; fixed for %" PRId64 " positions", r->n_baked);
}

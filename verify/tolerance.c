#include "verify/tolerance.h"

#include <math.h>
#include <stdio.h>

/* Factors of the square root of the number of layers: errors of layers are independent and add up as squares do. The observations
 * behind them are in docs/numerics.md. */
#define ROUNDING_F32 5e-6 /* both sides' arithmetic; observed 1.6e-7 to 2.9e-7 */
#define ROUNDING_F64 1e-8 /* GGUF keeps epsilon and theta as floats; observed 1.7e-12 */
#define STORAGE      4.0  /* times the error of a weight; observed 0.3 to 1.4, in small random models up to 3.1 */
#define PROMISED     0.5  /* from this error of a weight on logits may be anything; observed 1.9 */
#define ANYTHING     4.0

/* Measured on normally distributed weights where this program has an encoder, else bounds from the step of the type. 1: nothing is
 * promised. tests/unit/test_verify.c holds the measured ones against the encoders. */
static const double type_errors[DTYPE_COUNT] = {
    [DTYPE_F64] = 0,          [DTYPE_F32] = 3e-8,       [DTYPE_F16] = 2.1e-4,    [DTYPE_BF16] = 1.7e-3,
    [DTYPE_F8_E4M3] = 2.7e-2, [DTYPE_F8_E5M2] = 5.3e-2, [DTYPE_Q8_0] = 5.3e-3,   [DTYPE_Q8_1] = 5.3e-3,
    [DTYPE_Q8_K] = 7e-3,      [DTYPE_Q6_K] = 1.8e-2,    [DTYPE_Q5_0] = 4.3e-2,   [DTYPE_Q5_1] = 4e-2,
    [DTYPE_Q5_K] = 3.7e-2,    [DTYPE_Q4_0] = 8.6e-2,    [DTYPE_Q4_1] = 8e-2,     [DTYPE_Q4_K] = 7.5e-2,
    [DTYPE_IQ4_NL] = 8e-2,    [DTYPE_IQ4_XS] = 8e-2,    [DTYPE_MXFP4] = 0.13,    [DTYPE_NVFP4] = 0.11,
    [DTYPE_Q3_K] = 0.16,      [DTYPE_IQ3_S] = 0.167,    [DTYPE_IQ3_XXS] = 0.214, [DTYPE_Q2_K] = 0.3,
    [DTYPE_IQ2_S] = 0.3,      [DTYPE_IQ2_XS] = 0.33,    [DTYPE_IQ2_XXS] = 0.36,  [DTYPE_IQ1_S] = 0.5,
    [DTYPE_IQ1_M] = 0.58,     [DTYPE_TQ1_0] = 0.81,     [DTYPE_TQ2_0] = 0.81,    [DTYPE_Q1_0] = 0.6,
    [DTYPE_Q2_0] = 0.72,
};

double tolerance_type_error(enum dtype t)
{
    bool listed = (unsigned)t < DTYPE_COUNT && (type_errors[t] > 0 || t == DTYPE_F64);
    return listed ? type_errors[t] : 1;
}

/* Pairs of types where the second holds the values of the first: all of them, or all but the tiny ones. */
static const struct {
    enum dtype narrow, wide;
    double error;
} inclusions[] = {
    {DTYPE_F16, DTYPE_F32, 0},      {DTYPE_BF16, DTYPE_F32, 0},
    {DTYPE_F8_E4M3, DTYPE_F32, 0},  {DTYPE_F8_E5M2, DTYPE_F32, 0},
    {DTYPE_F8_E4M3, DTYPE_F16, 0},  {DTYPE_F8_E5M2, DTYPE_F16, 0},
    {DTYPE_F8_E4M3, DTYPE_BF16, 0}, {DTYPE_F8_E5M2, DTYPE_BF16, 0},
    {DTYPE_BF16, DTYPE_F16, 1e-6}, /* below 6e-5 half precision has fewer bits; 3e-8 is the step */
};

/* Two block types may both come from a common original. */
double tolerance_cast_error(enum dtype x, enum dtype y)
{
    if (x == y || y == DTYPE_F64) return 0;
    for (size_t i = 0; i < sizeof inclusions / sizeof *inclusions; i++)
        if (inclusions[i].narrow == x && inclusions[i].wide == y) return inclusions[i].error;
    bool both_blocks = dtype_info(x)->block_len > 1 && dtype_info(y)->block_len > 1;
    return both_blocks ? hypot(tolerance_type_error(x), tolerance_type_error(y)) : tolerance_type_error(y);
}

/* The weight of m with the role of w; the embedding stands in for an output matrix that is tied. */
static const struct weight *partner(const struct model *m, const struct weight *w)
{
    const struct weight *p = model_weight(m, w->rule->role, w->layer, w->rule->part);
    if (!p && w->rule->role == ROLE_OUTPUT) p = model_weight(m, ROLE_TOKEN_EMBD, -1, w->rule->part);
    return p;
}

struct pair {
    const struct model *a, *b;
};
struct worst {
    double error;
    enum dtype a, b;
    bool rescaled;
};

/* Small floats times scales have the digits of the product. */
static enum dtype value_type(const struct model *m, const struct weight *w)
{
    return model_scale(m, w->t) ? DTYPE_F32 : w->t->t->dtype;
}

/* Between a checkpoint and a GGUF whose runtime has a fixed attention scale, queries differ by a factor; all but powers of two round. */
static bool rescaled(const struct pair *p, const struct weight *a)
{
    if (p->a->is_gguf == p->b->is_gguf || !a->rule->scaled) return false;
    int exponent;
    const struct model *source = p->a->is_gguf ? p->b : p->a;
    return frexp(hparams_scale_ratio(&source->hp, a->layer), &exponent) != 0.5;
}

static double weight_error(const struct pair *p, const struct weight *a, const struct weight *b)
{
    enum dtype x = value_type(p->a, a), y = value_type(p->b, b);
    return rescaled(p, a) ? fmax(tolerance_cast_error(x, y), tolerance_type_error(y)) : tolerance_cast_error(x, y);
}

double tolerance_weight_error(const struct model *ma, const struct weight *a, const struct model *mb,
                              const struct weight *b)
{
    return weight_error(&(struct pair){ma, mb}, a, b);
}

static void consider(struct worst *worst, const struct pair *p, const struct weight *a,
                     const struct weight *b)
{
    if (!a || !b) return;
    double error = weight_error(p, a, b);
    if (error > worst->error)
        *worst = (struct worst){error, value_type(p->a, a), value_type(p->b, b), rescaled(p, a)};
}

void tolerance_default(struct tolerance *t, const struct model *a, const struct model *b,
                       enum precision precision)
{
    struct worst worst = {0};
    const struct pair p = {a, b};
    for (size_t i = 0; i < a->n_weights; i++)
        consider(&worst, &p, &a->weights[i], partner(b, &a->weights[i]));
    for (size_t i = 0; i < b->n_weights; i++)
        if (b->weights[i].rule->role == ROLE_OUTPUT)
            consider(&worst, &p, partner(a, &b->weights[i]), &b->weights[i]);

    double depth = sqrt((double)a->hp.n_layer);
    double rounding = (precision == PRECISION_F64 ? ROUNDING_F64 : ROUNDING_F32) * depth;
    double storage = STORAGE * worst.error * depth;
    t->value = worst.error < PROMISED ? rounding + storage / (1 + storage / 2) : ANYTHING;
    t->lossy = worst.error > 0;
    if (worst.error >= PROMISED)
        snprintf(t->reason, sizeof t->reason, "%s weights of A are %s in B, about %.2g %% off: logits may be anything",
                 dtype_info(worst.a)->name, dtype_info(worst.b)->name, 100 * worst.error);
    else if (worst.error > 0)
        snprintf(t->reason, sizeof t->reason,
                 "%s weights of A are %s in B%s, about %.2g %% off, over %lld layers",
                 dtype_info(worst.a)->name, dtype_info(worst.b)->name,
                 worst.rescaled ? " and multiplied by another attention scale" : "", 100 * worst.error,
                 (long long)a->hp.n_layer);
    else
        snprintf(t->reason, sizeof t->reason,
                 "B can hold every value of A (the original): only %s rounding over %lld layers is allowed",
                 precision == PRECISION_F64 ? "F64" : "F32", (long long)a->hp.n_layer);
}

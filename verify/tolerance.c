#include "verify/tolerance.h"

#include <math.h>
#include <stdio.h>

/* Measured on normally distributed weights where this program has an encoder, else bounds from the step of the type. 1: nothing is
 * promised. tests/unit/test_verify.c holds the measured ones against the encoders. */
static const double type_errors[DTYPE_COUNT] = {
    [DTYPE_F64] = 0,          [DTYPE_F32] = 3e-8,       [DTYPE_F16] = 2.1e-4,   [DTYPE_BF16] = 1.7e-3,
    [DTYPE_F8_E4M3] = 2.7e-2, [DTYPE_F8_E5M2] = 5.3e-2, [DTYPE_Q8_0] = 5.3e-3,  [DTYPE_Q8_1] = 5.3e-3,
    [DTYPE_Q8_K] = 7e-3,      [DTYPE_Q6_K] = 1.8e-2,    [DTYPE_Q5_0] = 4.3e-2,  [DTYPE_Q5_1] = 4e-2,
    [DTYPE_Q5_K] = 3.7e-2,    [DTYPE_Q4_0] = 8.6e-2,    [DTYPE_Q4_1] = 8e-2,    [DTYPE_Q4_K] = 7.5e-2,
    [DTYPE_IQ4_NL] = 8e-2,    [DTYPE_IQ4_XS] = 8e-2,    [DTYPE_MXFP4] = 0.13,   [DTYPE_NVFP4] = 0.11,
    [DTYPE_Q3_K] = 0.16,      [DTYPE_IQ3_S] = 0.16,     [DTYPE_IQ3_XXS] = 0.2,  [DTYPE_Q2_K] = 0.3,
    [DTYPE_IQ2_S] = 0.3,      [DTYPE_IQ2_XS] = 0.33,    [DTYPE_IQ2_XXS] = 0.36, [DTYPE_IQ1_S] = 0.5,
    [DTYPE_IQ1_M] = 0.5,      [DTYPE_TQ1_0] = 0.5,      [DTYPE_TQ2_0] = 0.5,    [DTYPE_Q1_0] = 0.6,
    [DTYPE_Q2_0] = 0.4,
};

double tolerance_type_error(enum dtype t)
{
    bool listed = (unsigned)t < DTYPE_COUNT && (type_errors[t] > 0 || t == DTYPE_F64);
    return listed ? type_errors[t] : 1;
}

/* Types whose every value the other holds: pairs {narrow, wide} */
static const struct {
    enum dtype narrow, wide;
} inclusions[] = {
    {DTYPE_F16, DTYPE_F32},      {DTYPE_BF16, DTYPE_F32},     {DTYPE_F8_E4M3, DTYPE_F32},
    {DTYPE_F8_E5M2, DTYPE_F32},  {DTYPE_F8_E4M3, DTYPE_F16},  {DTYPE_F8_E5M2, DTYPE_F16},
    {DTYPE_F8_E4M3, DTYPE_BF16}, {DTYPE_F8_E5M2, DTYPE_BF16},
};

static bool holds_every_value(enum dtype wide, enum dtype narrow)
{
    if (wide == narrow || wide == DTYPE_F64) return true;
    for (size_t i = 0; i < sizeof inclusions / sizeof *inclusions; i++)
        if (inclusions[i].narrow == narrow && inclusions[i].wide == wide) return true;
    return false;
}

/* The weight of m with the role of w; the embedding stands in for an output matrix that is tied. */
static const struct weight *partner(const struct model *m, const struct weight *w)
{
    const struct weight *p = model_weight(m, w->rule->role, w->layer, w->rule->part);
    if (!p && w->rule->role == ROLE_OUTPUT) p = model_weight(m, ROLE_TOKEN_EMBD, -1, w->rule->part);
    return p;
}

struct worst {
    double error;
    enum dtype a, b;
};

static void consider(struct worst *worst, const struct weight *a, const struct weight *b)
{
    if (!a || !b) return;
    enum dtype x = a->t->t->dtype, y = b->t->t->dtype;
    double error = holds_every_value(y, x) ? 0 : hypot(tolerance_type_error(x), tolerance_type_error(y));
    /* An exact original adds nothing of its own. */
    if (error > 0 && holds_every_value(x, y)) error = tolerance_type_error(y);
    if (error > worst->error) *worst = (struct worst){error, x, y};
}

void tolerance_default(struct tolerance *t, const struct model *a, const struct model *b,
                       enum precision precision)
{
    struct worst worst = {0};
    for (size_t i = 0; i < a->n_weights; i++) consider(&worst, &a->weights[i], partner(b, &a->weights[i]));
    for (size_t i = 0; i < b->n_weights; i++)
        if (b->weights[i].rule->role == ROLE_OUTPUT)
            consider(&worst, partner(a, &b->weights[i]), &b->weights[i]);

    double depth = sqrt((double)a->hp.n_layer);
    double rounding = (precision == PRECISION_F64 ? 1e-8 : 1e-5) * depth;
    const char *arithmetic = precision == PRECISION_F64 ? "F64" : "F32";
    t->value = rounding + 8 * worst.error;
    if (worst.error > 0)
        snprintf(t->reason, sizeof t->reason, "%s weights of A are %s in B", dtype_info(worst.a)->name,
                 dtype_info(worst.b)->name);
    else
        snprintf(t->reason, sizeof t->reason,
                 "B holds every value of A: rounding of %s arithmetic over %lld layers only", arithmetic,
                 (long long)a->hp.n_layer);
}

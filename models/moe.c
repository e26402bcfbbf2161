#include "models/moe.h"

#include "models/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Which experts each token goes to, and with what weights: n rows of hp->n_expert_used. */
struct choice {
    int64_t *expert;
    double *weight;
};

static double score(const struct forward *f, const struct act *scores, int64_t t, int64_t e)
{
    const void *at = ops_at(f, scores->data, t * scores->cols + e);
    double x = f->precision == PRECISION_F64 ? *(const double *)at : (double)*(const float *)at;
    return 1 / (1 + exp(-x));
}

/* The best of the experts that the token has not yet; the first of equals. */
static int64_t next_best(const struct forward *f, const struct act *scores, const double *bias, int64_t t,
                         const int64_t *taken, int64_t n_taken)
{
    int64_t best = -1;
    double most = 0;
    for (int64_t e = 0; e < scores->cols; e++) {
        bool free_one = true;
        for (int64_t k = 0; k < n_taken; k++) free_one = free_one && taken[k] != e;
        double s = score(f, scores, t, e) + (bias ? bias[e] : 0);
        if (free_one && (best < 0 || s > most)) best = e, most = s;
    }
    return best;
}

static void choose(const struct forward *f, const struct act *scores, const double *bias, struct choice *c)
{
    const struct hparams *hp = &f->model->hp;
    int64_t n_used = hp->n_expert_used;
    for (int64_t t = 0; t < f->n; t++) {
        int64_t *expert = c->expert + t * n_used;
        double *weight = c->weight + t * n_used, sum = 0;
        for (int64_t k = 0; k < n_used; k++) {
            expert[k] = next_best(f, scores, bias, t, expert, k);
            weight[k] = score(f, scores, t, expert[k]); /* without the bias */
            sum += weight[k];
        }
        for (int64_t k = 0; k < n_used; k++)
            weight[k] = (hp->expert_norm ? weight[k] / (sum + 1e-20) : weight[k]) * hp->expert_scale;
    }
}

static enum status expert_linear(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                                 int64_t expert, struct error *err)
{
    const struct weight *w = model_weight(f->model, r, layer, PART_WEIGHT);
    if (!w)
        return error_at(err, STATUS_NOTFOUND, f->model->ckpt->path, NULL, "layer %lld has no %s", (long long)layer,
                        role_name(r));
    if (f->before_linear) TRY(f->before_linear(f->linear_ctx, w, expert, src, err));
    const struct linear p = {
        .w = w->n_experts ? w->experts[expert] : w->t,
        .row0 = w->n_experts ? 0 : expert * dst->cols,
        .is_part = !w->n_experts,
        .x = src->data,
        .n_pos = src->rows,
        .n_in = src->cols,
        .n_out = dst->cols,
        .out = dst->data,
    };
    return linear_run(f, &p, err);
}

/* sum += weights * the expert's results for the tokens that chose it */
static enum status run_expert(struct forward *f, struct act *sum, const struct act *src, const struct choice *c,
                              int64_t layer, int64_t expert, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    const struct real_ops *ops = f->state->ops;
    struct act in, gate, up, out;
    size_t row_bytes = (size_t)src->cols * ops->size;
    int64_t n_used = hp->n_expert_used, n = 0;
    TRY(op_scratch(f, 1, hp->n_ff_expert, &gate, err));
    TRY(op_scratch(f, 2, hp->n_ff_expert, &up, err));
    TRY(op_scratch(f, 3, src->cols, &in, err));
    TRY(op_scratch(f, 4, src->cols, &out, err));
    for (int64_t i = 0; i < f->n * n_used; i++)
        if (c->expert[i] == expert)
            memcpy(ops_at(f, in.data, n++ * src->cols), ops_at(f, src->data, i / n_used * src->cols), row_bytes);
    if (n == 0) return STATUS_OK;
    in.rows = gate.rows = up.rows = out.rows = n;
    TRY(expert_linear(f, &gate, &in, ROLE_FFN_GATE_EXPS, layer, expert, err));
    TRY(expert_linear(f, &up, &in, ROLE_FFN_UP_EXPS, layer, expert, err));
    TRY(op_gate(f, &gate, &up, hp->activation, err));
    TRY(expert_linear(f, &out, &gate, ROLE_FFN_DOWN_EXPS, layer, expert, err));
    n = 0;
    for (int64_t i = 0; i < f->n * n_used; i++) {
        if (c->expert[i] != expert) continue;
        void *row = ops_at(f, out.data, n++ * src->cols);
        ops->scale(row, src->cols, c->weight[i]);
        ops->add(ops_at(f, sum->data, i / n_used * src->cols), row, src->cols);
    }
    return STATUS_OK;
}

static enum status run_shared(struct forward *f, struct act *sum, const struct act *src, int64_t layer,
                              struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act gate, up, out;
    if (!model_weight(f->model, ROLE_FFN_GATE_SHEXP, layer, PART_WEIGHT)) return STATUS_OK;
    TRY(op_scratch(f, 1, hp->n_ff_shared, &gate, err));
    TRY(op_scratch(f, 2, hp->n_ff_shared, &up, err));
    TRY(op_scratch(f, 4, src->cols, &out, err));
    const struct projection to[] = {{&gate, ROLE_FFN_GATE_SHEXP}, {&up, ROLE_FFN_UP_SHEXP}};
    TRY(op_linears(f, src, to, 2, layer, false, err));
    TRY(op_gate(f, &gate, &up, hp->activation, err));
    TRY(op_linear(f, &out, &gate, ROLE_FFN_DOWN_SHEXP, layer, false, err));
    TRY(op_tap(f, "ffn_shared", layer, &out, err));
    return op_add(f, sum, &out, err);
}

static enum status run_all(struct forward *f, struct act *sum, const struct act *src, double *bias, struct choice *c,
                           int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    const struct weight *b = model_weight(f->model, ROLE_EXP_PROBS_B, layer, PART_BIAS);
    struct act scores;
    TRY(op_scratch(f, 6, hp->n_expert, &scores, err));
    TRY(op_linear(f, &scores, src, ROLE_FFN_GATE_INP, layer, false, err));
    TRY(op_tap(f, "ffn_router", layer, &scores, err));
    if (b) TRY(ops_read_doubles(f, b->t, hp->n_expert, bias, err));
    choose(f, &scores, b ? bias : NULL, c);
    memset(sum->data, 0, (size_t)(f->n * sum->cols) * f->state->ops->size);
    for (int64_t e = 0; e < hp->n_expert; e++) TRY(run_expert(f, sum, src, c, layer, e, err));
    TRY(op_tap(f, "ffn_experts", layer, sum, err));
    return run_shared(f, sum, src, layer, err);
}

enum status moe_run(struct forward *f, struct act *dst, const struct act *src, int64_t layer, struct error *err)
{
    const struct hparams *hp = &f->model->hp;
    struct act sum;
    void *bias, *expert = NULL, *weight = NULL;
    uint64_t n = (uint64_t)f->n * (uint64_t)hp->n_expert_used;
    TRY(op_scratch(f, 5, src->cols, &sum, err));
    TRY(mem_alloc(&bias, (uint64_t)hp->n_expert, sizeof(double), err));
    enum status st = mem_alloc(&expert, n, sizeof(int64_t), err);
    if (st == STATUS_OK) st = mem_alloc(&weight, n, sizeof(double), err);
    struct choice c = {expert, weight};
    if (st == STATUS_OK) st = run_all(f, &sum, src, bias, &c, layer, err);
    if (st == STATUS_OK) memcpy(dst->data, sum.data, (size_t)(f->n * src->cols) * f->state->ops->size);
    free(bias);
    free(expert);
    free(weight);
    return st == STATUS_OK ? op_tap(f, "ffn_out", layer, dst, err) : st;
}

#include "verify/hypotheses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NORMS "attn_norm q_norm k_norm ffn_norm attn_post_norm ffn_post_norm residual norm"
static const struct hypothesis {
    const char *cause, *taps;
    hypothesis_fn *test;
} table[] = {
    {"row_order", "q k", hypothesis_row_order},
    {"head_grouping", "q k v", hypothesis_head_grouping},
    {"halves_swapped", "q k v ffn_gate ffn_up", hypothesis_halves_swapped},
    {"transpose", "q k v attn_out ffn_gate ffn_up ffn_out", hypothesis_transpose},
    {"missing_bias", "q k v attn_out ffn_gate ffn_up ffn_out logits " NORMS, hypothesis_missing_bias},
    {"norm_offset", NORMS, hypothesis_norm_offset},
    {"epsilon", NORMS, hypothesis_epsilon},
    {"rope_base", "q_rope k_rope", hypothesis_rope_base},
    {"rope_dim", "q_rope k_rope", hypothesis_rope_dim},
    {"rope_scaling", "q_rope k_rope", hypothesis_rope_scaling},
    {"window", "attn_mix", hypothesis_window},
    {"activation", "ffn_act", hypothesis_activation},
    {"head_tying", "logits", hypothesis_head_tying},
    {"row_offset", "embd", hypothesis_embedding_offset},
    {"row_offset", "logits", hypothesis_output_offset},
};

/* Factor that brings B's numbers closest to A's, both without the columns' means. */
static double best_factor(const struct suspect *s)
{
    int64_t rows = s->want->rows, cols = s->want->cols;
    double xy = 0, yy = 0;
    for (int64_t c = 0; c < cols; c++) {
        double sum_x = 0, sum_y = 0, c_xy = 0, c_yy = 0;
        for (int64_t t = 0; t < rows; t++) {
            double x = suspect_get(s, s->want->data, t * cols + c), y = suspect_get(s, s->got, t * cols + c);
            sum_x += x;
            sum_y += y;
            c_xy += x * y;
            c_yy += y * y;
        }
        xy += c_xy - sum_x * sum_y / (double)rows;
        yy += c_yy - sum_y * sum_y / (double)rows;
    }
    return yy > 0 ? xy / yy : 0;
}

/* What can be said of a difference that no hypothesis explains. */
static enum status describe(const struct suspect *s, char *why, struct error *err)
{
    int64_t n = s->want->rows * s->want->cols;
    double factor = best_factor(s);
    void *data;
    snprintf(why, 256, "no repair that is known fits");
    TRY(mem_alloc(&data, (uint64_t)n, suspect_number_bytes(s), err));
    for (int64_t i = 0; i < n; i++) suspect_put(s, data, i, suspect_get(s, s->got, i) * factor);
    if (s->only_offset)
        snprintf(why, 256,
                 "no repair that is known fits; the difference is the same at every position, as that of a "
                 "bias is");
    else if (factor != 0 && suspect_fits(s, data))
        snprintf(why, 256, "no repair that is known fits; B's numbers are A's times %.6g", 1 / factor);
    free(data);
    return STATUS_OK;
}

static enum status find_offset(struct suspect *s, struct error *err)
{
    void *data;
    size_t n = (size_t)(s->want->rows * s->want->cols) * suspect_number_bytes(s);
    TRY(mem_alloc(&data, n, 1, err));
    memcpy(data, s->got, n);
    suspect_take_offset(s, s->want->data, data);
    s->only_offset = s->want->rows >= 8 && suspect_near(s, s->want->data, data);
    free(data);
    return STATUS_OK;
}

enum status hypotheses_try(struct suspect *s, struct trace_result *out, struct error *err)
{
    out->cause = "unknown";
    snprintf(out->explanation, sizeof out->explanation, "no repair that is known fits");
    if (!s->want || !isfinite(out->first.distance.worst)) return STATUS_OK;
    TRY(find_offset(s, err));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[256] = "";
        bool fits = false;
        if (!suspect_is_tap(s, table[i].taps)) continue;
        TRY(table[i].test(s, &fits, why, err));
        if (!fits) continue;
        out->cause = table[i].cause;
        snprintf(out->explanation, sizeof out->explanation, "%s", why);
        return STATUS_OK;
    }
    return describe(s, out->explanation, err);
}

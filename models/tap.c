/* Taps of what two files of one model lay out differently: heads and halves are shown in one order, whatever the file's. */
#include "models/ops.h"

#include <string.h>

/* Column of the raw matrix that holds column c of the canonical one. */
typedef int64_t column_map(const void *ctx, const struct forward *f, int64_t c);

static void copy_number(const struct forward *f, void *dst, const void *src, double factor)
{
    if (f->precision == PRECISION_F64)
        *(double *)dst = *(const double *)src * factor;
    else
        *(float *)dst = factor == 1 ? *(const float *)src : (float)((double)*(const float *)src * factor);
}

/* The tap sees columns put in order (times `factor`), and what it leaves in them goes back. */
static enum status tap_mapped(struct forward *f, const char *tap, int64_t layer, struct act *a, int64_t cols,
                              column_map *map, const void *ctx, double factor, struct error *err)
{
    if (!f->tap) return STATUS_OK;
    struct buffer *b = &f->state->tapped;
    TRY(buffer_reserve(b, (uint64_t)a->rows * f->state->ops->size, (uint64_t)cols, err));
    struct act view = {.rows = a->rows, .cols = cols, .data = b->data};
    for (int64_t c = 0; c < cols; c++) {
        int64_t from = map(ctx, f, c);
        for (int64_t t = 0; t < a->rows; t++)
            copy_number(f, ops_at(f, view.data, t * cols + c), ops_at(f, a->data, t * a->cols + from),
                        factor);
    }
    TRY(op_tap(f, tap, layer, &view, err));
    for (int64_t c = 0; f->tap_changes && c < cols; c++) {
        int64_t to = map(ctx, f, c);
        for (int64_t t = 0; t < a->rows; t++)
            copy_number(f, ops_at(f, a->data, t * a->cols + to), ops_at(f, view.data, t * cols + c),
                        1 / factor);
    }
    return STATUS_OK;
}

/* --- heads --- */

/* Inside the rotated part(s) of a head: first members of all pairs, then second ones. */
static int64_t in_head(const struct forward *f, int64_t i, bool rotated)
{
    const struct hparams *hp = &f->model->hp;
    int64_t r = f->tap_rope_dim ? f->tap_rope_dim : hp->rope.dim, parts = hp->position_2d ? 2 : 1;
    bool pairs =
        hp->rope.type != ROPE_NONE && !hp->rope_halves && f->model->dialect->rope_style == ROPE_PAIRS;
    if (!rotated || !pairs || i >= parts * r) return i;
    int64_t part = i / r, j = i % r;
    return part * r + (j < r / 2 ? 2 * j : 2 * (j - r / 2) + 1);
}

static int64_t query_columns(const void *ctx, const struct forward *f, int64_t c)
{
    const struct attention *at = ctx;
    return at->q_col0 + attention_query_column(at, c / at->head_dim) + in_head(f, c % at->head_dim, true);
}

static int64_t key_columns(const void *ctx, const struct forward *f, int64_t c)
{
    const struct attention *at = ctx;
    return at->k_col0 + attention_key_column(at, c / at->head_dim) + in_head(f, c % at->head_dim, true);
}

static int64_t value_columns(const void *ctx, const struct forward *f, int64_t c)
{
    const struct attention *at = ctx;
    return at->v_col0 + attention_key_column(at, c / at->head_dim) + in_head(f, c % at->head_dim, false);
}

enum status op_tap_queries(struct forward *f, const char *tap, int64_t layer, struct act *a,
                           const struct attention *at, struct error *err)
{
    return tap_mapped(f, tap, layer, a, at->n_head * at->head_dim, query_columns, at, at->scale, err);
}

enum status op_tap_keys(struct forward *f, const char *tap, int64_t layer, struct act *a,
                        const struct attention *at, struct error *err)
{
    return tap_mapped(f, tap, layer, a, at->n_head_kv * at->head_dim, key_columns, at, 1, err);
}

enum status op_tap_values(struct forward *f, const char *tap, int64_t layer, struct act *a,
                          const struct attention *at, struct error *err)
{
    return tap_mapped(f, tap, layer, a, at->n_head_kv * at->head_dim, value_columns, at, 1, err);
}

/* --- halves --- */

static int64_t shifted(const void *ctx, const struct forward *f, int64_t c)
{
    (void)f;
    return c + *(const int64_t *)ctx;
}

enum status op_tap_columns(struct forward *f, const char *tap, int64_t layer, struct act *a, int64_t col0,
                           int64_t cols, struct error *err)
{
    return tap_mapped(f, tap, layer, a, cols, shifted, &col0, 1, err);
}

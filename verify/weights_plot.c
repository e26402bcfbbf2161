#include "verify/weights_plot.h"

#include "base/options.h"

#include <math.h>
#include <stdio.h>

/* Roles that have a colour, most often asked about first */
static const enum role roles_shown[DRAWING_SERIES] = {ROLE_ATTN_Q,   ROLE_ATTN_K, ROLE_ATTN_V,  ROLE_ATTN_OUTPUT,
                                                      ROLE_FFN_DOWN, ROLE_FFN_UP, ROLE_FFN_GATE};
static const enum role fused_roles[DRAWING_SERIES] = {ROLE_ATTN_QKV,      ROLE_COUNT,        ROLE_COUNT,         ROLE_COUNT,
                                                      ROLE_FFN_DOWN_EXPS, ROLE_FFN_UP_EXPS, ROLE_FFN_GATE_EXPS};

static bool shows(const struct weight_result *w, int i)
{
    return !w->is_vector && w->layer >= 0 && w->dtype_a && w->dtype_b && (w->role == roles_shown[i] || w->role == fused_roles[i]);
}

/* Layers that have tensors which both sides have */
static int64_t count_layers(const struct weights_report *r)
{
    int64_t n = 0;
    for (size_t i = 0; i < r->n; i++) n = r->items[i].layer >= n ? r->items[i].layer + 1 : n;
    return n;
}

struct layers {
    const struct weights_report *r;
    int64_t n;
    double *x, *all; /* all: of every role, one behind the other */
};

/* One line per role: distance of its matrix in each layer, the largest where there are several */
static void add_role(struct drawing *d, const struct layers *l, int i)
{
    double *y = l->all + i * l->n;
    const struct weight_result *any = NULL;
    for (int64_t k = 0; k < l->n; k++) y[k] = (double)NAN;
    for (size_t k = 0; k < l->r->n; k++) {
        const struct weight_result *w = &l->r->items[k];
        if (!shows(w, i)) continue;
        y[w->layer] = isnan(y[w->layer]) ? w->rel : fmax(y[w->layer], w->rel);
        any = w;
    }
    enum chart_mark mark = l->n > 1 ? CHART_LINE : CHART_DOTS;
    if (any) drawing_series(d, &(struct chart_series){role_name(any->role), mark, INK_SERIES + i, l->x, y, (size_t)l->n});
}

/* A matrix that stands out does so among its likes. */
void weights_panel(struct drawing *d, const struct weights_report *r)
{
    struct layers l = {.r = r, .n = count_layers(r)};
    l.x = drawing_numbers(d, l.n);
    l.all = drawing_numbers(d, l.n * DRAWING_SERIES);
    if (l.n == 0 || d->failed) return;
    for (int64_t k = 0; k < l.n; k++) l.x[k] = (double)k;
    struct chart *c = drawing_panel(d, "How far each layer's matrices are from the original's", 260);
    for (int i = 0; i < DRAWING_SERIES; i++) add_role(d, &l, i);
    drawing_count_axis(&c->x, "layer", l.n);
    drawing_log_axis(&c->y, "rms(\u0394w) of rms(w)", l.all, l.n * DRAWING_SERIES);
}

static void say_what(struct drawing *d, const struct weights_report *r, const char *path_a, const char *path_b)
{
    size_t count[WEIGHT_EXTRA + 1] = {0};
    char a[160], b[160];
    drawing_file_name(path_a, a, sizeof a);
    drawing_file_name(path_b, b, sizeof b);
    snprintf(d->title, sizeof d->title, "how far the weights of %s (B) are from those of %s (A)", b, a);
    int n = snprintf(d->subtitle, sizeof d->subtitle, "%s: %zu tensors", r->n_different == 0 ? "agree" : "differ", r->n);
    for (size_t i = 0; i < r->n; i++) count[r->items[i].verdict]++;
    for (int v = 0; v <= WEIGHT_EXTRA; v++)
        if (count[v] > 0)
            n += snprintf(d->subtitle + n, sizeof d->subtitle - (size_t)n, ", %zu %s", count[v],
                          weight_verdict_name((enum weight_verdict)v));
    drawing_caption(d, "what is equal lies at the lower edge");
}

enum status weights_plot_png(const struct weights_report *r, const char *path_a, const char *path_b, struct buf *out,
                             struct error *err)
{
    struct drawing *d;
    char software[64];
    TRY(drawing_new(&d, err));
    weights_panel(d, r);
    say_what(d, r, path_a, path_b);
    snprintf(software, sizeof software, "lathe-verify %s", lathe_version);
    const struct png_note notes[] = {{"Title", d->title}, {"Description", d->subtitle}, {"Software", software}};
    enum status st = drawing_encode(d, notes, sizeof notes / sizeof *notes, out, err);
    drawing_free(d);
    return st;
}

#include "verify/verify_plot.h"

#include "base/options.h"
#include "verify/drawing.h"
#include "verify/weights_plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    BINS_PER_DECADE = 8,
    WINDOWS_SHOWN = 64, /* borders of windows are drawn up to here */
    TOKEN_BYTES = 20
};

/* What is drawn of a report. Arrays are of positions. */
struct plot {
    struct drawing *d;
    const struct verify_report *r;
    int64_t n, n_bad; /* positions, and those that have no figures */
    int64_t n_below;  /* of KL, below the axis: 0 among them */
    double *x, *kl, *rel, *running;
    struct chart_flag flags[METRICS_WORST];
};

static int64_t n_windows(const struct plot *p)
{
    return (p->n - 1) / p->r->run->n_context + 1;
}

/* --- what is drawn of the points --- */

/* Mean over the w positions around each one */
static void running_mean(const double *v, double *out, int64_t n, int64_t w)
{
    double sum = 0;
    int64_t from = 0, to = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t first = i - w / 2 < 0 ? 0 : i - w / 2, last = i + w / 2 < n ? i + w / 2 + 1 : n;
        for (; to < last; to++)
            if (isfinite(v[to])) sum += v[to], count++;
        for (; from < first; from++)
            if (isfinite(v[from])) sum -= v[from], count--;
        out[i] = count > 0 ? fmax(sum, 0) / (double)count : (double)NAN;
    }
}

static int64_t running_width(int64_t n)
{
    int64_t w = n / 25;
    return w < 9 ? 9 : w | 1;
}

static bool take_points(struct plot *p)
{
    const struct metrics_point *points = p->r->points;
    double largest = p->r->result->max_abs_logit;
    p->x = drawing_numbers(p->d, p->n);
    p->kl = drawing_numbers(p->d, p->n);
    p->rel = drawing_numbers(p->d, p->n);
    p->running = drawing_numbers(p->d, p->n);
    if (p->d->failed) return false;
    for (int64_t i = 0; i < p->n; i++) {
        p->x[i] = (double)i;
        p->kl[i] = points[i].kl_ab;
        p->rel[i] = largest > 0 ? (double)points[i].max_abs_diff / largest : 0;
        p->n_bad += isnan(points[i].max_abs_diff);
    }
    running_mean(p->kl, p->running, p->n, running_width(p->n));
    return true;
}

/* --- panels --- */

static const char *position_label(const struct plot *p)
{
    return n_windows(p) > 1 ? "position, counted through all windows" : "position";
}

static void window_borders(struct plot *p)
{
    int64_t n = n_windows(p);
    for (int64_t i = 1; i < n && n <= WINDOWS_SHOWN; i++)
        drawing_rule(p->d, &(struct chart_rule){
                        .at = (double)(i * p->r->run->n_context) - 0.5, .vertical = true, .ink = INK_MASKED});
}

/* Positions without numbers stand at the upper edge, in the colour that is kept for them. */
static void bad_positions(struct plot *p)
{
    if (p->n_bad == 0) return;
    double *y = drawing_numbers(p->d, p->n);
    for (int64_t i = 0; y && i < p->n; i++) y[i] = isnan(p->r->points[i].max_abs_diff) ? (double)INFINITY : (double)NAN;
    if (y) drawing_series(p->d, &(struct chart_series){"NaN or infinite", CHART_DOTS, INK_NAN, p->x, y, (size_t)p->n});
}

static void flag_worst(struct plot *p, struct chart *c)
{
    const struct metrics_result *m = p->r->result;
    for (int i = 0; i < m->n_worst; i++) {
        const struct metrics_position *w = &m->worst[i];
        char word[TOKEN_BYTES + 64];
        words_quote(p->r->words, p->r->run->tokens->ids[w->position], TOKEN_BYTES, word, sizeof word);
        char *text = arena_printf(&p->d->mem, "%" PRId64 " %s", w->position, word);
        double y = w->n_bad_a || w->n_bad_b ? (double)INFINITY : w->kl_ab;
        if (text) p->flags[c->n_flags++] = (struct chart_flag){(double)w->position, y, text};
    }
    c->flags = p->flags;
}

static void kl_panel(struct plot *p)
{
    const struct metrics_spread *s = &p->r->result->kl_ab;
    struct chart *c = drawing_panel(p->d, "KL divergence at each position; the ten worst with the token that stands there", 380);
    drawing_count_axis(&c->x, position_label(p), p->n);
    drawing_log_axis(&c->y, "KL(A to B), nats", p->kl, p->n);
    for (int64_t i = 0; i < p->n; i++) p->n_below += p->kl[i] < c->y.lo;
    window_borders(p);
    drawing_series(p->d, &(struct chart_series){"each position", CHART_DOTS, INK_SERIES + 4, p->x, p->kl, (size_t)p->n});
    const char *name = drawing_line(p->d, "mean of %" PRId64 " positions around", running_width(p->n));
    drawing_series(p->d, &(struct chart_series){name, CHART_LINE, INK_SERIES, p->x, p->running, (size_t)p->n});
    bad_positions(p);
    drawing_rule(p->d, &(struct chart_rule){.at = s->mean, .ink = INK_SERIES + 2, .label = drawing_line(p->d, "mean %.3g", s->mean)});
    drawing_rule(p->d, &(struct chart_rule){.at = s->p99, .ink = INK_SERIES + 5, .label = drawing_line(p->d, "99 %% %.3g", s->p99)});
    flag_worst(p, c);
}

static void difference_panel(struct plot *p)
{
    const struct tolerance *t = p->r->tolerance;
    struct chart *c = drawing_panel(p->d, "Largest difference of a logit at each position", 260);
    drawing_count_axis(&c->x, position_label(p), p->n);
    double *both = drawing_numbers(p->d, p->n);
    if (both) {
        memcpy(both, p->rel, (size_t)p->n * sizeof *both);
        both[p->n] = t->value;
    }
    drawing_log_axis(&c->y, "max |Δlogit| of max |logit|", both ? both : p->rel, both ? p->n + 1 : p->n);
    window_borders(p);
    drawing_series(p->d, &(struct chart_series){"each position", CHART_DOTS, INK_SERIES + 4, p->x, p->rel, (size_t)p->n});
    bad_positions(p);
    drawing_rule(p->d, &(struct chart_rule){
                    .at = t->value, .ink = INK_SERIES + 1, .label = drawing_line(p->d, "tolerance %.3g", t->value)});
}

/* A rotation that is wrong grows with the place in the window; the mean over windows shows it among the noise of single positions. */
static void window_panel(struct plot *p)
{
    int64_t n = p->r->run->n_context;
    double *mean = drawing_numbers(p->d, n), *smooth = drawing_numbers(p->d, n), *count = drawing_numbers(p->d, n);
    if (n_windows(p) < 2 || !mean || !smooth || !count) return;
    struct chart *c = drawing_panel(p->d, "KL divergence by place in the window, mean over windows", 240);
    for (int64_t i = 0; i < p->n; i++)
        if (isfinite(p->kl[i])) mean[i % n] += p->kl[i], count[i % n]++;
    for (int64_t i = 0; i < n; i++) mean[i] = count[i] > 0 ? mean[i] / count[i] : (double)NAN;
    running_mean(mean, smooth, n, running_width(n));
    drawing_count_axis(&c->x, "place in the window", n);
    drawing_log_axis(&c->y, "KL(A to B), nats", mean, n);
    drawing_series(p->d, &(struct chart_series){"mean over windows", CHART_DOTS, INK_SERIES + 4, p->x, mean, (size_t)n});
    const char *name = drawing_line(p->d, "mean of %" PRId64 " places around", running_width(n));
    drawing_series(p->d, &(struct chart_series){name, CHART_LINE, INK_SERIES, p->x, smooth, (size_t)n});
}

static void count_bins(struct plot *p, const struct axis *a, int n_bins, bool other_way, double *counts)
{
    for (int64_t i = 0; i < p->n; i++) {
        double v = other_way ? p->r->points[i].kl_ba : p->r->points[i].kl_ab;
        if (!isfinite(v)) continue;
        double u = v > a->lo ? log10(v / a->lo) * BINS_PER_DECADE : 0;
        counts[u < n_bins ? (int)u : n_bins - 1]++;
    }
}

static void histogram_panel(struct plot *p)
{
    const struct metrics_spread *s = &p->r->result->kl_ab;
    struct chart *c = drawing_panel(p->d, "How the KL divergence of positions is distributed", 260);
    c->x = p->d->panels[0].y;
    int n_bins = (int)ceil(log10(c->x.hi / c->x.lo) * BINS_PER_DECADE - 1e-9);
    double *edges = drawing_numbers(p->d, n_bins), *ab = drawing_numbers(p->d, n_bins), *ba = drawing_numbers(p->d, n_bins);
    if (!edges || !ab || !ba) return;
    for (int i = 0; i <= n_bins; i++) edges[i] = c->x.lo * pow(10, (double)i / BINS_PER_DECADE);
    count_bins(p, &c->x, n_bins, false, ab);
    count_bins(p, &c->x, n_bins, true, ba);
    c->x.label = "KL, nats";
    c->y = (struct axis){.label = "positions", .log = true};
    axis_fit(&c->y, ab, (size_t)n_bins);
    axis_fit(&c->y, ba, (size_t)n_bins);
    axis_round(&c->y);
    c->y.lo = 0.5; /* a bin with one position is seen */
    drawing_series(p->d, &(struct chart_series){"KL(B to A)", CHART_STEPS, INK_SERIES + 3, edges, ba, (size_t)n_bins});
    drawing_series(p->d, &(struct chart_series){"KL(A to B)", CHART_STEPS, INK_SERIES, edges, ab, (size_t)n_bins});
    drawing_rule(p->d, &(struct chart_rule){s->median, true, INK_LINE, drawing_line(p->d, "median %.3g", s->median)});
    drawing_rule(p->d, &(struct chart_rule){s->mean, true, INK_SERIES + 2, drawing_line(p->d, "mean %.3g", s->mean)});
    drawing_rule(p->d, &(struct chart_rule){s->p99, true, INK_SERIES + 5, drawing_line(p->d, "99 %% %.3g", s->p99)});
}

/* --- words --- */

static void say_what(struct plot *p)
{
    const struct verify_report *r = p->r;
    const struct metrics_result *m = r->result;
    struct drawing *d = p->d;
    char a[160], b[160];
    int64_t n = n_windows(p);
    drawing_file_name(r->path_a, a, sizeof a);
    drawing_file_name(r->path_b, b, sizeof b);
    snprintf(d->title, sizeof d->title, "how far %s (B) is from %s (A)", b, a);
    snprintf(d->subtitle, sizeof d->subtitle,
             "%s: max |Δlogit| %.3g, max |logit| %.4g; KL(A to B) mean %.3g ± %.2g, max %.3g nats; same top-1 %.4g %%; %" PRId64
             " positions in %" PRId64 " window%s of at most %" PRId64,
             r->agree ? "agree" : "differ", m->max_abs_diff, m->max_abs_logit, m->kl_ab.mean, m->kl_ab.mean_error, m->kl_ab.max,
             100 * m->top1_agreement, p->n, n, n == 1 ? "" : "s", r->run->n_context);
    drawing_caption(d, drawing_line(d, "tolerance %.3g: %s", r->tolerance->value, r->tolerance->reason));
    if (p->n_below > 0)
        drawing_caption(d, drawing_line(d, "%" PRId64 " positions have a KL below %.0e (0 is among it): they lie at the edge", p->n_below,
                                        d->panels[0].y.lo));
    if (p->n_bad > 0)
        drawing_caption(d, drawing_line(d, "%" PRId64 " positions have logits that are NaN or infinite: magenta, at the upper edge",
                                        p->n_bad));
}

static void draw(struct plot *p)
{
    if (!take_points(p)) return;
    kl_panel(p);
    difference_panel(p);
    window_panel(p);
    histogram_panel(p);
    if (p->r->weights) weights_panel(p->d, p->r->weights);
    say_what(p);
}

enum status verify_plot_png(const struct verify_report *r, struct buf *out, struct error *err)
{
    struct plot p = {.r = r, .n = r->result->positions};
    char software[64];
    TRY(drawing_new(&p.d, err));
    draw(&p);
    snprintf(software, sizeof software, "lathe-verify %s", lathe_version);
    const struct png_note notes[] = {{"Title", p.d->title},
                                     {"Description", p.d->subtitle},
                                     {"Software", software},
                                     {"Tolerance", r->tolerance->reason}};
    enum status st = drawing_encode(p.d, notes, sizeof notes / sizeof *notes, out, err);
    drawing_free(p.d);
    return st;
}

void verify_points_csv(const struct verify_report *p, struct buf *out)
{
    const struct verify_run *r = p->run;
    buf_puts(out, "position,window,token,kl_ab,kl_ba,max_abs_diff,nll_a,nll_b\n");
    for (int64_t i = 0; i < p->result->positions; i++) {
        const struct metrics_point *v = &p->points[i];
        buf_printf(out, "%" PRId64 ",%" PRId64 ",%d,%.17g,%.17g,%.9g", i, i / r->n_context, (int)r->tokens->ids[i], v->kl_ab,
                   v->kl_ba, (double)v->max_abs_diff);
        if (isnan(v->nll_a))
            buf_puts(out, ",,\n");
        else
            buf_printf(out, ",%.9g,%.9g\n", (double)v->nll_a, (double)v->nll_b);
    }
}

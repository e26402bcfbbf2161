#include "verify/verify_plot.h"

#include "base/file.h"
#include "base/options.h"
#include "plots/chart.h"
#include "plots/png.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 1600,
    DECADES = 8,        /* of a logarithmic axis: what is smaller lies at its lower edge */
    BINS_PER_DECADE = 8,
    WINDOWS_SHOWN = 64, /* borders of windows are drawn up to here */
    RULES = WINDOWS_SHOWN + 4,
    PANELS = 4,
    TOKEN_BYTES = 20
};

/* All that is drawn. Arrays are of positions, or of bins, and live in mem. */
struct drawing {
    const struct verify_report *r;
    struct arena mem;
    int64_t n, n_bad; /* positions, and those that have no figures */
    int64_t n_below;  /* of KL, below the axis: 0 among them */
    double *x, *kl, *rel, *running;
    struct chart panels[PANELS];
    int n_panels;
    struct chart_series series[PANELS][3];
    struct chart_rule rules[PANELS][RULES];
    struct chart_flag flags[METRICS_WORST];
    char title[400], subtitle[400], text[12][200];
    int n_texts;
};

/* A line of text that lives as long as the drawing. */
static char *line(struct drawing *d, const char *fmt, ...)
{
    va_list ap;
    char *s = d->text[d->n_texts < 11 ? d->n_texts++ : 11];
    va_start(ap, fmt);
    vsnprintf(s, sizeof d->text[0], fmt, ap);
    va_end(ap);
    return s;
}

static int64_t n_windows(const struct drawing *d)
{
    return (d->n - 1) / d->r->run->n_context + 1;
}

static struct chart *add_panel(struct drawing *d, const char *title, int height)
{
    int i = d->n_panels++;
    struct chart *p = &d->panels[i];
    *p = (struct chart){.title = title, .height = height, .series = d->series[i], .rules = d->rules[i]};
    return p;
}

static void add_series(struct drawing *d, const struct chart_series *s)
{
    struct chart *p = &d->panels[d->n_panels - 1];
    d->series[d->n_panels - 1][p->n_series++] = *s;
}

static void add_rule(struct drawing *d, const struct chart_rule *r)
{
    struct chart *p = &d->panels[d->n_panels - 1];
    if (p->n_rules < RULES) d->rules[d->n_panels - 1][p->n_rules++] = *r;
}

/* --- what is drawn of the points --- */

static double *numbers(struct drawing *d, int64_t n)
{
    return arena_array(&d->mem, (uint64_t)n + 1, sizeof(double));
}

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

static enum status take_points(struct drawing *d, struct error *err)
{
    const struct metrics_point *points = d->r->points;
    double largest = d->r->result->max_abs_logit;
    d->x = numbers(d, d->n);
    d->kl = numbers(d, d->n);
    d->rel = numbers(d, d->n);
    d->running = numbers(d, d->n);
    if (!d->x || !d->kl || !d->rel || !d->running) return error_nomem(err, (size_t)d->n * sizeof(double));
    for (int64_t i = 0; i < d->n; i++) {
        d->x[i] = (double)i;
        d->kl[i] = points[i].kl_ab;
        d->rel[i] = largest > 0 ? (double)points[i].max_abs_diff / largest : 0;
        d->n_bad += isnan(points[i].max_abs_diff);
    }
    running_mean(d->kl, d->running, d->n, running_width(d->n));
    return STATUS_OK;
}

/* --- panels --- */

static void position_axis(struct axis *a, const char *label, int64_t n)
{
    *a = (struct axis){.label = label, .hi = n > 1 ? (double)(n - 1) : 1, .fitted = true};
}

static const char *position_label(const struct drawing *d)
{
    return n_windows(d) > 1 ? "position, counted through all windows" : "position";
}

static void figure_axis(struct axis *a, const char *label, const double *v, int64_t n)
{
    *a = (struct axis){.label = label, .log = true};
    axis_fit(a, v, (size_t)n);
    axis_limit_decades(a, DECADES);
    axis_round(a);
}

static void window_borders(struct drawing *d)
{
    int64_t n = n_windows(d);
    for (int64_t i = 1; i < n && n <= WINDOWS_SHOWN; i++)
        add_rule(d, &(struct chart_rule){
                        .at = (double)(i * d->r->run->n_context) - 0.5, .vertical = true, .ink = INK_MASKED});
}

/* Positions without numbers stand at the upper edge, in the colour that is kept for them. */
static void bad_positions(struct drawing *d)
{
    if (d->n_bad == 0) return;
    double *y = numbers(d, d->n);
    for (int64_t i = 0; y && i < d->n; i++) y[i] = isnan(d->r->points[i].max_abs_diff) ? (double)INFINITY : (double)NAN;
    if (y) add_series(d, &(struct chart_series){"NaN or infinite", CHART_DOTS, INK_NAN, d->x, y, (size_t)d->n});
}

static void flag_worst(struct drawing *d, struct chart *p)
{
    const struct metrics_result *m = d->r->result;
    for (int i = 0; i < m->n_worst; i++) {
        const struct metrics_position *w = &m->worst[i];
        char word[TOKEN_BYTES + 64];
        words_quote(d->r->words, d->r->run->tokens->ids[w->position], TOKEN_BYTES, word, sizeof word);
        char *text = arena_printf(&d->mem, "%" PRId64 " %s", w->position, word);
        double y = w->n_bad_a || w->n_bad_b ? (double)INFINITY : w->kl_ab;
        if (text) d->flags[p->n_flags++] = (struct chart_flag){(double)w->position, y, text};
    }
    p->flags = d->flags;
}

static void kl_panel(struct drawing *d)
{
    const struct metrics_spread *s = &d->r->result->kl_ab;
    struct chart *p = add_panel(d, "KL divergence at each position; the ten worst with the token that stands there", 380);
    position_axis(&p->x, position_label(d), d->n);
    figure_axis(&p->y, "KL(A to B), nats", d->kl, d->n);
    for (int64_t i = 0; i < d->n; i++) d->n_below += d->kl[i] < p->y.lo;
    window_borders(d);
    add_series(d, &(struct chart_series){"each position", CHART_DOTS, INK_SERIES + 4, d->x, d->kl, (size_t)d->n});
    char *name = line(d, "mean of %" PRId64 " positions around", running_width(d->n));
    add_series(d, &(struct chart_series){name, CHART_LINE, INK_SERIES, d->x, d->running, (size_t)d->n});
    bad_positions(d);
    add_rule(d, &(struct chart_rule){.at = s->mean, .ink = INK_SERIES + 2, .label = line(d, "mean %.3g", s->mean)});
    add_rule(d, &(struct chart_rule){.at = s->p99, .ink = INK_SERIES + 5, .label = line(d, "99 %% %.3g", s->p99)});
    flag_worst(d, p);
}

static void difference_panel(struct drawing *d)
{
    const struct tolerance *t = d->r->tolerance;
    struct chart *p = add_panel(d, "Largest difference of a logit at each position", 260);
    position_axis(&p->x, position_label(d), d->n);
    double *both = numbers(d, d->n);
    if (both) {
        memcpy(both, d->rel, (size_t)d->n * sizeof *both);
        both[d->n] = t->value;
    }
    figure_axis(&p->y, "max |Δlogit| of max |logit|", both ? both : d->rel, both ? d->n + 1 : d->n);
    window_borders(d);
    add_series(d, &(struct chart_series){"each position", CHART_DOTS, INK_SERIES + 4, d->x, d->rel, (size_t)d->n});
    bad_positions(d);
    add_rule(d, &(struct chart_rule){
                    .at = t->value, .ink = INK_SERIES + 1, .label = line(d, "tolerance %.3g", t->value)});
}

/* A rotation that is wrong grows with the place in the window; the mean over windows shows it among the noise of single positions. */
static void window_panel(struct drawing *d)
{
    int64_t n = d->r->run->n_context;
    double *mean = numbers(d, n), *smooth = numbers(d, n), *count = numbers(d, n);
    if (n_windows(d) < 2 || !mean || !smooth || !count) return;
    struct chart *p = add_panel(d, "KL divergence by place in the window, mean over windows", 240);
    for (int64_t i = 0; i < d->n; i++)
        if (isfinite(d->kl[i])) mean[i % n] += d->kl[i], count[i % n]++;
    for (int64_t i = 0; i < n; i++) mean[i] = count[i] > 0 ? mean[i] / count[i] : (double)NAN;
    running_mean(mean, smooth, n, running_width(n));
    position_axis(&p->x, "place in the window", n);
    figure_axis(&p->y, "KL(A to B), nats", mean, n);
    add_series(d, &(struct chart_series){"mean over windows", CHART_DOTS, INK_SERIES + 4, d->x, mean, (size_t)n});
    char *name = line(d, "mean of %" PRId64 " places around", running_width(n));
    add_series(d, &(struct chart_series){name, CHART_LINE, INK_SERIES, d->x, smooth, (size_t)n});
}

static void count_bins(struct drawing *d, const struct axis *a, int n_bins, bool other_way, double *counts)
{
    for (int64_t i = 0; i < d->n; i++) {
        double v = other_way ? d->r->points[i].kl_ba : d->r->points[i].kl_ab;
        if (!isfinite(v)) continue;
        double u = v > a->lo ? log10(v / a->lo) * BINS_PER_DECADE : 0;
        counts[u < n_bins ? (int)u : n_bins - 1]++;
    }
}

static void histogram_panel(struct drawing *d)
{
    const struct metrics_spread *s = &d->r->result->kl_ab;
    struct chart *p = add_panel(d, "How the KL divergence of positions is distributed", 260);
    p->x = d->panels[0].y;
    int n_bins = (int)lround(log10(p->x.hi / p->x.lo)) * BINS_PER_DECADE;
    double *edges = numbers(d, n_bins), *ab = numbers(d, n_bins), *ba = numbers(d, n_bins);
    if (!edges || !ab || !ba) return;
    for (int i = 0; i <= n_bins; i++) edges[i] = p->x.lo * pow(10, (double)i / BINS_PER_DECADE);
    count_bins(d, &p->x, n_bins, false, ab);
    count_bins(d, &p->x, n_bins, true, ba);
    p->x.label = "KL, nats";
    p->y = (struct axis){.label = "positions", .log = true};
    axis_fit(&p->y, ab, (size_t)n_bins);
    axis_fit(&p->y, ba, (size_t)n_bins);
    axis_round(&p->y);
    p->y.lo = 0.5; /* a bin with one position is seen */
    add_series(d, &(struct chart_series){"KL(B to A)", CHART_STEPS, INK_SERIES + 3, edges, ba, (size_t)n_bins});
    add_series(d, &(struct chart_series){"KL(A to B)", CHART_STEPS, INK_SERIES, edges, ab, (size_t)n_bins});
    add_rule(d, &(struct chart_rule){s->median, true, INK_LINE, line(d, "median %.3g", s->median)});
    add_rule(d, &(struct chart_rule){s->mean, true, INK_SERIES + 2, line(d, "mean %.3g", s->mean)});
    add_rule(d, &(struct chart_rule){s->p99, true, INK_SERIES + 5, line(d, "99 %% %.3g", s->p99)});
}

/* --- words --- */

static void escaped_base(const char *path, char *dst, size_t size)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = '\0';
    text_escape(path_base(copy), dst, size);
}

static void say_what(struct drawing *d)
{
    const struct verify_report *r = d->r;
    const struct metrics_result *m = r->result;
    char a[160], b[160];
    int64_t n = n_windows(d);
    escaped_base(r->path_a, a, sizeof a);
    escaped_base(r->path_b, b, sizeof b);
    snprintf(d->title, sizeof d->title, "how far %s (B) is from %s (A)", b, a);
    snprintf(d->subtitle, sizeof d->subtitle,
             "%s: max |Δlogit| %.3g, max |logit| %.4g; KL(A to B) mean %.3g ± %.2g, max %.3g nats; same top-1 %.4g %%; %" PRId64
             " positions in %" PRId64 " window%s of at most %" PRId64,
             r->agree ? "agree" : "differ", m->max_abs_diff, m->max_abs_logit, m->kl_ab.mean, m->kl_ab.mean_error, m->kl_ab.max,
             100 * m->top1_agreement, d->n, n, n == 1 ? "" : "s", r->run->n_context);
}

static void set_captions(struct drawing *d, struct figure *f)
{
    int n = 0;
    f->caption[n++] = line(d, "tolerance %.3g: %s", d->r->tolerance->value, d->r->tolerance->reason);
    if (d->n_below > 0)
        f->caption[n++] = line(d, "%" PRId64 " positions have a KL below %.0e (0 is among it): they lie at the edge", d->n_below,
                               d->panels[0].y.lo);
    if (d->n_bad > 0)
        f->caption[n++] = line(d, "%" PRId64 " positions have logits that are NaN or infinite: magenta, at the upper edge", d->n_bad);
}

/* "panel 1: x 0 to 127 at 84..1499, y log 1e-06 to 1 at 140..479; ..." */
static void say_places(const struct drawing *d, struct buf *out)
{
    for (int i = 0; i < d->n_panels; i++) {
        const struct chart *p = &d->panels[i];
        buf_printf(out, "%spanel %d: x %s%.17g to %.17g at %d..%d, y %s%.17g to %.17g at %d..%d", i ? "; " : "", i + 1,
                   p->x.log ? "log " : "", p->x.lo, p->x.hi, p->place.x, p->place.x + p->place.width - 1,
                   p->y.log ? "log " : "", p->y.lo, p->y.hi, p->place.y + p->place.height - 1, p->place.y);
    }
}

static enum status encode(const struct drawing *d, const struct canvas *c, struct buf *out, struct error *err)
{
    struct buf places = {0};
    char software[64];
    say_places(d, &places);
    snprintf(software, sizeof software, "lathe-verify %s", lathe_version);
    enum status st = buf_check(&places, err);
    const struct png_note notes[] = {{"Title", d->title},
                                     {"Description", d->subtitle},
                                     {"Software", software},
                                     {"Tolerance", d->r->tolerance->reason},
                                     {"Axes", places.data}};
    if (st == STATUS_OK) st = png_encode(out, c, notes, sizeof notes / sizeof *notes, err);
    buf_clear(&places);
    return st;
}

static enum status draw(struct drawing *d, struct buf *out, struct error *err)
{
    struct canvas c = {0};
    TRY(take_points(d, err));
    kl_panel(d);
    difference_panel(d);
    window_panel(d);
    histogram_panel(d);
    say_what(d);
    struct figure f = {
        .title = d->title, .subtitle = d->subtitle, .panels = d->panels, .n_panels = d->n_panels, .width = WIDTH};
    set_captions(d, &f);
    enum status st = figure_draw(&c, &f, err);
    if (st == STATUS_OK) st = encode(d, &c, out, err);
    canvas_clear(&c);
    return st;
}

enum status verify_plot_png(const struct verify_report *p, struct buf *out, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, 1, sizeof(struct drawing), err));
    struct drawing *d = mem;
    d->r = p;
    d->n = p->result->positions;
    enum status st = draw(d, out, err);
    arena_clear(&d->mem);
    free(d);
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

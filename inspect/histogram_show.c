#include "inspect/histogram_show.h"

#include "core/histogram.h"
#include "plots/chart.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BINS = 255, TEXT_ROWS = 17, HEIGHT = 480, BAR_COLUMNS = 40, PIECE = 1 << 16 };

struct show {
    const struct tool *tool;
    const struct weight_options *o;
    struct weight_place place;
    struct histogram a, b; /* b: zeroed without a second form */
    char title[420], subtitle[400], facts_a[200], facts_b[200];
};

/* --- counting --- */

/* Two passes over both forms: the counts need the larger limit of the two. */
struct passes {
    struct histogram *a, *b;
    bool counting;
    pthread_mutex_t lock; /* of both */
};

static enum status take_pair(void *ctx, int64_t first, int64_t n, const float *a, const float *b, struct error *err)
{
    enum { RUN = 4096 };
    (void)first;
    (void)err;
    struct passes *p = ctx;
    double x[RUN], y[RUN];
    void (*add)(struct histogram *, const double *, int64_t) = p->counting ? histogram_add : histogram_extend;
    for (int64_t k = 0; k < n; k += RUN) {
        int64_t m = n - k < RUN ? n - k : RUN;
        for (int64_t i = 0; i < m; i++) x[i] = (double)a[k + i], y[i] = (double)b[k + i];
        pthread_mutex_lock(&p->lock);
        add(p->a, x, m);
        add(p->b, y, m);
        pthread_mutex_unlock(&p->lock);
    }
    return STATUS_OK;
}

static enum status count_pair(struct show *s, const struct weight_source *source, struct passes *p, struct error *err)
{
    int64_t rows = s->place.n_cols < PIECE ? PIECE / s->place.n_cols : 1; /* at once */
    TRY(weight_walk(source, &s->place, rows, take_pair, p, err));
    double limit = fmax(s->a.largest, s->b.largest);
    TRY(histogram_begin(&s->a, limit, BINS, err));
    TRY(histogram_begin(&s->b, limit, BINS, err));
    p->counting = true;
    return weight_walk(source, &s->place, rows, take_pair, p, err);
}

static enum status count(struct show *s, const struct weight_source *source, struct error *err)
{
    if (!source->b) return histogram_of(&s->a, s->place.t, source->workers, BINS, err);
    struct passes p = {&s->a, &s->b, false, PTHREAD_MUTEX_INITIALIZER};
    enum status st = count_pair(s, source, &p, err);
    pthread_mutex_destroy(&p.lock);
    return st;
}

/* --- words --- */

static void say_facts(char *dst, size_t size, const char *which, const struct histogram *h)
{
    snprintf(dst, size, "%s%" PRId64 " values, largest magnitude %.4g, %" PRId64 " zeros, %" PRId64 " NaN, %" PRId64 " infinite",
             which, h->n, h->largest, h->n_zero, h->n_nan, h->n_inf);
}

static void say(struct show *s)
{
    char name[200], a[160], b[160];
    bool two = s->b.counts;
    int64_t n_bad = s->a.n_nan + s->a.n_inf + s->b.n_nan + s->b.n_inf;
    text_escape(s->place.name, name, sizeof name);
    text_escape(s->place.file_a, a, sizeof a);
    text_escape(two ? s->place.file_b : "", b, sizeof b);
    int n = snprintf(s->title, sizeof s->title, "values of %s", name);
    if (n_bad > 0 && n > 0)
        snprintf(s->title + n, sizeof s->title - (size_t)n, ": %" PRId64 " NaN, %" PRId64 " infinite are not shown",
                 s->a.n_nan + s->b.n_nan, s->a.n_inf + s->b.n_inf);
    if (two)
        snprintf(s->subtitle, sizeof s->subtitle, "A %s: %s, B %s: %s", a, s->place.dtype_a, b, s->place.dtype_b);
    else
        snprintf(s->subtitle, sizeof s->subtitle, "%s: %s, %" PRId64 " x %" PRId64, a, s->place.dtype_a, s->place.n_rows,
                 s->place.n_cols);
    say_facts(s->facts_a, sizeof s->facts_a, two ? "A: " : "", &s->a);
    s->facts_b[0] = 0;
    if (two) say_facts(s->facts_b, sizeof s->facts_b, "B: ", &s->b);
}

/* --- picture --- */

static void counts_as_doubles(double *dst, const struct histogram *h)
{
    for (int64_t i = 0; i < h->n_bins; i++) dst[i] = (double)h->counts[i];
}

static enum status draw(struct canvas *c, const struct show *s, struct chart *panel, bool svg, struct error *err)
{
    double edges[BINS + 1], counts[2 * BINS];
    bool two = s->b.counts;
    for (int i = 0; i <= BINS; i++) edges[i] = histogram_edge(&s->a, i);
    counts_as_doubles(counts, &s->a);
    if (two) counts_as_doubles(counts + BINS, &s->b);
    const struct chart_series series[2] = {
        {.name = two ? "A" : NULL, .mark = two ? CHART_STEPS : CHART_BARS, .ink = INK_SERIES, .x = edges, .y = counts, .n = BINS},
        {.name = "B", .mark = CHART_STEPS, .ink = INK_SERIES + 1, .x = edges, .y = counts + BINS, .n = BINS}};
    *panel = (struct chart){.x = {.label = "value", .lo = -s->a.limit, .hi = s->a.limit, .fitted = true},
                            .y = {.label = "count", .log = true},
                            .series = series,
                            .n_series = two ? 2 : 1,
                            .height = HEIGHT};
    axis_fit(&panel->y, counts, two ? 2 * BINS : BINS);
    axis_round(&panel->y);
    panel->y.lo = 0.5; /* a count of 1 stands above one of 0 */
    struct figure f = {.title = s->title,
                       .subtitle = s->subtitle,
                       .caption = {s->facts_a, s->facts_b[0] ? s->facts_b : NULL},
                       .panels = panel,
                       .n_panels = 1,
                       .texts_apart = svg};
    enum status st = figure_draw(c, &f, err);
    panel->series = NULL; /* they end here */
    return st;
}

static enum status save(const void *ctx, enum output_format f, struct buf *line, struct error *err)
{
    const struct show *s = ctx;
    struct canvas c = {0};
    struct chart panel;
    char software[64], bins[120], where[240];
    enum status st = draw(&c, s, &panel, f == OUTPUT_SVG, err);
    snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
    snprintf(bins, sizeof bins, "%d of equal width from %.17g to %.17g", BINS, -s->a.limit, s->a.limit);
    snprintf(where, sizeof where, "x %.17g to %.17g, y (log) %.17g to %.17g, %d x %d pixels from %d,%d", panel.x.lo, panel.x.hi,
             panel.y.lo, panel.y.hi, panel.place.width, panel.place.height, panel.place.x, panel.place.y);
    const struct png_note notes[] = {{"Title", s->title}, {"Source", s->subtitle}, {"Software", software}, {"Bins", bins}, {"Axes", where}};
    if (st == STATUS_OK) st = output_save(s->tool, s->o->output, f, &c, notes, sizeof notes / sizeof *notes, err);
    if (st == STATUS_OK) buf_printf(line, "%s: %s, %d x %d pixels\n", s->o->output, s->title, c.width, c.height);
    canvas_clear(&c);
    return st;
}

/* --- text --- */

static int64_t sum_bins(const struct histogram *h, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = first; i < end; i++) n += h->counts[i];
    return n;
}

/* Several bins a line; bars by the logarithm of the count */
static enum status print(const void *ctx, const struct terminal *t, struct buf *out, struct error *err)
{
    (void)t;
    (void)err;
    const struct show *s = ctx;
    enum { PER_ROW = BINS / TEXT_ROWS };
    int64_t most = 1;
    for (int r = 0; r < TEXT_ROWS; r++) {
        int64_t n = sum_bins(&s->a, r * PER_ROW, (r + 1) * PER_ROW);
        if (n > most) most = n;
    }
    buf_printf(out, "%s\n%s\n%12s %12s", s->title, s->subtitle, "around", s->b.counts ? "A" : "count");
    if (s->b.counts) buf_printf(out, " %12s", "B");
    buf_puts(out, "\n");
    for (int r = 0; r < TEXT_ROWS; r++) {
        int64_t first = r * PER_ROW, end = first + PER_ROW, n = sum_bins(&s->a, first, end);
        double middle = (histogram_edge(&s->a, first) + histogram_edge(&s->a, end)) / 2;
        int bar = n > 0 ? 1 + (int)(log((double)n) / log((double)most + 1) * BAR_COLUMNS) : 0;
        buf_printf(out, "%12.4g %12" PRId64, r == TEXT_ROWS / 2 ? 0 : middle, n);
        if (s->b.counts) buf_printf(out, " %12" PRId64, sum_bins(&s->b, first, end));
        buf_puts(out, bar > 0 ? " " : "");
        for (int i = 0; i < bar; i++) buf_puts(out, "#");
        buf_puts(out, "\n");
    }
    buf_printf(out, "bars: logarithm of the count%s\n%s\n", s->b.counts ? " of A" : "", s->facts_a);
    if (s->facts_b[0]) buf_printf(out, "%s\n", s->facts_b);
    return STATUS_OK;
}

static void put_json(const struct histogram *h, const char *key, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_int(w, "n", h->n);
    jw_int(w, "nan", h->n_nan);
    jw_int(w, "inf", h->n_inf);
    jw_int(w, "zeros", h->n_zero);
    jw_double(w, "abs_max", h->largest);
    jw_begin_array(w, "counts");
    for (int64_t i = 0; i < h->n_bins; i++) jw_int(w, NULL, h->counts[i]);
    jw_end_array(w);
    jw_end_object(w);
}

static void report_json(const void *ctx, struct jwriter *w)
{
    const struct show *s = ctx;
    jw_begin_object(w, NULL);
    if (s->o->output) jw_string(w, "output", s->o->output);
    jw_string(w, "tensor", s->place.name);
    jw_double(w, "lo", -s->a.limit);
    jw_double(w, "hi", s->a.limit);
    put_json(&s->a, "a", w);
    if (s->b.counts) put_json(&s->b, "b", w);
    jw_end_object(w);
}

/* --- the whole --- */

static const struct output_kind histogram_output = {save, print, report_json};

static enum status run(const struct tool *t, struct show *s, struct weight_source *source, struct buf *out,
                       struct jwriter *json, struct error *err)
{
    enum output_format f;
    TRY(output_format_of(&f, s->o->output, err));
    if (f == OUTPUT_NPY) return error_set(err, STATUS_USAGE, "--histogram goes into .png or .svg; --json has the counts");
    TRY(weight_find(&s->place, source, s->o->name, err));
    TRY(count(s, source, err));
    say(s);
    return output_put(t, &histogram_output, s, f, out, json, err);
}

enum status histogram_show(const struct tool *t, struct weight_source *source, const struct weight_options *o, struct buf *out,
                           struct jwriter *json, struct error *err)
{
    struct show s = {.tool = t, .o = o};
    enum status st = run(t, &s, source, out, json, err);
    histogram_clear(&s.a);
    histogram_clear(&s.b);
    return st;
}

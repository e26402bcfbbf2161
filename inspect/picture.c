#include "inspect/picture.h"

#include "base/file.h"
#include "formats/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_ALONE = 1024, SIDE_OF_THREE = 512, PANELS_MAX = 3 };

/* One of the maps side by side: A; B; B - A */
struct panel {
    const struct cells *cells;
    struct color_limits limits;
    double peak; /* of its strips */
    struct heatmap map;
    char title[400], subtitle[200], clip[200], strips[160];
};
struct drawing {
    const struct tool *tool;
    const struct weight_options *o;
    const struct weight_view *v;
    struct panel panels[PANELS_MAX];
    int n_panels;
    char how[160], broken[160], error[240];
};

static bool is_signed(const struct drawing *d)
{
    return d->o->reduction == REDUCE_EXTREME;
}

/* --- scales --- */

static double largest_peak(const struct cells *c)
{
    double most = 0;
    for (int64_t r = 0; r < c->rows; r++)
        if (c->row_peaks[r] > most) most = c->row_peaks[r];
    return most > 0 ? most : 1;
}

static enum status find_limits(struct drawing *d, struct error *err)
{
    for (int i = 0; i < d->n_panels; i++) {
        struct panel *p = &d->panels[i];
        TRY(color_limits(&p->limits, p->cells->values, (size_t)(p->cells->rows * p->cells->cols), d->o->clip, err));
        p->peak = largest_peak(p->cells);
    }
    if (d->n_panels == 1) return STATUS_OK;
    /* one scale for both forms */
    struct panel *a = &d->panels[0], *b = &d->panels[1];
    a->limits.limit = b->limits.limit = fmax(a->limits.limit, b->limits.limit);
    a->limits.largest = b->limits.largest = fmax(a->limits.largest, b->limits.largest);
    a->peak = b->peak = fmax(a->peak, b->peak);
    return STATUS_OK;
}

/* --- words --- */

static void say_all(struct drawing *d)
{
    const struct weight_view *v = d->v;
    const struct cells *c = &v->a;
    int64_t n_bad = v->a.n_not_finite + v->b.n_not_finite;
    if (c->row_step * c->col_step == 1)
        snprintf(d->how, sizeof d->how, "one cell per weight");
    else
        snprintf(d->how, sizeof d->how, "one cell per %" PRId64 " x %" PRId64 " weights: %s", c->row_step,
                 c->col_step, reduction_text(c->reduction));
    d->broken[0] = d->error[0] = 0;
    if (n_bad > 0) snprintf(d->broken, sizeof d->broken, "%" PRId64 " weights are NaN or infinite: magenta", n_bad);
    if (d->n_panels > 1)
        snprintf(d->error, sizeof d->error,
                 "root mean square %.4g, %.3g %% of A's; largest %.4g at row %" PRId64 ", column %" PRId64, v->rms_d,
                 v->rms_a > 0 ? 100 * v->rms_d / v->rms_a : 0, v->max_d, v->max_row, v->max_col);
}

static void name_panel(struct drawing *d, int i)
{
    const struct weight_place *w = &d->v->place;
    struct panel *p = &d->panels[i];
    char name[200], file[160];
    text_escape(w->name, name, sizeof name);
    text_escape(i == 1 ? w->file_b : w->file_a, file, sizeof file);
    snprintf(p->title, sizeof p->title, "%s%s%s", i == 0 ? "weights of " : i == 1 ? "B" : "B - A", i == 0 ? name : "",
             i == 0 && d->n_panels > 1 ? ": A" : "");
    if (i < 2)
        snprintf(p->subtitle, sizeof p->subtitle, "%s: %s, %" PRId64 " x %" PRId64, file, i == 0 ? w->dtype_a : w->dtype_b,
                 w->n_rows, w->n_cols);
    else
        snprintf(p->subtitle, sizeof p->subtitle, "a scale of its own");
    color_limits_text(p->clip, sizeof p->clip, &p->limits);
    snprintf(p->strips, sizeof p->strips, "right, below: largest magnitude of each row and column, 0 to %.4g", p->peak);
}

static void set_captions(const struct drawing *d, struct panel *p, int i)
{
    const char *lines[] = {i == 0 ? d->how : "", i == 2 ? d->error : "", p->clip, p->strips, i == 0 ? d->broken : ""};
    int n = 0;
    for (size_t k = 0; k < sizeof lines / sizeof *lines; k++)
        if (lines[k][0] && i != 1) p->map.caption[n++] = lines[k];
}

static void make_map(struct drawing *d, int i)
{
    struct panel *p = &d->panels[i];
    const struct cells *c = p->cells;
    bool sign = is_signed(d);
    name_panel(d, i);
    p->map = (struct heatmap){.title = p->title,
                              .subtitle = p->subtitle,
                              .row_label = "row",
                              .col_label = "column",
                              .cells = c->values,
                              .rows = c->rows,
                              .cols = c->cols,
                              .row_step = c->row_step,
                              .col_step = c->col_step,
                              .n_rows = c->n_rows,
                              .n_cols = c->n_cols,
                              .scale = color_scale_of(&p->limits, sign, sign ? "weight" : "|weight|"),
                              .map = sign ? COLORMAP_DIVERGING : COLORMAP_VIRIDIS};
    double lo = sign ? -p->peak : 0;
    p->map.right[0] = (struct heatmap_strip){c->row_peaks, lo, p->peak};
    p->map.below = (struct heatmap_strip){c->col_peaks, lo, p->peak};
    set_captions(d, p, i);
}

static enum status make_drawing(struct drawing *d, const struct weight_options *o, const struct weight_view *v,
                                struct error *err)
{
    *d = (struct drawing){.o = o, .v = v, .n_panels = v->b.values ? PANELS_MAX : 1};
    const struct cells *cells[PANELS_MAX] = {&v->a, &v->b, &v->d};
    for (int i = 0; i < d->n_panels; i++) d->panels[i].cells = cells[i];
    TRY(find_limits(d, err));
    say_all(d);
    for (int i = 0; i < d->n_panels; i++) make_map(d, i);
    return STATUS_OK;
}

/* --- files --- */

static const char *const places[PANELS_MAX] = {"Cells", "Cells of B", "Cells of B - A"};
static const char *const colors[PANELS_MAX] = {"Colours", "Colours of B", "Colours of B - A"};

static enum status save_canvas(const struct drawing *d, enum output_format f, struct buf *line, struct error *err)
{
    struct canvas c = {0};
    struct heatmap maps[PANELS_MAX];
    struct heatmap_place at[PANELS_MAX];
    char software[64], where[PANELS_MAX][120], scale[PANELS_MAX][160];
    for (int i = 0; i < d->n_panels; i++) {
        maps[i] = d->panels[i].map;
        maps[i].texts_apart = f == OUTPUT_SVG;
    }
    snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
    struct png_note notes[6 + 2 * PANELS_MAX] = {{"Title", d->panels[0].title},
                                                 {"Source", d->panels[0].subtitle},
                                                 {"Software", software},
                                                 {"Reduction", d->how},
                                                 {"Clip", d->panels[0].clip}};
    int n = 5;
    if (d->n_panels > 1) notes[n++] = (struct png_note){"Difference", d->error};
    enum status st = heatmap_draw(&c, maps, d->n_panels, at, err);
    for (int i = 0; st == STATUS_OK && i < d->n_panels; i++) {
        snprintf(where[i], sizeof where[i], "%" PRId64 " x %" PRId64 " cells of %d pixels from %d,%d", maps[i].rows,
                 maps[i].cols, at[i].cell_px, at[i].x0, at[i].y0);
        output_colors(scale[i], sizeof scale[i], &maps[i].scale, maps[i].map);
        notes[n++] = (struct png_note){places[i], where[i]};
        notes[n++] = (struct png_note){colors[i], scale[i]};
    }
    if (st == STATUS_OK) st = output_save(d->tool, d->o->output, f, &c, notes, n, err);
    if (st == STATUS_OK)
        buf_printf(line, "%s: %s, %d x %d pixels, %s; %s\n", d->o->output, d->panels[0].title, c.width, c.height, d->how,
                   d->panels[0].clip);
    if (st == STATUS_OK && d->error[0]) buf_printf(line, "B - A: %s\n", d->error);
    canvas_clear(&c);
    return st;
}

/* The cells as numbers: float64 (rows, columns), or three of them */
static enum status save_array(const struct drawing *d, struct buf *line, struct error *err)
{
    const struct cells *c = d->panels[0].cells;
    const int64_t shape[] = {d->n_panels, c->rows, c->cols};
    bool many = d->n_panels > 1;
    struct buf out = {0};
    enum status st = npy_header(&out, DTYPE_F64, many ? 3 : 2, many ? shape : shape + 1, err);
    for (int i = 0; i < d->n_panels; i++)
        buf_append(&out, d->panels[i].cells->values, (size_t)(c->rows * c->cols) * sizeof(double));
    if (st == STATUS_OK) st = output_write(d->tool, d->o->output, &out, err);
    buf_clear(&out);
    if (st == STATUS_OK)
        buf_printf(line, "%s: float64 (%s%" PRId64 " rows, %" PRId64 " columns), %s\n", d->o->output,
                   many ? "A, B, B - A; " : "", c->rows, c->cols, d->how);
    return st;
}

static enum status save(const void *ctx, enum output_format f, struct buf *line, struct error *err)
{
    return f == OUTPUT_NPY ? save_array(ctx, line, err) : save_canvas(ctx, f, line, err);
}

/* --- reports --- */

static void report_json(const void *ctx, struct jwriter *w)
{
    const struct drawing *d = ctx;
    const struct weight_view *v = d->v;
    const struct cells *c = d->panels[0].cells;
    jw_begin_object(w, NULL);
    if (d->o->output) jw_string(w, "output", d->o->output);
    jw_string(w, "tensor", v->place.name);
    jw_string(w, "dtype", v->place.dtype_a);
    jw_int(w, "rows", c->n_rows);
    jw_int(w, "columns", c->n_cols);
    jw_int(w, "rows_per_cell", c->row_step);
    jw_int(w, "columns_per_cell", c->col_step);
    jw_double(w, "limit", d->panels[0].limits.limit);
    jw_double(w, "largest", d->panels[0].limits.largest);
    jw_int(w, "not_finite", v->a.n_not_finite);
    if (d->n_panels > 1) {
        jw_begin_object(w, "against");
        jw_string(w, "dtype", v->place.dtype_b);
        jw_int(w, "not_finite", v->b.n_not_finite);
        jw_double(w, "rms", v->rms_a);
        jw_double(w, "rms_diff", v->rms_d);
        jw_double(w, "max_abs_diff", v->max_d);
        jw_int(w, "row", v->max_row);
        jw_int(w, "column", v->max_col);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static enum status print(const void *ctx, const struct terminal *t, struct buf *out, struct error *err)
{
    (void)err;
    const struct drawing *d = ctx;
    const struct panel *p = &d->panels[d->n_panels - 1];
    struct heatmap h = p->map;
    char title[420];
    if (d->n_panels > 1) {
        snprintf(title, sizeof title, "%s and B; B - A:", d->panels[0].title);
        h.title = title;
        h.subtitle = d->panels[1].subtitle;
    }
    memset(h.caption, 0, sizeof h.caption);
    h.caption[0] = d->how;
    h.caption[1] = p->clip;
    h.caption[2] = d->error[0] ? d->error : d->broken[0] ? d->broken : NULL;
    h.caption[3] = d->error[0] && d->broken[0] ? d->broken : NULL;
    terminal_heatmap(t, &h, out);
    return STATUS_OK;
}

static const struct output_kind heatmap_output = {save, print, report_json};

enum status picture_heatmap(const struct tool *t, struct weight_source *s, const struct weight_options *o,
                            struct buf *out, struct jwriter *json, struct error *err)
{
    enum output_format f;
    struct weight_view v;
    TRY(output_format_of(&f, o->output, err));
    TRY(weight_view_make(&v, s, o->name, o->reduction, s->b && f != OUTPUT_NPY ? SIDE_OF_THREE : SIDE_ALONE, err));
    struct drawing d;
    enum status st = make_drawing(&d, o, &v, err);
    d.tool = t;
    if (st == STATUS_OK) st = output_put(t, &heatmap_output, &d, f, out, json, err);
    weight_view_clear(&v);
    return st;
}

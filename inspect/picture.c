#include "inspect/picture.h"

#include "base/options.h"
#include "plots/heatmap.h"
#include "plots/png.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_PER_SIDE = 1024 };
/* Colours end where only one cell in a thousand lies beyond: a few outliers must not turn the rest into one colour. */
static const double clip_quantile = 0.999;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Magnitude that the quantile of all finite cells stays below, and the largest one. */
static enum status find_limits(const struct cells *c, double *limit, double *largest, struct error *err)
{
    size_t n = (size_t)(c->rows * c->cols), n_finite = 0;
    void *mem;
    TRY(mem_alloc(&mem, n, sizeof(double), err));
    double *sorted = mem;
    for (size_t i = 0; i < n; i++)
        if (isfinite(c->values[i])) sorted[n_finite++] = fabs(c->values[i]);
    qsort(sorted, n_finite, sizeof *sorted, by_value);
    *largest = n_finite ? sorted[n_finite - 1] : 0;
    *limit = n_finite ? sorted[(size_t)ceil(clip_quantile * (double)(n_finite - 1))] : 0;
    /* Not worth an arrow, or nothing but zeros below. */
    if (*limit <= 0 || *largest <= 1.05 * *limit) *limit = *largest;
    free(mem);
    return STATUS_OK;
}

struct labels {
    char title[400], subtitle[200], how[200], clip[200], broken[120];
};

static void make_labels(struct labels *l, const struct subject *s, const struct ckpt_tensor *t,
                        const struct picture *p, const struct cells *c, double limit, double largest)
{
    char name[200], file[160];
    text_escape(t->t->name, name, sizeof name);
    text_escape(path_base(t->container->file.path), file, sizeof file);
    snprintf(l->title, sizeof l->title, "weights of %s", name);
    snprintf(l->subtitle, sizeof l->subtitle, "%s: %s, %" PRId64 " x %" PRId64, file,
             subject_dtype_name(s, t->t->dtype), c->n_rows, c->n_cols);
    if (c->row_step * c->col_step == 1)
        snprintf(l->how, sizeof l->how, "one cell per weight");
    else
        snprintf(l->how, sizeof l->how, "one cell per %" PRId64 " x %" PRId64 " weights: %s", c->row_step,
                 c->col_step,
                 p->reduction == REDUCE_EXTREME ? "the value of largest magnitude, with its sign"
                 : p->reduction == REDUCE_MEAN  ? "mean magnitude"
                                                : "root mean square");
    if (limit < largest)
        snprintf(l->clip, sizeof l->clip,
                 "colours end at %.4g (99.9 %% of the cells); the largest magnitude is %.4g", limit, largest);
    else
        snprintf(l->clip, sizeof l->clip, "largest magnitude %.4g", largest);
    l->broken[0] = '\0';
    if (c->n_not_finite > 0)
        snprintf(l->broken, sizeof l->broken, "%" PRId64 " weights are NaN or infinite: magenta",
                 c->n_not_finite);
}

static enum status draw(const struct subject *s, const struct ckpt_tensor *t, const struct picture *p,
                        const struct cells *c, struct buf *line, struct error *err)
{
    double limit, largest;
    struct labels l;
    TRY(find_limits(c, &limit, &largest, err));
    make_labels(&l, s, t, p, c, limit, largest);
    bool is_signed = p->reduction == REDUCE_EXTREME;
    double hi = limit > 0 ? limit : 1; /* all zeros: any limits do */
    struct heatmap h = {.title = l.title,
                        .subtitle = l.subtitle,
                        .row_label = "row",
                        .col_label = "column",
                        .caption = {l.how, l.clip, l.broken[0] ? l.broken : NULL},
                        .unit = is_signed ? "weight" : "|weight|",
                        .cells = c->values,
                        .rows = c->rows,
                        .cols = c->cols,
                        .row_step = c->row_step,
                        .col_step = c->col_step,
                        .n_rows = c->n_rows,
                        .n_cols = c->n_cols,
                        .lo = is_signed ? -hi : 0,
                        .hi = hi,
                        .clipped_lo = is_signed && limit < largest,
                        .clipped_hi = limit < largest,
                        .map = is_signed ? COLORMAP_DIVERGING : COLORMAP_VIRIDIS};
    struct canvas canvas;
    struct heatmap_place place;
    enum status st = heatmap_draw(&canvas, &h, &place, err);
    if (st == STATUS_OK) {
        char limits[160], software[64], where[120];
        snprintf(limits, sizeof limits, "%.17g to %.17g in %d levels, %s", h.lo, h.hi, N_LEVELS,
                 colormap_name(h.map));
        snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
        snprintf(where, sizeof where, "%" PRId64 " x %" PRId64 " cells of %d pixels from %d,%d", c->rows,
                 c->cols, place.cell_px, place.x0, place.y0);
        struct png_note notes[] = {{"Title", l.title},  {"Source", l.subtitle}, {"Software", software},
                                   {"Colours", limits}, {"Cells", where},       {"Reduction", l.how}};
        st = png_write(p->output, &canvas, notes, sizeof notes / sizeof *notes, err);
        if (st == STATUS_OK)
            buf_printf(line, "%s: %s, %d x %d pixels, %s; %s\n", p->output, l.title, canvas.width,
                       canvas.height, l.how, l.clip);
    }
    canvas_clear(&canvas);
    return st;
}

/* Names hold the word that was asked for: most people remember a part. */
static void suggest(const struct subject *s, const char *name, struct error *err)
{
    for (size_t i = 0; i < s->ckpt->n_tensors; i++)
        if (strstr(s->ckpt->tensors[i].t->name, name)) {
            error_hint(err, "there is '%s'; --tensors lists all", s->ckpt->tensors[i].t->name);
            return;
        }
    error_hint(err, "--tensors lists the names");
}

enum status picture_heatmap(const struct subject *s, const struct picture *p, struct buf *line,
                            struct error *err)
{
    const struct ckpt_tensor *t = ckpt_find(s->ckpt, p->tensor);
    if (!t) {
        error_at(err, STATUS_NOTFOUND, s->path, p->tensor, "no such tensor");
        suggest(s, p->tensor, err);
        return err->status;
    }
    struct cells cells;
    TRY(scan_cells(t, p->workers, p->reduction, CELLS_PER_SIDE, &cells, err));
    enum status st = draw(s, t, p, &cells, line, err);
    free(cells.values);
    return st;
}

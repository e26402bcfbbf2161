#include "inspect/picture.h"

#include "base/options.h"
#include "inspect/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_PER_SIDE = 1024 };
struct labels {
    char title[400], subtitle[200], how[200], clip[200], broken[120];
};

static void make_labels(struct labels *l, const struct subject *s, const struct ckpt_tensor *t,
                        const struct picture *p, const struct cells *c, const struct color_limits *limits)
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
    color_limits_text(l->clip, sizeof l->clip, limits);
    l->broken[0] = '\0';
    if (c->n_not_finite > 0)
        snprintf(l->broken, sizeof l->broken, "%" PRId64 " weights are NaN or infinite: magenta",
                 c->n_not_finite);
}

static enum status draw(const struct subject *s, const struct ckpt_tensor *t, const struct picture *p,
                        const struct cells *c, struct buf *line, struct error *err)
{
    struct color_limits limits;
    struct labels l;
    TRY(color_limits(&limits, c->values, (size_t)(c->rows * c->cols), p->clip, err));
    make_labels(&l, s, t, p, c, &limits);
    bool is_signed = p->reduction == REDUCE_EXTREME;
    struct heatmap h = {.title = l.title,
                        .subtitle = l.subtitle,
                        .row_label = "row",
                        .col_label = "column",
                        .caption = {l.how, l.clip, l.broken[0] ? l.broken : NULL},
                        .cells = c->values,
                        .rows = c->rows,
                        .cols = c->cols,
                        .row_step = c->row_step,
                        .col_step = c->col_step,
                        .n_rows = c->n_rows,
                        .n_cols = c->n_cols,
                        .scale = color_scale_of(&limits, is_signed, is_signed ? "weight" : "|weight|"),
                        .map = is_signed ? COLORMAP_DIVERGING : COLORMAP_VIRIDIS};
    struct canvas canvas;
    struct heatmap_place place;
    enum status st = heatmap_draw(&canvas, &h, 1, &place, err);
    if (st == STATUS_OK) {
        char colors[160], software[64], where[120];
        output_colors(colors, sizeof colors, &h.scale, h.map);
        snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
        snprintf(where, sizeof where, "%" PRId64 " x %" PRId64 " cells of %d pixels from %d,%d", c->rows,
                 c->cols, place.cell_px, place.x0, place.y0);
        struct png_note notes[] = {{"Title", l.title},  {"Source", l.subtitle}, {"Software", software},
                                   {"Colours", colors}, {"Cells", where},       {"Reduction", l.how}};
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

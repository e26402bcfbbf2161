#include "verify/drawing.h"

#include "base/file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_MAX = 8, LINE_BYTES = 240 };

enum status drawing_new(struct drawing **out, struct error *err)
{
    void *p;
    *out = NULL;
    TRY(mem_alloc(&p, 1, sizeof **out, err));
    *out = p;
    return STATUS_OK;
}

void drawing_free(struct drawing *d)
{
    if (d) arena_clear(&d->mem);
    free(d);
}

double *drawing_numbers(struct drawing *d, int64_t n)
{
    double *v = arena_array(&d->mem, (uint64_t)n + 1, sizeof(double));
    d->failed |= !v;
    return v;
}

const char *drawing_line(struct drawing *d, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *s = arena_strndup(&d->mem, text, n < LINE_BYTES ? (size_t)n : LINE_BYTES - 1);
    d->failed |= !s;
    return s ? s : "";
}

void drawing_caption(struct drawing *d, const char *text)
{
    if (d->n_captions < FIGURE_CAPTIONS) d->captions[d->n_captions++] = text;
}

struct chart *drawing_panel(struct drawing *d, const char *title, int height)
{
    int i = d->n_panels++;
    struct chart *p = &d->panels[i];
    *p = (struct chart){.title = title, .height = height, .series = d->series[i], .rules = d->rules[i]};
    return p;
}

void drawing_series(struct drawing *d, const struct chart_series *s)
{
    struct chart *p = &d->panels[d->n_panels - 1];
    if (p->n_series < DRAWING_SERIES) d->series[d->n_panels - 1][p->n_series++] = *s;
}

void drawing_rule(struct drawing *d, const struct chart_rule *r)
{
    struct chart *p = &d->panels[d->n_panels - 1];
    if (p->n_rules < DRAWING_RULES) d->rules[d->n_panels - 1][p->n_rules++] = *r;
}

void drawing_count_axis(struct axis *a, const char *label, int64_t n)
{
    *a = (struct axis){.label = label, .hi = n > 1 ? (double)(n - 1) : 1, .fitted = true};
}

void drawing_log_axis(struct axis *a, const char *label, const double *v, int64_t n)
{
    *a = (struct axis){.label = label, .log = true};
    axis_fit(a, v, (size_t)n);
    axis_limit_decades(a, DRAWING_DECADES);
    axis_round(a);
}

void drawing_file_name(const char *path, char *dst, size_t size)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = '\0';
    text_escape(path_base(copy), dst, size);
}

/* "panel 1: x 0 to 127 at 84..1499, y log 1e-06 to 1 at 479..140; ..." */
static void say_places(const struct drawing *d, struct buf *out)
{
    for (int i = 0; i < d->n_panels; i++) {
        const struct chart *p = &d->panels[i];
        buf_printf(out, "%spanel %d: x %s%.17g to %.17g at %d..%d, y %s%.17g to %.17g at %d..%d", i ? "; " : "", i + 1,
                   p->x.log ? "log " : "", p->x.lo, p->x.hi, p->place.x, p->place.x + p->place.width - 1,
                   p->y.log ? "log " : "", p->y.lo, p->y.hi, p->place.y + p->place.height - 1, p->place.y);
    }
}

enum status drawing_encode(struct drawing *d, const struct png_note *notes, int n_notes, struct buf *out, struct error *err)
{
    struct canvas c = {0};
    struct buf places = {0};
    struct png_note all[NOTES_MAX + 1];
    struct figure f = {
        .title = d->title, .subtitle = d->subtitle, .panels = d->panels, .n_panels = d->n_panels, .width = DRAWING_WIDTH};
    if (d->failed) return error_nomem(err, 1);
    memcpy(f.caption, d->captions, sizeof f.caption);
    memcpy(all, notes, (size_t)n_notes * sizeof *notes);
    enum status st = figure_draw(&c, &f, err);
    if (st == STATUS_OK) {
        say_places(d, &places);
        st = buf_check(&places, err);
    }
    if (st == STATUS_OK) {
        all[n_notes] = (struct png_note){"Axes", places.data ? places.data : ""};
        st = png_encode(out, &c, all, n_notes + 1, err);
    }
    buf_clear(&places);
    canvas_clear(&c);
    return st;
}

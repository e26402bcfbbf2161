#include "plots/colorbar.h"

#include <stdio.h>
#include <stdlib.h>

enum { TICKS = 5 };

int cell_color(const struct color_scale *s, double value)
{
    if (isnan(value)) return INK_NAN;
    if (isinf(value)) return value < 0 ? INK_MASKED : INK_PAPER;
    return colormap_level(value, s->lo, s->hi);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum status color_limits(struct color_limits *l, const double *cells, size_t n, double quantile, struct error *err)
{
    void *mem;
    size_t n_finite = 0;
    TRY(mem_alloc(&mem, n, sizeof(double), err));
    double *sorted = mem;
    for (size_t i = 0; i < n; i++)
        if (isfinite(cells[i])) sorted[n_finite++] = fabs(cells[i]);
    qsort(sorted, n_finite, sizeof *sorted, by_value);
    *l = (struct color_limits){.quantile = quantile};
    if (n_finite > 0) {
        l->largest = sorted[n_finite - 1];
        l->limit = sorted[(size_t)ceil(quantile * (double)(n_finite - 1))];
    }
    /* Not worth an arrow, or nothing but zeros below */
    if (l->limit <= 0 || l->largest <= 1.05 * l->limit) l->limit = l->largest;
    free(mem);
    return STATUS_OK;
}

struct color_scale color_scale_of(const struct color_limits *l, bool is_signed, const char *unit)
{
    bool clipped = l->limit < l->largest;
    double hi = l->limit > 0 ? l->limit : 1;
    return (struct color_scale){.lo = is_signed ? -hi : 0,
                                .hi = hi,
                                .clipped_lo = is_signed && clipped,
                                .clipped_hi = clipped,
                                .unit = unit};
}

void color_limits_text(char *dst, size_t size, const struct color_limits *l)
{
    if (l->limit < l->largest)
        snprintf(dst, size, "colours end at %.4g (%.4g %% of the cells); the largest magnitude is %.4g", l->limit,
                 100 * l->quantile, l->largest);
    else
        snprintf(dst, size, "largest magnitude %.4g", l->largest);
}

void colorbar_draw(struct canvas *c, const struct color_scale *s, int x, int y, int height)
{
    char text[40];
    for (int i = 0; i < height; i++)
        canvas_rect(c, x, y + i, COLORBAR_W, 1, (height - 1 - i) * (N_LEVELS - 1) / (height - 1));
    canvas_frame(c, x, y, COLORBAR_W, height, INK_LINE);
    for (int i = 0; i < TICKS; i++) {
        int ty = y + height - 1 - i * (height - 1) / (TICKS - 1);
        double v = s->lo + (s->hi - s->lo) * i / (TICKS - 1);
        bool beyond = (i == 0 && s->clipped_lo) || (i == TICKS - 1 && s->clipped_hi);
        canvas_rect(c, x + COLORBAR_W + 1, ty, 5, 1, INK_LINE);
        snprintf(text, sizeof text, "%s%.4g", beyond ? (i == 0 ? "<= " : ">= ") : "", v);
        canvas_text(c, x + COLORBAR_W + 9, ty - TEXT_H / 2, INK_TEXT, text);
    }
    canvas_text(c, x, y + height + 10, INK_TEXT, s->unit);
}

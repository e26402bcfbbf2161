#include "plots/chart.h"

#include "plots/font.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels */
enum {
    PAD = 12,
    LINE_H = 18,
    LEFT = 84,     /* for the labels of the vertical axis */
    AXIS_H = 48,   /* below the data: tick labels and the axis' name */
    SWATCH_W = 22, /* in the legend */
    TICK = 5,
    PANEL_GAP = 10,
    RING = 5,
    FLAG_GAP = 12 /* between names in one lane */
};

static int at_x(const struct chart *p, double v)
{
    return p->place.x + axis_pixel(&p->x, v, p->place.width);
}

static int at_y(const struct chart *p, double v)
{
    return p->place.y + p->place.height - 1 - axis_pixel(&p->y, v, p->place.height);
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* --- names of flagged points, in lanes above the data --- */

struct flag_box {
    const struct chart_flag *flag;
    int x, width, lane;
};

static int by_x(const void *a, const void *b)
{
    const struct flag_box *p = a, *q = b;
    return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->flag > q->flag) - (p->flag < q->flag);
}

/* Left to right, each into the lowest lane (0 is next to the data) that is free there; returns the number of lanes. */
static int place_flags(const struct chart *p, struct flag_box *boxes)
{
    int n_lanes = 0;
    for (int i = 0; i < p->n_flags; i++) {
        struct flag_box *b = &boxes[i];
        b->flag = &p->flags[i];
        b->width = font_text_width(b->flag->text);
        b->x = at_x(p, b->flag->x) - b->width / 2;
        int last = p->place.x + p->place.width - b->width;
        if (b->x > last) b->x = last;
        if (b->x < p->place.x) b->x = p->place.x;
    }
    qsort(boxes, (size_t)p->n_flags, sizeof *boxes, by_x);
    for (int i = 0; i < p->n_flags; i++) {
        bool taken = true;
        for (boxes[i].lane = -1; taken;) {
            boxes[i].lane++;
            taken = false;
            for (int k = 0; k < i; k++)
                taken |= boxes[k].lane == boxes[i].lane && boxes[k].x + boxes[k].width + FLAG_GAP > boxes[i].x;
        }
        n_lanes = max_int(n_lanes, boxes[i].lane + 1);
    }
    return n_lanes;
}

static void draw_flags(struct canvas *c, const struct chart *p, const struct flag_box *boxes)
{
    for (int i = 0; i < p->n_flags; i++) {
        int x = at_x(p, boxes[i].flag->x), y = at_y(p, boxes[i].flag->y);
        int top = p->place.y - PANEL_GAP - boxes[i].lane * LINE_H;
        canvas_rect(c, x, top, 1, max_int(y - RING - top, 0), INK_MASKED);
        canvas_ring(c, x, y, RING, INK_TEXT);
    }
    for (int i = 0; i < p->n_flags; i++) {
        int y = p->place.y - PANEL_GAP - boxes[i].lane * LINE_H - TEXT_H;
        canvas_rect(c, boxes[i].x - 2, y, boxes[i].width + 4, TEXT_H, INK_PAPER);
        canvas_text(c, boxes[i].x, y, INK_TEXT, boxes[i].flag->text);
    }
}

/* --- axes --- */

static void draw_x_axis(struct canvas *c, const struct chart *p)
{
    struct axis_tick ticks[AXIS_TICKS_MAX];
    char text[32];
    int n = axis_ticks(&p->x, p->place.width, 9 * TEXT_W, ticks), bottom = p->place.y + p->place.height;
    for (int i = 0; i < n; i++) {
        int x = at_x(p, ticks[i].value);
        canvas_rect(c, x, bottom + 1, 1, ticks[i].labelled ? TICK : TICK / 2, INK_LINE);
        if (!ticks[i].labelled) continue;
        canvas_rect(c, x, p->place.y, 1, p->place.height, INK_FAINT);
        axis_number(text, sizeof text, ticks[i].value);
        canvas_text(c, x - font_text_width(text) / 2, bottom + TICK + 3, INK_TEXT, text);
    }
    canvas_text(c, p->place.x + (p->place.width - font_text_width(p->x.label)) / 2,
                bottom + TICK + 3 + LINE_H, INK_TEXT, p->x.label);
}

static void draw_y_axis(struct canvas *c, const struct chart *p)
{
    struct axis_tick ticks[AXIS_TICKS_MAX];
    char text[32];
    int n = axis_ticks(&p->y, p->place.height, 2 * TEXT_H, ticks);
    for (int i = 0; i < n; i++) {
        int y = at_y(p, ticks[i].value), length = ticks[i].labelled ? TICK : TICK / 2;
        canvas_rect(c, p->place.x - 1 - length, y, length, 1, INK_LINE);
        if (!ticks[i].labelled) continue;
        canvas_rect(c, p->place.x, y, p->place.width, 1, INK_FAINT);
        axis_number(text, sizeof text, ticks[i].value);
        canvas_text_right(c, p->place.x - 4 - TICK, y - TEXT_H / 2, INK_TEXT, text);
    }
}

/* --- data --- */

static void draw_dots(struct canvas *c, const struct chart *p, const struct chart_series *s)
{
    size_t width = (size_t)p->place.width;
    int radius = s->n <= width / 4 ? 3 : s->n <= width ? 2 : s->n <= 8 * width ? 1 : 0;
    for (size_t i = 0; i < s->n; i++)
        if (!isnan(s->x[i]) && !isnan(s->y[i]))
            canvas_disc(c, at_x(p, s->x[i]), at_y(p, s->y[i]), radius, s->ink);
}

static void draw_line(struct canvas *c, const struct chart *p, const struct chart_series *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (isnan(s->x[i]) || isnan(s->y[i])) continue;
        int x = at_x(p, s->x[i]), y = at_y(p, s->y[i]);
        bool joined = i > 0 && !isnan(s->x[i - 1]) && !isnan(s->y[i - 1]);
        int x0 = joined ? at_x(p, s->x[i - 1]) : x, y0 = joined ? at_y(p, s->y[i - 1]) : y;
        canvas_line(c, x0, y0, x, y, 2, s->ink);
    }
}

static void draw_steps(struct canvas *c, const struct chart *p, const struct chart_series *s)
{
    int y0 = p->place.y + p->place.height - 1;
    for (size_t i = 0; i < s->n; i++) {
        int x = at_x(p, s->x[i]), x1 = at_x(p, s->x[i + 1]), y = at_y(p, isnan(s->y[i]) ? -INFINITY : s->y[i]);
        canvas_line(c, x, y0, x, y, 2, s->ink);
        canvas_line(c, x, y, x1, y, 2, s->ink);
        y0 = y;
        if (i + 1 == s->n) canvas_line(c, x1, y, x1, p->place.y + p->place.height - 1, 2, s->ink);
    }
}

static void draw_bars(struct canvas *c, const struct chart *p, const struct chart_series *s)
{
    int bottom = p->place.y + p->place.height - 1;
    for (size_t i = 0; i < s->n; i++) {
        if (isnan(s->y[i])) continue;
        int x = at_x(p, s->x[i]), x1 = at_x(p, s->x[i + 1]), y = at_y(p, s->y[i]);
        int gap = x1 - x > 3;
        canvas_rect(c, x, y, max_int(x1 - x - gap, 1), bottom - y, s->ink);
    }
}

static void draw_series(struct canvas *c, const struct chart *p, const struct chart_series *s)
{
    static void (*const draw[])(struct canvas *, const struct chart *, const struct chart_series *) = {
        [CHART_DOTS] = draw_dots, [CHART_LINE] = draw_line, [CHART_STEPS] = draw_steps, [CHART_BARS] = draw_bars};
    draw[s->mark](c, p, s);
}

/* --- rules and legend --- */

/* A label is moved down until it covers none of those before it. */
static int free_row(const int *rows, int n, int wanted)
{
    for (int i = 0; i < n; i++)
        if (abs(rows[i] - wanted) < TEXT_H) return free_row(rows, n, rows[i] + TEXT_H);
    return wanted;
}

enum { RULE_LABELS = 8 }; /* of horizontal ones */

static void draw_rule_lines(struct canvas *c, const struct chart *p)
{
    for (int i = 0; i < p->n_rules; i++) {
        const struct chart_rule *r = &p->rules[i];
        if (isnan(r->at)) continue;
        if (r->vertical)
            canvas_rect(c, at_x(p, r->at), p->place.y, 2, p->place.height, r->ink);
        else
            canvas_rect(c, p->place.x, at_y(p, r->at), p->place.width, 2, r->ink);
    }
}

static void label_vertical(struct canvas *c, const struct chart *p, const struct chart_rule *r, int row)
{
    int x = at_x(p, r->at), y = p->place.y + 4 + LINE_H * row, w = font_text_width(r->label), left = x + 6;
    if (left + w > p->place.x + p->place.width) left = x - 6 - w;
    canvas_rect(c, left - 2, y, w + 4, TEXT_H, INK_PAPER);
    canvas_text(c, left, y, r->ink, r->label);
}

static void draw_rule_labels(struct canvas *c, const struct chart *p)
{
    int rows[RULE_LABELS], n_rows = 0, n_vertical = 0;
    for (int i = 0; i < p->n_rules; i++) {
        const struct chart_rule *r = &p->rules[i];
        if (isnan(r->at) || !r->label) continue;
        if (r->vertical) {
            label_vertical(c, p, r, n_vertical++);
        } else if (n_rows < RULE_LABELS) {
            rows[n_rows] = free_row(rows, n_rows, at_y(p, r->at) - TEXT_H / 2);
            canvas_text(c, p->place.x + p->place.width + 8, rows[n_rows++], r->ink, r->label);
        }
    }
}

static int legend_width(const struct chart *p)
{
    int w = 0;
    for (int i = 0; i < p->n_series; i++)
        if (p->series[i].name) w += SWATCH_W + 6 + font_text_width(p->series[i].name) + 2 * TEXT_W;
    return w;
}

static void draw_swatch(struct canvas *c, int x, int y, const struct chart_series *s)
{
    if (s->mark == CHART_DOTS)
        canvas_disc(c, x + SWATCH_W - 6, y, 3, s->ink);
    else if (s->mark == CHART_BARS)
        canvas_rect(c, x + SWATCH_W - 12, y - 5, 10, 10, s->ink);
    else
        canvas_rect(c, x, y, SWATCH_W, 2, s->ink);
}

static void draw_legend(struct canvas *c, const struct chart *p, int y)
{
    int x = p->place.x + p->place.width - legend_width(p);
    for (int i = 0; i < p->n_series; i++) {
        const struct chart_series *s = &p->series[i];
        if (!s->name) continue;
        draw_swatch(c, x, y + TEXT_H / 2, s);
        canvas_text(c, x + SWATCH_W + 6, y, INK_TEXT, s->name);
        x += SWATCH_W + 6 + font_text_width(s->name) + 2 * TEXT_W;
    }
}

/* --- a panel, and panels --- */

static int right_margin(const struct chart *p)
{
    int w = 2 * PAD;
    for (int i = 0; i < p->n_rules; i++)
        if (p->rules[i].label && !p->rules[i].vertical)
            w = max_int(w, 8 + font_text_width(p->rules[i].label) + PAD);
    return w;
}

static void draw_panel(struct canvas *c, const struct chart *p, int top, const struct flag_box *boxes)
{
    if (p->title) canvas_text(c, PAD, top, INK_TEXT, p->title);
    int y = top + (p->title ? LINE_H : 0);
    canvas_text(c, PAD, y, INK_TEXT, p->y.label);
    draw_legend(c, p, y);
    draw_x_axis(c, p);
    draw_y_axis(c, p);
    for (int i = 0; i < p->n_series; i++) draw_series(c, p, &p->series[i]);
    draw_rule_lines(c, p);
    draw_rule_labels(c, p);
    canvas_frame(c, p->place.x, p->place.y, p->place.width, p->place.height, INK_LINE);
    draw_flags(c, p, boxes);
}

/* Sets the place of each panel from `y` on; returns where the last one ends. */
static int lay_out(struct figure *f, int width, int y, struct flag_box *boxes)
{
    int margin = 0;
    for (int i = 0; i < f->n_panels; i++) margin = max_int(margin, right_margin(&f->panels[i]));
    for (int i = 0; i < f->n_panels; i++) {
        struct chart *p = &f->panels[i];
        p->place = (struct chart_place){LEFT, 0, max_int(width - LEFT - margin, 64), p->height};
        int lanes = place_flags(p, boxes);
        y += (p->title ? 2 : 1) * LINE_H + PANEL_GAP + lanes * LINE_H;
        p->place.y = y;
        y += p->height + AXIS_H + PANEL_GAP;
        boxes += p->n_flags;
    }
    return y;
}

static int n_captions(const struct figure *f)
{
    int n = 0;
    while (n < FIGURE_CAPTIONS && f->caption[n]) n++;
    return n;
}

static int needed_width(const struct figure *f)
{
    int w = f->width > 0 ? f->width : FIGURE_WIDTH;
    w = max_int(w, 2 * PAD + font_text_width(f->title));
    w = max_int(w, 2 * PAD + font_text_width(f->subtitle));
    for (int i = 0; i < n_captions(f); i++) w = max_int(w, 2 * PAD + font_text_width(f->caption[i]));
    for (int i = 0; i < f->n_panels; i++) {
        const struct chart *p = &f->panels[i];
        w = max_int(w, LEFT + right_margin(p) + legend_width(p) + font_text_width(p->y.label));
    }
    return w;
}

static enum status draw_all(struct canvas *c, struct figure *f, struct flag_box *boxes, struct error *err)
{
    int width = needed_width(f), n = n_captions(f);
    int end = lay_out(f, width, PAD + 2 * LINE_H + PANEL_GAP, boxes);
    TRY(canvas_init(c, width, end + n * LINE_H + PAD, COLORMAP_VIRIDIS, err));
    c->texts_apart = f->texts_apart;
    canvas_text(c, PAD, PAD, INK_TEXT, f->title);
    canvas_text(c, PAD, PAD + LINE_H, INK_TEXT, f->subtitle);
    int top = PAD + 2 * LINE_H + PANEL_GAP;
    for (int i = 0; i < f->n_panels; i++) {
        draw_panel(c, &f->panels[i], top, boxes);
        top = f->panels[i].place.y + f->panels[i].height + AXIS_H + PANEL_GAP;
        boxes += f->panels[i].n_flags;
    }
    for (int i = 0; i < n; i++) canvas_text(c, PAD, end + i * LINE_H, INK_TEXT, f->caption[i]);
    return STATUS_OK;
}

enum status figure_draw(struct canvas *c, struct figure *f, struct error *err)
{
    void *boxes;
    size_t n_flags = 0;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < f->n_panels; i++) n_flags += (size_t)f->panels[i].n_flags;
    TRY(mem_alloc(&boxes, n_flags, sizeof(struct flag_box), err));
    enum status st = draw_all(c, f, boxes, err);
    free(boxes);
    return st;
}

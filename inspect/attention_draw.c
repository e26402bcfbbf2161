#include "inspect/attention_draw.h"

#include "base/options.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_ALONE = 512 };

int64_t attention_tile_side(int64_t n_layers, int64_t n_heads)
{
    int64_t n = n_layers * n_heads, cols = multiples_columns(n, 1, 1);
    if (n == 1) return SIDE_ALONE;
    return n_layers > 1 && n_heads > 1 ? multiples_tile_pixels(n_layers, n_heads)
                                       : multiples_tile_pixels((n + cols - 1) / cols, cols);
}

/* --- words --- */

struct words {
    char title[200], subtitle[600], mask[160], pooling[160], beside[240], gap[400], cut[120], broken[120];
    const char *captions[HEATMAP_CAPTIONS];
};

static void make_title(struct words *w, const struct attention_view *v)
{
    char what[120];
    if (v->n_layers == 1 && v->n_heads == 1)
        snprintf(what, sizeof what, "layer %" PRId64 ", head %" PRId64, v->layer0, v->head0);
    else if (v->n_layers == 1)
        snprintf(what, sizeof what, "layer %" PRId64 ", all heads", v->layer0);
    else if (v->n_heads == 1)
        snprintf(what, sizeof what, "head %" PRId64 " in all layers", v->head0);
    else
        snprintf(what, sizeof what, "all heads of all layers");
    snprintf(w->title, sizeof w->title, "%s %s",
             v->is_difference ? "difference of attention (B - A):" : "attention:", what);
}

static void say_mask(struct words *w, const struct attention_view *v)
{
    int64_t least = 0;
    bool all = true;
    for (int64_t i = 0; i < v->n_layers; i++) {
        if (v->windows[i] > 0 && (least == 0 || v->windows[i] < least)) least = v->windows[i];
        all &= v->windows[i] == v->windows[0];
    }
    int n = snprintf(w->mask, sizeof w->mask, "row: the token that looks; column: the token looked at; grey: masked");
    if (least > 0 && n > 0)
        snprintf(w->mask + n, sizeof w->mask - (size_t)n, " (window of %s%" PRId64 " tokens)", all ? "" : "at least ",
                 least);
    else if (v->prefix > 0 && n > 0)
        snprintf(w->mask + n, sizeof w->mask - (size_t)n, " (all see the first %" PRId64 ")", v->prefix);
}

/* Bytes of a label that a line has room for, whole characters */
static int shown_bytes(const char *label)
{
    enum { MOST = 60 };
    return strlen(label) <= MOST ? (int)strlen(label) : (int)utf8_check(label, MOST);
}

void attention_gap_text(char *dst, size_t size, const struct attention_gap *g, const struct token_labels *labels)
{
    const char *query = labels->texts[g->query], *key = labels->texts[g->key];
    if (g->diff == 0)
        snprintf(dst, size, "no difference");
    else
        snprintf(dst, size,
                 "largest difference %.4g (A %.4g, B %.4g) at layer %" PRId64 ", head %" PRId64 ", query %" PRId64
                 " '%.*s', key %" PRId64 " '%.*s'",
                 g->diff, g->a, g->b, g->layer, g->head, g->query, shown_bytes(query), query, g->key, shown_bytes(key), key);
}

static bool is_alone(const struct attention_view *v)
{
    return v->n_layers * v->n_heads == 1;
}

static void say_numbers(struct words *w, const struct attention_picture *p, bool strips)
{
    const struct attention_view *v = p->view;
    w->pooling[0] = w->beside[0] = w->gap[0] = w->cut[0] = w->broken[0] = 0;
    if (v->step > 1)
        snprintf(w->pooling, sizeof w->pooling, "one cell per %" PRId64 " x %" PRId64 " tokens: the %s", v->step, v->step,
                 v->is_difference ? "largest difference, with its sign" : "largest probability");
    if (strips && v->is_difference)
        snprintf(w->beside, sizeof w->beside, "right: the largest difference of each row");
    else if (strips)
        snprintf(w->beside, sizeof w->beside,
                 "right: entropy of each row, 0 to %.3g nats; share of the first token, 0 to 1", log((double)v->n));
    if (v->is_difference) attention_gap_text(w->gap, sizeof w->gap, attention_view_gap(v), p->labels);
    if (p->n_given > v->n)
        snprintf(w->cut, sizeof w->cut, "the first %" PRId64 " of %" PRId64 " tokens", v->n, p->n_given);
    if (v->n_not_finite > 0)
        snprintf(w->broken, sizeof w->broken, "%" PRId64 " values are NaN: magenta", v->n_not_finite);
}

/* strips: those beside the picture of one head are there */
static void make_words(struct words *w, const struct attention_picture *p, bool strips)
{
    int64_t n = p->view->n;
    make_title(w, p->view);
    if (p->name_b)
        snprintf(w->subtitle, sizeof w->subtitle, "A %s, B %s: %" PRId64 " token%s", p->name_a, p->name_b, n, n == 1 ? "" : "s");
    else
        snprintf(w->subtitle, sizeof w->subtitle, "%s: %" PRId64 " token%s", p->name_a, n, n == 1 ? "" : "s");
    say_mask(w, p->view);
    say_numbers(w, p, strips);
    const char *lines[] = {w->mask, w->pooling, p->clip, w->beside, w->gap, w->cut, w->broken};
    int used = 0;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i][0] && used < HEATMAP_CAPTIONS) w->captions[used++] = lines[i];
    while (used < HEATMAP_CAPTIONS) w->captions[used++] = NULL;
}

/* --- pictures --- */

enum status attention_scale(struct attention_picture *p, double quantile, struct error *err)
{
    const struct attention_view *v = p->view;
    struct color_limits l;
    p->scale = (struct color_scale){.lo = 0, .hi = 1, .unit = "probability"};
    if (!v->is_difference) return STATUS_OK;
    TRY(color_limits(&l, v->cells, (size_t)(v->n_layers * v->n_heads * v->side * v->side), quantile, err));
    p->scale = color_scale_of(&l, true, "B - A");
    if (l.limit < l.largest) color_limits_text(p->clip, sizeof p->clip, &l);
    return STATUS_OK;
}

static enum colormap map_of(const struct attention_view *v)
{
    return v->is_difference ? COLORMAP_DIVERGING : COLORMAP_VIRIDIS;
}

static struct heatmap make_heatmap(const struct attention_picture *p, const struct words *w)
{
    const struct attention_view *v = p->view;
    struct heatmap h = {.title = w->title,
                        .subtitle = w->subtitle,
                        .row_label = "query",
                        .col_label = "key",
                        .row_texts = p->labels->texts,
                        .col_texts = p->labels->texts,
                        .cells = v->cells,
                        .rows = v->side,
                        .cols = v->side,
                        .row_step = v->step,
                        .col_step = v->step,
                        .n_rows = v->n,
                        .n_cols = v->n,
                        .scale = p->scale,
                        .map = map_of(v)};
    for (int i = 0; i < HEATMAP_CAPTIONS; i++) h.caption[i] = w->captions[i];
    if (v->is_difference) {
        h.right[0] = (struct heatmap_strip){v->row_gap, h.scale.lo, h.scale.hi};
    } else {
        h.right[0] = (struct heatmap_strip){v->entropy, 0, v->n > 1 ? log((double)v->n) : 1};
        h.right[1] = (struct heatmap_strip){v->first, 0, 1};
    }
    return h;
}

/* Tiles of one layer, or of one head, are wrapped into a page and carry their names. */
struct page {
    struct multiples m;
    const double **tiles;
    const char **names;
    struct arena mem;
};

static enum status wrap(struct page *g, const struct attention_view *v, struct error *err)
{
    bool layers = v->n_layers > 1;
    int64_t n = v->n_layers * v->n_heads, cols = multiples_columns(n, 1, 1), rows = (n + cols - 1) / cols;
    g->tiles = arena_array(&g->mem, (uint64_t)(rows * cols), sizeof *g->tiles);
    g->names = arena_array(&g->mem, (uint64_t)(rows * cols), sizeof *g->names);
    if (!g->tiles || !g->names) return error_nomem(err, (size_t)n * sizeof *g->tiles);
    for (int64_t i = 0; i < n; i++) {
        g->tiles[i] = v->tiles[i];
        g->names[i] = arena_printf(&g->mem, "%s %" PRId64, layers ? "layer" : "head", i);
        if (!g->names[i]) return error_nomem(err, 16);
    }
    g->m.rows = rows;
    g->m.cols = cols;
    g->m.tiles = g->tiles;
    g->m.names = g->names;
    return STATUS_OK;
}

static enum status make_page(struct page *g, const struct attention_picture *p, const struct words *w,
                             struct error *err)
{
    const struct attention_view *v = p->view;
    bool grid = v->n_layers > 1 && v->n_heads > 1;
    *g = (struct page){.m = {.title = w->title,
                             .subtitle = w->subtitle,
                             .row_label = grid ? "layer" : "",
                             .col_label = grid ? "head" : "",
                             .rows = v->n_layers,
                             .cols = v->n_heads,
                             .tiles = v->tiles,
                             .tile_rows = v->side,
                             .tile_cols = v->side,
                             .scale = p->scale,
                             .map = map_of(v)}};
    for (int i = 0; i < MULTIPLES_CAPTIONS; i++) g->m.caption[i] = w->captions[i];
    return grid ? STATUS_OK : wrap(g, v, err);
}

void attention_print(const struct attention_picture *p, const struct terminal *t, struct buf *out)
{
    struct words w;
    struct page g;
    struct error err;
    make_words(&w, p, false);
    if (is_alone(p->view)) {
        struct heatmap h = make_heatmap(p, &w);
        terminal_heatmap(t, &h, out);
        return;
    }
    if (make_page(&g, p, &w, &err) == STATUS_OK)
        terminal_multiples(t, &g.m, out);
    else
        out->failed = true;
    arena_clear(&g.mem);
}

static enum status draw(struct canvas *c, const struct attention_picture *p, const struct words *w, bool svg,
                        char *where, size_t where_size, struct error *err)
{
    if (is_alone(p->view)) {
        struct heatmap h = make_heatmap(p, w);
        struct heatmap_place at;
        h.texts_apart = svg;
        TRY(heatmap_draw(c, &h, 1, &at, err));
        snprintf(where, where_size, "%" PRId64 " x %" PRId64 " cells of %d pixels from %d,%d", h.rows, h.cols,
                 at.cell_px, at.x0, at.y0);
        return STATUS_OK;
    }
    struct page g;
    struct multiples_place at;
    enum status st = make_page(&g, p, w, err);
    g.m.texts_apart = svg;
    if (st == STATUS_OK) st = multiples_draw(c, &g.m, &at, err);
    if (st == STATUS_OK)
        snprintf(where, where_size,
                 "%" PRId64 " x %" PRId64 " tiles from %d,%d, %d right and %d down from one to the next, each %" PRId64
                 " x %" PRId64 " cells of %d pixels",
                 g.m.rows, g.m.cols, at.x0, at.y0, at.step_x, at.step_y, g.m.tile_rows, g.m.tile_cols, at.cell_px);
    arena_clear(&g.mem);
    return st;
}

enum status attention_save(const struct attention_picture *p, const struct tool *t, const char *path, enum output_format f,
                           struct buf *line, struct error *err)
{
    struct words w;
    struct canvas c = {0};
    char where[240], colors[160], software[64];
    make_words(&w, p, is_alone(p->view));
    enum status st = draw(&c, p, &w, f == OUTPUT_SVG, where, sizeof where, err);
    output_colors(colors, sizeof colors, &p->scale, map_of(p->view));
    snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
    const struct png_note notes[] = {{"Title", w.title},   {"Source", w.subtitle}, {"Software", software},
                                     {"Colours", colors},  {"Cells", where},       {"Mask", w.mask},
                                     {"Pooling", w.pooling[0] ? w.pooling : "one cell per token"}};
    if (st == STATUS_OK) st = output_save(t, path, f, &c, notes, sizeof notes / sizeof *notes, err);
    if (st == STATUS_OK) {
        buf_printf(line, "%s: %s, %d x %d pixels\n", path, w.title, c.width, c.height);
        if (w.gap[0]) buf_printf(line, "%s\n", w.gap);
    }
    canvas_clear(&c);
    return st;
}

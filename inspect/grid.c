#include "inspect/grid.h"

#include "base/file.h"
#include "formats/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VECTOR_CELLS = 192 }; /* so that a layer's row is some pixels high */

struct grid {
    const struct tool *tool;
    const struct weight_options *o;
    struct weight_source *s;
    const struct model *model;
    enum role role;
    enum part part;
    int64_t n_layers;
    int64_t max_side;             /* cells of a tile */
    int64_t rows, cols;           /* cells of each tile; 0: not known yet */
    int64_t row_step, col_step, n_rows, n_cols;
    double *cells;                /* (n_layers, rows, cols) */
    const double **tiles;         /* NULL: the layer has none */
    const char **names;
    int64_t n_tiles, n_not_finite;
    struct color_limits limits;
    char title[200], subtitle[480], how[200], clip[200], broken[120];
    struct arena mem;
};

/* --- which tensors --- */

static bool parse_role(struct grid *g, const char *name)
{
    static const char *const ends[PART_COUNT] = {[PART_WEIGHT] = ".weight", [PART_BIAS] = ".bias"};
    for (int r = 0; r < ROLE_COUNT; r++) {
        size_t n = strlen(role_name((enum role)r));
        if (strncmp(name, role_name((enum role)r), n) != 0) continue;
        for (int p = 0; p < PART_COUNT; p++) {
            bool whole = name[n] == '\0' && p == PART_WEIGHT;
            if (!whole && strcmp(name + n, ends[p]) != 0) continue;
            g->role = (enum role)r;
            g->part = (enum part)p;
            return true;
        }
    }
    return false;
}

static enum status no_role(const struct grid *g, struct error *err)
{
    char have[200] = "";
    size_t used = 0;
    for (int r = 0; r < ROLE_COUNT; r++) {
        const char *name = role_name((enum role)r);
        if (!model_weight(g->model, (enum role)r, 0, PART_WEIGHT) || used + strlen(name) + 2 >= sizeof have) continue;
        used += (size_t)snprintf(have + used, sizeof have - used, "%s%s", used ? ", " : "", name);
    }
    error_at(err, STATUS_NOTFOUND, g->s->subject.path, NULL, "no layer has a tensor of role '%s'", g->o->name);
    return error_hint(err, "there are %s", have);
}

/* --- gathering --- */

static enum status first_tile(struct grid *g, const struct cells *c, struct error *err)
{
    uint64_t n;
    g->rows = c->rows;
    g->cols = c->cols;
    g->row_step = c->row_step;
    g->col_step = c->col_step;
    g->n_rows = c->n_rows;
    g->n_cols = c->n_cols;
    if (!size_mul((uint64_t)g->n_layers, (uint64_t)(c->rows * c->cols), &n)) return error_nomem(err, SIZE_MAX);
    void *p;
    TRY(mem_alloc(&p, n, sizeof *g->cells, err));
    g->cells = p;
    for (uint64_t i = 0; i < n; i++) g->cells[i] = CELL_EMPTY;
    return STATUS_OK;
}

/* Layers whose tensor has another shape keep what fits; the rest of the tile stays empty. */
static void copy_tile(struct grid *g, int64_t layer, const struct cells *c)
{
    double *to = g->cells + layer * g->rows * g->cols;
    for (int64_t r = 0; r < g->rows && r < c->rows; r++)
        for (int64_t k = 0; k < g->cols && k < c->cols; k++) to[r * g->cols + k] = c->values[r * c->cols + k];
    g->tiles[layer] = to;
    g->n_tiles++;
    g->n_not_finite += c->n_not_finite;
}

static enum status add_layer(struct grid *g, int64_t layer, struct error *err)
{
    const struct weight *w = model_weight(g->model, g->role, layer, g->part);
    struct weight_view v;
    g->names[layer] = arena_printf(&g->mem, "layer %" PRId64, layer);
    if (!g->names[layer]) return error_nomem(err, 16);
    if (!w) return STATUS_OK;
    TRY(weight_view_make(&v, g->s, w->t->t->name, g->o->reduction, g->max_side, err));
    const struct cells *c = g->s->b ? &v.d : &v.a;
    enum status st = g->cells ? STATUS_OK : first_tile(g, c, err);
    if (st == STATUS_OK) copy_tile(g, layer, c);
    weight_view_clear(&v);
    return st;
}

static int64_t side_of_tiles(const struct grid *g)
{
    for (int64_t i = 0; i < g->n_layers; i++) {
        const struct weight *w = model_weight(g->model, g->role, i, g->part);
        if (!w) continue;
        int64_t cols = tensor_cols(w->t->t), rows = tensor_rows(w->t->t);
        if (rows <= 1) return VECTOR_CELLS;
        int64_t across = multiples_columns(g->n_layers, rows, cols);
        return multiples_tile_pixels((g->n_layers + across - 1) / across, across);
    }
    return 0;
}

static enum status gather(struct grid *g, struct error *err)
{
    g->n_layers = g->model->hp.n_layer;
    g->max_side = side_of_tiles(g);
    if (g->max_side == 0) return no_role(g, err);
    g->tiles = arena_array(&g->mem, (uint64_t)g->n_layers, sizeof *g->tiles);
    g->names = arena_array(&g->mem, (uint64_t)g->n_layers, sizeof *g->names);
    if (!g->tiles || !g->names) return error_nomem(err, (size_t)g->n_layers * sizeof *g->names);
    for (int64_t i = 0; i < g->n_layers; i++) TRY(add_layer(g, i, err));
    return color_limits(&g->limits, g->cells, (size_t)(g->n_layers * g->rows * g->cols), g->o->clip, err);
}

/* --- drawing --- */

static void say(struct grid *g)
{
    char a[160], b[160] = "";
    output_source_name(g->s->subject.path, a, sizeof a);
    if (g->s->b) output_source_name(g->s->b->ckpt->path, b, sizeof b);
    snprintf(g->title, sizeof g->title, "%s%s%s in all layers", g->s->b ? "B - A: " : "weights: ", role_name(g->role),
             g->part == PART_BIAS ? ".bias" : "");
    snprintf(g->subtitle, sizeof g->subtitle, "%s%s%s%s: %" PRId64 " of %" PRId64 " x %" PRId64, b[0] ? "A " : "", a,
             b[0] ? ", B " : "", b, g->n_tiles, g->n_rows, g->n_cols);
    if (g->row_step * g->col_step == 1)
        snprintf(g->how, sizeof g->how, "one cell per weight");
    else
        snprintf(g->how, sizeof g->how, "one cell per %" PRId64 " x %" PRId64 " weights: %s", g->row_step, g->col_step,
                 reduction_text(g->o->reduction));
    color_limits_text(g->clip, sizeof g->clip, &g->limits);
    g->broken[0] = 0;
    if (g->n_not_finite > 0)
        snprintf(g->broken, sizeof g->broken, "%" PRId64 " weights are NaN or infinite: magenta", g->n_not_finite);
}

static struct color_scale scale_of(const struct grid *g)
{
    bool sign = g->o->reduction == REDUCE_EXTREME;
    return color_scale_of(&g->limits, sign, sign ? "weight" : "|weight|");
}

static enum colormap map_of(const struct grid *g)
{
    return g->o->reduction == REDUCE_EXTREME ? COLORMAP_DIVERGING : COLORMAP_VIRIDIS;
}

/* Vectors: a row for each layer */
static struct heatmap as_heatmap(const struct grid *g)
{
    return (struct heatmap){.title = g->title,
                            .subtitle = g->subtitle,
                            .row_label = "layer",
                            .col_label = "element",
                            .caption = {g->how, g->clip, g->broken[0] ? g->broken : NULL},
                            .cells = g->cells,
                            .rows = g->n_layers,
                            .cols = g->cols,
                            .row_step = 1,
                            .col_step = g->col_step,
                            .n_rows = g->n_layers,
                            .n_cols = g->n_cols,
                            .scale = scale_of(g),
                            .map = map_of(g)};
}

/* Tiles in reading order */
static enum status as_page(struct multiples *m, const struct grid *g, struct arena *mem, struct error *err)
{
    int64_t cols = multiples_columns(g->n_layers, g->rows, g->cols), rows = (g->n_layers + cols - 1) / cols;
    const double **tiles = arena_array(mem, (uint64_t)(rows * cols), sizeof *tiles);
    const char **names = arena_array(mem, (uint64_t)(rows * cols), sizeof *names);
    if (!tiles || !names) return error_nomem(err, (size_t)(rows * cols) * sizeof *tiles);
    for (int64_t i = 0; i < g->n_layers; i++) tiles[i] = g->tiles[i], names[i] = g->names[i];
    *m = (struct multiples){.title = g->title,
                            .subtitle = g->subtitle,
                            .row_label = "",
                            .col_label = "",
                            .caption = {g->how, g->clip, g->broken[0] ? g->broken : NULL},
                            .rows = rows,
                            .cols = cols,
                            .tiles = tiles,
                            .names = names,
                            .tile_rows = g->rows,
                            .tile_cols = g->cols,
                            .scale = scale_of(g),
                            .map = map_of(g)};
    return STATUS_OK;
}

static bool is_vector(const struct grid *g)
{
    return g->n_rows == 1;
}

static enum status draw(struct canvas *c, const struct grid *g, struct arena *mem, bool svg, char *where, size_t size, struct error *err)
{
    if (is_vector(g)) {
        struct heatmap h = as_heatmap(g);
        struct heatmap_place at;
        h.texts_apart = svg;
        TRY(heatmap_draw(c, &h, 1, &at, err));
        snprintf(where, size, "%" PRId64 " x %" PRId64 " cells of %d pixels from %d,%d", h.rows, h.cols, at.cell_px, at.x0, at.y0);
        return STATUS_OK;
    }
    struct multiples m;
    struct multiples_place at;
    TRY(as_page(&m, g, mem, err));
    m.texts_apart = svg;
    TRY(multiples_draw(c, &m, &at, err));
    snprintf(where, size,
             "%" PRId64 " x %" PRId64 " tiles from %d,%d, %d right and %d down from one to the next, each %" PRId64
             " x %" PRId64 " cells of %d pixels",
             m.rows, m.cols, at.x0, at.y0, at.step_x, at.step_y, m.tile_rows, m.tile_cols, at.cell_px);
    return STATUS_OK;
}

static enum status save_canvas(const struct grid *g, enum output_format f, struct buf *line, struct error *err)
{
    struct canvas c = {0};
    struct arena mem = {0};
    struct color_scale scale = scale_of(g);
    char where[240], colors[160], software[64];
    enum status st = draw(&c, g, &mem, f == OUTPUT_SVG, where, sizeof where, err);
    output_colors(colors, sizeof colors, &scale, map_of(g));
    snprintf(software, sizeof software, "lathe-inspect %s", lathe_version);
    const struct png_note notes[] = {{"Title", g->title}, {"Source", g->subtitle}, {"Software", software}, {"Colours", colors},
                                     {"Cells", where},    {"Reduction", g->how},   {"Clip", g->clip}};
    if (st == STATUS_OK) st = output_save(g->tool, g->o->output, f, &c, notes, sizeof notes / sizeof *notes, err);
    if (st == STATUS_OK)
        buf_printf(line, "%s: %s, %d x %d pixels, %s; %s\n", g->o->output, g->title, c.width, c.height, g->how, g->clip);
    canvas_clear(&c);
    arena_clear(&mem);
    return st;
}

/* float64 (layers, rows, columns); a layer without the tensor holds infinities */
static enum status save_array(const struct grid *g, struct buf *line, struct error *err)
{
    struct buf out = {0};
    enum status st = npy_header(&out, DTYPE_F64, 3, (const int64_t[]){g->n_layers, g->rows, g->cols}, err);
    buf_append(&out, g->cells, (size_t)(g->n_layers * g->rows * g->cols) * sizeof *g->cells);
    if (st == STATUS_OK) st = output_write(g->tool, g->o->output, &out, err);
    buf_clear(&out);
    if (st == STATUS_OK)
        buf_printf(line, "%s: float64 (%" PRId64 " layers, %" PRId64 " rows, %" PRId64 " columns), %s\n", g->o->output,
                   g->n_layers, g->rows, g->cols, g->how);
    return st;
}

static enum status save(const void *ctx, enum output_format f, struct buf *line, struct error *err)
{
    return f == OUTPUT_NPY ? save_array(ctx, line, err) : save_canvas(ctx, f, line, err);
}

static enum status print(const void *ctx, const struct terminal *t, struct buf *out, struct error *err)
{
    const struct grid *g = ctx;
    struct multiples m;
    struct arena mem = {0};
    if (is_vector(g)) {
        struct heatmap h = as_heatmap(g);
        terminal_heatmap(t, &h, out);
        return STATUS_OK;
    }
    enum status st = as_page(&m, g, &mem, err);
    if (st == STATUS_OK) terminal_multiples(t, &m, out);
    arena_clear(&mem);
    return st;
}

static void report_json(const void *ctx, struct jwriter *w)
{
    const struct grid *g = ctx;
    jw_begin_object(w, NULL);
    if (g->o->output) jw_string(w, "output", g->o->output);
    jw_string(w, "role", role_name(g->role));
    jw_string(w, "part", g->part == PART_BIAS ? "bias" : "weight");
    jw_int(w, "layers", g->n_layers);
    jw_int(w, "tensors", g->n_tiles);
    jw_int(w, "rows", g->n_rows);
    jw_int(w, "columns", g->n_cols);
    jw_int(w, "rows_per_cell", g->row_step);
    jw_int(w, "columns_per_cell", g->col_step);
    jw_double(w, "limit", g->limits.limit);
    jw_double(w, "largest", g->limits.largest);
    jw_int(w, "not_finite", g->n_not_finite);
    jw_end_object(w);
}

static const struct output_kind grid_output = {save, print, report_json};

static enum status show(struct grid *g, struct buf *out, struct jwriter *json, struct error *err)
{
    enum output_format f;
    TRY(output_format_of(&f, g->o->output, err));
    if (!g->model) {
        const struct error *why = &g->s->subject.model_error;
        return error_at(err, STATUS_UNSUPPORTED, g->s->subject.path, NULL, "--grid needs a model: %s",
                        why->text[0] ? why->text : "no known family");
    }
    if (!parse_role(g, g->o->name)) return no_role(g, err);
    TRY(gather(g, err));
    say(g);
    return output_put(g->tool, &grid_output, g, f, out, json, err);
}

enum status grid_show(const struct tool *t, struct weight_source *s, const struct weight_options *o, struct buf *out,
                      struct jwriter *json, struct error *err)
{
    struct grid g = {.tool = t, .o = o, .s = s, .model = s->subject.model};
    enum status st = show(&g, out, json, err);
    free(g.cells);
    arena_clear(&g.mem);
    return st;
}

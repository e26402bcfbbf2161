#include "plots/terminal.h"

#include "formats/tok_unicode.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MIN = 20, COLUMNS_MAX = 400, LINES_MAX = 60, LABEL_COLUMNS_MAX = 24, TILE_MIN = 8, TILE_MAX = 32, BAR_COLUMNS = 24 };

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

void terminal_detect(struct terminal *t, bool colors)
{
    const char *term = getenv("TERM"), *depth = getenv("COLORTERM"), *columns = getenv("COLUMNS");
    struct winsize size;
    t->colors = TERMINAL_ASCII;
    if (colors && depth && (strcmp(depth, "truecolor") == 0 || strcmp(depth, "24bit") == 0))
        t->colors = TERMINAL_TRUECOLOR;
    else if (colors && term && (ends_with(term, "256color") || ends_with(term, "direct")))
        t->colors = ends_with(term, "direct") ? TERMINAL_TRUECOLOR : TERMINAL_256;
    t->columns = columns ? atoi(columns) : 80;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        t->columns = size.ws_col;
    if (t->columns < COLUMNS_MIN) t->columns = columns && t->columns > 0 ? COLUMNS_MIN : 80;
    if (t->columns > COLUMNS_MAX) t->columns = COLUMNS_MAX;
}

/* --- text --- */

static int text_columns(const char *s)
{
    int width = 0;
    for (size_t n = strlen(s), len; n > 0; s += len, n -= len) {
        uint32_t code = 0;
        len = utf8_decode(s, n, &code);
        width += len > 0 ? unicode_columns(code) : 1;
        if (len == 0) len = 1;
    }
    return width;
}

static void trim_line(struct buf *out)
{
    while (out->len > 0 && out->data[out->len - 1] == ' ') out->data[--out->len] = 0;
}

static void put_right(struct buf *out, const char *s, int columns)
{
    for (int i = text_columns(s); i < columns; i++) buf_puts(out, " ");
    buf_puts(out, s);
}

/* --- a matrix that is small enough to be printed --- */

struct raster {
    double *cells;
    int64_t rows, cols;
    struct color_scale scale;
    enum colormap map;
    bool wide; /* a cell is two columns of one line; else one column of half a line (ASCII: of two cells' line) */
};

static double larger(double a, double b)
{
    if (isnan(a) || isnan(b)) return NAN;
    if (isinf(a)) return isinf(b) && b > 0 ? a : b; /* masked cells stay so beside empty ones */
    if (isinf(b)) return a;
    return fabs(b) > fabs(a) ? b : a;
}

/* How cells become those of a raster: step × step of them put together, or one shown as grow × grow; one of the two is 1. */
struct fit {
    int64_t step, grow;
};

static int64_t fitted(int64_t cells, const struct fit *f)
{
    return (cells + f->step - 1) / f->step * f->grow;
}

/* Cells of `from` into r at (row, col) */
static void pool(struct raster *r, int64_t row, int64_t col, const double *from, int64_t rows, int64_t cols,
                 const struct fit *f)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < cols; k++)
            for (int64_t j = 0; j < f->grow * f->grow; j++) {
                int64_t y = row + i / f->step * f->grow + j / f->grow, x = col + k / f->step * f->grow + j % f->grow;
                double *d = &r->cells[y * r->cols + x];
                *d = larger(*d, from[i * cols + k]);
            }
}

static int nearest_256(const uint8_t rgb[3])
{
    static const int steps[6] = {0, 95, 135, 175, 215, 255};
    int at[3], best = 0, best_d = INT32_MAX;
    for (int c = 0; c < 3; c++) {
        at[c] = 0;
        for (int i = 1; i < 6; i++)
            if (abs(steps[i] - rgb[c]) < abs(steps[at[c]] - rgb[c])) at[c] = i;
    }
    for (int i = -1; i < 24; i++) { /* the cube's colour, then the greys */
        int d = 0;
        for (int c = 0; c < 3; c++) {
            int v = (i < 0 ? steps[at[c]] : 8 + 10 * i) - rgb[c];
            d += v * v;
        }
        if (d < best_d) {
            best_d = d;
            best = i < 0 ? 16 + 36 * at[0] + 6 * at[1] + at[2] : 232 + i;
        }
    }
    return best;
}

static void put_color(const struct terminal *t, const struct raster *r, bool background, double v, struct buf *out)
{
    uint8_t rgb[3];
    canvas_color(&(struct canvas){.map = r->map}, cell_color(&r->scale, v), rgb);
    if (t->colors == TERMINAL_TRUECOLOR)
        buf_printf(out, "\x1b[%d;2;%d;%d;%dm", background ? 48 : 38, rgb[0], rgb[1], rgb[2]);
    else
        buf_printf(out, "\x1b[%d;5;%dm", background ? 48 : 38, nearest_256(rgb));
}

static bool is_empty(double v)
{
    return isinf(v) && v > 0;
}

/* Two cells, one above the other, in one column */
static void put_halves(const struct terminal *t, const struct raster *r, double top, double bottom, struct buf *out)
{
    if (is_empty(top) && is_empty(bottom)) {
        buf_puts(out, " ");
        return;
    }
    put_color(t, r, false, is_empty(top) ? bottom : top, out);
    if (!is_empty(top) && !is_empty(bottom)) put_color(t, r, true, bottom, out);
    buf_puts(out, is_empty(top) ? "\u2584" : "\u2580");
    buf_puts(out, "\x1b[0m");
}

static void put_wide(const struct terminal *t, const struct raster *r, double v, struct buf *out)
{
    if (is_empty(v)) {
        buf_puts(out, "  ");
        return;
    }
    put_color(t, r, true, v, out);
    buf_puts(out, "  \x1b[0m");
}

/* The faintest step of the ramp is a dot: a blank is no data. Signed values: by magnitude. */
static const char ramp[] = ".:-=+*#%@";

static char ascii_cell(const struct raster *r, double v)
{
    if (isnan(v)) return '?';
    if (isinf(v)) return ' ';
    double lo = r->map == COLORMAP_DIVERGING ? 0 : r->scale.lo;
    double x = r->map == COLORMAP_DIVERGING ? fabs(v) : v;
    int n = (int)sizeof ramp - 1, i = (int)((x - lo) / (r->scale.hi - lo) * n);
    return ramp[i < 0 ? 0 : i >= n ? n - 1 : i];
}

/* Rows of r that share a line */
static int64_t rows_per_line(const struct raster *r)
{
    return r->wide ? 1 : 2;
}

static void put_line(const struct terminal *t, const struct raster *r, int64_t row, struct buf *out)
{
    for (int64_t k = 0; k < r->cols; k++) {
        double top = r->cells[row * r->cols + k];
        double bottom = !r->wide && row + 1 < r->rows ? r->cells[(row + 1) * r->cols + k] : CELL_EMPTY;
        if (t->colors == TERMINAL_ASCII) {
            char c = ascii_cell(r, r->wide || isinf(bottom) ? top : larger(top, bottom));
            buf_append(out, (const char[]){c, c}, r->wide ? 2 : 1);
        } else if (r->wide) {
            put_wide(t, r, top, out);
        } else {
            put_halves(t, r, top, bottom, out);
        }
    }
    if (t->colors == TERMINAL_ASCII) trim_line(out);
    buf_puts(out, "\n");
}

static void put_scale(const struct terminal *t, const struct raster *r, bool two_rows, struct buf *out)
{
    if (t->colors == TERMINAL_ASCII) {
        bool sign = r->map == COLORMAP_DIVERGING;
        buf_printf(out, "%s%.4g %s %.4g%s%s%s; blank: masked, ?: NaN%s\n", sign ? "magnitude " : "",
                   sign ? 0 : r->scale.lo, ramp, r->scale.hi, r->scale.clipped_hi ? " and more" : "",
                   r->scale.unit[0] ? "  " : "", r->scale.unit, two_rows ? "; two rows a line: the larger" : "");
        return;
    }
    buf_printf(out, "%s%.4g ", r->scale.clipped_lo ? "<= " : "", r->scale.lo);
    for (int i = 0; i < BAR_COLUMNS; i++) {
        put_color(t, r, true, r->scale.lo + (r->scale.hi - r->scale.lo) * i / (BAR_COLUMNS - 1), out);
        buf_puts(out, " ");
    }
    buf_printf(out, "\x1b[0m %s%.4g  %s\n", r->scale.clipped_hi ? ">= " : "", r->scale.hi, r->scale.unit);
}

static void put_lines(struct buf *out, const char *const *lines, int n)
{
    for (int i = 0; i < n && lines[i]; i++) buf_printf(out, "%s\n", lines[i]);
}

static void put_head(struct buf *out, const char *title, const char *subtitle)
{
    if (title[0]) buf_printf(out, "%s\n", title);
    if (subtitle[0]) buf_printf(out, "%s\n", subtitle);
}

static bool make_raster(struct raster *r, struct buf *out)
{
    r->cells = malloc((size_t)(r->rows * r->cols) * sizeof *r->cells);
    out->failed |= !r->cells;
    for (int64_t i = 0; r->cells && i < r->rows * r->cols; i++) r->cells[i] = CELL_EMPTY;
    return r->cells != NULL;
}

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void put_fit(const struct fit *f, struct buf *out)
{
    if (f->step > 1)
        buf_printf(out, "for this width %lld x %lld cells are one: the value of largest magnitude\n",
                   (long long)f->step, (long long)f->step);
}

/* --- one matrix --- */

static void row_label(char dst[128], const struct heatmap *h, int64_t cell)
{
    int64_t i = cell * h->row_step;
    heatmap_axis_text(dst, h->row_texts, i < h->n_rows ? i : h->n_rows - 1);
}

static int label_columns(const struct heatmap *h)
{
    char text[128];
    int columns = text_columns(h->row_label);
    for (int64_t i = 0; i < h->rows; i++) {
        row_label(text, h, i);
        if (text_columns(text) > columns) columns = text_columns(text);
    }
    return columns < LABEL_COLUMNS_MAX ? columns : LABEL_COLUMNS_MAX;
}

/* What the numbers of a head line are, where there is room behind them */
static void put_head_label(const struct terminal *t, size_t line_start, const char *label, struct buf *out)
{
    trim_line(out);
    if (!out->failed && text_columns(out->data + line_start) + 2 + text_columns(label) <= t->columns) buf_printf(out, "  %s", label);
    buf_puts(out, "\n");
}

/* Numbers of columns above the cells, as often as they have room */
static void put_column_head(const struct terminal *t, const struct heatmap *h, const struct raster *r, int64_t step, int left, struct buf *out)
{
    size_t line_start = out->len;
    int per_cell = r->wide ? 2 : 1;
    int64_t every = div_up(10, per_cell);
    put_right(out, h->row_label, left);
    buf_puts(out, " ");
    for (int64_t k = 0; k < r->cols; k += every) {
        char text[24];
        int room = (int)((r->cols - k < every ? r->cols - k : every) * per_cell);
        int n = snprintf(text, sizeof text, "%lld", (long long)(k * step * h->col_step));
        if (n <= room) buf_printf(out, "%-*s", room, text);
    }
    put_head_label(t, line_start, h->col_label, out);
}

void terminal_heatmap(const struct terminal *t, const struct heatmap *h, struct buf *out)
{
    int left = label_columns(h), room = t->columns - left - 1;
    struct raster r = {.scale = h->scale, .map = h->map};
    r.wide = 2 * h->cols <= room && h->rows <= LINES_MAX;
    struct fit f = {.step = r.wide ? 1 : div_up(h->cols, room), .grow = 1};
    int64_t lines = div_up(h->rows, 2 * LINES_MAX);
    if (!r.wide && lines > f.step) f.step = lines;
    r.rows = fitted(h->rows, &f);
    r.cols = fitted(h->cols, &f);
    if (!make_raster(&r, out)) return;
    pool(&r, 0, 0, h->cells, h->rows, h->cols, &f);
    put_head(out, h->title, h->subtitle);
    put_column_head(t, h, &r, f.step, left, out);
    for (int64_t row = 0; row < r.rows; row += rows_per_line(&r)) {
        char text[128];
        row_label(text, h, row * f.step);
        put_right(out, text, left);
        buf_puts(out, " ");
        put_line(t, &r, row, out);
    }
    put_scale(t, &r, !r.wide && r.rows > 1, out);
    put_lines(out, h->caption, HEATMAP_CAPTIONS);
    put_fit(&f, out);
    free(r.cells);
}

/* --- many --- */

static void put_names(const char *const *names, int64_t n, int width, struct buf *out)
{
    for (int64_t k = 0; k < n; k++) {
        const char *name = names[k] ? names[k] : "";
        int used = text_columns(name);
        buf_printf(out, "%s%*s", used < width ? name : "", used < width ? width - used : width, "");
    }
    trim_line(out);
    buf_puts(out, "\n");
}

/* Columns [first, first + n) of the tiles, one row of them after the other */
static void put_block(const struct terminal *t, const struct multiples *m, int64_t first, int64_t n,
                      const struct fit *f, int left, struct buf *out)
{
    int64_t rows = fitted(m->tile_rows, f), cols = fitted(m->tile_cols, f);
    struct raster r = {.rows = rows, .cols = n * (cols + 1), .scale = m->scale, .map = m->map};
    for (int64_t i = 0; i < m->rows; i++) {
        const double *const *tiles = m->tiles + i * m->cols + first;
        char text[24] = "";
        if (!make_raster(&r, out)) return;
        for (int64_t k = 0; k < n; k++)
            if (tiles[k]) pool(&r, 0, k * (cols + 1), tiles[k], m->tile_rows, m->tile_cols, f);
        if (m->names) put_names(m->names + i * m->cols + first, n, (int)cols + 1, out);
        if (m->row_label[0]) snprintf(text, sizeof text, "%lld", (long long)(m->row0 + i));
        for (int64_t row = 0; row < rows; row += 2) {
            put_right(out, row == 0 ? text : "", left);
            if (left > 0) buf_puts(out, " ");
            put_line(t, &r, row, out);
        }
        free(r.cells);
        if (rows > 2 && i + 1 < m->rows && !m->names) buf_puts(out, "\n");
    }
}

static void put_block_head(const struct terminal *t, const struct multiples *m, int64_t first, int64_t n, int64_t tile, int left,
                           struct buf *out)
{
    size_t line_start = out->len;
    put_right(out, m->row_label, left);
    if (left > 0) buf_puts(out, " ");
    for (int64_t k = 0; k < n; k++) buf_printf(out, "%-*lld", (int)tile + 1, (long long)(m->col0 + first + k));
    put_head_label(t, line_start, m->col_label, out);
}

void terminal_multiples(const struct terminal *t, const struct multiples *m, struct buf *out)
{
    int left = m->row_label[0] ? text_columns(m->row_label) : 0, room = t->columns - left - 1;
    int64_t side = m->tile_rows > m->tile_cols ? m->tile_rows : m->tile_cols;
    int64_t tile = room / m->cols - 1; /* columns that one may take */
    tile = tile < TILE_MIN ? TILE_MIN : tile > TILE_MAX ? TILE_MAX : tile;
    struct fit f = {.step = div_up(side, tile), .grow = tile / side >= 4 ? 4 : tile / side >= 2 ? 2 : 1};
    tile = fitted(m->tile_cols, &f);
    int64_t at_once = (room + 1) / (tile + 1);
    if (at_once < 1) at_once = 1;
    put_head(out, m->title, m->subtitle);
    for (int64_t first = 0; first < m->cols; first += at_once) {
        int64_t n = m->cols - first < at_once ? m->cols - first : at_once;
        if (m->col_label[0]) put_block_head(t, m, first, n, tile, left, out);
        put_block(t, m, first, n, &f, left, out);
    }
    put_scale(t, &(struct raster){.scale = m->scale, .map = m->map}, f.grow == 1 && side > 1, out);
    put_lines(out, m->caption, MULTIPLES_CAPTIONS);
    put_fit(&f, out);
}

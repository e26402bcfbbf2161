/* Pictures of matrices: every cell's colour in the encoded file, read by libpng; masks, NaN, strips, labels of all kinds; text turned; SVG;
 * the terminal's three ways; and what a picture of attention puts into its cells. */
#include "base/utf8.h"
#include "inspect/attention_draw.h"
#include "inspect/attention_view.h"
#include "inspect/weight_view.h"
#include "plots/font.h"
#include "plots/svg.h"
#include "plots/terminal.h"
#include "tests/unit/fixtures.h"
#include "tests/unit/temp_model.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;

static void must(enum status st)
{
    if (st != STATUS_OK) fail_msg("%s", err.text);
}

/* --- a PNG, read back --- */

struct seen {
    png_image image;
    uint8_t *rgb;
};

static struct seen look(const struct canvas *c)
{
    struct seen s = {.image = {.version = PNG_IMAGE_VERSION}};
    struct buf b = {0};
    must(png_encode(&b, c, NULL, 0, &err));
    assert_true(png_image_begin_read_from_memory(&s.image, b.data, b.len) != 0);
    s.image.format = PNG_FORMAT_RGB;
    s.rgb = malloc(PNG_IMAGE_SIZE(s.image));
    assert_true(png_image_finish_read(&s.image, NULL, s.rgb, 0, NULL) != 0);
    buf_clear(&b);
    return s;
}

static uint32_t pixel(const struct seen *s, int x, int y)
{
    const uint8_t *p = s->rgb + 3 * ((size_t)y * s->image.width + (size_t)x);
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* What a value between lo and hi should be: the nearest of the map's steps */
static uint32_t color_of(enum colormap m, double v, double lo, double hi)
{
    uint8_t rgb[3];
    if (isnan(v)) return 0xFF00FF;
    if (isinf(v)) return v < 0 ? 0xA0A0A0 : 0xFFFFFF;
    double x = floor((v - lo) / (hi - lo) * (N_LEVELS - 1) + 0.5);
    colormap_color(m, x < 0 ? 0 : x > N_LEVELS - 1 ? N_LEVELS - 1 : (int)x, rgb);
    return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

static void assert_square(const struct seen *s, int x, int y, int px, uint32_t color)
{
    assert_int_equal(pixel(s, x, y), color);
    assert_int_equal(pixel(s, x + px - 1, y + px - 1), color);
}

/* --- one matrix --- */

static const char *const odd_texts[] = {"\u4f60\u597d", "\U0001F600", "\\n", "\\t", "\\xe4\\xbd", "a\xFF", ""};
enum { N_ODD = sizeof odd_texts / sizeof *odd_texts };

static struct heatmap small_map(const double *cells, int64_t rows, int64_t cols)
{
    return (struct heatmap){.title = "t",
                            .subtitle = "s",
                            .row_label = "query",
                            .col_label = "key",
                            .cells = cells,
                            .rows = rows,
                            .cols = cols,
                            .row_step = 1,
                            .col_step = 1,
                            .n_rows = rows,
                            .n_cols = cols,
                            .scale = {.lo = 0, .hi = 1, .unit = ""},
                            .map = COLORMAP_VIRIDIS};
}

static void masked_and_broken_cells(void **state)
{
    (void)state;
    double cells[N_ODD * N_ODD], strip[N_ODD];
    for (int i = 0; i < N_ODD; i++) {
        for (int k = 0; k < N_ODD; k++) cells[i * N_ODD + k] = k > i ? CELL_MASKED : (i + k) / 20.0;
        strip[i] = i * 2.0;
    }
    cells[3 * N_ODD + 1] = NAN;
    cells[4 * N_ODD] = 0; /* zero is not masked */
    struct heatmap h = small_map(cells, N_ODD, N_ODD);
    h.row_texts = h.col_texts = odd_texts;
    h.right[0] = (struct heatmap_strip){strip, 0, 12};
    h.right[1] = (struct heatmap_strip){strip, 0, 100};
    h.below = (struct heatmap_strip){strip, 0, 6};
    struct canvas c;
    struct heatmap_place at;
    must(heatmap_draw(&c, &h, 1, &at, &err));
    struct seen s = look(&c);
    for (int i = 0; i < N_ODD; i++) {
        for (int k = 0; k < N_ODD; k++)
            assert_square(&s, at.x0 + k * at.cell_px, at.y0 + i * at.cell_px, at.cell_px,
                          color_of(COLORMAP_VIRIDIS, cells[i * N_ODD + k], 0, 1));
        int y = at.y0 + i * at.cell_px, x = at.x0 + i * at.cell_px;
        assert_int_equal(pixel(&s, at.right_x[0], y), color_of(COLORMAP_VIRIDIS, strip[i], 0, 12));
        assert_int_equal(pixel(&s, at.right_x[1] + at.strip_px - 1, y), color_of(COLORMAP_VIRIDIS, strip[i], 0, 100));
        assert_int_equal(pixel(&s, x, at.below_y), color_of(COLORMAP_VIRIDIS, strip[i], 0, 6));
    }
    assert_int_equal(pixel(&s, at.x0 + 6 * at.cell_px, at.y0), 0xA0A0A0);
    assert_int_equal(pixel(&s, at.x0 + at.cell_px, at.y0 + 3 * at.cell_px), 0xFF00FF);
    assert_int_equal(pixel(&s, at.x0, at.y0 + 4 * at.cell_px), 0x440154);
    free(s.rgb);
    canvas_clear(&c);
}

static void zero_is_white_on_a_signed_scale(void **state)
{
    (void)state;
    assert_int_equal(color_of(COLORMAP_DIVERGING, 0, -0.37, 0.37), 0xF7F7F7);
    assert_int_equal(cell_color(&(struct color_scale){.lo = -0.37, .hi = 0.37}, 0), N_LEVELS / 2);
}

static void maps_side_by_side(void **state)
{
    (void)state;
    const double a[2] = {0.25, 0.5}, b[6] = {0, 0.125, 0.75, 1, CELL_MASKED, NAN};
    struct heatmap h[2] = {small_map(a, 1, 2), small_map(b, 3, 2)};
    h[1].title = "a title that is much wider than its map";
    h[1].scale.hi = 2;
    struct heatmap_place at[2];
    struct canvas c;
    must(heatmap_draw(&c, h, 2, at, &err));
    struct seen s = look(&c);
    for (int i = 0; i < 2; i++)
        assert_square(&s, at[0].x0 + i * at[0].cell_px, at[0].y0, at[0].cell_px, color_of(COLORMAP_VIRIDIS, a[i], 0, 1));
    for (int i = 0; i < 6; i++)
        assert_square(&s, at[1].x0 + i % 2 * at[1].cell_px, at[1].y0 + i / 2 * at[1].cell_px, at[1].cell_px,
                      color_of(COLORMAP_VIRIDIS, b[i], 0, 2));
    assert_true(at[1].x0 > at[0].x0 + 2 * at[0].cell_px);
    free(s.rgb);
    canvas_clear(&c);
    h[1].cols = 0;
    assert_int_equal(heatmap_draw(&c, h, 2, at, &err), STATUS_RANGE);
}

static void many_cells_are_one_pixel(void **state)
{
    (void)state;
    enum { N = 1500 };
    double *cells = calloc(N * N, sizeof *cells);
    for (int i = 0; i < N * N; i++) cells[i] = i % 241 / 240.0;
    struct heatmap h = small_map(cells, N, N);
    struct heatmap_place at;
    struct canvas c;
    must(heatmap_draw(&c, &h, 1, &at, &err));
    assert_int_equal(at.cell_px, 1);
    for (int i = 0; i < N * N; i += 977)
        assert_int_equal(c.pixels[(at.y0 + i / N) * c.width + at.x0 + i % N], i % 241);
    free(cells);
    canvas_clear(&c);
}

/* --- many --- */

static void tiles_are_where_the_place_says(void **state)
{
    (void)state;
    double tile[5][6];
    const double *tiles[6] = {tile[0], tile[1], NULL, tile[2], tile[3], tile[4]};
    const char *names[6] = {"a", "layer 12345678", NULL, "\u4f60", "", "f"};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 6; k++) tile[i][k] = i == 4 && k == 3 ? CELL_MASKED : i == 0 && k == 1 ? NAN : (i * 6 + k) / 30.0;
    struct multiples m = {.title = "t",
                          .subtitle = "",
                          .row_label = "layer",
                          .col_label = "head",
                          .rows = 2,
                          .cols = 3,
                          .row0 = 7,
                          .tiles = tiles,
                          .tile_rows = 2,
                          .tile_cols = 3,
                          .scale = {.lo = 0, .hi = 1, .unit = "u"},
                          .map = COLORMAP_VIRIDIS};
    for (int named = 0; named < 2; named++) {
        struct multiples_place at;
        struct canvas c;
        m.names = named ? names : NULL;
        must(multiples_draw(&c, &m, &at, &err));
        struct seen s = look(&c);
        for (int i = 0; i < 6; i++)
            for (int k = 0; tiles[i] && k < 6; k++)
                assert_square(&s, at.x0 + i % 3 * at.step_x + k % 3 * at.cell_px,
                              at.y0 + i / 3 * at.step_y + k / 3 * at.cell_px, at.cell_px,
                              color_of(COLORMAP_VIRIDIS, tiles[i][k], 0, 1));
        assert_square(&s, at.x0 + 2 * at.step_x, at.y0, at.cell_px, 0xFFFFFF);
        free(s.rgb);
        canvas_clear(&c);
    }
    struct canvas c;
    m.names = NULL;
    m.rows = 30000;
    assert_int_equal(multiples_draw(&c, &m, NULL, &err), STATUS_RANGE);
    m.rows = 0;
    assert_int_equal(multiples_draw(&c, &m, NULL, &err), STATUS_RANGE);
}

static void limits_by_quantile(void **state)
{
    (void)state;
    double v[1003];
    for (int i = 0; i < 1000; i++) v[i] = (i % 2 ? 1 : -1) * i / 1000.0;
    v[1000] = NAN;
    v[1001] = CELL_MASKED;
    v[1002] = -7;
    struct color_limits l;
    must(color_limits(&l, v, 1003, 0.5, &err)); /* of 1001 magnitudes 0, 0.001, ... 0.999, 7 the 500th */
    assert_true(l.limit == 0.5 && l.largest == 7);
    must(color_limits(&l, v, 1003, 1, &err));
    assert_true(l.limit == 7 && l.largest == 7);
    must(color_limits(&l, v, 1000, 0.99, &err)); /* hardly less than the largest */
    assert_true(l.limit == 0.999);
    must(color_limits(&l, v, 1, 0.99, &err)); /* zeros */
    assert_true(l.limit == 0 && l.largest == 0);
    assert_true(color_scale_of(&l, true, "").lo == -1 && color_scale_of(&l, false, "").hi == 1);
    must(color_limits(&l, v + 1000, 2, 0.99, &err));
    assert_true(l.limit == 0);
}

/* --- text --- */

static void text_turned_is_the_text(void **state)
{
    (void)state;
    const char *text = "Q\u2423\u4f60\U0010FFFD";
    int w = font_text_width(text);
    struct canvas flat, up;
    must(canvas_init(&flat, w, TEXT_H, COLORMAP_VIRIDIS, &err));
    must(canvas_init(&up, TEXT_H, w, COLORMAP_VIRIDIS, &err));
    canvas_text(&flat, 0, 0, INK_TEXT, text);
    canvas_text_up(&up, 0, w, INK_TEXT, text);
    int n_ink = 0;
    for (int x = 0; x < w; x++)
        for (int y = 0; y < TEXT_H; y++) {
            assert_int_equal(flat.pixels[y * w + x], up.pixels[(w - 1 - x) * TEXT_H + y]);
            n_ink += flat.pixels[y * w + x] == INK_TEXT;
        }
    assert_true(n_ink > 20);
    canvas_clear(&flat);
    canvas_clear(&up);
}

static void axis_texts_are_cut(void **state)
{
    (void)state;
    char text[128];
    const char *texts[2] = {"word", NULL};
    heatmap_axis_text(text, NULL, 12);
    assert_string_equal(text, "12");
    heatmap_axis_text(text, texts, 0);
    assert_string_equal(text, "word 0");
    char *longest = calloc(3001, 1);
    for (int i = 0; i < 1000; i++) memcpy(longest + 3 * i, "\u4f60", 3);
    texts[1] = longest;
    heatmap_axis_text(text, texts, 1);
    assert_int_equal(utf8_check(text, strlen(text)), strlen(text));
    assert_string_equal(text + strlen(text) - 5, "\u2026 1");
    assert_true(font_text_width(text) <= 168);
    free(longest);
}

static void svg_has_its_texts_as_text(void **state)
{
    (void)state;
    const double cells[4] = {0, 1, 0.5, NAN};
    const char *texts[2] = {"<a&\"b>", "\u4f60"};
    struct heatmap h = small_map(cells, 2, 2);
    h.row_texts = h.col_texts = texts;
    h.texts_apart = true;
    struct canvas c;
    struct buf out = {0};
    must(heatmap_draw(&c, &h, 1, NULL, &err));
    for (int i = 0; i < c.width * c.height; i++) assert_int_not_equal(c.pixels[i], INK_TEXT);
    const struct png_note notes[] = {{"Title", "a < b"}, {"Key", "\x01\xFF"}};
    must(svg_encode(&out, &c, notes, 2, &err));
    assert_non_null(strstr(out.data, "<title>a &#60; b</title>"));
    assert_non_null(strstr(out.data, "Key: \uFFFD\uFFFD"));
    assert_non_null(strstr(out.data, ">&#60;a&#38;&#34;b&#62; 0</text>"));
    assert_non_null(strstr(out.data, "rotate(-90 "));
    assert_non_null(strstr(out.data, ">\u4f60 1</text>"));
    assert_null(strstr(out.data, "http://") == strstr(out.data, "http://www.w3.org") ? NULL : out.data);
    buf_clear(&out);
    canvas_clear(&c);
}

/* --- the terminal --- */

static void assert_lines_fit(const char *text, int columns)
{
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        int width = 0;
        assert_non_null(end);
        for (; p < end; p++) {
            if (*p == '\x1b')
                p = strchr(p, 'm');
            else
                width += ((unsigned char)*p & 0xC0) != 0x80; /* ASCII and half blocks here: one column each */
        }
        assert_true(width <= columns);
        p = end + 1;
    }
}

static void terminal_shows_known_values(void **state)
{
    (void)state;
    const double cells[4] = {0, CELL_MASKED, 0.5, 1};
    struct heatmap h = small_map(cells, 2, 2);
    h.title = h.subtitle = "";
    h.row_label = h.col_label = "";
    struct buf out = {0};
    terminal_heatmap(&(struct terminal){TERMINAL_TRUECOLOR, 80}, &h, &out);
    /* viridis: 68,1,84 at 0 and 253,231,37 at 1 */
    assert_non_null(strstr(out.data, "0 \x1b[48;2;68;1;84m  \x1b[0m\x1b[48;2;160;160;160m  \x1b[0m\n"));
    assert_non_null(strstr(out.data, "\x1b[48;2;253;231;37m  \x1b[0m\n"));
    out.len = 0;
    terminal_heatmap(&(struct terminal){TERMINAL_256, 80}, &h, &out);
    assert_non_null(strstr(out.data, "\x1b[48;5;"));
    assert_non_null(strstr(out.data, "\x1b[48;5;247m  ")); /* 160 lies between the greys 158 and 168 */
    assert_null(strstr(out.data, ";2;"));
    out.len = 0;
    terminal_heatmap(&(struct terminal){TERMINAL_ASCII, 80}, &h, &out);
    assert_null(strchr(out.data, '\x1b'));
    assert_non_null(strstr(out.data, "0 ..\n1 ++@@\n"));
    buf_clear(&out);
}

static void terminal_keeps_its_width(void **state)
{
    (void)state;
    enum { N = 300 };
    double *cells = calloc(N * N, sizeof *cells);
    const double *tiles[40];
    for (int i = 0; i < N * N; i++) cells[i] = (i % N) > i / N ? CELL_MASKED : (i % 7) / 7.0;
    for (int i = 0; i < 40; i++) tiles[i] = cells;
    cells[N * N - N] = 1; /* one cell that pooling must not lose */
    struct heatmap h = small_map(cells, N, N);
    struct multiples m = {.title = "t", .subtitle = "s", .row_label = "layer", .col_label = "head", .rows = 2, .cols = 20,
                          .tiles = tiles, .tile_rows = N, .tile_cols = N, .scale = {.lo = 0, .hi = 1, .unit = ""}};
    for (int colors = TERMINAL_ASCII; colors <= TERMINAL_TRUECOLOR; colors++)
        for (int columns = 40; columns <= 200; columns += 40) {
            const struct terminal t = {(enum terminal_colors)colors, columns};
            struct buf out = {0};
            terminal_heatmap(&t, &h, &out);
            /* captions tell of reading; they are as long as they are */
            char *end = strstr(out.data, "for this width");
            assert_non_null(end);
            end = strstr(out.data, colors == TERMINAL_ASCII ? "\n0 .:" : "\n0 \x1b");
            assert_non_null(end);
            end[1] = 0;
            assert_lines_fit(out.data, columns);
            if (colors == TERMINAL_ASCII) assert_non_null(strchr(out.data, '@'));
            out.len = 0;
            terminal_multiples(&t, &m, &out);
            assert_non_null(strstr(out.data, columns > 40 ? "  head\n" : "\n"));
            end = strstr(out.data, colors == TERMINAL_ASCII ? "\n0 .:" : "\n0 \x1b");
            assert_non_null(end);
            end[1] = 0;
            assert_lines_fit(out.data, columns);
            assert_int_equal(strchr(out.data, '\x1b') != NULL, colors != TERMINAL_ASCII);
            buf_clear(&out);
        }
    free(cells);
}

static void capabilities_by_environment(void **state)
{
    (void)state;
    static const struct {
        const char *term, *colorterm;
        bool wanted;
        enum terminal_colors expected;
    } cases[] = {
        {"xterm-256color", NULL, true, TERMINAL_256},      {"xterm-256color", "truecolor", true, TERMINAL_TRUECOLOR},
        {"xterm", "24bit", true, TERMINAL_TRUECOLOR},      {"xterm-direct", NULL, true, TERMINAL_TRUECOLOR},
        {"xterm", NULL, true, TERMINAL_ASCII},             {NULL, NULL, true, TERMINAL_ASCII},
        {"xterm-256color", "truecolor", false, TERMINAL_ASCII},
    };
    struct terminal t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsetenv("TERM");
        unsetenv("COLORTERM");
        if (cases[i].term) setenv("TERM", cases[i].term, 1);
        if (cases[i].colorterm) setenv("COLORTERM", cases[i].colorterm, 1);
        terminal_detect(&t, cases[i].wanted);
        assert_int_equal(t.colors, cases[i].expected);
    }
    if (isatty(1)) return;
    static const char *const widths[] = {"123", "5", "-4", "x", "99999999"};
    static const int columns[] = {123, 20, 80, 80, 400};
    for (int i = 0; i < 5; i++) {
        setenv("COLUMNS", widths[i], 1);
        terminal_detect(&t, false);
        assert_int_equal(t.columns, columns[i]);
    }
}

/* --- attention --- */

static const struct hparams one_by_two = {.n_layer = 1, .n_head = 2};

static void attention_in_cells(void **state)
{
    (void)state;
    enum { N = 7, SIDE = 3 }; /* three cells of three ids, the last one of one */
    const struct model model = {.hp = one_by_two};
    const struct attention_request r = {.model = &model, .against = &model, .n = N, .layer = -1, .head = 1};
    struct attention_view v;
    float a[N * N] = {0}, b[N * N] = {0};
    for (int q = 0; q < N; q++)
        for (int k = 0; k <= q; k++) a[q * N + k] = b[q * N + k] = 1.0f / (float)(q + 1);
    b[5 * N + 1] += 0.25f;
    b[6 * N + 6] -= 0.5f;
    b[4 * N + 3] -= 0.125f;
    struct attention_map ma = {.layer = 0, .head = 1, .n = N, .p = a}, mb = ma;
    mb.p = b;
    must(attention_view_init(&v, &r, SIDE, &err));
    v.figures = true;
    assert_true(v.step == 3 && v.side == 3 && v.n_layers == 1 && v.n_heads == 1 && v.head0 == 1);
    must(attention_view_add(&v, &ma, &mb, &err));
    const double expected[9] = {0, CELL_MASKED, CELL_MASKED, 0.25, -0.125, CELL_MASKED, 0, 0, -0.5};
    for (int i = 0; i < 9; i++) assert_true(expected[i] == v.cells[i] || fabs(expected[i] - v.cells[i]) < 1e-7);
    const struct attention_gap *g = attention_view_gap(&v);
    assert_true(fabs(g->diff + 0.5) < 1e-7 && g->query == 6 && g->key == 6 && g->head == 1 && g->layer == 0);
    double entropy = 0, first = 0;
    for (int q = 0; q < N; q++) entropy += log(q + 1.0) / N, first += q > 0 ? 1.0 / (q + 1) / (N - 1) : 0;
    assert_true(fabs(v.facts[0].entropy - entropy) < 1e-6 && fabs(v.facts[0].first - first) < 1e-6);
    assert_true(fabs(v.entropy[2] - log(7)) < 1e-6 && fabs(v.first[2] - 1 / 7.0) < 1e-6);
    b[3 * N + 2] = NAN;
    must(attention_view_add(&v, &ma, &mb, &err));
    assert_true(isnan(v.cells[3]) && v.n_not_finite == 1 && isnan(attention_view_gap(&v)->diff));
    attention_view_clear(&v);
}

/* A long token is cut between characters. */
static void long_labels_are_cut(void **state)
{
    (void)state;
    char label[2 + 3 * 40 + 1], text[400];
    const char *texts[2] = {label, "b"};
    const struct token_labels labels = {.texts = texts, .n = 2};
    for (int shift = 0; shift < 3; shift++) {
        memset(label, 'x', (size_t)shift);
        for (int i = 0; i < 40; i++) memcpy(label + shift + 3 * i, "\u4f60", 4);
        attention_gap_text(text, sizeof text, &(struct attention_gap){.diff = 1, .query = 0, .key = 1}, &labels);
        assert_int_equal(utf8_check(text, strlen(text)), strlen(text));
        assert_non_null(strstr(text, "key 1 'b'"));
    }
}

/* One id, one head, one layer: still a picture. Ids with texts of every kind, too. */
static void smallest_picture_of_attention(void **state)
{
    (void)state;
    const struct model model = {.hp = {.n_layer = 1, .n_head = 1}};
    for (int64_t n = 1; n <= N_ODD; n += N_ODD - 1)
        for (int svg = 0; svg < 2; svg++) {
            const struct attention_request r = {.model = &model, .n = n, .layer = -1, .head = -1};
            struct attention_view v;
            float p[N_ODD * N_ODD] = {0};
            for (int64_t i = 0; i < n; i++) p[i * n] = 1;
            must(attention_view_init(&v, &r, 512, &err));
            must(attention_view_add(&v, &(struct attention_map){.n = n, .p = p}, NULL, &err));
            const struct token_labels labels = {.texts = (const char **)(uintptr_t)odd_texts, .n = n};
            struct attention_picture picture = {.view = &v, .labels = &labels, .name_a = "m", .n_given = n};
            must(attention_scale(&picture, 0.999, &err));
            struct buf line = {0};
            attention_print(&picture, &(struct terminal){TERMINAL_ASCII, 80}, &line);
            assert_non_null(strstr(line.data, n == 1 ? "1 token\n" : "7 tokens\n"));
            assert_non_null(strstr(line.data, "\u4f60\u597d 0 @@\n"));
            buf_clear(&line);
            const char *path = temp_path(svg ? "x.svg" : "x.png");
            struct tool_files files = {0};
            must(attention_save(&picture, &(struct tool){.files = &files}, path, svg ? OUTPUT_SVG : OUTPUT_PNG, &line, &err));
            must(outfiles_commit(files.items, files.n, &err));
            buf_clear(&line);
            attention_view_clear(&v);
        }
}

/* --- weights --- */

/* What a view of one tensor says that was changed at one place by 1 (and at another is NaN) */
static void check_damage(const char *dir, const char *other, const char *name, int64_t row, int64_t col)
{
    struct workers *w;
    struct weight_source s;
    struct weight_view v;
    for (int threads = 1; threads <= 3; threads += 2) {
        must(workers_new(&w, threads, &err));
        must(weight_source_open(&s, dir, other, w, &err));
        must(weight_view_make(&v, &s, name, REDUCE_EXTREME, 8, &err));
        assert_true(fabs(v.max_d - 1) < 1e-6 && v.max_row == row && v.max_col == col);
        for (int64_t r = 0; r < v.d.rows; r++)
            for (int64_t k = 0; k < v.d.cols; k++) {
                bool here = r == row / v.d.row_step && k == col / v.d.col_step;
                assert_true(fabs(v.d.values[r * v.d.cols + k] - (here ? 1 : 0)) < 1e-6);
            }
        double n = (double)(v.place.n_rows * v.place.n_cols);
        assert_true(fabs(v.rms_d - sqrt(1 / n)) < 1e-6);
        weight_view_clear(&v);
        weight_source_close(&s);
        workers_free(w);
    }
}

static void difference_in_the_layout_of_a_gguf(void **state)
{
    (void)state;
    struct fixture f, g;
    fixture_gpt2(&f, NULL);
    fixture_gpt2(&g, NULL);
    /* stored as (in, out): element (3, 5) is row 5, column 3 of the matrix */
    struct fixture_tensor *t = fixture_find(&g, "transformer.h.1.mlp.c_fc.weight");
    t->data[3 * t->shape[1] + 5] += 1;
    fixture_write(&f);
    fixture_write(&g);
    check_damage(f.dir, g.dir, "transformer.h.1.mlp.c_fc.weight", 5, 3);
    check_damage(f.dir, g.dir, "blk.1.ffn_up.weight", 5, 3);
    t->data[3 * t->shape[1] + 5] -= 1;
    fixture_find(&g, "transformer.h.1.mlp.c_fc.bias")->data[7] += 1; /* a vector is one row */
    fixture_write(&g);
    check_damage(f.dir, g.dir, "transformer.h.1.mlp.c_fc.bias", 0, 7);
    fixture_clear(&f);
    fixture_clear(&g);
}

static void what_cannot_be_looked_at(void **state)
{
    (void)state;
    struct fixture f, g;
    struct workers *w;
    struct weight_source s;
    struct weight_view v;
    fixture_llama(&f, NULL);
    fixture_gpt2(&g, NULL);
    fixture_write(&f);
    fixture_write(&g);
    must(workers_new(&w, 2, &err));
    assert_int_not_equal(weight_source_open(&s, f.dir, g.dir, w, &err), STATUS_OK);
    must(weight_source_open(&s, f.dir, f.dir, w, &err));
    assert_int_equal(weight_view_make(&v, &s, "layers.0", REDUCE_RMS, 8, &err), STATUS_NOTFOUND);
    assert_non_null(strstr(err.hint, "model.layers.0."));
    weight_source_close(&s);
    fixture_find(&f, "model.norm.weight")->data[3] = NAN;
    fixture_write(&f);
    must(weight_source_open(&s, f.dir, NULL, w, &err));
    must(weight_view_make(&v, &s, "model.norm.weight", REDUCE_MEAN, 4, &err));
    assert_true(v.a.n_not_finite == 1 && isnan(v.a.values[0]) && isnan(v.a.row_peaks[0]) && !isnan(v.a.values[1]));
    weight_view_clear(&v);
    weight_source_close(&s);
    workers_free(w);
    fixture_clear(&f);
    fixture_clear(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_and_broken_cells),
        cmocka_unit_test(zero_is_white_on_a_signed_scale),
        cmocka_unit_test(maps_side_by_side),
        cmocka_unit_test(many_cells_are_one_pixel),
        cmocka_unit_test(tiles_are_where_the_place_says),
        cmocka_unit_test(limits_by_quantile),
        cmocka_unit_test(text_turned_is_the_text),
        cmocka_unit_test(axis_texts_are_cut),
        cmocka_unit_test(svg_has_its_texts_as_text),
        cmocka_unit_test(terminal_shows_known_values),
        cmocka_unit_test(terminal_keeps_its_width),
        cmocka_unit_test(capabilities_by_environment),
        cmocka_unit_test(attention_in_cells),
        cmocka_unit_test(long_labels_are_cut),
        cmocka_unit_test(smallest_picture_of_attention),
        cmocka_unit_test(difference_in_the_layout_of_a_gguf),
        cmocka_unit_test(what_cannot_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

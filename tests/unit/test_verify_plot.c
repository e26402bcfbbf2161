/* --plot and --points of lathe-verify: marks found again in the picture where the numbers say, its texts, words of tokens. */
#include "tests/unit/temp_model.h"
#include "verify/verify_plot.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 60, CONTEXT = 25 };
static struct error err;

/* Points that any reader can compute: KL falls and rises over eight decades, two are 0, one has no number. */
static void make_points(struct metrics_point *points, struct metrics_result *m)
{
    *m = (struct metrics_result){.positions = N, .scored = N - 3, .max_abs_logit = 20, .max_abs_diff = 2, .top1_agreement = 0.75};
    for (int i = 0; i < N; i++) {
        double kl = pow(10, -6 + i % 17 * 0.25);
        points[i] = (struct metrics_point){kl, kl / 2, (float)(0.1 + 0.02 * i), i % CONTEXT == CONTEXT - 1 ? NAN : 2.5F, 2.25F};
    }
    points[7].kl_ab = points[8].kl_ab = 0;
    points[9].kl_ab = points[9].kl_ba = points[9].max_abs_diff = NAN;
    m->kl_ab = (struct metrics_spread){.mean = 1e-3, .median = 1e-4, .p99 = 1e-2, .max = 1e-2};
    m->kl_ba = m->kl_ab;
    m->worst[0] = (struct metrics_position){.position = 9, .n_bad_a = 1, .kl_ab = NAN};
    m->worst[1] = (struct metrics_position){.position = 33, .kl_ab = points[33].kl_ab, .max_abs_diff = 1};
    m->n_worst = 2;
    m->n_bad_a = 1;
}

struct made {
    struct metrics_point points[N];
    struct metrics_result result;
    int32_t ids[N];
    struct tokens tokens;
    struct verify_run run;
    struct tolerance tolerance;
    struct words words;
    struct verify_report report;
};

static void make_report(struct made *m)
{
    memset(m, 0, sizeof *m);
    make_points(m->points, &m->result);
    for (int i = 0; i < N; i++) m->ids[i] = 3 * i;
    m->tokens = (struct tokens){.ids = m->ids, .n = N};
    m->run = (struct verify_run){.tokens = &m->tokens, .n_context = CONTEXT};
    m->tolerance = (struct tolerance){.value = 0.25, .reason = "because"};
    m->report = (struct verify_report){.run = &m->run,
                                       .path_a = "some/folder/",
                                       .path_b = "it\x1b\xE4\xBD\xA0.gguf",
                                       .result = &m->result,
                                       .tolerance = &m->tolerance,
                                       .words = &m->words,
                                       .points = m->points};
}

/* A picture and its texts, by libpng's reader */
struct seen {
    png_structp png;
    png_infop info;
    png_bytepp rows;
    const struct buf *bytes;
    size_t at;
};

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct seen *s = png_get_io_ptr(png);
    assert_true(n <= s->bytes->len - s->at);
    memcpy(out, s->bytes->data + s->at, n);
    s->at += n;
}

static void look(struct seen *s, const struct buf *bytes)
{
    *s = (struct seen){.bytes = bytes};
    s->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    s->info = png_create_info_struct(s->png);
    png_set_read_fn(s->png, s, read_bytes);
    png_read_png(s->png, s->info, PNG_TRANSFORM_EXPAND, NULL);
    s->rows = png_get_rows(s->png, s->info);
}

static const char *text_of(const struct seen *s, const char *key)
{
    png_textp texts;
    int n = png_get_text(s->png, s->info, &texts, NULL);
    for (int i = 0; i < n; i++)
        if (strcmp(texts[i].key, key) == 0) return texts[i].text;
    fail_msg("no text '%s'", key);
    return NULL;
}

static unsigned pixel(const struct seen *s, int x, int y)
{
    const uint8_t *p = s->rows[y] + 3 * x;
    return (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
}

/* A panel as the picture's own text describes it */
struct panel {
    double x_lo, x_hi, y_lo, y_hi;
    int left, right, bottom, top;
    bool x_log;
};

static struct panel panel_of(const struct seen *s, int i)
{
    struct panel p;
    char head[16];
    snprintf(head, sizeof head, "panel %d: x ", i);
    const char *text = strstr(text_of(s, "Axes"), head);
    assert_non_null(text);
    text += strlen(head);
    p.x_log = strncmp(text, "log ", 4) == 0;
    assert_int_equal(sscanf(p.x_log ? text + 4 : text, "%lf to %lf at %d..%d, y log %lf to %lf at %d..%d", &p.x_lo, &p.x_hi, &p.left,
                            &p.right, &p.y_lo, &p.y_hi, &p.bottom, &p.top),
                     8);
    return p;
}

static int at_x(const struct panel *p, double v)
{
    double u = p->x_log ? log(v / p->x_lo) / log(p->x_hi / p->x_lo) : (v - p->x_lo) / (p->x_hi - p->x_lo);
    return p->left + (int)lround(u * (p->right - p->left));
}
static int at_y(const struct panel *p, double v)
{
    double u = log(v / p->y_lo) / log(p->y_hi / p->y_lo);
    u = u < 0 || v == 0 ? 0 : u > 1 ? 1 : u;
    return p->bottom - (int)lround(u * (p->bottom - p->top));
}

enum { SKY = 0x56B4E9, BLUE = 0x0072B2, VERMILLION = 0xD55E00, GREEN = 0x009E73, MAGENTA = 0xFF00FF, INK = 0x101010 };

/* Is there ink of that colour within `reach` pixels? The line of the mean is drawn over dots, so a dot need not show at its middle. */
static bool near_by(const struct seen *s, int x, int y, int reach, unsigned color)
{
    for (int dy = -reach; dy <= reach; dy++)
        for (int dx = -reach; dx <= reach; dx++)
            if (pixel(s, x + dx, y + dy) == color) return true;
    return false;
}

static void positions_are_where_they_belong(void **state)
{
    (void)state;
    struct made m;
    struct buf png = {0};
    struct seen s;
    make_report(&m);
    assert_int_equal(verify_plot_png(&m.report, &png, &err), STATUS_OK);
    look(&s, &png);
    struct panel kl = panel_of(&s, 1), diff = panel_of(&s, 2), window = panel_of(&s, 3), histogram = panel_of(&s, 4);
    assert_true(kl.y_lo <= 1e-6 && kl.y_hi >= 1e-2 && kl.x_lo == 0 && kl.x_hi == N - 1);
    for (int i = 0; i < N; i++) {
        bool bad = i == 9;
        assert_true(near_by(&s, at_x(&kl, i), bad ? kl.top : at_y(&kl, m.points[i].kl_ab), 3, bad ? MAGENTA : SKY));
        if (!bad) assert_int_equal(pixel(&s, at_x(&diff, i), at_y(&diff, (double)m.points[i].max_abs_diff / 20)), SKY);
        if (m.points[i].kl_ab > 0) assert_false(near_by(&s, at_x(&kl, i), at_y(&kl, m.points[i].kl_ab * 1.9), 0, SKY));
    }
    assert_true(near_by(&s, at_x(&diff, 9), diff.top, 0, MAGENTA));
    assert_int_equal(pixel(&s, at_x(&diff, 0.5), at_y(&diff, 0.25)), VERMILLION);
    assert_int_equal(pixel(&s, at_x(&kl, 0.4), at_y(&kl, 1e-3)), GREEN);
    assert_true(near_by(&s, at_x(&kl, 33) + 5, at_y(&kl, m.points[33].kl_ab), 0, INK)); /* the ring around a worst one */
    /* place 3 of the windows: positions 3, 28 and 53 */
    double mean = (m.points[3].kl_ab + m.points[28].kl_ab + m.points[53].kl_ab) / 3;
    assert_true(near_by(&s, at_x(&window, 3), at_y(&window, mean), 3, SKY));
    /* 1e-6 … 1e-2 in steps of a quarter of a decade, each 3 or 4 times: the bin [10^-4, 10^-3.875) has those with i % 17 == 8, but 8 itself */
    int count = 0;
    for (int i = 0; i < N; i++) count += i % 17 == 8 && i != 8;
    int x = at_x(&histogram, pow(10, -3.94));
    assert_int_equal(pixel(&s, x, at_y(&histogram, count)), BLUE);
    assert_int_not_equal(pixel(&s, x, at_y(&histogram, count + 1)), BLUE);
    png_destroy_read_struct(&s.png, &s.info, NULL);
    buf_clear(&png);
}

static void picture_explains_itself(void **state)
{
    (void)state;
    struct made m;
    struct buf png = {0}, again = {0};
    struct seen s;
    make_report(&m);
    assert_int_equal(verify_plot_png(&m.report, &png, &err), STATUS_OK);
    look(&s, &png);
    assert_string_equal(text_of(&s, "Title"), "how far it\\x1b\xE4\xBD\xA0.gguf (B) is from folder (A)");
    assert_non_null(strstr(text_of(&s, "Software"), "lathe-verify "));
    assert_string_equal(text_of(&s, "Tolerance"), "because");
    assert_non_null(strstr(text_of(&s, "Description"), "60 positions in 3 windows of at most 25"));
    assert_int_equal(png_get_color_type(s.png, s.info), PNG_COLOR_TYPE_RGB); /* as expanded from a palette */
    png_destroy_read_struct(&s.png, &s.info, NULL);
    assert_int_equal(verify_plot_png(&m.report, &again, &err), STATUS_OK);
    assert_int_equal(png.len, again.len);
    assert_memory_equal(png.data, again.data, png.len);
    buf_clear(&png);
    buf_clear(&again);
}

/* One position, equal sides, nothing that could be drawn on a logarithmic scale */
static void little_is_drawn_too(void **state)
{
    (void)state;
    struct made m;
    struct buf png = {0};
    make_report(&m);
    m.result = (struct metrics_result){.positions = 1};
    m.tokens.n = 1;
    m.points[0] = (struct metrics_point){0};
    m.tolerance.value = 0;
    assert_int_equal(verify_plot_png(&m.report, &png, &err), STATUS_OK);
    buf_clear(&png);
}

static void points_are_a_table(void **state)
{
    (void)state;
    struct made m;
    struct buf csv = {0};
    make_report(&m);
    verify_points_csv(&m.report, &csv);
    const char *p = csv.data;
    assert_memory_equal(p, "position,window,token,kl_ab,kl_ba,max_abs_diff,nll_a,nll_b\n", 59);
    for (int i = 0; i < N; i++) {
        p = strchr(p, '\n') + 1;
        int position, window, token;
        char kl[32];
        assert_int_equal(sscanf(p, "%d,%d,%d,%31[^,]", &position, &window, &token, kl), 4);
        assert_true(position == i && window == i / CONTEXT && token == 3 * i);
        assert_true(i == 9 ? strcmp(kl, "nan") == 0 : strtod(kl, NULL) == m.points[i].kl_ab);
        const char *end = strchr(p, '\n');
        assert_true((memcmp(end - 2, ",,", 2) == 0) == (i % CONTEXT == CONTEXT - 1));
    }
    assert_string_equal(strchr(p, '\n'), "\n");
    buf_clear(&csv);
}

/* --- words --- */

static void words_are_quoted(void **state)
{
    (void)state;
    static const struct kv_string tokens[] = {{" Paris", 6}, {"\n\x1b[2J", 5}, {"\xE4\xBD", 2}, {"\0", 1}, {"", 0},
                                              {"\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0 and on and on and on", 29}};
    static const char *const want[] = {"\"\u2423Paris\"", "\"\\n\\u001b[2J\"", "\"\\xe4\\xbd\"", "\"\\u0000\"", "#4",
                                       "\"\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\u2423an\u2026\"", "#6", "#-1"};
    struct tokenizer t = {.kind = TOKENIZER_OTHER, .n_tokens = 6, .tokens = tokens};
    struct words w = {.coder = {.tokenizer = &t}};
    char text[64];
    for (int id = 0; id < 8; id++) {
        words_quote(&w, id == 7 ? -1 : id, 14, text, sizeof text);
        assert_string_equal(text, want[id]);
    }
    words_quote(&(struct words){0}, 12, 14, text, sizeof text);
    assert_string_equal(text, "#12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_where_they_belong), cmocka_unit_test(picture_explains_itself), cmocka_unit_test(little_is_drawn_too),
        cmocka_unit_test(points_are_a_table),              cmocka_unit_test(words_are_quoted),
    };
    return cmocka_run_group_tests_name("verify plot", tests, NULL, NULL);
}

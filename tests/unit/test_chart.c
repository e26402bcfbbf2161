/* Charts: scales with known ticks, and marks found again where their values belong, in the encoded picture, by a reader of our own. */
#include "plots/chart.h"
#include "plots/png.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

/* --- axes --- */

static void limits_are_round(void **state)
{
    (void)state;
    static const struct {
        bool log;
        double values[3], lo, hi;
    } cases[] = {
        {false, {0, 3, 47}, 0, 50},
        {false, {-3, 0, 4}, -4, 4},
        {false, {7, 7, 7}, 7, 14},
        {false, {0, 0, 0}, 0, 1},
        {false, {NAN, INFINITY, NAN}, 0, 1},
        {false, {0.26, 0.3, 0.31}, 0.26, 0.31},
        {true, {3e-7, 0, 2}, 1e-7, 10},
        {true, {1e-3, 1e-3, -5}, 1e-3, 1e-2},
        {true, {0, 0, NAN}, 0.1, 1},
        {true, {20, 100, 3000}, 10, 10000},
        {true, {0.08, 0.09, 0.11}, 0.05, 0.2},
        {true, {0.2, 0.3, 0.5}, 0.2, 0.5},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct axis a = {.log = cases[i].log};
        axis_fit(&a, cases[i].values, 3);
        axis_round(&a);
        if (fabs(a.lo - cases[i].lo) > 1e-9 * fabs(cases[i].hi) || fabs(a.hi / cases[i].hi - 1) > 1e-9)
            fail_msg("case %zu: %g .. %g", i, a.lo, a.hi);
    }
    struct axis a = {.log = true};
    axis_fit(&a, (double[]){1e-30, 1}, 2);
    axis_limit_decades(&a, 6);
    axis_round(&a);
    assert_true(fabs(a.lo / 1e-6 - 1) < 1e-9);
}

static void say_ticks(const struct axis *a, int n_pixels, int label_px, char *out, size_t size)
{
    struct axis_tick ticks[AXIS_TICKS_MAX];
    int n = axis_ticks(a, n_pixels, label_px, ticks);
    char number[32];
    out[0] = '\0';
    for (int i = 0; i < n; i++) {
        if (i > 0) assert_true(ticks[i].value > ticks[i - 1].value);
        if (!ticks[i].labelled) continue;
        axis_number(number, sizeof number, ticks[i].value);
        snprintf(out + strlen(out), size - strlen(out), "%s ", number);
    }
}

static void ticks_are_known(void **state)
{
    (void)state;
    static const struct {
        struct axis axis;
        int n_pixels, label_px;
        const char *labels;
    } cases[] = {
        {{.lo = 0, .hi = 50}, 400, 80, "0 10 20 30 40 50 "},
        {{.lo = 0, .hi = 512}, 1400, 72, "0 50 100 150 200 250 300 350 400 450 500 "},
        {{.lo = -0.3, .hi = 0.3}, 300, 32, "-0.3 -0.2 -0.1 0 0.1 0.2 0.3 "},
        {{.lo = 0, .hi = 200000}, 400, 80, "0 50000 100000 150000 200000 "},
        {{.lo = 1e-8, .hi = 1, .log = true}, 400, 32, "1e-8 1e-7 1e-6 1e-5 0.0001 0.001 0.01 0.1 1 "},
        {{.lo = 1e-8, .hi = 1, .log = true}, 128, 32, "1e-8 1e-6 0.0001 0.01 1 "},
        {{.lo = 1e-300, .hi = 1e300, .log = true}, 128, 32, "1e-300 1e-150 1 1e150 1e300 "},
        {{.lo = 0.1, .hi = 1, .log = true}, 400, 32, "0.1 0.2 0.5 1 "},
        {{.lo = 0.05, .hi = 0.2, .log = true}, 260, 32, "0.05 0.1 0.2 "},
        {{.lo = 5, .hi = 6}, 1, 32, "5 6 "},
    };
    char found[400];
    for (size_t i = 0; i < COUNT(cases); i++) {
        say_ticks(&cases[i].axis, cases[i].n_pixels, cases[i].label_px, found, sizeof found);
        assert_string_equal(found, cases[i].labels);
    }
}

static void pixels_and_values_are_inverse(void **state)
{
    (void)state;
    const struct axis axes[] = {{.lo = -2, .hi = 6}, {.lo = 1e-7, .hi = 1e3, .log = true}};
    for (size_t i = 0; i < COUNT(axes); i++) {
        for (int pixel = 0; pixel < 300; pixel++)
            assert_int_equal(axis_pixel(&axes[i], axis_value(&axes[i], pixel, 300), 300), pixel);
        assert_int_equal(axis_pixel(&axes[i], -1e30, 300), 0);
        assert_int_equal(axis_pixel(&axes[i], INFINITY, 300), 299);
    }
    assert_int_equal(axis_pixel(&axes[0], 2, 301), 150);
    assert_int_equal(axis_pixel(&axes[1], 1e-2, 301), 150);
}

/* --- pictures, read back --- */

struct seen {
    png_image image;
    uint8_t *rgb;
};

static void look(struct seen *s, const struct canvas *c)
{
    struct buf out = {0};
    assert_int_equal(png_encode(&out, c, NULL, 0, &err), STATUS_OK);
    memset(&s->image, 0, sizeof s->image);
    s->image.version = PNG_IMAGE_VERSION;
    assert_true(png_image_begin_read_from_memory(&s->image, out.data, out.len));
    s->image.format = PNG_FORMAT_RGB;
    s->rgb = malloc(PNG_IMAGE_SIZE(s->image));
    assert_true(png_image_finish_read(&s->image, NULL, s->rgb, 0, NULL));
    buf_clear(&out);
}

static uint32_t pixel(const struct seen *s, int x, int y)
{
    assert_true(x >= 0 && y >= 0 && x < (int)s->image.width && y < (int)s->image.height);
    const uint8_t *p = s->rgb + 3 * ((size_t)y * s->image.width + (size_t)x);
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

enum { BLUE = 0x0072B2, VERMILLION = 0xD55E00, GREEN = 0x009E73, BLACK = 0x101010, PAPER = 0xFFFFFF };

/* Pixels of a colour in the data of a panel */
static int count(const struct seen *s, const struct chart_place *at, uint32_t color)
{
    int n = 0;
    for (int y = at->y; y < at->y + at->height; y++)
        for (int x = at->x; x < at->x + at->width; x++) n += pixel(s, x, y) == color;
    return n;
}

/* Where a value should be, from the limits alone */
static int expected_x(const struct chart *p, double v)
{
    double u = p->x.log ? (log10(v) - log10(p->x.lo)) / (log10(p->x.hi) - log10(p->x.lo))
                        : (v - p->x.lo) / (p->x.hi - p->x.lo);
    return p->place.x + (int)lround(u * (p->place.width - 1));
}
static int expected_y(const struct chart *p, double v)
{
    double u = p->y.log ? (log10(v) - log10(p->y.lo)) / (log10(p->y.hi) - log10(p->y.lo))
                        : (v - p->y.lo) / (p->y.hi - p->y.lo);
    return p->place.y + p->place.height - 1 - (int)lround(u * (p->place.height - 1));
}

static void marks_stand_at_their_values(void **state)
{
    (void)state;
    static const double x[] = {0, 1, 2, 3, 4, 5}, y[] = {1e-5, 1e-4, 3e-3, NAN, 1e-9, 0.5};
    static const double edges[] = {0, 1, 2, 5}, counts[] = {3, 0, 10};
    const struct chart_series points = {
        .name = "dots", .mark = CHART_DOTS, .ink = INK_SERIES, .x = x, .y = y, .n = COUNT(x)};
    const struct chart_series bars[] = {
        {.mark = CHART_BARS, .ink = INK_SERIES + 1, .x = edges, .y = counts, .n = COUNT(counts)},
        {.mark = CHART_LINE, .ink = INK_SERIES + 2, .x = (double[]){0, 5}, .y = (double[]){0, 10}, .n = 2}};
    const struct chart_rule rule = {.at = 1e-3, .ink = INK_SERIES + 1, .label = "limit 0.001"};
    const struct chart_flag flag = {.x = 5, .y = 0.5, .text = "\xE4\xBD\xA0 5"};
    struct chart panels[] = {
        {.title = "above", .x = {.label = "position", .lo = 0, .hi = 5}, .y = {.label = "KL", .lo = 1e-6, .hi = 1, .log = true},
         .series = &points, .n_series = 1, .rules = &rule, .n_rules = 1, .flags = &flag, .n_flags = 1, .height = 301},
        {.title = "below", .x = {.label = "value", .lo = 0, .hi = 5}, .y = {.label = "count", .lo = 0, .hi = 10},
         .series = bars, .n_series = 2, .height = 201},
    };
    struct figure f = {.title = "a figure", .subtitle = "of two panels", .caption = {"one line"}, .panels = panels, .n_panels = 2};
    struct canvas c;
    struct seen s;
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    look(&s, &c);
    assert_int_equal(s.image.width, FIGURE_WIDTH);
    const struct chart *p = &panels[0];
    for (size_t i = 0; i < COUNT(x); i++) {
        if (isnan(y[i])) continue;
        int px = expected_x(p, x[i]), py = expected_y(p, y[i] < p->y.lo ? p->y.lo : y[i]);
        assert_int_equal(pixel(&s, px, py), BLUE);
        assert_int_not_equal(pixel(&s, px, py - 5 > p->place.y ? py - 5 : py + 5), BLUE);
    }
    /* a disc of radius 3 has 37 pixels: two dots are whole, three stand at the frame, and at x 3 there is none */
    assert_true(count(&s, &p->place, BLUE) > 2 * 37 && count(&s, &p->place, BLUE) < 5 * 37);
    for (int row = 0; row < p->place.height; row++) assert_int_not_equal(pixel(&s, expected_x(p, 3), p->place.y + row), BLUE);
    assert_int_equal(pixel(&s, expected_x(p, 1.5), expected_y(p, 1e-3)), VERMILLION);
    assert_int_equal(count(&s, &p->place, VERMILLION), 2 * p->place.width);
    assert_int_equal(pixel(&s, expected_x(p, 5) - 5, expected_y(p, 0.5)), BLACK); /* the ring */

    p = &panels[1];
    assert_true(p->place.y > panels[0].place.y + panels[0].place.height);
    assert_int_equal(pixel(&s, expected_x(p, 0.5), expected_y(p, 2.9)), VERMILLION);
    assert_int_not_equal(pixel(&s, expected_x(p, 0.5), expected_y(p, 3.2)), VERMILLION);
    assert_int_not_equal(pixel(&s, expected_x(p, 1.5), expected_y(p, 0.5)), VERMILLION);
    assert_int_equal(pixel(&s, expected_x(p, 2.5), expected_y(p, 9.9)), VERMILLION);
    for (double v = 0.25; v < 5; v += 0.5) assert_int_equal(pixel(&s, expected_x(p, v), expected_y(p, 2 * v)), GREEN);
    free(s.rgb);
    canvas_clear(&c);
}

/* Names that would cover each other stand in lanes; the picture grows by them, and none is lost. */
static void crowded_names_have_lanes(void **state)
{
    (void)state;
    enum { N = 10 };
    struct chart_flag flags[N];
    for (int i = 0; i < N; i++) flags[i] = (struct chart_flag){0.5 + 0.001 * i, 0.5, "a name of some length"};
    struct chart p = {.x = {.label = "x", .lo = 0, .hi = 1}, .y = {.label = "y", .lo = 0, .hi = 1}, .height = 100};
    struct figure f = {.title = "t", .subtitle = "s", .panels = &p, .n_panels = 1};
    struct canvas c;
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    int y = p.place.y, height = c.height;
    canvas_clear(&c);
    p.flags = flags;
    p.n_flags = N;
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    assert_int_equal(p.place.y - y, c.height - height);
    assert_true(p.place.y - y >= N * TEXT_H);
    for (int lane = 0; lane < N; lane++) {
        int ink = 0;
        for (int row = 1; row <= 18; row++)
            for (int x = 0; x < c.width; x++)
                ink += c.pixels[(p.place.y - 10 - lane * 18 - row) * c.width + x] == INK_TEXT;
        assert_true(ink > 50);
    }
    canvas_clear(&c);
    for (int i = 0; i < N; i++) flags[i].x = i / 10.0 + 0.05;
    for (int i = 0; i < N; i++) flags[i].text = "abc";
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    assert_true(p.place.y - y < 2 * TEXT_H + 4);
    canvas_clear(&c);
}

static void many_points_and_none(void **state)
{
    (void)state;
    enum { N = 100000 };
    double *x = malloc(2 * N * sizeof *x), *y = x + N;
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i % 7 == 0 ? INFINITY : i % 5 == 0 ? -1 : sin(i) * sin(i);
    }
    const struct chart_series s[] = {{"dots", CHART_DOTS, INK_SERIES, x, y, N}, {"line", CHART_LINE, INK_SERIES + 1, x, y, N}};
    struct chart p = {.x = {.label = "x"}, .y = {.label = "y", .log = true}, .series = s, .n_series = 2, .height = 100};
    struct figure f = {.title = "t", .subtitle = "s", .panels = &p, .n_panels = 1};
    struct canvas c;
    axis_fit(&p.x, x, N);
    axis_fit(&p.y, y, N);
    axis_round(&p.x);
    axis_round(&p.y);
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    canvas_clear(&c);
    p.n_series = 0;
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_OK);
    canvas_clear(&c);
    p.height = 40000;
    assert_int_equal(figure_draw(&c, &f, &err), STATUS_RANGE);
    canvas_clear(&c);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_round),
        cmocka_unit_test(ticks_are_known),
        cmocka_unit_test(pixels_and_values_are_inverse),
        cmocka_unit_test(marks_stand_at_their_values),
        cmocka_unit_test(crowded_names_have_lanes),
        cmocka_unit_test(many_points_and_none),
    };
    return cmocka_run_group_tests_name("chart", tests, NULL, NULL);
}

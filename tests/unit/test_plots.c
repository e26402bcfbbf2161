/* Pictures: colours against published values, cells where the place says, PNG chunks and checksums by hand (an outside decoder runs in
 * interop). */
#include "plots/heatmap.h"
#include "plots/png.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_color(enum colormap m, int level, uint32_t expected)
{
    uint8_t rgb[3];
    colormap_color(m, level, rgb);
    assert_int_equal((uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2], expected);
}

static void colours_are_the_published_ones(void **state)
{
    (void)state;
    /* viridis: #440154 to #fde725 in its authors' description; ColorBrewer RdBu: #053061 and #67001f */
    assert_color(COLORMAP_VIRIDIS, 0, 0x440154);
    assert_color(COLORMAP_VIRIDIS, N_LEVELS - 1, 0xFDE725);
    assert_color(COLORMAP_DIVERGING, 0, 0x053061);
    assert_color(COLORMAP_DIVERGING, N_LEVELS - 1, 0x67001F);
}

/* Relative luminance by the sRGB definition (IEC 61966-2-1). */
static double luminance(const uint8_t rgb[3])
{
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double c = rgb[i] / 255.0;
        sum += weight[i] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return sum;
}

static void sequential_map_grows_lighter(void **state)
{
    (void)state;
    double before = -1;
    for (int level = 0; level < N_LEVELS; level += 8) {
        uint8_t rgb[3];
        colormap_color(COLORMAP_VIRIDIS, level, rgb);
        assert_true(luminance(rgb) > before);
        before = luminance(rgb);
    }
}

static void levels_round_and_clamp(void **state)
{
    (void)state;
    assert_int_equal(colormap_level(-5, -1, 1), 0);
    assert_int_equal(colormap_level(5, -1, 1), N_LEVELS - 1);
    assert_int_equal(colormap_level(INFINITY, -1, 1), N_LEVELS - 1);
    for (int level = 0; level < N_LEVELS; level++)
        assert_int_equal(colormap_level(2.0 + 3.0 * level / (N_LEVELS - 1), 2, 5), level);
}

static void cells_are_where_the_place_says(void **state)
{
    (void)state;
    struct error err;
    const double cells[6] = {-1, 0, 1, NAN, 0.5, -0.5};
    struct heatmap h = {.title = "t",
                        .subtitle = "s",
                        .row_label = "row",
                        .col_label = "column",
                        .cells = cells,
                        .rows = 2,
                        .cols = 3,
                        .row_step = 1,
                        .col_step = 1,
                        .n_rows = 2,
                        .n_cols = 3,
                        .scale = {.lo = -1, .hi = 1, .unit = ""},
                        .map = COLORMAP_DIVERGING};
    struct canvas c;
    struct heatmap_place at;
    assert_int_equal(heatmap_draw(&c, &h, 1, &at, &err), STATUS_OK);
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < 3; k++) {
            double v = cells[r * 3 + k];
            int expected = isnan(v) ? INK_NAN : (int)lround((v + 1) / 2 * (N_LEVELS - 1));
            for (int corner = 0; corner < 2; corner++) {
                int x = at.x0 + k * at.cell_px + corner * (at.cell_px - 1),
                    y = at.y0 + r * at.cell_px + corner * (at.cell_px - 1);
                assert_int_equal(c.pixels[y * c.width + x], expected);
            }
        }
    canvas_clear(&c);
    h.rows = 0;
    assert_int_equal(heatmap_draw(&c, &h, 1, &at, &err), STATUS_RANGE);
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* CRC of ISO 3309, bit by bit from its definition. */
static uint32_t crc(const unsigned char *p, size_t n)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static void png_has_its_chunks(void **state)
{
    (void)state;
    struct error err;
    struct canvas c;
    struct buf out = {0};
    assert_int_equal(canvas_init(&c, 20, 10, COLORMAP_VIRIDIS, &err), STATUS_OK);
    canvas_text(&c, 0, 0, INK_TEXT,
                "\xE4\xBD\xA0 \xFF"); /* a Chinese character and an invalid byte must not crash */
    struct png_note note = {"Title", "caf\xC3\xA9"};
    assert_int_equal(png_encode(&out, &c, &note, 1, &err), STATUS_OK);
    const unsigned char *p = (const unsigned char *)out.data;
    assert_memory_equal(p, "\x89PNG\r\n\x1A\n", 8);
    size_t pos = 8;
    char order[64] = "";
    while (pos + 12 <= out.len) {
        uint32_t n = be32(p + pos);
        assert_true(n <= out.len - pos - 12);
        assert_int_equal(crc(p + pos + 4, n + 4), be32(p + pos + 8 + n));
        strncat(order, (const char *)p + pos + 4, 4);
        if (memcmp(p + pos + 4, "IHDR", 4) == 0) {
            assert_int_equal(be32(p + pos + 8), 20);
            assert_int_equal(be32(p + pos + 12), 10);
            assert_memory_equal(p + pos + 16, "\x08\x03\x00\x00\x00",
                                5); /* 8 bits, palette, deflate, no interlace */
        }
        if (memcmp(p + pos + 4, "PLTE", 4) == 0) assert_int_equal(n, 3 * INK_COUNT);
        if (memcmp(p + pos + 4, "iTXt", 4) == 0) assert_memory_equal(p + pos + 8 + n - 5, "caf\xC3\xA9", 5);
        pos += 12 + n;
    }
    assert_int_equal(pos, out.len);
    assert_string_equal(order, "IHDRPLTEiTXtIDATIEND");
    canvas_clear(&c);
    buf_clear(&out);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    struct error err;
    struct canvas c;
    assert_int_equal(canvas_init(&c, 0, 10, COLORMAP_VIRIDIS, &err), STATUS_RANGE);
    assert_int_equal(canvas_init(&c, 10, 40000, COLORMAP_VIRIDIS, &err), STATUS_RANGE);
    assert_int_equal(canvas_init(&c, 4, 4, COLORMAP_VIRIDIS, &err), STATUS_OK);
    canvas_rect(&c, -3, -3, 100, 5, 7); /* clipped: rows 0 and 1 */
    assert_int_equal(c.pixels[4 + 3], 7);
    assert_int_equal(c.pixels[8], INK_PAPER);
    canvas_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_are_the_published_ones),
        cmocka_unit_test(sequential_map_grows_lighter),
        cmocka_unit_test(levels_round_and_clamp),
        cmocka_unit_test(cells_are_where_the_place_says),
        cmocka_unit_test(png_has_its_chunks),
        cmocka_unit_test(sizes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

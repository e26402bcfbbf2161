/* Digests and reductions of known numbers. */
#include "core/histogram.h"
#include "core/scan.h"
#include "formats/gguf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 1500, COLS = 700 };
static char dir[] = "/tmp/lathe-scan-XXXXXX";
static char path[64];

/* 0, 1, 2, ... modulo 1000 minus 500: mean and deviation have closed forms. */
static float element(int64_t i)
{
    return (float)(i % 1000 - 500);
}

static void write_file(float *values, int64_t rows, int64_t cols)
{
    struct error err;
    struct gguf_writer w = {0};
    gguf_put_string(&w, "general.architecture", "none");
    assert_int_equal(gguf_add_tensor(&w, "x", DTYPE_F32, 2, (int64_t[]){rows, cols}, &err), STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    struct outfile *o;
    assert_int_equal(outfile_create(&o, path, OUTFILE_REPLACE, w.size_bytes, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, w.header.data, w.header.len, &err), STATUS_OK);
    char zeros[64] = {0};
    size_t n = w.tensors[0].size_bytes, pad = w.tensors[0].padded_bytes - n;
    assert_int_equal(outfile_write_at(o, w.tensors[0].off_file, values, n, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, w.tensors[0].off_file + n, zeros, pad, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    gguf_writer_clear(&w);
}

static int make_file(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    float *v = malloc((size_t)ROWS * COLS * sizeof *v);
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; i++) v[i] = element(i);
    v[0] = NAN;
    v[1] = INFINITY;
    write_file(v, ROWS, COLS);
    free(v);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static double reduce_by_hand(enum reduction r, int64_t row0, int64_t row1, int64_t col0, int64_t col1)
{
    double best = 0, sum = 0, squares = 0, n = 0;
    for (int64_t i = row0; i < row1; i++)
        for (int64_t k = col0; k < col1; k++) {
            double v = (double)element(i * COLS + k);
            if (i == 0 && k < 2) return NAN;
            if (fabs(v) > fabs(best)) best = v;
            sum += fabs(v);
            squares += v * v;
            n++;
        }
    return r == REDUCE_EXTREME  ? best
           : r == REDUCE_ABSMAX ? fabs(best)
           : r == REDUCE_MEAN   ? sum / n
                                : sqrt(squares / n);
}

static void cells_equal_reduction_by_hand(void **state)
{
    (void)state;
    struct error err;
    struct checkpoint *c;
    struct workers *w;
    assert_int_equal(workers_new(&w, 2, &err), STATUS_OK);
    assert_int_equal(ckpt_open(&c, path, &err), STATUS_OK);
    for (int r = 0; r < REDUCE_COUNT; r++) {
        struct cells cells;
        assert_int_equal(scan_cells(ckpt_find(c, "x"), w, (enum reduction)r, 64, &cells, &err), STATUS_OK);
        assert_int_equal(cells.row_step, 24); /* ceil(1500 / 64) */
        assert_int_equal(cells.col_step, 11);
        assert_int_equal(cells.rows, 63);
        assert_int_equal(cells.cols, 64);
        assert_int_equal(cells.n_not_finite, 2);
        for (int64_t i = 0; i < cells.rows; i++)
            for (int64_t k = 0; k < cells.cols; k++) {
                int64_t row1 = (i + 1) * 24 < ROWS ? (i + 1) * 24 : ROWS,
                        col1 = (k + 1) * 11 < COLS ? (k + 1) * 11 : COLS;
                double expected = reduce_by_hand((enum reduction)r, i * 24, row1, k * 11, col1);
                double found = cells.values[i * cells.cols + k];
                assert_true(isnan(expected) ? isnan(found) : fabs(found - expected) < 1e-9);
                double peak = fabs(reduce_by_hand(REDUCE_EXTREME, i * 24, row1, k * 11, col1));
                found = cells.peaks[i * cells.cols + k];
                assert_true(isnan(peak) ? isnan(found) : found == peak);
            }
        for (int64_t i = 0; i < cells.rows; i++) {
            double peak = fabs(reduce_by_hand(REDUCE_EXTREME, i * 24, (i + 1) * 24 < ROWS ? (i + 1) * 24 : ROWS, 0, COLS));
            assert_true(i == 0 ? isnan(cells.row_peaks[i]) : cells.row_peaks[i] == peak);
        }
        for (int64_t k = 0; k < cells.cols; k++) {
            double peak = fabs(reduce_by_hand(REDUCE_EXTREME, 0, ROWS, k * 11, (k + 1) * 11 < COLS ? (k + 1) * 11 : COLS));
            assert_true(k == 0 ? isnan(cells.col_peaks[k]) : cells.col_peaks[k] == peak);
        }
        cells_clear(&cells);
    }
    ckpt_close(c);
    workers_free(w);
}

static void histogram_counts_everything(void **state)
{
    (void)state;
    enum { BINS = 11 };
    struct error err;
    struct checkpoint *c;
    struct workers *w;
    int64_t expected[BINS] = {0}, n_zero = 0, sum = 0;
    for (int64_t i = 2; i < (int64_t)ROWS * COLS; i++) { /* -500 .. 499, the largest magnitude 500 */
        int bin = 0;
        while (bin + 1 < BINS && (double)element(i) >= -500 + 1000.0 * (bin + 1) / BINS) bin++;
        expected[bin]++;
        n_zero += element(i) == 0;
    }
    assert_int_equal(ckpt_open(&c, path, &err), STATUS_OK);
    for (int threads = 1; threads <= 3; threads++) {
        struct histogram h;
        assert_int_equal(workers_new(&w, threads, &err), STATUS_OK);
        assert_int_equal(histogram_of(&h, ckpt_find(c, "x"), w, BINS, &err), STATUS_OK);
        assert_true(h.n == ROWS * COLS && h.n_nan == 1 && h.n_inf == 1 && h.n_zero == n_zero && h.largest == 500);
        for (int i = 0; i < BINS; i++) assert_int_equal(h.counts[i], expected[i]);
        sum = 0;
        for (int i = 0; i < BINS; i++) sum += h.counts[i];
        assert_int_equal(sum, ROWS * COLS - 2);
        assert_true(histogram_edge(&h, 0) == -500 && histogram_edge(&h, BINS) == 500);
        histogram_clear(&h);
        workers_free(w);
    }
    ckpt_close(c);
    struct histogram zeros = {0};
    const double z[3] = {0, -0.0, 0};
    histogram_extend(&zeros, z, 3);
    assert_int_equal(histogram_begin(&zeros, zeros.largest, 3, &err), STATUS_OK);
    histogram_add(&zeros, z, 3);
    assert_true(zeros.counts[1] == 3 && zeros.n_zero == 3 && zeros.limit == 1);
    histogram_clear(&zeros);
}

static void digest_of_bytes(void **state)
{
    (void)state;
    struct error err;
    struct checkpoint *c;
    uint8_t found[SHA256_BYTES], expected[SHA256_BYTES];
    assert_int_equal(ckpt_open(&c, path, &err), STATUS_OK);
    const struct ckpt_tensor *t = ckpt_find(c, "x");
    assert_int_equal(scan_sha256(t, found, NULL, &err), STATUS_OK);
    char *all = malloc(t->t->size_bytes);
    assert_int_equal(ckpt_read(t, 0, all, t->t->size_bytes, &err), STATUS_OK);
    struct sha256 *h;
    assert_int_equal(sha256_new(&h, &err), STATUS_OK);
    sha256_update(h, all, t->t->size_bytes);
    sha256_finish(h, expected);
    sha256_free(h);
    assert_memory_equal(found, expected, SHA256_BYTES);
    free(all);
    ckpt_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_equal_reduction_by_hand),
        cmocka_unit_test(histogram_counts_everything),
        cmocka_unit_test(digest_of_bytes),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}

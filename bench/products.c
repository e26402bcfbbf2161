/* Speed of matrix products, one thread: each instruction set, shapes of SmolLM2's feed-forward layer. Usage: build/release/bench/products
 * GFLOP/s of the best of many short runs by the thread's own clock, so that what else the machine does counts little. */
#include "models/matmul.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { POSITIONS = 252, PANELS = 3, OUT = 1536, RUNS = 60 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i % 7) - 3;
}

static double measure(const struct matmul *mm, int64_t n_k, int64_t ld)
{
    const int64_t width = MATMUL_WIDTH_F32;
    float *panels = aligned_alloc(64, (size_t)(PANELS * width * n_k) * sizeof *panels), *x = aligned_alloc(64, (size_t)(POSITIONS * ld) * sizeof *x);
    float *out = aligned_alloc(64, POSITIONS * OUT * sizeof *out);
    double best = 0;
    if (!panels || !x || !out) exit(2);
    fill(panels, PANELS * width * n_k);
    fill(x, POSITIONS * ld);
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        for (int64_t k = 0; k < n_k; k += MATMUL_CUT)
            for (int64_t p = 0; p < PANELS; p++)
                mm->f32(panels + p * width * n_k + k * width, x + k, ld, POSITIONS, n_k - k < MATMUL_CUT ? n_k - k : MATMUL_CUT,
                        out + p * width, OUT, k > 0);
        double speed = 2e-9 * (double)(POSITIONS * PANELS * width * n_k) / (now() - start);
        if (speed > best) best = speed;
    }
    free(panels);
    free(x);
    free(out);
    return best;
}

int main(void)
{
    printf("| set | k = 576 | k = 1536 | k = 1536, rows 6 KiB apart |\n|---|---|---|---|\n");
    for (const struct matmul *const *m = matmul_list; *m; m++)
        if ((*m)->supported())
            printf("| %s | %.1f | %.1f | %.1f |\n", (*m)->name, measure(*m, 576, 576), measure(*m, 1536, 1552), measure(*m, 1536, 1536));
    return 0;
}

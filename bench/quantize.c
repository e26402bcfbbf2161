/* Our encoders and decoders beside those of ggml, in one process: equal bytes, and how fast.
 *
 *     quantize LIBGGML_BASE check [--blocks N] [--rows FILE COLUMNS [--weights FILE] [--only-rows 1]] [--kernels SET] [TYPE ...]
 *     quantize LIBGGML_BASE time [--rounds N] [--kernels SET] [TYPE ...]
 *     quantize decode TYPE <BLOCKS >FLOATS
 *
 * LIBGGML_BASE is a shared library of ggml for x86-64 (llama-cpp-python installs it as libggml-base.so). `check` encodes rows of many kinds, with
 * and without importance weights, and prints a line per type: `TYPE weights|plain BLOCKS ok` or the first block that differs; exit 1 if any. FILE
 * holds more rows: floats; that of --weights the importance weights for them, COLUMNS floats for 64 rows at a time. `time` alternates ours and ggml's on the same rows, one thread, and prints the median of the rounds' ratios of
 * thread CPU time; a difference in the bytes ends it with exit 1.
 */
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLUMNS = 1024, ROWS = 64 };

typedef size_t quantize_chunk_fn(int type, const float *src, void *dst, int64_t start, int64_t n_rows, int64_t n_per_row,
                                 const float *weights);
static quantize_chunk_fn *quantize_chunk;

static uint64_t seed;

static uint32_t random_bits(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static double uniform(void) /* in (0, 1) */
{
    return (random_bits() + 0.5) * 0x1p-32;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static float to_bf16(double v)
{
    return bf16_to_f32(bf16_from_f32((float)v));
}

static double student3(void)
{
    double a = normal(), b = normal(), c = normal();
    return normal() / sqrt((a * a + b * b + c * c) / 3);
}

static double power(double lo, double hi) /* of ten */
{
    return pow(10, lo + (hi - lo) * uniform());
}

/* Name, value of element i of row r, largest magnitude to expect. */
/* clang-format off */
#define KINDS(X)                                                                                      \
    X(normal, normal() * 0.02)                                                                        \
    X(normal_bf16, to_bf16(normal() * 0.02))                                                          \
    X(heavy_tailed, to_bf16(student3() * 0.02))                                                       \
    X(cauchy, to_bf16(normal() / normal()))                                                           \
    X(positive, uniform())                                                                            \
    X(offset, 1 + normal() * 0.01)                                                                    \
    X(zeros, r & 1 ? -0.0 : 0.0)                                                                      \
    X(mixed_zeros, random_bits() & 1 ? 0.0 : -0.0)                                                    \
    X(constant, r & 1 ? -0.3 : 0.3)                                                                   \
    X(alternating, (i & 1 ? -1 : 1) * (r & 1 ? 0.3 : 0.3 + uniform()))                                \
    X(ternary, (double)(random_bits() % 3) - 1)                                                       \
    X(integers, (double)(random_bits() % 17) - 8)                                                     \
    X(half_steps, i % 32 == 5 ? 127 : (double)(random_bits() % 507) * 0.5 - 126.5)                    \
    X(one_hot, i % 256 == r * 37 % 256 ? normal() : random_bits() & 1 ? 0.0 : -0.0)                   \
    X(sparse, random_bits() % 20 ? 0.0 : normal())                                                    \
    X(small, normal() * (r % 3 == 0 ? 1e-9 : r % 3 == 1 ? 2e-15 : 1e-20))                             \
    X(subnormal, normal() * (r & 1 ? 1e-40 : 1e-38))                                                  \
    X(tiny, uniform() * 4e-37)                                                                        \
    X(large, normal() * (r % 3 == 0 ? 1e4 : r % 3 == 1 ? 1e6 : 1e9))                                  \
    X(huge, normal() * (r % 3 == 0 ? 1e12 : r % 3 == 1 ? 1e18 : 1e30))                                \
    X(scales_mixed, normal() * power(-10, 4))                                                         \
    X(scales_by_16, ldexp(normal(), i / 16 * 7919 % 60 - 40))                                         \
    X(outlier, i % 256 == 77 ? 50 : normal() * 0.01)

#define DEFINE(NAME, VALUE) static double at_##NAME(int r, int i) { (void)r; (void)i; return VALUE; }
#define LIST(NAME, VALUE) {#NAME, at_##NAME},
KINDS(DEFINE)
static const struct kind {
    const char *name;
    double (*at)(int r, int i);
} kinds[] = {KINDS(LIST)};
/* clang-format on */

enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* Rows from a file come as a last kind, a window of ROWS at a time. */
static struct {
    float *data;
    int64_t n, columns, next;
    float *weights; /* or NULL */
    int64_t n_weights, next_weights;
    bool only;
} extra;

/* ggml ends the process where the sums of IQ1 to IQ3 overflow; what it survives, the unit tests' vectors hold. */
static bool ggml_aborts(enum dtype t, const char *kind)
{
    static const enum dtype codebooks[] = {DTYPE_IQ1_S,  DTYPE_IQ1_M,   DTYPE_IQ2_XXS, DTYPE_IQ2_XS,
                                           DTYPE_IQ2_S, DTYPE_IQ3_XXS, DTYPE_IQ3_S};
    for (size_t i = 0; i < sizeof codebooks / sizeof codebooks[0]; i++)
        if (t == codebooks[i]) return strcmp(kind, "huge") == 0;
    return false;
}

struct rows {
    const char *kind;
    int64_t columns;
    float *x, *weights;
};

static void fill(struct rows *rows, int kind)
{
    if (kind == N_KINDS) {
        if (extra.next + ROWS * extra.columns > extra.n) extra.next = 0;
        rows->kind = "file";
        rows->columns = extra.columns;
        memcpy(rows->x, extra.data + extra.next, (size_t)(ROWS * extra.columns) * sizeof(float));
        extra.next += ROWS * extra.columns;
        if (extra.weights) {
            if (extra.next_weights + extra.columns > extra.n_weights) extra.next_weights = 0;
            memcpy(rows->weights, extra.weights + extra.next_weights, (size_t)extra.columns * sizeof(float));
            extra.next_weights += extra.columns;
            return;
        }
    } else {
        rows->kind = kinds[kind].name;
        rows->columns = COLUMNS;
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < COLUMNS; i++) rows->x[r * COLUMNS + i] = (float)kinds[kind].at(r, i);
    }
    /* means of squared activations: over some decades, some zero */
    int sort = (int)(random_bits() % 4);
    for (int64_t i = 0; i < rows->columns; i++) {
        double w = normal();
        w = sort == 0 ? 1 : w * w * (sort == 1 ? 1 : power(-4, 2));
        rows->weights[i] = (float)(sort == 3 && i % 7 == 3 ? 0 : w);
    }
}

/* The first block that differs, or -1. */
static int64_t compare(enum dtype t, const struct rows *rows, bool weighted, unsigned char *ours, unsigned char *theirs)
{
    const struct dtype_info *info = dtype_info(t);
    uint64_t bytes;
    struct error err;
    const float *w = weighted ? rows->weights : NULL;
    dtype_bytes(t, ROWS * rows->columns, &bytes);
    if (dtype_encode_rows(t, rows->x, w, ours, ROWS, rows->columns, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    quantize_chunk(info->ggml_id, rows->x, theirs, 0, ROWS, rows->columns, w);
    for (uint64_t at = 0; at < bytes; at += info->block_bytes)
        if (memcmp(ours + at, theirs + at, info->block_bytes) != 0) return (int64_t)(at / info->block_bytes);
    return -1;
}

static void *take(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) exit(2);
    return p;
}

static bool check_type(enum dtype t, bool weighted, int64_t n_blocks)
{
    const struct dtype_info *info = dtype_info(t);
    int64_t widest = extra.columns > COLUMNS ? extra.columns : COLUMNS;
    size_t size = (size_t)(ROWS * widest) * sizeof(float);
    struct rows rows = {.x = take(size), .weights = take((size_t)widest * sizeof(float))};
    unsigned char *ours = take(size), *theirs = take(size);
    int64_t done = 0, at = -1;
    seed = 1;
    for (int round = 0; at < 0 && done < n_blocks; round++)
        for (int kind = extra.only ? N_KINDS : 0; at < 0 && kind < N_KINDS + (extra.n > 0); kind++) {
            fill(&rows, kind);
            if (ggml_aborts(t, rows.kind) || rows.columns % info->block_len != 0) continue;
            at = compare(t, &rows, weighted, ours, theirs);
            done += ROWS * rows.columns / info->block_len;
        }
    printf("%-8s %-8s %8lld ", info->name, weighted ? "weights" : "plain", (long long)done);
    if (at < 0)
        printf("ok\n");
    else
        printf("DIFFERS: %s, row %lld, block %lld of the row\n", rows.kind,
               (long long)(at * info->block_len / rows.columns),
               (long long)(at % (rows.columns / info->block_len)));
    fflush(stdout);
    free(rows.x);
    free(rows.weights);
    free(ours);
    free(theirs);
    return at < 0;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static bool time_type(enum dtype t, bool weighted, int n_rounds)
{
    static float x[ROWS * COLUMNS], weights[COLUMNS];
    static unsigned char ours[ROWS * COLUMNS * 4], theirs[ROWS * COLUMNS * 4];
    static double ratio[1001], fast[1001], slow[1001];
    const struct dtype_info *info = dtype_info(t);
    struct error err;
    const float *w = weighted ? weights : NULL;
    uint64_t bytes;
    seed = 2;
    for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = to_bf16(normal() * 0.02);
    for (int i = 0; i < COLUMNS; i++) weights[i] = (float)(student3() * student3());
    for (int i = 0; i < COLUMNS; i++) weights[i] = fabsf(weights[i]);
    dtype_bytes(t, ROWS * COLUMNS, &bytes);
    for (int r = -1; r < n_rounds; r++) { /* the first warms up */
        double t0 = cpu_seconds();
        if (dtype_encode_rows(t, x, w, ours, ROWS, COLUMNS, &err) != STATUS_OK) return false;
        double t1 = cpu_seconds();
        quantize_chunk(info->ggml_id, x, theirs, 0, ROWS, COLUMNS, w);
        double t2 = cpu_seconds();
        if (memcmp(ours, theirs, bytes) != 0) {
            printf("%-8s %-8s bytes differ\n", info->name, weighted ? "weights" : "plain");
            return false;
        }
        if (r < 0) continue;
        ratio[r] = (t2 - t1) / (t1 - t0);
        fast[r] = ROWS * COLUMNS / (t1 - t0) * 1e-6;
        slow[r] = ROWS * COLUMNS / (t2 - t1) * 1e-6;
    }
    printf("%-8s %-8s %10.1f %10.1f %8.2f\n", info->name, weighted ? "weights" : "plain", median(fast, n_rounds),
           median(slow, n_rounds), median(ratio, n_rounds));
    fflush(stdout);
    return true;
}

static int decode(const char *name)
{
    enum dtype t = dtype_from_name(name);
    const struct dtype_info *info = dtype_info(t);
    unsigned char block[512];
    float values[256];
    struct error err;
    if (!info || info->block_bytes > sizeof block || info->block_len > 256) return 2;
    while (fread(block, info->block_bytes, 1, stdin) == 1) {
        if (dtype_decode_f32(t, block, values, info->block_len, &err) != STATUS_OK) return 2;
        fwrite(values, sizeof(float), info->block_len, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 2;
}

static float *read_floats(const char *path, int64_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) exit(2);
    fseek(f, 0, SEEK_END);
    *n = ftell(f) / (long)sizeof(float);
    rewind(f);
    float *v = take((size_t)*n * sizeof(float));
    if (fread(v, sizeof(float), (size_t)*n, f) != (size_t)*n) exit(2);
    fclose(f);
    return v;
}

static void read_rows(const char *path, int64_t columns)
{
    extra.data = read_floats(path, &extra.n);
    extra.columns = columns;
    if (columns <= 0 || extra.n < ROWS * columns) exit(2);
}

/* A type of ggml with blocks, as far as we can write it. */
static bool wanted(enum dtype t, int n_names, char **names)
{
    const struct dtype_info *info = dtype_info(t);
    if (info->ggml_id < 0 || info->block_len == 1) return false;
    for (int i = 0; i < n_names; i++)
        if (dtype_from_name(names[i]) == t) return true;
    return n_names == 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: quantize LIBGGML_BASE check|time [options] [TYPE ...]; quantize decode TYPE\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "decode") == 0) return decode(argv[2]);
    if (argc < 3) return usage();
    bool timing = strcmp(argv[2], "time") == 0;
    int64_t n_blocks = 100000, n_rounds = 31;
    int i = 3;
    struct error err;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "--blocks") == 0) n_blocks = atoll(argv[i + 1]);
        if (strcmp(argv[i], "--rounds") == 0) n_rounds = atoll(argv[i + 1]);
        if (strcmp(argv[i], "--kernels") == 0 && kernels_select(argv[i + 1], &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 2;
        }
        if (strcmp(argv[i], "--only-rows") == 0) extra.only = true;
        if (strcmp(argv[i], "--weights") == 0) extra.weights = read_floats(argv[i + 1], &extra.n_weights);
        if (strcmp(argv[i], "--rows") == 0 && i + 2 < argc) {
            read_rows(argv[i + 1], atoll(argv[i + 2]));
            i++;
        }
    }
    void *lib = dlopen(argv[1], RTLD_NOW);
    if (!lib || n_rounds < 1 || n_rounds > 1000) {
        fprintf(stderr, "quantize: %s\n", lib ? "--rounds: 1 to 1000" : dlerror());
        return 2;
    }
    *(void **)&quantize_chunk = dlsym(lib, "ggml_quantize_chunk");
    if (!quantize_chunk) return usage();
    printf("# kernels %s\n", kernels_active()->name);
    if (timing) printf("# type   weights      Mw/s       ggml's    ratio (medians of %lld rounds)\n", (long long)n_rounds);
    bool all = true;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (!wanted((enum dtype)t, argc - i, argv + i)) continue;
        for (int weighted = 0; weighted < 2; weighted++) {
            bool ignores = dtype_info((enum dtype)t)->weights == WEIGHTS_IGNORED;
            if (!dtype_can_encode((enum dtype)t, weighted) || (weighted && timing && ignores)) continue;
            all &= timing ? time_type((enum dtype)t, weighted, (int)n_rounds) : check_type((enum dtype)t, weighted, n_blocks);
        }
    }
    return all ? 0 : 1;
}

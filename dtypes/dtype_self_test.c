/* Rows whose bytes change when a compiler fuses multiplications with additions, or does other arithmetic than IEEE binary32 step by step.
 *
 * The expected sums are those of ggml's bytes; tests/vectors/make_quant_vectors.py writes self_test_rows.h.
 */
#include "dtypes/codec.h"

#include <pthread.h>
#include <stdio.h>

enum { LEN = 256, BYTES_MAX = 512 };

static const struct self_test_row {
    enum dtype type;
    bool weighted;
    int shift; /* bits that elements lack: coarse ones come to lie on ties */
    uint32_t seed;
    uint32_t sum; /* FNV-1a of the bytes */
} rows[] = {
#include "dtypes/self_test_rows.h"
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static uint32_t next_bits(uint32_t *s) /* xorshift */
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s;
}

/* Sums of four numbers of 22 bits: near a normal distribution, and exact as floats. */
static void make_row(uint32_t seed, int shift, float x[LEN], float weights[LEN])
{
    for (int i = 0; i < LEN; i++) {
        int32_t v = -(1 << 23);
        for (int k = 0; k < 4; k++) v += (int32_t)(next_bits(&seed) >> 10);
        x[i] = (float)(v >> shift) * 0x1p-28f;
        weights[i] = (float)(1 + (next_bits(&seed) >> 24));
    }
}

static uint32_t fnv1a(const unsigned char *p, size_t n)
{
    uint32_t h = 0x811C9DC5u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x01000193u;
    return h;
}

static bool row_holds(const struct self_test_row *r, encode_f32_fn *encode, encode_row_weighted_fn *encode_weighted)
{
    const struct dtype_info *info = dtype_info(r->type);
    float x[LEN], weights[LEN];
    unsigned char bytes[BYTES_MAX];
    make_row(r->seed, r->shift, x, weights);
    if (r->weighted)
        encode_weighted(x, weights, bytes, LEN);
    else
        encode(x, bytes, LEN);
    return fnv1a(bytes, (size_t)LEN / info->block_len * info->block_bytes) == r->sum;
}

static struct error failure = {.status = STATUS_OK};

static void run(void)
{
    const struct kernels *k = kernels_active();
    char list[400] = "";
    for (int i = 0; i < N_ROWS; i++) {
        const struct dtype_info *info = dtype_info(rows[i].type);
        if (row_holds(&rows[i], info->encode_f32, info->encode_row_weighted) &&
            row_holds(&rows[i], k->encode_f32[rows[i].type], k->encode_row_weighted[rows[i].type]))
            continue;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, " %s%s", info->name, rows[i].weighted ? "+weights" : "");
    }
    if (list[0])
        error_set(&failure, STATUS_UNSUPPORTED,
                  "this build would write other bytes than ggml (its compiler fuses multiplications and additions; "
                  "-ffp-contract=off is missing):%s",
                  list);
}

enum status dtype_self_test(struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, run);
    if (failure.status != STATUS_OK) *err = failure;
    return failure.status;
}

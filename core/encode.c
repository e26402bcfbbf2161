#include "core/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements of a step: a multiple of every block length; results stay in the cache. A step of a block type is whole rows, several of them where
 * they are short, because encoders work on many blocks side by side. */
enum { STEP = 1 << 17, ROWS_STEP = 1 << 15, DECODE = 256 };

void encode_scratch_clear(struct encode_scratch *s)
{
    free(s->out);
    free(s->scaled);
    free(s->before);
    free(s->after);
    *s = (struct encode_scratch){0};
}

static uint64_t bytes_of(enum dtype t, int64_t n)
{
    const struct dtype_info *info = dtype_info(t);
    return (uint64_t)n / info->block_len * info->block_bytes;
}

/* --- not finite? --- */

/* Adding the exponent's lowest bit to a full exponent carries into the sign bit, in each lane of a 64-bit word on its own. */
static const struct lanes {
    uint64_t exponents, lowest, signs;
} lanes[DTYPE_COUNT] = {
    [DTYPE_F64] = {0x7ff0000000000000u, 0x0010000000000000u, 0x8000000000000000u},
    [DTYPE_F32] = {0x7f8000007f800000u, 0x0080000000800000u, 0x8000000080000000u},
    [DTYPE_BF16] = {0x7f807f807f807f80u, 0x0080008000800080u, 0x8000800080008000u},
    [DTYPE_F16] = {0x7c007c007c007c00u, 0x0400040004000400u, 0x8000800080008000u},
};

/* false only if all n elements are known to be finite */
static bool perhaps_not_finite(enum dtype t, const void *src, int64_t n)
{
    const struct lanes l = lanes[t];
    const char *p = src;
    size_t n_bytes = (size_t)bytes_of(t, n);
    uint64_t seen = 0;
    if (l.signs == 0) return true;
    for (; n_bytes >= 8; n_bytes -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        seen |= (v & l.exponents) + l.lowest;
    }
    uint64_t rest = 0;
    memcpy(&rest, p, n_bytes);
    seen |= (rest & l.exponents) + l.lowest;
    return (seen & l.signs) != 0;
}

int64_t encode_scan(enum dtype t, const void *src, int64_t n, uint64_t *n_nan, uint64_t *n_inf)
{
    int64_t first = n;
    double v[DECODE];
    struct error ignored;
    for (int64_t i = 0; i < n; i += DECODE) {
        int64_t run = n - i < DECODE ? n - i : DECODE;
        const char *p = (const char *)src + bytes_of(t, i);
        if (!perhaps_not_finite(t, p, run)) continue;
        if (dtype_decode_f64(t, p, v, run, &ignored) != STATUS_OK) return n;
        for (int64_t k = 0; k < run; k++) {
            if (isfinite(v[k])) continue;
            if (first == n) first = i + k;
            *(isnan(v[k]) ? n_nan : n_inf) += 1;
        }
    }
    return first;
}

/* --- steps --- */

/* Element i of the job as a double: exact for every type. */
static double element(const struct encode_job *job, int64_t i)
{
    double v[DECODE];
    struct error ignored;
    int64_t len = dtype_info(job->from)->block_len;
    const char *block = (const char *)job->src + bytes_of(job->from, i - i % len);
    return dtype_decode_f64(job->from, block, v, len, &ignored) == STATUS_OK ? v[i % len] : 0;
}

/* Notes element i of the job. What the source holds as a finite number was too large for the target, or for the floats on the way. */
static void note_fault(struct encode_job *job, int64_t i)
{
    double v = element(job, i);
    job->fault = (struct encode_fault){isfinite(v) ? FAULT_OVERFLOW : FAULT_NOT_FINITE, job->first + i, v};
}

/* Notes the first bad element of [at, at + n), which is there. */
static void find_fault(struct encode_job *job, int64_t at, int64_t n, bool refuse_source, int64_t overflow)
{
    const void *src = (const char *)job->src + bytes_of(job->from, at);
    int64_t bad = n;
    uint64_t n_nan = 0, n_inf = 0;
    if (refuse_source) bad = encode_scan(job->from, src, n, &n_nan, &n_inf);
    note_fault(job, at + (overflow < bad ? overflow : bad));
}

/* The bytes as they are. */
static enum status pass_on(struct encode_job *job, struct error *err)
{
    struct cast_audit *a = &job->audit;
    int64_t bad = job->n;
    if (dtype_info(job->from)->is_float) bad = encode_scan(job->from, job->src, job->n, &a->n_nan, &a->n_inf);
    a->n += (uint64_t)job->n;
    if (bad < job->n && job->finite) {
        job->fault = (struct encode_fault){FAULT_NOT_FINITE, job->first + bad, element(job, bad)};
        return STATUS_OK;
    }
    return job->write(job->ctx, job->off + bytes_of(job->to, job->first), job->src,
                      (size_t)bytes_of(job->to, job->n), err);
}

static bool is_scaled(const struct encode_job *job)
{
    return job->scale_end > 0;
}

/* Grows scratch to so many elements. */
static enum status reserve(struct encode_scratch *s, const struct encode_job *job, int64_t n_elements, struct error *err)
{
    size_t n = (size_t)n_elements;
    if (n > s->cap) {
        encode_scratch_clear(s);
        s->out = malloc(n * sizeof(double)); /* the widest target */
        s->before = malloc(n * sizeof(float));
        s->after = malloc(n * sizeof(float));
        if (!s->out || !s->before || !s->after) return error_nomem(err, n * (sizeof(double) + 2 * sizeof(float)));
        s->cap = n;
    }
    if (is_scaled(job) && !s->scaled) s->scaled = malloc(s->cap * sizeof *s->scaled);
    return is_scaled(job) && !s->scaled ? error_nomem(err, s->cap * sizeof *s->scaled) : STATUS_OK;
}

/* n elements from `at` on as doubles, scaled where that is asked for */
static enum status scale(const struct encode_job *job, double *dst, int64_t at, int64_t n, struct error *err)
{
    TRY(dtype_decode_f64(job->from, (const char *)job->src + bytes_of(job->from, at), dst, n, err));
    int64_t first = job->first + at;
    for (int64_t i = 0; i < n && (job->scale_by || first + i < job->scale_end); i++)
        if (!job->scale_by || transform_source_index(job->scale_by, first + i) < job->scale_end) dst[i] *= job->scale;
    return STATUS_OK;
}

static enum status step(struct encode_job *job, struct encode_scratch *s, int64_t at, int64_t n,
                        struct error *err)
{
    struct cast_audit part = CAST_AUDIT_INIT;
    const void *src = (const char *)job->src + bytes_of(job->from, at);
    void *out = s->out;
    if (is_scaled(job)) TRY(scale(job, s->scaled, at, n, err));
    TRY(is_scaled(job) ? dtype_cast(job->to, out, DTYPE_F64, s->scaled, n, &part, err)
                           : dtype_cast(job->to, out, job->from, src, n, &part, err));
    cast_audit_add(&job->audit, &part);
    bool refuse_source = job->finite && part.n_nan + part.n_inf > 0,
         refuse_overflow = !job->allow_overflow && part.n_overflow > 0;
    if (refuse_source || refuse_overflow) {
        find_fault(job, at, n, refuse_source, refuse_overflow ? part.first_overflow : n);
        return STATUS_OK;
    }
    return job->write(job->ctx, job->off + bytes_of(job->to, job->first + at), out,
                      (size_t)bytes_of(job->to, n), err);
}

/* --- block types --- */

/* Finite elements that are infinite or NaN in the target, or in the floats on the way; all counted, the first one noted. */
static void count_bad(struct encode_job *job, int64_t at, const float *before, const float *after, int64_t n, int64_t *first_source)
{
    struct cast_audit *a = &job->audit;
    *first_source = n;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(before[i]) && isfinite(after[i])) continue;
        double v = isfinite(before[i]) ? (double)before[i] : element(job, at + i);
        a->n_nan += isnan(v) != 0;
        a->n_inf += isinf(v) != 0;
        if (!isfinite(v)) {
            if (*first_source == n) *first_source = i;
            continue;
        }
        if (a->first_overflow < 0) a->first_overflow = at + i;
        a->n_overflow++;
    }
}

/* An infinity makes its whole block infinite: of a bad block its source's first bad element is the one to tell. */
static void fault_in_rows(struct encode_job *job, int64_t at, const float *before, const float *after, int64_t n)
{
    int64_t len = dtype_info(job->to)->block_len, bad, i = 0;
    uint64_t n_before = job->audit.n_overflow;
    count_bad(job, at, before, after, n, &bad);
    bool refuse_overflow = !job->allow_overflow && job->audit.n_overflow > n_before;
    while (refuse_overflow && isfinite(before[i]) && isfinite(after[i])) i++;
    if (refuse_overflow && (bad == n || i / len < bad / len))
        note_fault(job, at + i);
    else if (bad < n)
        note_fault(job, at + bad);
}

/* What encoding did to a row. The row decoded again stays in the nearest cache: each one goes to the same place. */
static enum status measure_row(struct encode_job *job, struct encode_scratch *s, int64_t row, const float *before, const void *blocks,
                               struct error *err)
{
    int64_t cols = job->n_per_row;
    uint64_t n_bad = job->damage.n_bad, n_flushed = job->damage.n_flushed;
    TRY(dtype_decode_f32(job->to, blocks, s->after, cols, err));
    damage_add(&job->damage, job->first / cols + row, before, s->after, 1, cols, dtype_info(job->to)->block_len);
    if (job->damage.n_bad > n_bad) fault_in_rows(job, row * cols, before, s->after, cols);
    if (job->fault.kind != FAULT_NONE) return STATUS_OK;
    job->audit.n += (uint64_t)cols;
    job->audit.n_flushed += job->damage.n_flushed - n_flushed;
    return STATUS_OK;
}

/* Rows [row, row + n_rows) of the job, which share their importance weights. */
static enum status encode_rows(struct encode_job *job, struct encode_scratch *s, int64_t row, int64_t n_rows, struct error *err)
{
    int64_t cols = job->n_per_row, at = row * cols, n = n_rows * cols, tensor_row = job->first / cols + row;
    const void *src = (const char *)job->src + bytes_of(job->from, at);
    const float *before = src, *weights = job->weights;
    if (weights) weights += tensor_row / job->n_rows_shared * cols;
    if (is_scaled(job)) {
        TRY(scale(job, s->scaled, at, n, err));
        for (int64_t i = 0; i < n; i++) s->before[i] = (float)s->scaled[i];
    } else if (job->from != DTYPE_F32) {
        TRY(dtype_decode_f32(job->from, src, s->before, n, err));
    }
    if (is_scaled(job) || job->from != DTYPE_F32) before = s->before;
    TRY(dtype_encode_rows(job->to, before, weights, s->out, n_rows, cols, err));
    for (int64_t r = 0; r < n_rows; r++) {
        const void *blocks = (const char *)s->out + bytes_of(job->to, r * cols);
        TRY(measure_row(job, s, row + r, before + r * cols, blocks, err));
        if (job->fault.kind != FAULT_NONE) return STATUS_OK;
    }
    return job->write(job->ctx, job->off + bytes_of(job->to, job->first + at), s->out, (size_t)bytes_of(job->to, n), err);
}

static enum status run_rows(struct encode_job *job, struct encode_scratch *s, struct error *err)
{
    int64_t cols = job->n_per_row, n_rows = job->n / cols, step_rows = cols < ROWS_STEP ? ROWS_STEP / cols : 1;
    TRY(reserve(s, job, step_rows * cols, err));
    for (int64_t row = 0, n; row < n_rows && job->fault.kind == FAULT_NONE; row += n) {
        n = n_rows - row < step_rows ? n_rows - row : step_rows;
        if (job->weights) {
            int64_t left = job->n_rows_shared - (job->first / cols + row) % job->n_rows_shared;
            n = n < left ? n : left;
        }
        TRY(encode_rows(job, s, row, n, err));
    }
    return STATUS_OK;
}

uint64_t encode_scratch_bytes(enum dtype from, enum dtype to, int64_t n_per_row, bool scaled)
{
    bool rows = dtype_info(to)->block_len > 1;
    uint64_t n = rows ? (uint64_t)(n_per_row > ROWS_STEP ? n_per_row : ROWS_STEP) : STEP;
    if (from == to && !scaled) return 0;
    return n * (2 * sizeof(float) + sizeof(double) + (scaled ? sizeof(double) : 0));
}

enum status encode_run(struct encode_job *job, struct encode_scratch *s, struct error *err)
{
    if (job->from == job->to && !is_scaled(job)) return pass_on(job, err);
    if (dtype_info(job->to)->block_len > 1) return run_rows(job, s, err);
    TRY(reserve(s, job, STEP, err));
    for (int64_t at = 0; at < job->n && job->fault.kind == FAULT_NONE; at += STEP)
        TRY(step(job, s, at, job->n - at < STEP ? job->n - at : STEP, err));
    return STATUS_OK;
}

/* Checked decoding, encoding and casting through the selected kernels. */
#include "base/memory.h"
#include "dtypes/codec.h"

static enum status check(enum dtype t, int64_t n, uint64_t *bytes, struct error *err)
{
    const struct dtype_info *info = dtype_info(t);
    if (!info) return error_set(err, STATUS_RANGE, "type number %d does not exist", (int)t);
    if (!dtype_bytes(t, n, bytes) || *bytes > SIZE_MAX)
        return error_set(err, STATUS_RANGE, "%lld elements do not make whole blocks of %s (%u elements each)",
                         (long long)n, info->name, (unsigned)info->block_len);
    return STATUS_OK;
}

static enum status check_decode(enum dtype t, int64_t n, struct error *err)
{
    uint64_t bytes;
    TRY(check(t, n, &bytes, err));
    if (kernels_active()->decode_f32[t]) return STATUS_OK;
    return error_set(err, STATUS_UNSUPPORTED, "elements of type %s cannot be decoded", dtype_info(t)->name);
}

static enum status check_encode(enum dtype t, int64_t n, struct error *err)
{
    uint64_t bytes;
    TRY(check(t, n, &bytes, err));
    if (dtype_info(t)->block_len > 1) TRY(dtype_self_test(err));
    if (kernels_active()->encode_f32[t]) return STATUS_OK;
    return error_set(err, STATUS_UNSUPPORTED, "elements of type %s cannot be written", dtype_info(t)->name);
}

enum status dtype_decode_f32(enum dtype t, const void *src, float *dst, int64_t n, struct error *err)
{
    TRY(check_decode(t, n, err));
    kernels_active()->decode_f32[t](src, dst, n);
    return STATUS_OK;
}

enum status dtype_encode_f32(enum dtype t, const float *src, void *dst, int64_t n, struct error *err)
{
    TRY(check_encode(t, n, err));
    kernels_active()->encode_f32[t](src, dst, n);
    return STATUS_OK;
}

bool dtype_can_encode(enum dtype t, bool weighted)
{
    const struct dtype_info *info = dtype_info(t);
    if (!info) return false;
    return weighted && info->weights != WEIGHTS_IGNORED ? info->encode_row_weighted != NULL
                                                        : info->encode_f32 != NULL;
}

static size_t bytes_of(enum dtype t, int64_t n)
{
    const struct dtype_info *info = dtype_info(t);
    return (size_t)(n / info->block_len) * info->block_bytes;
}

enum status dtype_decode_f64(enum dtype t, const void *src, double *dst, int64_t n, struct error *err)
{
    TRY(check_decode(t, n, err));
    const struct dtype_info *info = dtype_info(t);
    if (info->decode_f64) {
        info->decode_f64(src, dst, n);
        return STATUS_OK;
    }
    const unsigned char *p = src;
    for (int64_t i = 0, m; i < n; i += m, p += bytes_of(t, m)) {
        float f[CAST_CHUNK];
        m = n - i < CAST_CHUNK ? n - i : CAST_CHUNK;
        kernels_active()->decode_f32[t](p, f, m);
        for (int64_t j = 0; j < m; j++) dst[i + j] = (double)f[j];
    }
    return STATUS_OK;
}

enum status dtype_encode_rows(enum dtype t, const float *src, const float *weights, void *dst, int64_t n_rows,
                              int64_t n_per_row, struct error *err)
{
    int64_t n;
    uint64_t bytes;
    TRY(check(t, n_per_row, &bytes, err));
    if (n_rows < 0 || __builtin_mul_overflow(n_rows, n_per_row, &n))
        return error_set(err, STATUS_RANGE, "%lld rows of %lld elements", (long long)n_rows,
                         (long long)n_per_row);
    TRY(check(t, n, &bytes, err));
    const struct dtype_info *info = dtype_info(t);
    if (!weights && info->weights == WEIGHTS_REQUIRED)
        return error_set(err, STATUS_UNSUPPORTED, "type %s needs importance weights", info->name);
    if (!weights || info->weights == WEIGHTS_IGNORED) return dtype_encode_f32(t, src, dst, n, err);
    encode_row_weighted_fn *encode = kernels_active()->encode_row_weighted[t];
    if (!encode)
        return error_set(err, STATUS_UNSUPPORTED, "type %s cannot be written with importance weights",
                         info->name);
    TRY(dtype_self_test(err));
    unsigned char *out = dst;
    for (int64_t r = 0; r < n_rows; r++, src += n_per_row, out += bytes_of(t, n_per_row))
        encode(src, weights, out, n_per_row);
    return STATUS_OK;
}

/* One rounding from double to a plain type; false if there is no such way and float comes between. */
static bool store_f64(enum dtype to, const double *src, void *dst, int64_t n)
{
    unsigned char *p = dst;
    if (to == DTYPE_F64) {
        memcpy(dst, src, (size_t)n * sizeof *src);
    } else if (to == DTYPE_F16 || to == DTYPE_BF16) {
        for (int64_t i = 0; i < n; i++, p += 2) {
            uint16_t v = to == DTYPE_F16 ? f16_from_f64(src[i]) : bf16_from_f64(src[i]);
            memcpy(p, &v, sizeof v);
        }
    } else {
        return false;
    }
    return true;
}

/* A chunk of at most CAST_CHUNK elements, through double where float would round a first time. */
static void cast_chunk(enum dtype to, void *dst, enum dtype from, const void *src, int64_t n,
                       struct cast_audit *audit)
{
    const struct kernels *k = kernels_active();
    const struct dtype_info *info = dtype_info(from);
    float f[CAST_CHUNK];
    if (info->decode_f64) {
        double d[CAST_CHUNK];
        info->decode_f64(src, d, n);
        if (!store_f64(to, d, dst, n)) {
            for (int64_t i = 0; i < n; i++) f[i] = (float)d[i];
            k->encode_f32[to](f, dst, n);
        }
        if (audit) audit_f64(audit, to, from, d, dst, n);
    } else {
        k->decode_f32[from](src, f, n);
        k->encode_f32[to](f, dst, n);
        if (audit) audit_f32(audit, to, from, f, dst, n);
    }
}

/* Equal types: what could matter is only what the source holds. */
static void audit_copy(enum dtype t, const void *src, int64_t n, struct cast_audit *audit)
{
    const struct dtype_info *info = dtype_info(t);
    if (!info->is_float || !info->decode_f32 || audit_all_finite(t, src, n)) {
        audit->n += (uint64_t)n;
    } else if (info->decode_f64) {
        double d[CAST_CHUNK];
        info->decode_f64(src, d, n);
        audit_f64(audit, t, t, d, src, n);
    } else {
        float f[CAST_CHUNK];
        kernels_active()->decode_f32[t](src, f, n);
        audit_f32(audit, t, t, f, src, n);
    }
}

enum status dtype_cast(enum dtype to, void *dst, enum dtype from, const void *src, int64_t n,
                       struct cast_audit *audit, struct error *err)
{
    uint64_t bytes;
    TRY(check(from, n, &bytes, err));
    if (to != from) {
        TRY(check_decode(from, n, err));
        TRY(check_encode(to, n, err));
    } else if (n > 0) {
        memcpy(dst, src, (size_t)bytes);
        if (!audit) return STATUS_OK;
    }
    const unsigned char *in = src;
    unsigned char *out = dst;
    for (int64_t i = 0, m; i < n; i += m) {
        m = n - i < CAST_CHUNK ? n - i : CAST_CHUNK;
        if (to == from)
            audit_copy(to, in, m, audit);
        else
            cast_chunk(to, out, from, in, m, audit);
        in += bytes_of(from, m);
        out += bytes_of(to, m);
    }
    return STATUS_OK;
}

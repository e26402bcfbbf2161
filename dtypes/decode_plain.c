/* Decoders of the types whose elements stand alone. */
#include "dtypes/codec.h"

/* memcpy, because tensors in a file need not be aligned to their elements */
#define DECODE(NAME, CTYPE, OUT, VALUE)                                                                      \
    void NAME(const void *src, OUT *dst, int64_t n)                                                          \
    {                                                                                                        \
        const unsigned char *p = src;                                                                        \
        for (int64_t i = 0; i < n; i++, p += sizeof(CTYPE)) {                                                \
            CTYPE v;                                                                                         \
            memcpy(&v, p, sizeof v);                                                                         \
            dst[i] = VALUE;                                                                                  \
        }                                                                                                    \
    }

void decode_f32(const void *src, float *dst, int64_t n)
{
    if (n > 0) memcpy(dst, src, (size_t)n * sizeof *dst);
}

void decode_f64_f64(const void *src, double *dst, int64_t n)
{
    if (n > 0) memcpy(dst, src, (size_t)n * sizeof *dst);
}

DECODE(decode_f16, uint16_t, float, f16_to_f32(v))
DECODE(decode_bf16, uint16_t, float, bf16_to_f32(v))
DECODE(decode_f64, double, float, (float)v)
DECODE(decode_f8_e4m3, uint8_t, float, f8_e4m3_to_f32(v))
DECODE(decode_f8_e5m2, uint8_t, float, f8_e5m2_to_f32(v))
DECODE(decode_f8_e8m0, uint8_t, float, f8_e8m0_to_f32(v))
DECODE(decode_i8, int8_t, float, (float)v)
DECODE(decode_i16, int16_t, float, (float)v)
DECODE(decode_i32, int32_t, float, (float)v)
DECODE(decode_i64, int64_t, float, (float)v)
DECODE(decode_u8, uint8_t, float, (float)v)
DECODE(decode_u16, uint16_t, float, (float)v)
DECODE(decode_u32, uint32_t, float, (float)v)
DECODE(decode_u64, uint64_t, float, (float)v)
DECODE(decode_bool, uint8_t, float, v ? 1.0f : 0.0f)
/* only where float would round */
DECODE(decode_i32_f64, int32_t, double, (double)v)
DECODE(decode_u32_f64, uint32_t, double, (double)v)
DECODE(decode_i64_f64, int64_t, double, (double)v)
DECODE(decode_u64_f64, uint64_t, double, (double)v)

/* -8 to 7 from a half of a byte */
static float half_byte(unsigned v)
{
    return (float)((int)(v ^ 8) - 8);
}

void decode_i4(const void *src, float *dst, int64_t n)
{
    const unsigned char *p = src;
    for (int64_t i = 0; i < n; i++) dst[i] = half_byte(i % 2 == 0 ? p[i / 2] >> 4 : p[i / 2] & 15u);
}

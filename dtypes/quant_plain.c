/* Encoders of the plain floating-point types. */
#include "dtypes/codec.h"

#define ENCODE(NAME, CTYPE, VALUE)                                                                           \
    void NAME(const float *src, void *dst, int64_t n)                                                        \
    {                                                                                                        \
        unsigned char *p = dst;                                                                              \
        for (int64_t i = 0; i < n; i++, p += sizeof(CTYPE)) {                                                \
            CTYPE v = VALUE;                                                                                 \
            memcpy(p, &v, sizeof v);                                                                         \
        }                                                                                                    \
    }

void encode_f32(const float *src, void *dst, int64_t n)
{
    if (n > 0) memcpy(dst, src, (size_t)n * sizeof *src);
}

ENCODE(encode_f16, uint16_t, f16_from_f32(src[i]))
ENCODE(encode_bf16, uint16_t, bf16_from_f32(src[i]))
ENCODE(encode_f64, double, (double)src[i])

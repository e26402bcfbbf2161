/* Encoders of blocks with one scale: the bytes of ggml's reference on x86-64. */
#include "dtypes/codec.h"

void encode_q8_0(const float *src, void *dst, int64_t n)
{
    struct block_q8_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        float amax = 0.0f;
        for (int j = 0; j < QK; j++) {
            /* Not fmaxf: a NaN becomes the maximum and the next element replaces it, as in the reference. */
            float a = fabsf(src[j]);
            amax = amax > a ? amax : a;
        }
        float d = amax / 127;
        float id = d != 0 ? 1.0f / d : 0.0f;
        b->d = half_store(d);
        /* id is infinite below about 3.7e-37; what is no int32 then becomes 0x80000000, whose low byte is 0 */
        for (int j = 0; j < QK; j++) b->qs[j] = (int8_t)i32_from_f32(roundf(src[j] * id));
    }
}

/* x * id + bias truncated to int8, at most max. A negative value (only from absurd input) keeps its upper bits. */
static uint8_t quant_up(float x, float id, float bias, int max)
{
    int8_t q = (int8_t)i32_from_f32(x * id + bias);
    return (uint8_t)(q < max ? q : max);
}

void encode_q4_0(const float *src, void *dst, int64_t n)
{
    struct block_q4_0 *b = dst;
    for (; n > 0; n -= QK, b++, src += QK) {
        float d = extreme(src, QK) /
                  -8; /* the extreme element gets q = 0, the only end that 4 bits reach; zeros give -0 */
        float id = d != 0 ? 1.0f / d : 0.0f;
        b->d = half_store(d);
        for (int j = 0; j < 16; j++) {
            uint8_t lo = quant_up(src[j], id, 8.5f, 15), hi = quant_up(src[j + 16], id, 8.5f, 15);
            b->qs[j] = (uint8_t)(lo | hi << 4);
        }
    }
}

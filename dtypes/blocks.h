/* Memory layouts of ggml's block types. Only dtypes/ looks inside a block; everybody else asks dtype_info() for sizes.
 *
 * Halves are held as two bytes so that every struct has alignment 1: blocks are read where they lie, at any offset of a buffer.
 * Nibble order of the 32-element types: byte j holds element j (low nibble) and element j + 16 (high nibble).
 */
#ifndef LATHE_BLOCKS_H
#define LATHE_BLOCKS_H

#include <stdint.h>

enum {
    QK = 32,   /* elements of a simple block */
    QK_K = 256 /* elements of a super-block */
};

struct half {
    uint8_t le[2]; /* IEEE binary16, little-endian */
};

#define BLOCK(NAME, BYTES, ...)                                                                              \
    struct block_##NAME {                                                                                    \
        __VA_ARGS__                                                                                          \
    };                                                                                                       \
    _Static_assert(sizeof(struct block_##NAME) == (BYTES), #NAME)

/* one scale per block: value = d * q (+ m) */
BLOCK(q4_0, 18, struct half d; uint8_t qs[16];);
BLOCK(q4_1, 20, struct half d; struct half m; uint8_t qs[16];);
BLOCK(q5_0, 22, struct half d; uint8_t qh[4]; uint8_t qs[16];); /* bit j of qh: bit 4 of element j */
BLOCK(q5_1, 24, struct half d; struct half m; uint8_t qh[4]; uint8_t qs[16];);
BLOCK(q8_0, 34, struct half d; int8_t qs[32];);
BLOCK(q8_1, 36, struct half d; struct half s; int8_t qs[32];); /* activations only, never in a file */
BLOCK(q1_0, 18, struct half d; uint8_t qs[16];);               /* 128 elements, a bit each */
BLOCK(q2_0, 18, struct half d; uint8_t qs[16];);               /* 64 elements, two bits each */

/* super-blocks of 256: a half scales the integer scales of sub-blocks of 16 or 32 */
BLOCK(q2_k, 84, uint8_t scales[16]; uint8_t qs[64]; struct half d; struct half dmin;);
BLOCK(q3_k, 110, uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; struct half d;);
BLOCK(q4_k, 144, struct half d; struct half dmin; uint8_t scales[12]; uint8_t qs[128];);
BLOCK(q5_k, 176, struct half d; struct half dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128];);
BLOCK(q6_k, 210, uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; struct half d;);
BLOCK(q8_k, 292, uint8_t d_f32[4]; int8_t qs[256]; uint8_t sums_i16[32];); /* activations only */

/* codebooks of small vectors */
BLOCK(iq1_s, 50, struct half d; uint8_t qs[32]; uint8_t qh[16];);
BLOCK(iq1_m, 56, uint8_t qs[32]; uint8_t qh[16]; uint8_t scales[8];);
BLOCK(iq2_xxs, 66, struct half d; uint8_t qs[64];);
BLOCK(iq2_xs, 74, struct half d; uint8_t qs[64]; uint8_t scales[8];);
BLOCK(iq2_s, 82, struct half d; uint8_t qs[32]; uint8_t signs[32]; uint8_t qh[8]; uint8_t scales[8];);
BLOCK(iq3_xxs, 98, struct half d; uint8_t qs[96];);
BLOCK(iq3_s, 110, struct half d; uint8_t qs[64]; uint8_t qh[8]; uint8_t signs[32]; uint8_t scales[4];);

/* sixteen uneven levels */
BLOCK(iq4_nl, 18, struct half d; uint8_t qs[16];);
BLOCK(iq4_xs, 136, struct half d; uint8_t scales_h[2]; uint8_t scales_l[4]; uint8_t qs[128];);

/* ternary, and 4-bit floats */
BLOCK(tq1_0, 54, uint8_t qs[48]; uint8_t qh[4]; struct half d;);
BLOCK(tq2_0, 66, uint8_t qs[64]; struct half d;);
BLOCK(mxfp4, 17, uint8_t e; uint8_t qs[16];);
BLOCK(nvfp4, 36, uint8_t d[4]; uint8_t qs[32];); /* 64 elements: four groups of 16 with an E4M3 scale each */

/* plain types below a byte, as safetensors packs them */
BLOCK(f4, 1, uint8_t two[1];);
BLOCK(f6, 3, uint8_t four[3];);

#undef BLOCK

#endif

/* The kernel set for AVX-512 (F, BW, VL, DQ). What it lacks comes from AVX2. */
#if defined(__AVX512F__)
#include "base/cpu.h"
#include "dtypes/codec.h"

const struct kernels kernels_avx512 = {
    .name = "avx512",
    .supported = cpu_has_avx512,
    .decode_f32 = {DECODE_BLOCKS(avx512)},
    .encode_f32 = {ENCODE_K(avx512), ENCODE_32(avx512), ENCODE_IQ(avx512)},
    .encode_row_weighted = {ENCODE_K_WEIGHTED(avx512), ENCODE_32_WEIGHTED(avx512), ENCODE_IQ_WEIGHTED(avx512)},
};
#else
typedef int kernels_avx512_is_empty; /* a file may not be empty */
#endif

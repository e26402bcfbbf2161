/* The reference encoders compiled as many builds of ggml are: with multiplications and additions fused. Their bytes are not the reference's; they serve
 * to recognise files that such a build has made.
 *
 * GCC fuses wherever a product meets a sum, clang inside an expression only. Both are had from either compiler: without inlining, values that go through
 * functions stay apart, which is what matters in these loops. What a compiler does not settle (which of two products it fuses, say) may still differ
 * in a few blocks. The names are made by the Makefile. */
#include "base/cpu.h"
#include "dtypes/codec.h"

#define DECLARE(PREFIX) \
    encode_f32_fn PREFIX##_encode_iq4_nl, PREFIX##_encode_iq4_xs, PREFIX##_encode_q2_k, PREFIX##_encode_q3_k, \
    PREFIX##_encode_q4_0, PREFIX##_encode_q4_1, PREFIX##_encode_q4_k, PREFIX##_encode_q5_0, \
    PREFIX##_encode_q5_1, PREFIX##_encode_q5_k, PREFIX##_encode_q6_k, PREFIX##_encode_q8_0; \
    encode_row_weighted_fn PREFIX##_encode_iq4_nl_weighted, PREFIX##_encode_iq4_xs_weighted, PREFIX##_encode_q2_k_weighted, \
    PREFIX##_encode_q3_k_weighted, PREFIX##_encode_q4_0_weighted, PREFIX##_encode_q4_1_weighted, \
    PREFIX##_encode_q4_k_weighted, PREFIX##_encode_q5_0_weighted, PREFIX##_encode_q5_1_weighted, \
    PREFIX##_encode_q5_k_weighted, PREFIX##_encode_q6_k_weighted
#define PLAIN(PREFIX) \
    [DTYPE_IQ4_NL] = PREFIX##_encode_iq4_nl, [DTYPE_IQ4_XS] = PREFIX##_encode_iq4_xs, \
    [DTYPE_Q2_K] = PREFIX##_encode_q2_k, [DTYPE_Q3_K] = PREFIX##_encode_q3_k, \
    [DTYPE_Q4_0] = PREFIX##_encode_q4_0, [DTYPE_Q4_1] = PREFIX##_encode_q4_1, \
    [DTYPE_Q4_K] = PREFIX##_encode_q4_k, [DTYPE_Q5_0] = PREFIX##_encode_q5_0, \
    [DTYPE_Q5_1] = PREFIX##_encode_q5_1, [DTYPE_Q5_K] = PREFIX##_encode_q5_k, \
    [DTYPE_Q6_K] = PREFIX##_encode_q6_k, [DTYPE_Q8_0] = PREFIX##_encode_q8_0
#define WEIGHTED(PREFIX) \
    [DTYPE_IQ4_NL] = PREFIX##_encode_iq4_nl_weighted, [DTYPE_IQ4_XS] = PREFIX##_encode_iq4_xs_weighted, \
    [DTYPE_Q2_K] = PREFIX##_encode_q2_k_weighted, [DTYPE_Q3_K] = PREFIX##_encode_q3_k_weighted, \
    [DTYPE_Q4_0] = PREFIX##_encode_q4_0_weighted, [DTYPE_Q4_1] = PREFIX##_encode_q4_1_weighted, \
    [DTYPE_Q4_K] = PREFIX##_encode_q4_k_weighted, [DTYPE_Q5_0] = PREFIX##_encode_q5_0_weighted, \
    [DTYPE_Q5_1] = PREFIX##_encode_q5_1_weighted, [DTYPE_Q5_K] = PREFIX##_encode_q5_k_weighted, \
    [DTYPE_Q6_K] = PREFIX##_encode_q6_k_weighted

DECLARE(fused_gcc);
DECLARE(fused_clang);

const struct kernels kernels_fused[FUSE_STYLES] = {
    [FUSE_AS_GCC] = {.name = "fused as by GCC",
                     .supported = cpu_has_avx2,
                     .encode_f32 = {PLAIN(fused_gcc)},
                     .encode_row_weighted = {WEIGHTED(fused_gcc)}},
    [FUSE_AS_CLANG] = {.name = "fused as by clang",
                       .supported = cpu_has_avx2,
                       .encode_f32 = {PLAIN(fused_clang)},
                       .encode_row_weighted = {WEIGHTED(fused_clang)}},
};

/* Inside of dtypes/: what the lane kernels of blocks of 32 take from the plain code. */
#ifndef LATHE_QUANT_32_H
#define LATHE_QUANT_32_H

#include "dtypes/codec.h"

/* quant_simple.c: one block with importance weights; sigma2 is the mean of x * x in the row. */
typedef void encode_block_fn(const float *x, const float *weights, float sigma2, void *dst);
encode_block_fn encode_q4_0_block, encode_q4_1_block, encode_q5_0_block, encode_q5_1_block;
extern const struct affine_search search_q4_1, search_q5_1;

/* quant_iq4.c: an IQ4_XS block's header from the scales that were found for its sub-blocks, and by what to multiply each one's elements. */
void iq4_xs_set_scales(struct block_iq4_xs *b, const float scales[8], float iscales[8]);

/* quant_fp4.c: the exponent that puts the largest magnitude of a block into [4, 8) units, modulo 256, as x86 makes a byte of a negative number. */
uint8_t mxfp4_exponent(float amax);
/* The E4M3 scale of a group of 16 whose largest magnitude is amax. */
uint8_t nvfp4_scale(float amax);

#endif

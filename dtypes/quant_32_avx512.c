/* Encoders of blocks of 32 for AVX-512. */
#if defined(__AVX512F__)
#include "dtypes/lanes_avx512.h"
#define KERNEL_SET avx512
#include "dtypes/quant_32_lanes.h"
#else
typedef int quant_32_avx512_is_empty; /* a file may not be empty */
#endif

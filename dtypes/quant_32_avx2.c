/* Encoders of blocks of 32 for AVX2. */
#if defined(__AVX2__)
#include "dtypes/lanes_avx2.h"
#define KERNEL_SET avx2
#include "dtypes/quant_32_lanes.h"
#else
typedef int quant_32_avx2_is_empty; /* a file may not be empty */
#endif

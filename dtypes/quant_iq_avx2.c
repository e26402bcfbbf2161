/* The search for points of codebooks for AVX2. */
#if defined(__AVX2__)
#include "dtypes/lanes_avx2.h"
#define KERNEL_SET avx2
#include "dtypes/quant_iq_lanes.h"
#include "dtypes/quant_iq1_lanes.h"
#else
typedef int quant_iq_avx2_is_empty; /* a file may not be empty */
#endif

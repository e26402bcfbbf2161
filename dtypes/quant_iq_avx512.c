/* The search for points of codebooks for AVX-512. */
#if defined(__AVX512F__)
#include "dtypes/lanes_avx512.h"
#define KERNEL_SET avx512
#include "dtypes/quant_iq_lanes.h"
#include "dtypes/quant_iq1_lanes.h"
#else
typedef int quant_iq_avx512_is_empty; /* a file may not be empty */
#endif

/* Decoders of block types for AVX2. */
#if defined(__AVX2__)
#include "dtypes/lanes_avx2.h"
#define KERNEL_SET avx2
#include "dtypes/decode_lanes.h"
#else
typedef int decode_avx2_is_empty; /* a file may not be empty */
#endif

/* Decoders of block types for AVX-512. */
#if defined(__AVX512F__)
#include "dtypes/lanes_avx512.h"
#define KERNEL_SET avx512
#include "dtypes/decode_lanes.h"
#else
typedef int decode_avx512_is_empty; /* a file may not be empty */
#endif

/* Encoders of blocks of 32 for any processor, written for the compiler's own vectors. */
#include "dtypes/lanes_portable.h"
#define KERNEL_SET portable
#include "dtypes/quant_32_lanes.h"

/* Encoders of super-blocks for any processor, written for the compiler's own vectors. */
#include "dtypes/lanes_portable.h"
#define KERNEL_SET portable
#include "dtypes/quant_k_lanes.h"

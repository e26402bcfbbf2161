/* Decoders of block types for any processor, written for the compiler's own vectors. */
#include "dtypes/lanes_portable.h"
#define KERNEL_SET portable
#include "dtypes/decode_lanes.h"

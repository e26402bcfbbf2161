#if defined(__x86_64__)
#include "dtypes/lanes_avx2.h"

#include <string.h>

#define NAME damage_row_avx2
#include "core/damage_row.inc"
#endif

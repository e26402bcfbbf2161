#if defined(__x86_64__)
#include "core/damage_row.h"

#include <string.h>

#define NAME damage_row_avx2
#include "core/damage_row.inc"
#endif

#include "dtypes/lanes_portable.h"

#include <string.h>

#define NAME damage_row_portable
#include "core/damage_row.inc"

#include "core/damage_row.h"

#include <string.h>

#define NAME damage_row_base
#include "core/damage_row.inc"

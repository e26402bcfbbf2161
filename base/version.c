#include "base/options.h"

const char lathe_version[] = "0.1.0";

#include "base/cpu.h"

#define SET metrics_loops_portable
#include "core/metrics_loops.inc"

const struct metrics_loops *metrics_loops(void)
{
#if defined(__x86_64__)
    if (cpu_has_avx512()) return &metrics_loops_avx512;
    if (cpu_has_avx2()) return &metrics_loops_avx2;
#endif
    return &metrics_loops_portable;
}

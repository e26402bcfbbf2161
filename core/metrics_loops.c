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

void metrics_part_init(struct metrics_part *p)
{
    *p = (struct metrics_part){.peak_a = -(double)INFINITY, .peak_b = -(double)INFINITY};
    for (int i = 0; i < METRICS_TOP; i++) {
        p->top_a.value[i] = p->top_b.value[i] = -(double)INFINITY;
        p->top_a.index[i] = p->top_b.index[i] = -1;
    }
}

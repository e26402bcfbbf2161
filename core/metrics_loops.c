#define SET metrics_loops_portable
#include "core/metrics_loops.inc"

const struct metrics_loops *metrics_loops(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        return &metrics_loops_avx512;
    if (__builtin_cpu_supports("avx2")) return &metrics_loops_avx2;
#endif
    return &metrics_loops_portable;
}

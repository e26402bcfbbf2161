#include "base/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum level { NOT_ASKED, BASELINE, AVX2, AVX512 };

static enum level ask(void)
{
#if defined(__x86_64__)
    /* not every compiler knows F16C by name */
    unsigned a, b, c, d;
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    if (!f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return BASELINE;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return wide ? AVX512 : AVX2;
#else
    return BASELINE;
#endif
}

/* What the environment allows; a word that is none of these hides nothing. */
static enum level most(void)
{
    const char *word = getenv("LATHE_CPU");
    if (word && strcmp(word, "baseline") == 0) return BASELINE;
    return word && strcmp(word, "avx2") == 0 ? AVX2 : AVX512;
}

static enum level level(void)
{
    static atomic_int known = NOT_ASKED; /* whoever asks gets the same answer */
    int l = atomic_load_explicit(&known, memory_order_relaxed);
    if (l == NOT_ASKED) {
        l = (int)ask();
        if (l > (int)most()) l = (int)most();
        atomic_store_explicit(&known, l, memory_order_relaxed);
    }
    return (enum level)l;
}

bool cpu_has_baseline(void)
{
    return true;
}

bool cpu_has_avx2(void)
{
    return level() >= AVX2;
}

bool cpu_has_avx512(void)
{
    return level() >= AVX512;
}

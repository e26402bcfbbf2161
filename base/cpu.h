/* What this processor runs beyond the baseline: asked of it once, for all tables of loops that are there in several sets.
 *
 * The answers fit `supported` entries of such tables. A file compiled for a set may use all that is named here, and nothing else; outside of x86-64 the
 * answers are false. LATHE_CPU=baseline or avx2 in the environment hides what is above: for tests, and for valgrind, which does not know every
 * instruction that the processor it imitates claims.
 */
#ifndef LATHE_CPU_H
#define LATHE_CPU_H

#include <stdbool.h>

bool cpu_has_baseline(void); /* true */
bool cpu_has_avx2(void);     /* AVX2 with FMA and F16C, as all processors with AVX2 that are known */
bool cpu_has_avx512(void);   /* the above, and AVX-512 F, VL, BW, DQ */

#endif

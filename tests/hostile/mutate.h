/* Damaged copies of good files: the same for the same seed.
 *
 *     char *bad = mutate(good, n, seed, &n_bad);      free it
 */
#ifndef LATHE_TEST_MUTATE_H
#define LATHE_TEST_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* One to three changes: a bit, a byte, a number of 2, 4 or 8 bytes made extreme, a range removed, doubled, filled or moved. Most lie in the first and last
 * 4096 bytes, where headers and directories are. Never NULL; ends the program without memory. */
char *mutate(const char *good, size_t n, uint64_t seed, size_t *n_bad);

#endif

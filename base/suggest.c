#include "base/suggest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WORD_MAX = 40 };

/* Edits (insert, delete, change, swap neighbours) that turn a into b; large when either is too long to be a typo of the other. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX) return SIZE_MAX;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

void guess_try(struct guess *g, const char *typed, size_t n, const char *word, size_t len)
{
    size_t distance = edit_distance(typed, n, word, len), limit = n / 3 > 1 ? n / 3 : 1;
    if (n >= 2 && n < len && memcmp(typed, word, n) == 0) distance = 1;
    if (distance > limit || (g->word && distance >= g->distance)) return;
    *g = (struct guess){.word = word, .len = len, .distance = distance};
}

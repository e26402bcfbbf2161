/* "did you mean ...?": the nearest of some words to one that was mistyped. Start from {0}, try every candidate, look at `word`.
 *
 *     struct guess g = {0};
 *     for (...) guess_try(&g, typed, strlen(typed), names[i], strlen(names[i]));
 *     if (g.word) ... "did you mean '%.*s'?", (int)g.len, g.word
 */
#ifndef LATHE_SUGGEST_H
#define LATHE_SUGGEST_H

#include <stddef.h>

struct guess {
    const char *word; /* points at the candidate; NULL: none is near enough */
    size_t len, distance;
};
/* Near enough: one edit, or one per three letters typed (letters inserted, deleted, changed, neighbours swapped), or a candidate that
 * begins with at least two letters that were typed. Of equally near ones the first stays. Words beyond 40 bytes are never near. */
void guess_try(struct guess *g, const char *typed, size_t n, const char *word, size_t len);

#endif

/* The ids that a model is run on. */
#ifndef LATHE_TOKENS_H
#define LATHE_TOKENS_H

#include "base/memory.h"
#include "base/status.h"

#include <stdint.h>

struct tokens {
    int32_t *ids;
    int64_t n;
    bool built_in;
};
enum { TOKENS_BUILT_IN = 64 };
/* From a text file of decimal ids separated by white space, or a NumPy array of integers of shape (n) or (1, n). Every id is below
 * n_vocab; an empty list is an error. */
enum status tokens_read(struct tokens *t, const char *path, int64_t n_vocab, struct error *err);
/* What a text is, and whose tokenizers may take it: the first of `paths` that has one does. No BOS is added. STATUS_NOTFOUND when none has. */
struct tokens_text {
    const char *prompt, *file; /* one of them */
    const char *const *paths;
    int n_paths;
};
enum status tokens_encode(struct tokens *t, const struct tokens_text *text, int64_t n_vocab,
                          struct error *err);
/* n pseudo-random ids below n_vocab, always the same (docs/numerics.md). */
enum status tokens_make(struct tokens *t, int64_t n, int64_t n_vocab, struct error *err);
void tokens_clear(struct tokens *t);

#endif

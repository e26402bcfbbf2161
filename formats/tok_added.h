/* Added tokens in text: found before anything else is done to it. Leftmost first, of several there the longest. */
#ifndef LATHE_TOK_ADDED_H
#define LATHE_TOK_ADDED_H

#include "formats/tok_index.h"
#include "formats/tokenizer.h"

struct added_finder {
    const struct tokenizer *t;
    struct trie texts;
    size_t count;
};
/* A stretch of text: of token `added` (an index into t->added), or of text (-1). */
struct added_span {
    size_t start, end;
    int32_t added;
};
bool added_init(struct added_finder *f, const struct tokenizer *t);
/* added: an index into t->added; s, n: its text as it is looked for. */
bool added_put(struct added_finder *f, const char *s, size_t n, int32_t added);
/* What comes at or after *at < n: *at moves to its end. `plain`: special tokens are text. false at the end. Call with *at = 0 first and the
 * same pending span, zeroed. */
struct added_walk {
    size_t at, text_start;
    struct added_span token; /* found, and told after the text before it */
    bool has_token;
};
bool added_next(const struct added_finder *f, struct added_walk *w, const char *s, size_t n, bool plain,
                struct added_span *out);
void added_clear(struct added_finder *f);

#endif

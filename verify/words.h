/* What ids stand for, for people: by A's tokenizer, or B's where A has none.
 *
 *     struct words w;
 *     words_open(&w, paths, 2);
 *     words_quote(&w, id, 40, text, sizeof text);
 *     words_close(&w);
 */
#ifndef LATHE_WORDS_H
#define LATHE_WORDS_H

#include "formats/encoder.h"

struct words {
    struct text_coder coder;
};
/* The first of the paths with a vocabulary is taken. A tokenizer that cannot be read is no error here: ids do as well. */
void words_open(struct words *w, const char *const *paths, int n_paths);
void words_close(struct words *w); /* of a zeroed one does nothing */
/* Appends the bytes of the token; false, and nothing, when there is no tokenizer or no such token. */
bool words_bytes(const struct words *w, int64_t id, struct buf *out);
/* The label of core/token_labels.h in quotes, cut after max_bytes: "␣Paris"; #6342 where nothing is known. */
void words_quote(const struct words *w, int64_t id, size_t max_bytes, char *dst, size_t dst_size);

#endif

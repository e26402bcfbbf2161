/* Texts of token ids for people: on axes, in reports.
 *
 *     struct token_labels l;
 *     TRY(token_labels_make(&l, paths, n_paths, ids, n, err));
 *     l.texts[i]
 *     token_labels_clear(&l);
 *
 * A text is valid UTF-8 without anything that a terminal acts on or that does not show: a space is U+2423 (open box), a tab \t, a new line \n,
 * a byte that belongs to no character \xNN, other invisible characters \uXXXX, a backslash \\. A mark that would sit on what stands before it
 * gets a dotted circle of its own. Without a tokenizer, and for ids that it does not know, the text is the id: "#1234".
 */
#ifndef LATHE_TOKEN_LABELS_H
#define LATHE_TOKEN_LABELS_H

#include "formats/tokenizer.h"

struct token_labels {
    const char **texts; /* one for each id */
    int64_t n;
    bool has_tokenizer;
    struct arena mem;
};
/* The tokenizer is that of the first path that has one (tokens_encode's rule). A broken tokenizer is an error, none at all is not. */
enum status token_labels_make(struct token_labels *l, const char *const *paths, int n_paths,
                              const int32_t *ids, int64_t n, struct error *err);
/* The same with an open tokenizer (NULL: ids). */
enum status token_labels_from(struct token_labels *l, const struct tokenizer *t, const int32_t *ids,
                              int64_t n, struct error *err);
void token_labels_clear(struct token_labels *l);
/* Appends one text; NULL: the id. */
void token_label_put(const struct tokenizer *t, int64_t id, struct buf *out);

#endif

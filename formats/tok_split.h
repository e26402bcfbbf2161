/* Cutting text into words, as the "pre_tokenizer" of a tokenizer.json says it.
 *
 *     struct splitter *p;
 *     TRY(splitter_new(&p, json_root(doc), err));
 *     TRY(splitter_run(p, text, n, true, emit, arg, err));      emit(arg, word, length, err) in order
 *     splitter_free(p);
 *
 * Kinds: Split, ByteLevel (at the end only), Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, BertPreTokenizer,
 * CharDelimiterSplit, Sequence. Another kind is STATUS_UNSUPPORTED when the splitter is made. Used by one thread at a time.
 */
#ifndef LATHE_TOK_SPLIT_H
#define LATHE_TOK_SPLIT_H

#include "base/json.h"

struct splitter;
typedef enum status word_fn(void *arg, const char *s, size_t n, struct error *err);

/* pre: the block; NULL or null: text is one word */
enum status splitter_new(struct splitter **out, const struct jvalue *pre, struct error *err);
void splitter_free(struct splitter *p); /* NULL is allowed */
/* n > 0 bytes of valid UTF-8; at_start: they begin the text (some put a space there). Words live until emit returns. */
enum status splitter_run(struct splitter *p, const char *text, size_t n, bool at_start, word_fn *emit,
                         void *arg, struct error *err);
/* true if words go to the model as bytes (ByteLevel) */
bool splitter_is_byte_level(const struct splitter *p);
/* Regular expressions for the patterns that have hand-written rules, too: for tests. */
void splitter_forbid_scans(bool forbid);

#endif

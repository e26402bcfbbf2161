/* Changing the form of text before it is cut, as the "normalizer" of a tokenizer.json says it.
 *
 *     struct normalizer *z;
 *     TRY(normalizer_new(&z, json_root(doc), err));
 *     TRY(normalizer_run(z, &s, &n, err));        s, n: now the changed text, which lives until the next call
 *     normalizer_free(z);
 *
 * Kinds: NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, BertNormalizer, Nmt, Precompiled, Sequence. Another kind is
 * STATUS_UNSUPPORTED when the normalizer is made. Used by one thread at a time.
 */
#ifndef LATHE_TOK_NORMALIZE_H
#define LATHE_TOK_NORMALIZE_H

#include "base/json.h"

struct normalizer;
enum status normalizer_new(struct normalizer **out, const struct jvalue *v, struct error *err);
void normalizer_free(struct normalizer *z); /* NULL is allowed */
enum status normalizer_run(struct normalizer *z, const char **s, size_t *n, struct error *err);

#endif

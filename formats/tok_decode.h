/* From ids to text, as the "decoder" of a tokenizer.json says it.
 *
 * Kinds: ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder, WordPiece, Sequence, and, of our own, SentencePiece
 * (docs/format.md). Without a decoder texts of tokens are joined by spaces. Another kind is STATUS_UNSUPPORTED when it is made.
 */
#ifndef LATHE_TOK_DECODE_H
#define LATHE_TOK_DECODE_H

#include "base/json.h"
#include "formats/tokenizer.h"

struct decoder;
enum status decoder_new(struct decoder **out, const struct tokenizer *t, const struct jvalue *v,
                        struct error *err);
void decoder_free(struct decoder *d); /* NULL is allowed */
/* ids are in the vocabulary; bytes are appended */
enum status decoder_run(struct decoder *d, const int32_t *ids, size_t n, struct buf *out, struct error *err);

#endif

/* Text to token ids and back, as a tokenizer's own library does it.
 *
 *     struct encoder *e;
 *     TRY(encoder_new(&e, tokenizer, err));
 *     struct id_list ids = {0};
 *     TRY(encoder_encode(e, text, n, 0, &ids, err));           appends to ids
 *     TRY(encoder_decode(e, ids.ids, ids.n, 0, &out, err));    appends bytes
 *     encoder_free(e);
 *
 * It is the same for every source: what `tokenizer_load` and `tokenizer_from_gguf` put into the tokenizer's blocks (docs/format.md) is
 * all that is read here. A kind of block that is not known gives STATUS_UNSUPPORTED, a damaged vocabulary STATUS_FORMAT, in encoder_new.
 *
 * Text is UTF-8. What is not becomes U+FFFD: each longest broken part of a character, or, for SentencePiece, each byte; that is what the
 * libraries do. Added tokens are found in the text first, the special ones too unless ENCODE_PLAIN is given. The tokenizer must outlive its
 * encoder. An encoder caches words: it is used by one thread at a time.
 */
#ifndef LATHE_ENCODER_H
#define LATHE_ENCODER_H

#include "formats/tokenizer.h"

struct id_list {
    int32_t *ids;
    size_t n, cap;
    bool failed; /* memory ran out: later additions do nothing */
};
void id_list_add(struct id_list *l, int32_t id);
void id_list_clear(struct id_list *l);

enum encode_flag {
    ENCODE_SPECIAL = 1, /* with what the tokenizer puts around a text: BOS, EOS, [gMASK] sop, ... */
    ENCODE_PLAIN = 2,   /* special tokens in the text are text */
};
enum decode_flag {
    DECODE_SKIP_SPECIAL = 1, /* without special tokens */
};

struct encoder;
enum status encoder_new(struct encoder **out, const struct tokenizer *t, struct error *err);
void encoder_free(struct encoder *e); /* NULL is allowed */
/* Ids of n bytes. STATUS_RANGE when a pattern of the tokenizer needs more work than is allowed. */
enum status encoder_encode(struct encoder *e, const char *text, size_t n, unsigned flags, struct id_list *out,
                           struct error *err);
/* Bytes of ids; they need not be whole characters. STATUS_RANGE for an id outside the vocabulary. */
enum status encoder_decode(struct encoder *e, const int32_t *ids, size_t n, unsigned flags, struct buf *out,
                           struct error *err);

/* --- by path --- */

/* The tokenizer that a path leads to: a folder (weights need not be in it), a file in one, a GGUF. The folder's vocabulary is as its files
 * have it, not padded to an embedding. */
struct text_coder {
    struct tokenizer *tokenizer;
    struct encoder *encoder; /* NULL: text_coder_find opened it */
    struct container *gguf; /* NULL: from a folder */
    struct warnings warnings;
};
/* STATUS_NOTFOUND when there is no tokenizer. Errors name the path. */
enum status text_coder_open(struct text_coder *c, const char *path, struct error *err);
/* The tokenizer alone, for what ids stand for: any kind that has a vocabulary. */
enum status text_coder_find(struct text_coder *c, const char *path, struct error *err);
void text_coder_close(struct text_coder *c); /* of a zeroed one does nothing */

#endif

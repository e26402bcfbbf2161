/* A tokenizer as the files of a Hugging Face folder.
 *
 *     TRY(tokenizer_write_json(t, &text, &why, err));     tokenizer.json; *why tells why there is none
 *     tokenizer_write_config(t, n_ctx, &text);            tokenizer_config.json, the chat templates in it
 *     tokenizer_write_generation(t, &text);               generation_config.json: the ids that begin, end and fill
 *
 * For a tokenizer from a GGUF: what blocks say (tokenizer.h) with the vocabulary between. SentencePiece's pieces become a BPE with the merges that
 * their scores imply, or a unigram model, with the normalizer that transformers gives such a model.
 */
#ifndef LATHE_TOK_WRITE_H
#define LATHE_TOK_WRITE_H

#include "formats/tokenizer.h"

enum status tokenizer_write_json(const struct tokenizer *t, struct buf *out, const char **why, struct error *err);
enum status tokenizer_write_config(const struct tokenizer *t, int64_t n_ctx, struct buf *out, struct error *err);
enum status tokenizer_write_generation(const struct tokenizer *t, struct buf *out, struct error *err);

#endif

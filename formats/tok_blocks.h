/* Blocks of tokenizers (tokenizer.h): private to the tok_*.c. */
#ifndef LATHE_TOK_BLOCKS_H
#define LATHE_TOK_BLOCKS_H

#include "formats/tok_build.h"

/* What a SentencePiece model says beside its pieces. */
struct piece_settings {
    bool unigram, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces, whitespace_as_suffix, byte_fallback;
    bool blanks; /* ChatGLM-6B: line ends, tabs and runs of spaces have tokens of their own */
    int64_t unk_id, first, end; /* ids of the pieces: first up to end */
};

/* Copies the text and clears the buffer. */
enum status tok_block_set(struct tokenizer *t, enum token_block which, struct buf *text, struct error *err);
enum status tok_blocks_from_json(struct tok_build *b, const struct jvalue *root, struct error *err);
/* Words by isolated patterns, one after the other; whole_words: one that is a token needs no merges. */
enum status tok_blocks_byte_level(struct tokenizer *t, const char *const *regexes, size_t n, bool whole_words,
                                  struct error *err);
enum status tok_blocks_gpt1(struct tokenizer *t, struct error *err);
enum status tok_blocks_pieces(struct tokenizer *t, const struct piece_settings *s, struct error *err);
/* The pre_tokenizer of a byte-level tokenizer as JSON */
void tok_put_byte_level(const char *const *regexes, size_t n, struct buf *out);

/* --- tok_pre.c --- */
/* The patterns that llama.cpp cuts with under this name (NULL: none given); 0 for a name that is not known here. */
size_t tok_pre_patterns(const char *name, const char *const **regexes);
/* --- tok_gguf_encoder.c --- */
void tok_put_encoder(const struct tokenizer *t, struct gguf_writer *w);
enum status tok_read_encoder(struct tokenizer *t, const struct container *c, struct error *err);

#endif

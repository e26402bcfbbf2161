/* The three spellings of bytes and spaces in vocabularies: GPT-2's byte alphabet, SentencePiece's U+2581, and "<0xHH>". */
#ifndef LATHE_TOK_BYTES_H
#define LATHE_TOK_BYTES_H

#include "base/memory.h"

#define SPACE_MARK "\u2581"
enum { SPACE_MARK_LEN = 3 };

/* Appends the bytes that a text in the byte alphabet stands for. false, and nothing appended, if a character is not of the alphabet. */
bool bytes_from_alphabet(const char *s, size_t n, struct buf *out);
/* Appends bytes in the alphabet's spelling. */
void bytes_to_alphabet(const char *s, size_t n, struct buf *out);
/* The byte of "<0xHH>", -1 for anything else. */
int byte_token_value(const char *s, size_t n);
/* Appends s with every `from` as `to`. */
void text_replace(const char *s, size_t n, const char *from, const char *to, struct buf *out);

#endif

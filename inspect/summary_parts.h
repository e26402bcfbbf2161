/* The parts of the one screen: each writes lines, or members of an object that is open. For summary.c. */
#ifndef LATHE_SUMMARY_PARTS_H
#define LATHE_SUMMARY_PARTS_H

#include "base/json.h"
#include "inspect/subject.h"

double summary_bits(const struct subject *s); /* per weight, of the file's tensors together */
void summary_count(char dst[32], int64_t n);  /* "134.5 M" */
/* Types that occur, those with most bytes first */
struct summary_type {
    enum dtype dtype;
    size_t n_tensors;
    uint64_t size_bytes;
};
size_t summary_types(const struct subject *s, struct summary_type use[DTYPE_COUNT]);
/* "Q4_K+Q6_K+F32" */
void summary_types_short(const struct subject *s, struct buf *out);
/* Layers, attention, context and RoPE, tying */
void summary_model_text(const struct model *m, struct buf *out);
void summary_model_json(const struct model *m, struct jwriter *w);
/* Vocabulary, special tokens, chat template */
void summary_tokenizer_text(const struct subject *s, struct buf *out);
void summary_tokenizer_json(const struct subject *s, struct jwriter *w);
/* "gpt2/llama-bpe 49152", or the files that are there; "none" */
void summary_tokenizer_short(const struct subject *s, struct buf *out);
/* Bits per weight by role: roles of equal bits together, those with most bytes first */
void summary_roles_text(const struct subject *s, struct buf *out);
void summary_roles_json(const struct subject *s, struct jwriter *w);
/* What the file says about where it comes from: recipe, importance matrix, receipt */
void summary_origin_text(const struct subject *s, struct buf *out);
void summary_origin_json(const struct subject *s, struct jwriter *w);

#endif

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
/* Tensors of one role together; norms and biases are one kind, what has no role another. */
enum { SUMMARY_KINDS = ROLE_COUNT + 2 };
struct summary_kind {
    int kind;
    size_t n_tensors;
    int64_t n_elements;
    uint64_t size_bytes;
};
/* Those that have tensors; 0 without a model (or where memory ran out). */
size_t summary_kinds(const struct subject *s, struct summary_kind use[SUMMARY_KINDS]);
const char *summary_kind_name(int kind);
double summary_kind_bits(const struct summary_kind *u);
/* Bits per weight by role: roles of equal bits together, those with most bytes first */
void summary_roles_text(const struct subject *s, struct buf *out);
void summary_roles_json(const struct subject *s, struct jwriter *w);
/* What the file says about where it comes from: recipe, importance matrix, receipt */
void summary_origin_text(const struct subject *s, struct buf *out);
void summary_origin_json(const struct subject *s, struct jwriter *w);

#endif

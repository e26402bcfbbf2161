/* The rows that recipe.c walks: recipes, and which tensor gets what in each. */
#ifndef LATHE_RECIPE_RULES_H
#define LATHE_RECIPE_RULES_H

#include "core/recipe.h"

/* Broad kinds of tensors that rules speak of. CLASS_ATTN_V holds every matrix with values' projections: attn_v, attn_qkv, attn_kv_b. */
enum tensor_class {
    CLASS_OUTPUT, /* of a tied model: the token embedding */
    CLASS_TOKEN_EMBD,
    CLASS_ATTN_Q,
    CLASS_ATTN_K,
    CLASS_ATTN_V,
    CLASS_ATTN_OUTPUT,
    CLASS_FFN_UP,
    CLASS_FFN_GATE,
    CLASS_FFN_DOWN,
    CLASS_OTHER,
    CLASS_COUNT
};
struct subject {
    const char *name;
    enum tensor_class class;
    int64_t cols, n_matrices; /* the innermost dimension, and the one outside of a matrix's two */
    int64_t i, n;             /* which of how many: layers for the feed-forward matrices, tensors of the class for attn_v */
};
struct recipe_rule {
    uint64_t recipes; /* bit i: recipe_list[i] */
    uint32_t classes; /* bit of enum tensor_class */
    bool (*when)(const struct recipe_state *s, const struct subject *t); /* NULL: always */
    enum dtype type;
    const char *why;
};
/* The first row that fits counts; zeroed at the end. */
extern const struct recipe_rule recipe_rules[];

/* On top of what the rules gave an attn_v: `from` DTYPE_COUNT is any type. Each row that fits counts, in this order; zeroed at the end. */
struct recipe_raise {
    uint64_t recipes;
    uint32_t classes;
    bool (*when)(const struct recipe_state *s, const struct subject *t);
    enum dtype from, type;
    const char *why;
};
extern const struct recipe_raise recipe_raises[];
/* Recipes whose feed-forward rules count tensors even where a model has experts. */
extern const uint64_t recipe_counts_tensors;

#endif

/* Which type each tensor of a model gets, by the recipes that llama-quantize names (Q4_0, Q6_K, ...).
 *
 *     const struct recipe *r = recipe_by_name("q4_0");
 *     struct recipe_state s = recipe_begin(r, false, &facts);
 *     for each tensor, in the order of the output:
 *         TRY(recipe_choose(&s, name, n_dims, shape, &choice, err));
 *
 * Equal inputs give the types llama-quantize gives (autumn 2026). Recipes are rows of a table; a rule is a row with a condition. Names of
 * tensors are GGUF's. The order of the calls matters: recipes may count the tensors of a kind.
 */
#ifndef LATHE_RECIPE_H
#define LATHE_RECIPE_H

#include "dtypes/dtype.h"

struct recipe_rule;
struct recipe {
    const char *name;                /* llama-quantize's word */
    uint32_t file_type;              /* general.file_type */
    enum dtype base;                 /* what a matrix gets when no rule says otherwise */
    const struct recipe_rule *rules; /* first match wins; NULL: none */
    const char *summary;
};
/* All recipes, smallest number of bits last; zeroed at the end. */
extern const struct recipe recipe_list[];
/* In any case; NULL if there is none of that name. */
const struct recipe *recipe_by_name(const char *name);
/* STATUS_USAGE for a name that is no recipe, listing those there are. */
enum status recipe_find(const struct recipe **out, const char *name, struct error *err);

/* What rules may ask about the model. */
struct recipe_facts {
    const char *arch; /* general.architecture */
    bool has_output;  /* the file has output.weight; without it the token embedding is the output matrix */
};
struct recipe_state {
    const struct recipe *recipe;
    bool pure; /* the base type everywhere */
    struct recipe_facts facts;
};
struct recipe_choice {
    bool
        covered; /* false: the recipe leaves this tensor alone (vectors, norms, positions, ...); type is DTYPE_COUNT then */
    enum dtype type;
    enum dtype wanted; /* the type before a fallback for rows that are no multiple of its block */
    const char *why;   /* the rule, for people */
};
struct recipe_state recipe_begin(const struct recipe *r, bool pure, const struct recipe_facts *facts);
/* STATUS_UNSUPPORTED when the chosen type cannot be encoded here. */
enum status recipe_choose(struct recipe_state *s, const char *name, int n_dims, const int64_t *shape,
                          struct recipe_choice *out, struct error *err);

/* true for tensors that llama-quantize gives a new type at all: matrices named "...weight" that are not on its list of exceptions. */
bool recipe_covers(const char *name, int n_dims, const int64_t *shape, const char **why_not);
/* general.file_type of a file that is mostly of type t, as far as there is one; false: none */
bool recipe_file_type(enum dtype t, uint32_t *file_type);

#endif

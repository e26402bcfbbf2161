/* Which type each tensor of a model gets, by the recipes that llama-quantize names (Q4_0, Q4_K_M, ...).
 *
 *     const struct recipe *r = recipe_by_name("q4_k_m");
 *     struct recipe_facts facts;
 *     recipe_facts_init(&facts, metadata, n);
 *     for each tensor: recipe_facts_add(&facts, name);
 *     struct recipe_state s = recipe_begin(r, &options, &facts);
 *     for each tensor, in the order of the output:
 *         TRY(recipe_choose(&s, name, n_dims, shape, &choice, err));
 *
 * Equal inputs give the types llama-quantize gives (autumn 2026). Recipes and rules are rows of tables (core/recipe_table.c). Names of tensors
 * are GGUF's. The order of the calls matters: rules count the tensors of a kind.
 */
#ifndef LATHE_RECIPE_H
#define LATHE_RECIPE_H

#include "core/name_pattern.h"
#include "formats/gguf.h"

struct recipe {
    const char *name;      /* llama-quantize's word */
    uint32_t file_type;    /* general.file_type */
    enum dtype base;       /* what a matrix gets when no rule says otherwise; DTYPE_COUNT: what it has (COPY) */
    const char *alias;     /* another word for the same, or NULL */
    bool pure;             /* no rule ever applies: no recipe of llama-quantize's, a type of ggml's */
    const char *summary;
};
/* All recipes; zeroed at the end. */
extern const struct recipe recipe_list[];
/* In any case; NULL if there is none of that name. */
const struct recipe *recipe_by_name(const char *name);
/* STATUS_USAGE for a name that is no recipe, with the nearest ones or all as a hint. */
enum status recipe_find(const struct recipe **out, const char *name, struct error *err);
/* The recipe's types are block types: tensors and keys of the file are then in llama-quantize's order. */
bool recipe_quantizes(const struct recipe *r);

/* What rules may ask about the model. */
struct recipe_facts {
    const char *arch;    /* general.architecture */
    int64_t n_layer;     /* block_count */
    int64_t n_gqa;       /* query heads per key/value head in layer 0; 0: no such heads */
    int64_t n_expert;    /* 0: a dense model */
    bool is_70b;         /* llama.cpp's size class, which attn_v's rule asks for */
    bool has_output;     /* the file has output.weight; without it the token embedding is the output matrix */
    bool has_imatrix;
    int64_t n_attn_v;    /* tensors that are or hold values' projections */
};
/* From metadata in GGUF's spelling; absent keys count as a dense model without heads. has_imatrix is left to the caller. */
void recipe_facts_init(struct recipe_facts *f, const struct kv *kvs, size_t n_kvs);
void recipe_facts_add(struct recipe_facts *f, const char *tensor_name);

struct recipe_options {
    bool pure;                                /* the base type everywhere */
    enum dtype output_type, token_embd_type;  /* DTYPE_COUNT: by the recipe */
    const struct name_patterns *patterns;     /* come before the recipe; NULL: none */
};
#define RECIPE_OPTIONS_INIT                                                                                  \
    {                                                                                                        \
        .output_type = DTYPE_COUNT, .token_embd_type = DTYPE_COUNT                                           \
    }

struct recipe_state {
    const struct recipe *recipe;
    struct recipe_options opt;
    struct recipe_facts facts;
    int64_t n_seen[16]; /* by class of tensor */
};
struct recipe_choice {
    bool covered; /* false: the recipe leaves this tensor alone (vectors, norms, ...); type is DTYPE_COUNT then */
    enum dtype type;
    enum dtype wanted;  /* the type before a fallback for rows that are no multiple of its block */
    bool needs_imatrix; /* the type is of no use without importance weights for this tensor */
    const char *why;    /* the rule, for people */
};
struct recipe_state recipe_begin(const struct recipe *r, const struct recipe_options *opt, const struct recipe_facts *facts);
/* STATUS_UNSUPPORTED when the chosen type does not fit the rows and has no fallback (whether it can be encoded is not asked); STATUS_FORMAT when a rule asks for
 * a layer's number and the name has none. */
enum status recipe_choose(struct recipe_state *s, const char *name, int n_dims, const int64_t *shape, struct recipe_choice *out,
                          struct error *err);

/* true for tensors that llama-quantize gives a new type at all: matrices named "...weight" that are not on its list of exceptions. */
bool recipe_covers(const char *arch, const char *name, int n_dims, const int64_t *shape, const char **why_not);
/* general.file_type of a file that is mostly of type t, as far as there is one; false: none */
bool recipe_file_type(enum dtype t, uint32_t *file_type);
/* N of "blk.N.", -1 for names outside of blocks */
long recipe_block_number(const char *name);

#endif

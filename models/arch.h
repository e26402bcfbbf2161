/* A model family as data: configuration keys, tensor rules, and the forward pass in the order of the paper.
 *
 * Adding a family: one file arch_<family>.c with a `const struct arch`, one line in arch_list.c. Nothing else switches on a family.
 */
#ifndef LATHE_ARCH_H
#define LATHE_ARCH_H

#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "models/hparams.h"

/* What a tensor is for. Names of roles are GGUF's (llama.cpp's) tensor names without "blk.N." and suffix. */
enum role {
    ROLE_TOKEN_EMBD,
    ROLE_POSITION_EMBD,
    ROLE_ATTN_NORM,
    ROLE_ATTN_QKV,
    ROLE_ATTN_Q,
    ROLE_ATTN_K,
    ROLE_ATTN_V,
    ROLE_ATTN_OUTPUT,
    ROLE_FFN_NORM,
    ROLE_FFN_GATE,
    ROLE_FFN_UP,
    ROLE_FFN_DOWN,
    ROLE_OUTPUT_NORM,
    ROLE_OUTPUT,
    ROLE_ROPE_FREQS,
    ROLE_TOKEN_EMBD_NORM,
    ROLE_ATTN_Q_NORM,
    ROLE_ATTN_K_NORM,
    ROLE_ATTN_OUTPUT_NORM,  /* after the attention's residual sum: post-norm blocks */
    ROLE_LAYER_OUTPUT_NORM, /* after the feed-forward layer's */
    ROLE_ATTN_POST_NORM,    /* of the attention's result, before the residual sum */
    ROLE_FFN_POST_NORM,     /* of the feed-forward layer's */
    ROLE_ROPE_FACTORS_LONG,
    ROLE_ROPE_FACTORS_SHORT,
    ROLE_BLOCK_POSITION_EMBD,
    ROLE_FFN_GATE_INP, /* scores of experts */
    ROLE_EXP_PROBS_B,  /* what is added to them for the choice */
    ROLE_FFN_GATE_EXPS,
    ROLE_FFN_UP_EXPS,
    ROLE_FFN_DOWN_EXPS,
    ROLE_FFN_GATE_SHEXP,
    ROLE_FFN_UP_SHEXP,
    ROLE_FFN_DOWN_SHEXP,
    ROLE_NEXTN_EH_PROJ,
    ROLE_NEXTN_EMBED_TOKENS,
    ROLE_NEXTN_ENORM,
    ROLE_NEXTN_HNORM,
    ROLE_NEXTN_SHARED_HEAD_HEAD,
    ROLE_NEXTN_SHARED_HEAD_NORM,
    ROLE_COUNT
};
enum part { PART_WEIGHT, PART_BIAS, PART_COUNT };
const char *role_name(enum role r); /* "attn_q" */

/* How convert turns a source tensor into the target's. The forward pass must not look at this: see struct dialect. */
enum transform {
    TRANSFORM_NONE,
    TRANSFORM_TRANSPOSE,  /* (in, out) → (out, in) */
    /* first R rows of each head of D rows from halves to pairs: out[h*D + 2p + b] = in[h*D + b*(R/2) + p] */
    TRANSFORM_ROPE_ROWS,
    TRANSFORM_HALVES_ROWS, /* the other way: out[h*D + b*(R/2) + p] = in[h*D + 2p + b] */
    /* rows of a fused matrix from K groups [H/K queries | key | value] of heads to [H queries | K keys | K values] */
    TRANSFORM_QKV_GROUPS,
    TRANSFORM_QKV_UNGROUP, /* the other way; no rule's, only the way back needs it */
    TRANSFORM_COUNT
};

enum presence {
    PRESENCE_REQUIRED,
    PRESENCE_OPTIONAL, /* used when there */
    PRESENCE_DROPPED,  /* known, not a weight: passed over (buffers) */
    PRESENCE_LEFT_OUT, /* weights of another task's head: passed over with the warning "task-head-dropped" */
};
/* What convert writes where the source has no such tensor but a runtime insists on one. */
enum fill {
    FILL_NONE,
    FILL_ZEROS,
    FILL_EMBEDDING, /* the token embedding once more: ROLE_OUTPUT */
    FILL_ROPE,      /* factors of the rotary positions, where the model's scaling needs them */
};
struct tensor_rule {
    /* Hugging Face name, alternatives separated by '|' (one of them may be there); {p} stands for the family's prefix, {i} for the layer,
     * {e} for an expert: as many tensors as X, in a GGUF one with X as its first dimension, which `shape` begins with. NULL: GGUF only. Rules of layers stand together. */
    const char *source;
    const char *target; /* GGUF name; {i} likewise; NULL: not in a GGUF */
    enum role role;
    enum part part;
    /* In the source's order, for hparams_eval: "H*D,E"; "?" is any size (of something dropped), "" a scalar. A tensor of another
     * shape than a dropped rule's is not that buffer. TRANSFORM_TRANSPOSE: the target's shape is the reverse. */
    const char *shape;
    enum transform transform;
    const char *heads;  /* number of heads for ROPE_ROWS, HALVES_ROWS: "H" or "K"; query heads for QKV_GROUPS, whose groups are K */
    enum presence presence;
    /* NULL: always; false: the rule does not exist for this config. GGUF has no such switches: there the rule holds when the tensor
     * of layer 0 is present, and then for every layer. */
    bool (*when)(const struct hparams *hp);
    /* NULL: in every layer; false: not in this one, in either file */
    bool (*in_layer)(const struct hparams *hp, int64_t layer);
    /* A source without the tensor (or without a name for it, or with `when` false) gets this one. In a GGUF the tensor is optional. */
    enum fill fill;
    const char *rotated; /* rows at the start of each head for ROPE_ROWS, HALVES_ROWS: "R"; NULL: all */
    /* The first rows (of the target) that convert multiplies by what the runtime's fixed attention scale lacks (hparams_scale_ratio); NULL:
     * none. The forward pass reads a GGUF with the fixed scale. */
    const char *scaled;
};
/* Tensors of RoPE factors, for an architecture whose runtime loads them */
#define RULES_ROPE_FACTORS                                                                                   \
    {.target = "rope_freqs.weight", .role = ROLE_ROPE_FREQS, .shape = "R/2", .fill = FILL_ROPE},             \
        {.target = "rope_factors_long.weight",                                                               \
         .role = ROLE_ROPE_FACTORS_LONG,                                                                     \
         .shape = "R/2",                                                                                     \
         .fill = FILL_ROPE},                                                                                 \
    {                                                                                                        \
        .target = "rope_factors_short.weight", .role = ROLE_ROPE_FACTORS_SHORT, .shape = "R/2",              \
        .fill = FILL_ROPE                                                                                    \
    }
/* Initialisers. `dst` and `src` without ".weight" and ".bias"; what follows are the shape and designated members. */
#define RULE_WEIGHT(src, dst, role_, ...)                                                                    \
    {                                                                                                        \
        .source = src ".weight", .target = dst ".weight", .role = role_, .part = PART_WEIGHT,                \
        .shape = __VA_ARGS__                                                                                 \
    }
#define RULE_BIAS(src, dst, role_, ...)                                                                      \
    {                                                                                                        \
        .source = src ".bias", .target = dst ".bias", .role = role_, .part = PART_BIAS, .shape = __VA_ARGS__ \
    }
/* a bias that the family has not */
#define RULE_ZERO_BIAS(dst, role_, shape_)                                                                   \
    {                                                                                                        \
        .target = dst ".bias", .role = role_, .part = PART_BIAS, .shape = shape_, .fill = FILL_ZEROS         \
    }
#define RULE_LAYER_NORM(src, dst, role_) RULE_WEIGHT(src, dst, role_, "E"), RULE_BIAS(src, dst, role_, "E")
#define RULE_DROPPED(src, shape_)                                                                            \
    {                                                                                                        \
        .source = src, .role = ROLE_COUNT, .shape = shape_, .presence = PRESENCE_DROPPED                     \
    }
#define RULE_LEFT_OUT(src, shape_)                                                                           \
    {                                                                                                        \
        .source = src, .role = ROLE_COUNT, .shape = shape_, .presence = PRESENCE_LEFT_OUT                    \
    }

/* One configuration value in both spellings. */
enum config_type {
    CONFIG_INT,
    CONFIG_INT_OR_NULL, /* null is not absence: it is left for `derive` */
    CONFIG_REAL,
    CONFIG_BOOL,
    CONFIG_ACTIVATION,
    CONFIG_LAYERS,
    CONFIG_ID, /* of a token, from 0 on; -1 when absent, and then not written */
};
struct config_key {
    const char *hf;    /* key in config.json, alternatives separated by '|': the first one present and not null wins; NULL: none */
    const char *gguf;  /* key without "<arch>.", or NULL: not stored under an llama.cpp key. Two rows for one field must agree; where
                        * absence means another value there than in config.json, a row with `hf` comes first and one with `gguf` behind it. */
    enum config_type type;
    enum kv_type gguf_type; /* KV_U32, KV_F32, KV_BOOL; KV_STRING for an activation, written only when it is not `fallback`; KV_ARRAY of a
                             * bool for each layer, written if there is one; it comes after the number of layers and has no row of its own in
                             * config.json: read_config fills it */
    size_t off;        /* offsetof(struct hparams, field): int64_t (two types), double, bool, enum activation, const bool * */
    bool required;     /* a GGUF without it is refused; so is a config.json if `fallback` is NAN */
    double fallback;   /* value when absent; NAN: left for `derive` (integers stay 0) */
};
/* A key of config.json that changes the arithmetic in a way that nothing here follows: any other value than this is refused. */
struct config_fixed {
    const char *key;
    const char *value; /* compact JSON text; null and absence always pass; NULL: nothing else does */
    const char *why;   /* end of the sentence "expected <value>, found <value>: " */
};
/* A key of config.json (or of a GGUF, after "<arch>.") that has no effect on conversion, with the reason. */
struct config_ignored {
    const char *key; /* one '*' at its start or end stands for any text */
    const char *why;
};

/* Facts about a layout that the forward pass reads, kept apart from the transforms on purpose. */
enum qkv_layout {
    QKV_SPLIT,  /* three matrices */
    QKV_BLOCKS, /* one: H queries, K keys, K values */
    QKV_GROUPS, /* one: K groups of H/K queries, a key, a value */
};
struct dialect {
    bool conv1d;                /* block matrices are (in, out) as in GPT-2's Conv1D, else (out, in) */
    enum rope_style rope_style;
    enum qkv_layout qkv;
};

/* Where a family's config.json keeps its rotary positions. All zero: as LlamaConfig does. */
struct rope_spelling {
    const char *theta; /* top-level key of the base; NULL: "rope_theta" */
    const char *part;  /* top-level key of the rotated part of a head; NULL: none */
    bool partial;      /* a block may hold partial_rotary_factor; else it has to be 1 */
    bool constant;     /* no key at all: theta 10000, the rotated part by `keys` */
};
struct config_reader;
struct config_writer;
struct warnings;

struct forward;
struct model;
struct window_plan;
struct arch {
    const char *family;                /* "llama": lathe.family and our own texts */
    const char *gguf_arch;             /* general.architecture */
    bool own_arch;    /* a name that no llama.cpp knows: docs/format.md */
    bool borrowed_arch; /* another family's: a GGUF is one of this family only if lathe.family says so */
    const char *const *model_types;    /* config.json model_type values; NULL at the end */
    const char *const *architectures;  /* config.json architectures values; NULL at the end */
    const char *const *prefixes;       /* what {p} may stand for, the usual one first; NULL at the end */
    const struct config_key *keys;     /* zeroed at the end */
    const struct config_fixed *fixed;     /* zeroed at the end */
    const struct config_ignored *ignored; /* zeroed at the end; on top of those that every family ignores */
    const struct tensor_rule *rules;   /* zeroed at the end; in the order of the output */
    bool tied_by_default;              /* when config.json does not say tie_word_embeddings */
    /* NULL, or: transformers' own family with the same graph and GGUF tensors, which a file that names no family is rebuilt as */
    const struct arch *rebuilt_as;
    bool uses_rope;
    bool runtime_window; /* the runtime reads the window that a model has */
    /* Families of one line (NULL: none) use each other's model types, and configs get mixed up: their tensors tell them apart. `told_by` says it in
     * words. */
    const char *line, *told_by;
    /* NULL, or: of two families that share detect_tensors this one's has more columns than rows there (more rows than columns) */
    const char *detect_wide, *detect_tall;
    const char *const *detect_tensors; /* source names ({p}: prefix; after '!': absent) that together tell the family when the config does not; NULL at the end */
    struct rope_spelling rope;
    struct dialect source, gguf;
    /* NULL, or: what the table of keys cannot say, before `derive`; config.json only */
    enum status (*read_config)(struct config_reader *r, struct error *err);
    /* NULL, or: the same way back: keys that the table cannot say (models/config_write.h) */
    void (*write_config)(struct config_writer *c);
    /* NULL, or: the form of this family that a config.json asks for, once it was read: another arch where the target's architecture cannot express
     * it, else this one */
    const struct arch *(*variant)(const struct hparams *hp);
    /* fills what the keys left open and checks what belongs together; err->path is set by the caller */
    enum status (*derive)(struct hparams *hp, struct error *err);
    /* NULL, or: warns of what llama.cpp cannot do with the architecture, apart from what is the same for all (models/config_gguf.c) */
    void (*remark)(const struct hparams *hp, struct warnings *warn);
    /* Positions and mask of a window from its ids, as the family's published code makes them; w holds counted positions and no prefix before.
     * STATUS_RANGE for ids that the code does not take. NULL: the family is causal, positions count up. */
    enum status (*plan)(const struct model *m, const int32_t *ids, int64_t n, struct window_plan *w, struct error *err);
    /* NULL, or: turns arbitrary ids into a window that `plan` takes, with a context and a piece that fills a blank in it */
    void (*frame)(const struct hparams *hp, int32_t *ids, int64_t n);
    /* the forward pass: models/forward.h */
    enum status (*embed)(struct forward *f, struct error *err);
    enum status (*layer)(struct forward *f, int64_t layer, struct error *err);
    enum status (*head)(struct forward *f, struct error *err); /* up to the last norm; logits come from forward_logits */
};
extern const struct arch *const arch_list[]; /* NULL at the end */
/* The first family with that name; NULL if there is none (for the three below, too). */
const struct arch *arch_by_gguf(const char *gguf_arch);
const struct arch *arch_by_family(const char *family);
const struct arch *arch_by_architecture(const char *architecture);
const struct arch *arch_by_model_type(const char *model_type);

#endif

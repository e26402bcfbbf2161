/* A tokenizer while it is read from files: shared by the tok_*.c, private to them. */
#ifndef LATHE_TOK_BUILD_H
#define LATHE_TOK_BUILD_H

#include "base/json.h"
#include "formats/tokenizer.h"

/* Generations of the GLM line, and the files that tell them: tok_glm.c */
enum glm_tokenizer {
    GLM_NONE,
    GLM_2021_CHINESE,
    GLM_2021_ENGLISH,
    GLM_CHAT1,
    GLM_CHAT2,
    GLM_CHAT3,
    GLM_4_RANKS,
    GLM_4_JSON,
};
enum glm_file { GLM_FILE_ICE, GLM_FILE_COG, GLM_FILE_SPM, GLM_FILE_RANKS, GLM_FILE_JSON, GLM_FILE_VOCAB };

/* What is known of a row of the vocabulary. */
enum { TOK_PRESENT = 1, TOK_ADDED = 2 };

/* An oddity that may come up for many tokens: one warning tells of all. */
struct tok_tally {
    size_t n;
    int64_t id; /* the first one */
    const char *text, *other;
};

struct tok_build {
    struct tokenizer *t;
    const char *dir;
    struct warnings *warnings;

    /* small files beside the vocabulary; NULL where absent */
    struct json *config, *special_map, *added_tokens, *model_config, *generation;

    /* n_rows of each, once tok_rows was called */
    int64_t n_rows;
    struct kv_string *tokens;
    int32_t *types;
    float *scores;
    uint8_t *flags;
    size_t n_known;
    struct tok_tally twice, replaced, empty, duplicate, beyond, merges;

    struct added_token *added;
    size_t n_added, cap_added;

    char *chars; /* rest of the block that texts are copied into */
    size_t chars_left;

    struct strmap by_text; /* after tok_finish_rows */

    enum glm_tokenizer glm;
    int64_t first_id;   /* of the vocabulary's first piece */
    int64_t n_pieces;   /* where the vocabulary ends, once it is read */
    int64_t n_appended; /* ids behind it that tokens from the code take */

    bool from_ranks, has_json_blocks;
    const char *unk_text; /* the unknown token, unless a file says otherwise */

    /* from tokenizer.json */
    bool from_tokenizer_json;
    bool has_template;                          /* a TemplateProcessing is there */
    const char *template_first, *template_last; /* its outer special tokens, NULL where text stands there */
    const char *template_before[TOKENIZER_AROUND_MAX]; /* its tokens before the text; NULL behind the last */
    bool nfc;                                   /* the normalizer is NFC */
    bool steps_cut;                             /* the pre-tokenizer has more steps than are kept */
    bool prefix_space;                  /* the pre-tokenizer or normalizer puts a space before the text */
    int64_t default_ids[SPECIAL_COUNT]; /* used when no other file names one; -1: none */
};

/* --- tok_load.c --- */
/* Copy of n bytes with a terminator, packed; s is NULL when memory ran out. */
struct kv_string tok_text(struct tok_build *b, const char *s, size_t n);
/* The text with U+2581 as a space: added tokens are matched in the text as it stands, before spaces are
 * escaped. */
struct kv_string tok_plain_spaces(struct tok_build *b, struct kv_string s);
/* Makes the rows: as many as the embedding has, else up to max_id and the ids of added tokens in the small
 * files. */
enum status tok_rows(struct tok_build *b, int64_t max_id, size_t n_entries, const char *path,
                     struct error *err);
/* The number a string of decimal digits spells; -1 if it is none, or beyond the ids a vocabulary can have. */
int64_t tok_decimal(const char *s);
void tok_count(struct tok_tally *t, int64_t id, const char *text, const char *other);
/* Row `id` := text. Ids beyond the rows are counted and left out; a negative one is STATUS_FORMAT. */
enum status tok_set(struct tok_build *b, int64_t id, struct kv_string text, enum token_type type, float score,
                    const char *path, struct error *err);
/* An added token: becomes CONTROL or USER_DEFINED. The first file that names an id wins. */
enum status tok_add(struct tok_build *b, const struct added_token *a, const char *path, struct error *err);
/* Control and unknown pieces of a SentencePiece model, as tokens that are found in the text; their types stay. */
enum status tok_add_controls(struct tok_build *b, struct error *err);
/* Largest id in an object of text → id, or in a list of added tokens; -1 if it is empty or absent. *n_entries
 * grows. */
enum status tok_max_id(const struct json *doc, const struct jvalue *v, int64_t *max_id, size_t *n_entries,
                       struct error *err);

/* --- tok_bpe.c --- */
/* tokenizer.json: its vocabulary and merges, or, with extras_only, just what goes with the vocabulary of
 * another file. */
enum status tok_read_json(struct tok_build *b, const struct json *doc, bool extras_only, struct error *err);
/* TOKENIZER_NONE for a model that is not expressed; *why says it. */
enum tokenizer_kind tok_json_kind(const struct json *doc, const char **why);
enum status tok_read_vocab_merges(struct tok_build *b, const char *vocab_path, const char *merges_path,
                                  struct error *err);

/* --- tok_spm.c --- */
/* *usable is false, with a warning, for a model that is neither BPE nor unigram. */
enum status tok_read_spm(struct tok_build *b, const char *path, bool *usable, struct error *err);

/* --- tok_ranks.c --- */
/* Is the first line one of a rank file? */
enum status tok_is_ranks(const char *path, bool *yes, struct error *err);
enum status tok_read_ranks(struct tok_build *b, const char *path, struct error *err);

/* --- tok_json_unigram.c --- */
enum status tok_read_unigram(struct tok_build *b, const struct json *doc, struct error *err);

/* --- tok_meta.c --- */
enum { TOK_META_SPECIALS = 256 };
/* Is the folder one of Meta's Llama models? */
bool tok_is_meta(const struct tok_build *b);
/* Special tokens behind the ranks of Llama 3; nothing for other files. */
enum status tok_meta_append(struct tok_build *b, struct error *err);

/* --- tok_glm.c --- */
/* Sets glm and what goes with it if the folder is of the GLM line; `file` is what its vocabulary is about to be read from. */
void tok_glm_identify(struct tok_build *b, enum glm_file file);
/* Tokens that no file of the folder holds; after the vocabulary and the added tokens. */
enum status tok_glm_append(struct tok_build *b, struct error *err);
/* What the code calls so, NULL: nothing */
const char *tok_glm_text(const struct tok_build *b, enum special_token s);
const char *tok_glm_pre(const struct tok_build *b);
/* Ids around a text; once by_text is there. */
void tok_glm_around(struct tok_build *b);

/* --- tok_special.c --- */
enum status tok_read_added(struct tok_build *b,
                           struct error *err); /* added_tokens_decoder, added_tokens.json */
enum status tok_mark_special(struct tok_build *b, struct error *err);
void tok_read_special(struct tok_build *b); /* ids and switches */

/* --- tok_template.c --- */
enum status tok_read_templates(struct tok_build *b, struct error *err);

/* --- tok_pre.c --- */
/* Fills pre, steps, pre_exact from tokenizer.json's pre_tokenizer and normalizer (NULL where absent). */
enum status tok_read_pre(struct tok_build *b, const struct jvalue *pre, const struct jvalue *normalizer,
                         struct error *err);
/* Settles `pre`, which also depends on the vocabulary. */
void tok_settle_pre(struct tok_build *b);

#endif

/* The tokenizer of a checkpoint as data: vocabulary, merges, special tokens, chat templates. Text is not
 * encoded here.
 *
 *     struct tokenizer *t;
 *     TRY(tokenizer_load(&t, "SmolLM2-135M/", n_rows_of_embedding, &warnings, err));
 *     tokenizer_put(t, &writer);            tokenizer.ggml.*, tokenizer.chat_template*, lathe.tokenizer.*
 *     printf("%s\n", t->tokens[id].s);
 *     tokenizer_free(t);
 *
 * tokenizer_load reads the files of a Hugging Face folder, the first of these that is there:
 *   tokenizer.model (protobuf)   SentencePiece BPE                                              TOKENIZER_SPM
 *   ice_text.model, cog-pretrain.model   the same under the names of ChatGLM-6B and GLM           TOKENIZER_SPM
 *   tokenizer.json               BPE with byte_fallback: SentencePiece's vocabulary, merges     TOKENIZER_SPM
 *                                BPE over the byte alphabet                                     TOKENIZER_BPE
 *   tokenizer.model (ranks of tiktoken; GLM-4)                                                  TOKENIZER_BPE
 *   vocab.json + merges.txt      BPE over the byte alphabet                                     TOKENIZER_BPE
 * and beside it tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json,
 * generation_config.json, chat_template.jinja, additional_chat_templates/, chat_template.json. No file at
 * all, or a kind that GGUF has no model for, gives TOKENIZER_NONE and a warning. A file that breaks its
 * format is an error.
 *
 * The vocabulary has exactly one entry for each row of the embedding: ids without a token are "[PAD<id>]" of
 * type TOKEN_UNUSED, tokens beyond the rows are left out with a warning. Entries are unique and not empty
 * (llama.cpp insists on both): the later of two equal ones is renamed "[DUP<id>]", an empty one
 * "[EMPTY_<id>]", with a warning.
 *
 * Strings may hold any byte, NUL included; `len` counts. Everything a struct tokenizer points to lives as
 * long as it does (from a GGUF: as long as the container). It is constant after loading and may be shared
 * between threads.
 */
#ifndef LATHE_TOKENIZER_H
#define LATHE_TOKENIZER_H

#include "base/warnings.h"
#include "formats/gguf.h"

enum tokenizer_kind {
    TOKENIZER_NONE,
    TOKENIZER_BPE,   /* GGUF model "gpt2": tokens in the byte alphabet's spelling, added ones in plain text */
    TOKENIZER_SPM,   /* GGUF model "llama": pairs merge by score; a space is U+2581; BYTE tokens "<0xHH>" */
    TOKENIZER_UNIGRAM, /* GGUF model "t5": the pieces of the largest sum of scores */
    TOKENIZER_WORDS, /* GPT-1: BPE of words whose last character is marked; a GGUF model of our own */
    TOKENIZER_OTHER, /* a GGUF with another model: its vocabulary can be listed, nothing more */
};
#define TOKENIZER_WORDS_MODEL "bpe-eow" /* other readers refuse it */
/* As in GGUF's token_type and SentencePiece's pieces. */
enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6,
};
enum special_token {
    SPECIAL_BOS,
    SPECIAL_EOS,
    SPECIAL_UNK,
    SPECIAL_SEP,
    SPECIAL_PAD,
    SPECIAL_CLS,
    SPECIAL_MASK,
    SPECIAL_GMASK, /* GLM: a blank as long as it takes, at the end */
    SPECIAL_EOT,
    SPECIAL_EOM,
    SPECIAL_PREFIX, /* fill in the middle (Code Llama) */
    SPECIAL_SUFFIX,
    SPECIAL_MIDDLE,
    SPECIAL_COUNT
};
enum { TOKENIZER_AROUND_MAX = 4 };
/* How text becomes ids and ids text, beside vocabulary, scores and merges: tokenizer.json's blocks as JSON text, in its own terms. Readers
 * of other files write the blocks that say the same; docs/format.md names the few kinds of our own. */
enum token_block {
    BLOCK_MODEL, /* without vocabulary and merges */
    BLOCK_NORMALIZER,
    BLOCK_PRE_TOKENIZER,
    BLOCK_POST_PROCESSOR,
    BLOCK_DECODER,
    BLOCK_COUNT
};
/* A switch that a file may leave open. */
enum said { SAID_NOTHING, SAID_NO, SAID_YES };

/* A token that is found in the text before anything else is split. */
struct added_token {
    int64_t id; /* below n_tokens */
    struct kv_string text;
    bool special, normalized, lstrip, rstrip, single_word;
};

/* One step of cutting text into words before merges run. Text of a step in Hugging Face's terms: a regex
 * whose matches become words of their own ("isolated"), or, between '<' and '>', something that no such regex
 * expresses. */
struct pre_step {
    const char *text; /* CR, LF and TAB spelled \r, \n, \t */
};
struct chat_template {
    const char *name; /* "default" for the main one */
    const char *text;
};

struct tokenizer {
    enum tokenizer_kind kind;
    const char *model;  /* tokenizer.ggml.model: "gpt2", "llama", ...; NULL for TOKENIZER_NONE */
    const char *pre;    /* tokenizer.ggml.pre; NULL if the GGUF has none */
    bool pre_exact;     /* false: `pre` is only the nearest that llama.cpp knows */
    bool ignore_merges; /* BPE: a word that is a token stays whole, whatever the merges */

    size_t n_tokens; /* id → text, type, score */
    size_t n_known;  /* entries that a file names; the others are padding (from a GGUF: n_tokens) */
    const struct kv_string *tokens;
    const int32_t *types;           /* NULL in a GGUF without them: all NORMAL */
    const float *scores;            /* SPM, else NULL */
    const struct kv_string *merges; /* in order of rank: "left right"; SPM: only if tokenizer.json has them */
    size_t n_merges;
    const struct added_token *added; /* from a GGUF that is not ours: all tokens that are not NORMAL or BYTE */
    size_t n_added;
    const struct pre_step *steps; /* from files, BPE only */
    size_t n_steps;
    const char *blocks[BLOCK_COUNT]; /* compact JSON; NULL where absent or null */

    int64_t special[SPECIAL_COUNT]; /* ids below n_tokens; -1: none */
    enum said add_bos, add_eos, add_sep, add_space_prefix;
    int32_t before[TOKENIZER_AROUND_MAX], after[TOKENIZER_AROUND_MAX]; /* ids that the GLM line puts around a text, where others put BOS, EOS */
    size_t n_before, n_after;
    bool remove_extra_whitespaces; /* SentencePiece's normalizer; llama.cpp does not do it */
    const unsigned char *charsmap; /* its normalization table, or NULL */
    size_t charsmap_size;
    const struct chat_template *templates; /* the default one first, if there is one */
    size_t n_templates;

    struct arena mem;
};

/* n_rows: rows of the embedding, 0 if not known (then as many as the files name). STATUS_FORMAT for a broken
 * file, STATUS_RANGE for one that is too large or has ids that no vocabulary of its size has. Needs about 15
 * times the size of the files while it runs. */
enum status tokenizer_load(struct tokenizer **out, const char *dir, int64_t n_rows, struct warnings *warnings,
                           struct error *err);
/* The same from the metadata of a GGUF; strings and arrays stay in the container. kind is TOKENIZER_NONE when
 * there is no vocabulary. STATUS_FORMAT when arrays disagree in length or type, an id is outside the
 * vocabulary, or a byte token is no "<0xHH>". */
enum status tokenizer_from_gguf(struct tokenizer **out, const struct container *c, struct error *err);
void tokenizer_free(struct tokenizer *t); /* NULL is allowed */

/* Writes all keys, in llama.cpp's order; for TOKENIZER_NONE just the chat templates. add_bos_token is always
 * written: runtimes' defaults differ. */
void tokenizer_put(const struct tokenizer *t, struct gguf_writer *w);

/* Appends the bytes that token `id` stands for, as text: byte alphabet and U+2581 undone, one raw byte for
 * BYTE tokens. They need not be whole characters. Nothing for an id outside the vocabulary. */
void tokenizer_token_text(const struct tokenizer *t, int64_t id, struct buf *out);
const char *tokenizer_kind_name(enum tokenizer_kind k);   /* "byte-level BPE", "SentencePiece", ... */
const char *tokenizer_special_name(enum special_token s); /* "bos", "eos", ... */
const char *tokenizer_block_name(enum token_block b);     /* "model", "normalizer", ... */
/* Text of the template called `name`, NULL if there is none. */
const char *tokenizer_template(const struct tokenizer *t, const char *name);

#endif

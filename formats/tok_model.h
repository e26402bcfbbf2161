/* The last stage of an encoder: a word becomes ids. Private to the encoder.
 *
 * Adding a model: one file with a `..._new` that fills `encode` and `free`, one line in the table of encoder.c.
 */
#ifndef LATHE_TOK_MODEL_H
#define LATHE_TOK_MODEL_H

#include "base/json.h"
#include "formats/encoder.h"
#include "formats/tok_index.h"

struct word_model {
    /* n > 0 bytes of UTF-8 (with a byte-level splitter: any bytes); ids are appended */
    enum status (*encode)(struct word_model *m, const char *s, size_t n, struct id_list *out,
                          struct error *err);
    void (*free)(struct word_model *m);
    bool repairs_bytes; /* takes invalid UTF-8, and replaces it itself */
};
/* v: the block "model"; byte_level: words come as bytes. On failure nothing is left. */
typedef enum status word_model_new_fn(struct word_model **out, const struct tokenizer *t,
                                      const struct jvalue *v, bool byte_level, struct error *err);
word_model_new_fn merge_model_new, unigram_model_new, piece_model_new;

/* --- words and their ids, remembered --- */

struct word_cache {
    struct word_slot {
        uint64_t hash;
        uint32_t off, len, n_ids;
    } * slots;
    struct buf data; /* texts and ids */
};
enum { CACHE_WORD_MAX = 255 };
bool word_cache_init(struct word_cache *c);
/* true: the ids were appended. false: *hash is what word_cache_put wants. */
bool word_cache_get(struct word_cache *c, const char *s, size_t n, uint64_t *hash, struct id_list *out);
void word_cache_put(struct word_cache *c, const char *s, size_t n, uint64_t hash, const int32_t *ids, size_t n_ids);
void word_cache_clear(struct word_cache *c);

/* Length of the first word of text with marked spaces: marks, then what is no mark. */
size_t marked_word(const char *s, size_t n);
/* true if a mark follows another character in the text: then words cannot be cut before marks. */
bool crosses_mark(const char *s, size_t n);

/* --- pieces by their scores (Viterbi) --- */

struct lattice;
struct lattice_spec {
    const struct tokenizer *t;
    size_t first, end; /* ids of pieces */
    bool by_type;      /* only NORMAL and USER_DEFINED ones are found in text */
    int32_t unk_id;
    bool single; /* sums in float, as SentencePiece has them; else double */
    bool bonus;  /* pieces of type USER_DEFINED always win */
};
enum status lattice_new(struct lattice **out, const struct lattice_spec *spec, struct error *err);
/* Appends ids of the best path; unk_id for characters without a piece, once for neighbours. With `starts`, where each begins is appended
 * there. */
enum status lattice_best(struct lattice *l, const char *s, size_t n, struct id_list *out,
                         struct id_list *starts, struct error *err);
void lattice_free(struct lattice *l);

/* "first_piece" and "end_piece" of a block "model"; the whole vocabulary where they are absent. */
void piece_range(const struct tokenizer *t, const struct jvalue *v, size_t *first, size_t *end);
/* NORMAL or USER_DEFINED */
bool piece_is_text(const struct tokenizer *t, size_t id);
/* Ids of the 256 byte tokens; false if one is missing. */
bool byte_token_ids(const struct tokenizer *t, int32_t ids[256]);
/* A piece as a model has it: U+2581 for the plain spaces of user-defined ones. false: memory ran out. */
bool piece_text(struct arena *mem, const struct tokenizer *t, size_t id, const char **s, size_t *n);

#endif

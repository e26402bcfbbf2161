/* Hyperparameters from config.json and from GGUF keys, and back to GGUF keys. For model.c; tools use models/model.h.
 *
 * Both readers walk the family's table, track which keys were used, and warn about the rest ("config-key-unused").
 */
#ifndef LATHE_CONFIG_H
#define LATHE_CONFIG_H

#include "base/warnings.h"
#include "models/arch.h"

/* What the source says about the output matrix. */
enum tie { TIE_UNSAID, TIE_NO, TIE_YES };

/* A config.json being read. */
struct config_reader {
    const struct arch *arch;
    const struct json *doc;
    const struct checkpoint *ckpt; /* the weights beside it, whose names begin with wrapper and prefix; NULL: not known */
    const char *wrapper, *prefix;
    struct hparams *hp;
    struct arena *mem; /* of the model: what hp points to */
    struct warnings *warn;
    const struct jvalue **members;
    bool *used;
    size_t n_members;
    struct strmap by_key;
};
/* The value of a top-level key, which counts as used from now on. NULL when it is absent; _take: also when it is null. */
const struct jvalue *config_member(struct config_reader *r, const char *key);
const struct jvalue *config_take(struct config_reader *r, const char *key);
/* The source tensor of that name ({p}, {i} as in rules); NULL if there is none. */
const struct tensor *config_tensor(const struct config_reader *r, const char *pattern, int64_t layer);
/* The same value: numbers by value (1 and 1.0), everything else by its text. */
bool config_same(const struct jvalue *a, const struct jvalue *b);
/* A value's JSON text in dst, cut to what fits; returns dst. */
const char *config_show(const struct jvalue *v, char dst[80]);
enum status config_error(const struct config_reader *r, struct error *err, enum status s, const char *key,
                         const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* hp is filled, `derive` was called, hp->rope checked. Errors name the document and the key. ckpt: the weights, for numbers that their shapes
 * give; may be NULL. */
enum status config_read_hf(const struct arch *arch, const struct json *doc, const struct checkpoint *ckpt, struct hparams *hp, enum tie *tie,
                           struct arena *mem, struct warnings *warn, struct error *err);
/* The same from a GGUF's keys. hp->n_vocab is what the file says, or 0: the caller takes it from the embedding. */
enum status config_read_gguf(const struct arch *arch, const struct container *c, struct hparams *hp,
                             enum tie *tie, struct arena *mem, struct warnings *warn, struct error *err);

/* RoPE parts of the two readers and of the writer. The reader of config.json needs hp->n_ctx. */
#define CONFIG_ROPE_THETA 10000.0 /* where no key says it */
enum status config_rope_read_hf(struct config_reader *r, struct error *err);
/* Members of a block (NULL: none) into r->hp->rope; `key` is where it stands, for messages. */
enum status config_rope_read_block(struct config_reader *r, const char *key, const struct jvalue *v, struct error *err);
/* `used` marks the keys that were looked at, by their index in c->kvs. hp->rope.runtime is set: bind_rope decides. */
enum status config_rope_read_gguf(const struct arch *arch, const struct container *c, struct hparams *hp,
                                  bool *used, struct arena *mem, struct error *err);
/* llama.cpp's keys in the words of a block, for people: frequencies come from the keys. */
void config_rope_describe(const struct rope_runtime *k, struct hparams *hp);
/* Warns of what llama.cpp will not compute ("runtime-ignores-rope"). The factor tensors are the caller's: rope_runtime_choose. */
enum status config_rope_put(const struct arch *arch, const struct hparams *hp, struct gguf_writer *w,
                            struct warnings *warn, struct error *err);
/* Does llama.cpp load tensors of RoPE factors for this architecture? */
bool config_rope_has_tensors(const struct arch *arch);

/* "<arch>.<key>" in c, marked in `used`; NULL if absent. */
const struct kv *config_kv(const struct arch *arch, const struct container *c, const char *key, bool *used);
/* Is the key listed as ignored, by the family or for every family? */
bool config_is_ignored(const struct arch *arch, const char *key);

#endif

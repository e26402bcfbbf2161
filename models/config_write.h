/* A config.json from hyperparameters: the family's table of keys, read backwards.
 *
 *     TRY(config_write_hf(m, m->arch, DTYPE_BF16, &text, err));
 *
 * What is written is read again, and has to mean the same: a model that no config.json of the family can express is STATUS_UNSUPPORTED with the
 * number that differs. Keys that only a family knows how to say (windows by layer, special ids) come from its `write_config`.
 */
#ifndef LATHE_CONFIG_WRITE_H
#define LATHE_CONFIG_WRITE_H

#include "base/json.h"
#include "models/model.h"

/* m is a GGUF. arch: the family to write as, usually m->arch. type: of the weights, as torch_dtype says it. */
enum status config_write_hf(const struct model *m, const struct arch *arch, enum dtype type, struct buf *out, struct error *err);

/* For `write_config`: each key is written once, and the first one counts, so that a family's own come before those of the tables. */
struct config_writer {
    const struct model *m;
    const struct arch *arch;
    const struct hparams *hp;
    struct jwriter w;
    struct strmap written;
    struct arena mem;
    bool failed;
};
void config_put_int(struct config_writer *c, const char *key, int64_t v);
/* Numbers that went through a float come out with the fewest digits that give it. */
void config_put_real(struct config_writer *c, const char *key, double v);
void config_put_bool(struct config_writer *c, const char *key, bool v);
void config_put_string(struct config_writer *c, const char *key, const char *v);
void config_put_null(struct config_writer *c, const char *key);
void config_put_raw(struct config_writer *c, const char *key, const char *json);
/* false if the key is there already; else the value has to follow at once. */
bool config_put_key(struct config_writer *c, const char *key);
/* A number as config_put_real writes it, where no key is to be remembered: in lists (key NULL) and blocks. */
void config_write_real(struct config_writer *c, const char *key, double v);

/* models/config_rope_write.c */
enum status config_rope_write_hf(struct config_writer *c, struct error *err);

#endif

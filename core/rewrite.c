#include "core/rewrite.h"
#include "core/receipt.h"

#include <string.h>

static bool key_left_out(const char *key, const struct rewrite_options *opt)
{
    static const char *const gone[] = {"split.no", "split.count", "split.tensors.count", "lathe.split.first", "general.alignment"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        if (strcmp(key, gone[i]) == 0) return true;
    return opt->drop_receipt && receipt_key(key);
}

enum status plan_rewrite(struct plan *p, const struct checkpoint *c, const struct rewrite_options *opt, struct warnings *warn,
                         struct error *err)
{
    const struct container *gguf = ckpt_gguf(c);
    if (!gguf)
        return error_at(err, STATUS_FORMAT, c->path, NULL, "expected a GGUF file, found %s", c->format);
    for (size_t i = 0; i < gguf->n_kvs; i++)
        if (!key_left_out(gguf->kvs[i].key, opt)) gguf_put_kv(&p->out, &gguf->kvs[i]);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tensor *t = c->tensors[i].t;
        struct plan_tensor as_it_is = {.name = t->name, .to = t->dtype, .wanted = t->dtype, .why = "as it is"};
        TRY(plan_add(p, &as_it_is, &c->tensors[i], err));
    }
    return opt->quantize ? plan_quantize(p, opt->quantize, warn, err) : STATUS_OK;
}

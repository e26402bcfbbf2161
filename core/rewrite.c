#include "core/rewrite.h"
#include "core/receipt.h"

#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 }; /* ggml's, for all of its types */

/* N of "blk.N.", -1 for names outside of blocks */
static long block_number(const char *name)
{
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') return -1;
    char *end;
    long n = strtol(name + 4, &end, 10);
    return *end == '.' ? n : -1;
}

static int compare_names(const void *a, const void *b)
{
    const struct ckpt_tensor *x = *(const struct ckpt_tensor *const *)a,
                             *y = *(const struct ckpt_tensor *const *)b;
    long nx = block_number(x->t->name), ny = block_number(y->t->name);
    if (nx != ny) return nx < ny ? -1 : 1;
    return strcmp(x->t->name, y->t->name);
}

static bool key_left_out(const char *key, const struct rewrite_options *opt)
{
    static const char *const gone[] = {"split.no", "split.count", "split.tensors.count", "general.alignment"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        if (strcmp(key, gone[i]) == 0) return true;
    return opt->drop_receipt && receipt_key(key);
}

static void put_metadata(struct plan *p, const struct container *gguf, const struct rewrite_options *opt)
{
    for (size_t i = 0; i < gguf->n_kvs; i++)
        if (!key_left_out(gguf->kvs[i].key, opt)) gguf_put_kv(&p->out, &gguf->kvs[i]);
    if (!opt->recipe) return;
    gguf_put_u32(&p->out, "general.quantization_version", QUANTIZATION_VERSION);
    gguf_put_u32(&p->out, "general.file_type", opt->recipe->file_type);
}

static enum status add_tensor(struct plan *p, struct recipe_state *state, const struct ckpt_tensor *t,
                              const struct rewrite_options *opt, struct error *err)
{
    struct plan_tensor out = {
        .name = t->t->name, .to = t->t->dtype, .wanted = t->t->dtype, .why = "as it is"};
    struct recipe_choice choice = {.covered = false, .why = out.why};
    if (opt->recipe &&
        recipe_choose(state, t->t->name, t->t->n_dims, t->t->shape, &choice, err) != STATUS_OK) {
        struct error cause = *err;
        return error_at(err, cause.status, t->container->file.path, t->t->name, "%s", cause.text);
    }
    out.why = choice.why;
    if (choice.covered && choice.type != t->t->dtype) {
        const struct dtype_info *from = dtype_info(t->t->dtype);
        if (from->block_len > 1 && !opt->allow_requantize) {
            error_at(err, STATUS_UNSUPPORTED, t->container->file.path, t->t->name,
                     "is %s already; a second quantization adds its error to the first's", from->ggml_name);
            return error_hint(err, "start from the unquantized file, or accept that with --allow-requantize");
        }
        out.to = choice.type;
        out.wanted = choice.wanted;
    }
    return plan_add(p, &out, t, err);
}

enum status plan_rewrite(struct plan *p, const struct checkpoint *c, const struct rewrite_options *opt,
                         struct error *err)
{
    const struct container *gguf = ckpt_gguf(c);
    if (!gguf)
        return error_at(err, STATUS_FORMAT, c->path, NULL, "expected a GGUF file, found %s", c->format);
    put_metadata(p, gguf, opt);

    const struct ckpt_tensor **order = calloc(c->n_tensors + 1, sizeof *order);
    if (!order) return error_nomem(err, c->n_tensors * sizeof *order);
    for (size_t i = 0; i < c->n_tensors; i++) order[i] = &c->tensors[i];
    if (opt->recipe) qsort(order, c->n_tensors, sizeof *order, compare_names);

    const char *arch = kv_get_string(container_kv(gguf, "general.architecture"));
    struct recipe_facts facts = {.arch = arch ? arch : "",
                                 .has_output = ckpt_find(c, "output.weight") != NULL};
    struct recipe_state state = {0};
    if (opt->recipe) state = recipe_begin(opt->recipe, opt->pure, &facts);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < c->n_tensors && st == STATUS_OK; i++)
        st = add_tensor(p, &state, order[i], opt, err);
    free(order);
    return st;
}

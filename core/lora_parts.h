/* What the parts of core/lora*.c share: an adapter as it is read (lora.c), bound to a base (lora_bind.c), as a file (lora_file.c), merged (lora_merge.c). */
#ifndef LATHE_LORA_PARTS_H
#define LATHE_LORA_PARTS_H

#include "core/lora.h"

#include "core/rule.h"

/* Two matrices for one weight of the base. */
struct lora_module {
    const char *name; /* as in the adapter, without ".lora_A.weight" */
    const struct ckpt_tensor *a, *b;
    bool embedding; /* of a table, whose rows are inputs: a is (r, rows), b is (columns, r) */
    const struct weight *weight; /* of the base */
    struct rule_step step;
    const char *target; /* its name in a GGUF */
};
/* A tensor that stands in place of the base's: of modules_to_save, or the layer below a pair, which peft keeps where it is an embedding. */
struct lora_whole {
    const char *name;
    const struct ckpt_tensor *t;
    bool below_pair;
    const struct weight *weight;
    struct rule_step step;
    const char *target;
};
struct lora {
    struct checkpoint *ckpt;
    struct json *config;
    const struct model *base;
    double scale, alpha;
    bool rslora;
    struct lora_module *modules;
    size_t n_modules;
    struct lora_whole *wholes;
    size_t n_wholes;
    struct strmap by_target; /* of pairs */
    struct arena mem;
};

/* Rows and columns of what the two matrices make, as the weight of a linear layer has them; the rank. */
static inline int64_t lora_module_rows(const struct lora_module *m)
{
    return m->embedding ? m->a->t->shape[1] : m->b->t->shape[0];
}
static inline int64_t lora_module_cols(const struct lora_module *m)
{
    return m->embedding ? m->b->t->shape[0] : m->a->t->shape[1];
}
static inline int64_t lora_module_rank(const struct lora_module *m)
{
    return m->a->t->shape[0];
}

#endif

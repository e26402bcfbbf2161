#include "inspect/roles.h"

#include <stdio.h>
#include <stdlib.h>

static void note(struct tensor_roles *r, const struct checkpoint *c, const struct ckpt_tensor *t, const struct weight *w)
{
    if (t < c->tensors || t >= c->tensors + c->n_tensors) return;
    r->items[t - c->tensors] = (struct tensor_role){w->rule->role, w->rule->part, w->layer};
}

enum status roles_init(struct tensor_roles *r, const struct subject *s, struct error *err)
{
    *r = (struct tensor_roles){0};
    if (!s->model || s->model->ckpt->n_tensors != s->ckpt->n_tensors) return STATUS_OK;
    const struct checkpoint *c = s->model->ckpt; /* opened from the same path as s->ckpt: the same order */
    void *p;
    TRY(mem_alloc(&p, c->n_tensors, sizeof *r->items, err));
    r->items = p;
    r->n = c->n_tensors;
    for (size_t i = 0; i < r->n; i++) r->items[i] = (struct tensor_role){ROLE_COUNT, PART_WEIGHT, -1};
    for (size_t i = 0; i < s->model->n_weights; i++) {
        const struct weight *w = &s->model->weights[i];
        note(r, c, w->t, w);
        for (size_t k = 0; k < w->n_experts; k++) note(r, c, w->experts[k], w);
    }
    return STATUS_OK;
}

void roles_clear(struct tensor_roles *r)
{
    free(r->items);
    *r = (struct tensor_roles){0};
}

const char *tensor_role_name(const struct tensor_role *r, char dst[64])
{
    snprintf(dst, 64, "%s%s", role_name(r->role), r->part == PART_BIAS ? ".bias" : "");
    return dst;
}

#include "convert/adapters.h"

#include <stdlib.h>

enum status adapters_check(const struct string_list *names, const struct double_list *scales, struct error *err)
{
    if (scales->count == 0 || scales->count == names->count) return STATUS_OK;
    return error_set(err, STATUS_USAGE, "%zu --merge-lora, %zu --lora-scale: expected a scale for each, in the same order, or none", names->count, scales->count);
}

enum status adapters_open(struct adapters *a, const struct string_list *names, const struct double_list *scales, const struct model *base, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, names->count, sizeof *a->items, err));
    a->items = mem;
    for (; a->n < names->count; a->n++) {
        struct lora **l = &a->items[a->n];
        TRY(lora_open(l, names->items[a->n], scales->count ? scales->items[a->n] : 1, err));
        enum status st = lora_bind(*l, base, err);
        if (st == STATUS_OK) continue;
        lora_close(*l);
        return st;
    }
    return STATUS_OK;
}

enum status adapters_merge(const struct adapters *a, struct plan *p, struct warnings *warn, struct error *err)
{
    return lora_merge(a->items, a->n, p, warn, err);
}

void adapters_close(struct adapters *a)
{
    for (size_t i = 0; i < a->n; i++) lora_close(a->items[i]);
    free(a->items);
    *a = (struct adapters){0};
}

/* The adapters that a command line names, merged into one plan.
 *
 *     TRY(adapters_open(&a, &names, &scales, base, err));
 *     TRY(adapters_merge(&a, &plan, &warn, err));
 *     adapters_close(&a);                                       after the plan
 */
#ifndef LATHE_ADAPTERS_H
#define LATHE_ADAPTERS_H

#include "base/options.h"
#include "core/lora.h"

struct adapters {
    struct lora **items;
    size_t n;
};
/* STATUS_USAGE unless there are no scales (each is 1), or as many as names. */
enum status adapters_check(const struct string_list *names, const struct double_list *scales, struct error *err);
/* base outlives them. To be closed in any case. */
enum status adapters_open(struct adapters *a, const struct string_list *names, const struct double_list *scales, const struct model *base, struct error *err);
enum status adapters_merge(const struct adapters *a, struct plan *p, struct warnings *warn, struct error *err);
void adapters_close(struct adapters *a);

#endif

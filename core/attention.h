/* Attention probabilities of a model over one window of ids, head by head as the reference forward pass makes them; and those of two
 * forms of a model side by side.
 *
 *     static enum status take(void *ctx, const struct attention_map *a, const struct attention_map *b, struct error *err);
 *     const struct attention_request r = {.model = m, .workers = w, .ids = ids, .n = n, .layer = -1, .head = -1, .take = take};
 *     TRY(attention_capture(&r, err));
 *
 * Heads come in order: layers ascend, in a layer its heads do. Layers behind the wanted one are not run. Memory is the forward pass's, and
 * 64 MiB or one head's map; with `against` also A's maps of one layer.
 * The maps do not depend on the number of threads.
 */
#ifndef LATHE_ATTENTION_H
#define LATHE_ATTENTION_H

#include "base/progress.h"
#include "models/forward.h"

/* Maps grow with the square of the ids: one of this length is 1 GiB. */
enum { ATTENTION_IDS_MAX = 16384 };

struct attention_map {
    int64_t layer, head;
    int64_t n;              /* queries, and keys */
    int64_t window, prefix; /* what a query may see: attention_range */
    const float *p;         /* (n, n), a row for each query; a row's sum is 1, what it does not see 0. Valid during the call. */
};
/* The keys that a query sees: [*first, *end). Others are masked: their 0 is no result. */
static inline void attention_range(const struct attention_map *a, int64_t query, int64_t *first, int64_t *end)
{
    *first = a->window > 0 && query >= a->window ? query - a->window + 1 : 0;
    *end = query < a->prefix ? a->prefix : query + 1;
}
static inline bool attention_sees(const struct attention_map *a, int64_t query, int64_t key)
{
    int64_t first, end;
    attention_range(a, query, &first, &end);
    return key >= first && key < end;
}
/* b: the same head of the other model; NULL when there is none */
typedef enum status attention_fn(void *ctx, const struct attention_map *a, const struct attention_map *b,
                                 struct error *err);

struct attention_request {
    const struct model *model, *against; /* against NULL: one model */
    enum precision precision;
    bool causal; /* plain positions and a causal mask, whatever the family builds from the ids */
    const int32_t *ids;
    int64_t n;
    int64_t layer, head; /* -1: all */
    attention_fn *take;
    void *ctx;
    struct workers *workers;
    struct progress *progress; /* NULL, or counts attention_bytes */
};
/* What can be said before the run: STATUS_RANGE for a layer or head that the model does not have, or too many ids; STATUS_MISMATCH when the two
 * models' layers or heads differ in number. */
enum status attention_check(const struct attention_request *r, struct error *err);
/* Checks, too; and STATUS_RANGE for ids or positions that a model does not take. */
enum status attention_capture(const struct attention_request *r, struct error *err);
/* Bytes of weights that it reads */
uint64_t attention_bytes(const struct attention_request *r);

#endif

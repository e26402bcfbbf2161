/* A model, or two forms of one in step, through the forward pass, and the figures of their logits.
 *
 *     const struct lockstep_setup setup = {.a = a, .b = b, .n_max = n, .workers = w};
 *     struct lockstep *l;
 *     TRY(lockstep_new(&l, &setup, err));
 *     TRY(lockstep_run(l, ids, &n, 1, next, err));            one batch of windows after the other
 *     TRY(metrics_finish(&l->metrics, &result, err));
 *     lockstep_free(l);
 *
 * Layer i of A, layer i of B, then the next layer: weights are read once for all windows of a batch. Logits are never whole: a thread multiplies a
 * strip of the vocabulary on both sides and measures it while it is in cache; the output matrix is read once for a batch (or for
 * metrics_block_positions of it). Memory is two forward passes and at most 48 MiB. Figures depend neither on threads nor on how windows are
 * batched. Each side is read in its own layout; both are run for the length that either was baked for (core/canonical.h).
 */
#ifndef LATHE_LOCKSTEP_H
#define LATHE_LOCKSTEP_H

#include "base/progress.h"
#include "core/metrics.h"
#include "models/forward.h"

struct lockstep_setup {
    const struct model *a, *b; /* as many layers and entries of the vocabulary; b NULL: one side */
    enum precision precision;
    int64_t n_max;       /* positions of a batch */
    bool causal;         /* as in struct forward */
    int64_t first, step; /* position of each window's first id, and from one id to the next; step 0: 1 */
    struct workers *workers;
    struct progress *progress; /* NULL, or counts lockstep_bytes for each batch */
};
struct lockstep {
    struct lockstep_setup setup;
    struct forward *a, *b; /* after a run: its windows, behind the last norm */
    struct metrics metrics;
    void *tiles; /* of each worker: logits of A and of B */
};
enum status lockstep_new(struct lockstep **out, const struct lockstep_setup *setup, struct error *err);
void lockstep_free(struct lockstep *l);
/* ids, lengths: as in forward_begin_windows, with its errors. next: the id that each position is to predict, -1: none. The figures go to l->metrics;
 * after an error they are of no use. */
enum status lockstep_run(struct lockstep *l, const int32_t *ids, const int64_t *lengths, int64_t n_windows, const int32_t *next,
                         struct error *err);
/* Bytes of weights that one batch reads */
uint64_t lockstep_bytes(const struct model *a, const struct model *b);

#endif

/* A fixed set of threads that share out numbered units of work.
 *
 *     struct workers *w;
 *     TRY(workers_new(&w, 0, err));                 0: one per core that this process may use
 *     st = workers_run(w, n_units, fn, ctx, err);
 *     workers_free(w);
 *
 * Units are handed out in ascending order, each exactly once; which thread gets one is not defined, so fn
 * must not let its result depend on it. The calling thread works too: 1 means no extra thread.
 */
#ifndef LATHE_WORKERS_H
#define LATHE_WORKERS_H

#include "base/status.h"

#include <stdint.h>

struct workers;
typedef enum status workers_fn(void *ctx, uint64_t unit, int worker, struct error *err);

enum status workers_new(struct workers **out, int n_threads, struct error *err);
void workers_free(struct workers *w);
int workers_count(const struct workers *w); /* `worker` is in 0 .. count-1: index for per-thread scratch */
/* Returns when all units are done. After a failure no new unit is started; the error of the lowest failed
 * unit is returned. Not reentrant: fn must not call workers_run on the same set. */
enum status workers_run(struct workers *w, uint64_t n_units, workers_fn *fn, void *ctx, struct error *err);
/* CPUs this process may run on, at least 1. */
int workers_default_count(void);

#endif

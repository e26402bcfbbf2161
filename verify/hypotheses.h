/* What may be wrong with one operation of B, and whether that explains what was seen. One row of a table per hypothesis. */
#ifndef LATHE_HYPOTHESES_H
#define LATHE_HYPOTHESES_H

#include "verify/trace.h"

/* A tap's numbers, kept. */
struct kept_tap {
    char name[24];
    int64_t layer, rows, cols;
    void *data;
};
/* The operation that failed. */
struct tracer;
struct suspect {
    const struct trace *trace;
    struct tracer *tracer;
    struct forward *a, *b;
    const struct kept_tap *kept; /* A's taps of this layer, or of what is outside of layers */
    size_t n_kept;
    const struct trace_tap *tap;
    const struct kept_tap *want; /* A's result */
    const void *got;             /* B's result, in the same order and size */
    bool only_offset;            /* each column differs by one number at all positions */
    enum role role;              /* of B's weight behind the operation; ROLE_COUNT: none */
};
/* out->cause and out->explanation; "unknown" when nothing fits. */
enum status hypotheses_try(struct suspect *s, struct trace_result *out, struct error *err);

/* The failed step as another model would compute it: taps before the failed one are A's, that one's numbers go to `data`, as large as A's. *seen
 * stays false when there is no such tap, or it has another size. */
struct step_view {
    const struct model *model; /* usually B's with a change */
    const int32_t *ids;        /* NULL: the trace's */
    int64_t shift;             /* of positions */
};
enum status trace_again(struct suspect *s, const struct step_view *v, void *data, bool *seen,
                        struct error *err);

#endif

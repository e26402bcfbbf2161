/* The operation of B that a trace found to be off, its numbers, and ways to try a repair on them. For the hypotheses. */
#ifndef LATHE_SUSPECT_H
#define LATHE_SUSPECT_H

#include "verify/trace.h"

/* A tap's numbers, kept. */
struct kept_tap {
    char name[24];
    int64_t layer, rows, cols;
    void *data;
};
struct tracer;
struct suspect {
    const struct trace *trace;
    struct tracer *tracer;
    struct forward *a, *b;
    const struct kept_tap *kept; /* A's taps of this layer, or of what is outside of layers */
    size_t n_kept;
    const struct kept_tap *before; /* A's residual stream at the start of the layer, or behind the last one */
    const struct trace_tap *tap;
    const struct kept_tap *want; /* A's result */
    const void *got;             /* B's result, in the same order and size */
    bool only_offset;            /* each column differs by one number at all positions */
    enum role role;              /* of B's weight behind the operation; ROLE_COUNT: none */
};

/* The failed step as another model would compute it: taps before the failed one are A's, that one's numbers go to `data`, as large as A's. *seen
 * stays false when there is no such tap, or it has another size. */
struct step_view {
    const struct model *model; /* usually B's with a change */
    const int32_t *ids;        /* NULL: the trace's */
    int64_t shift;             /* of positions */
    double norm_offset;        /* added to the weights of norms */
};
enum status trace_again(struct suspect *s, const struct step_view *v, void *data, bool *seen,
                        struct error *err);

/* --- numbers of taps, in the trace's precision --- */

size_t suspect_number_bytes(const struct suspect *s);
double suspect_get(const struct suspect *s, const void *a, int64_t i);
void suspect_put(const struct suspect *s, void *a, int64_t i, double v);
/* Is the failed tap one of these names, separated by spaces? */
bool suspect_is_tap(const struct suspect *s, const char *names);
/* A's tap of this name in the step; NULL: there is none */
const struct kept_tap *suspect_kept(const struct suspect *s, const char *name);
/* Has this side a bias behind the failed tap? */
bool suspect_has_bias(const struct model *m, const struct suspect *s);

/* --- does a repair fit? --- */

/* Within the tap's limit of `want`, which is as large as A's result */
bool suspect_near(const struct suspect *s, const void *want, const void *data);
/* Takes from each column of data what it differs by from `want` at every position. */
void suspect_take_offset(const struct suspect *s, const void *want, void *data);
/* Do these numbers stand where `want` (A's result) says, as far as the limit goes? A weight may be repaired while its bias stays as it was: an
 * offset that is the same at every position is passed over where there is a bias. Changes data. */
bool suspect_fits_like(const struct suspect *s, const void *want, void *data);
bool suspect_fits(const struct suspect *s, void *data);
/* The step as v computes it. What cannot be computed does not fit; STATUS_NOMEM and STATUS_IO come back. */
enum status suspect_fits_view(struct suspect *s, const struct step_view *v, bool *fits, struct error *err);
/* Columns of B's result in another order: from[c] is the column that column c of the repaired result is. */
enum status suspect_fits_columns(const struct suspect *s, const int64_t *from, bool *fits, struct error *err);
/* Room for such an order; the caller frees it. */
enum status suspect_new_order(const struct suspect *s, int64_t **from, struct error *err);

#endif

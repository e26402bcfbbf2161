/* Where two forms of a model part: every operation of B is given what A's operation was given, and its result compared with A's.
 *
 * Both sides go through the layers in step. B's results are compared tap by tap (models/forward.h) and then replaced by A's, so that each
 * difference is that of one operation on equal input and nothing adds up. A linear map may be off by what the types of the two weights
 * explain, everything else by rounding. At the first tap beyond its limit the hypotheses of verify/hypotheses.h are tried: a cause is named
 * only when its repair brings that tap back within the limit.
 */
#ifndef LATHE_TRACE_H
#define LATHE_TRACE_H

#include "models/forward.h"

enum { TRACE_POSITIONS = 96 }; /* ids that a trace takes at most */

/* How far apart two matrices (positions, columns) are. docs/numerics.md has the formulas. */
struct tap_distance {
    double rel; /* root mean square of the difference by that of A */
    double
        worst; /* the same of the column where it is largest, by the larger of the column's and the mean column's */
    int64_t worst_col;
};
struct trace_tap {
    char name[24];
    int64_t layer; /* -1: outside of layers */
    struct tap_distance distance;
    double limit, rel_limit; /* of distance.worst and distance.rel */
};
struct trace_result {
    bool found;
    struct trace_tap first;   /* if found */
    char tensor[128];         /* B's tensor behind the operation; "" if there is none */
    const char *cause;        /* an id of docs/lathe-verify.md; "unknown" if no repair fits */
    char explanation[256];    /* what the repair was, for people */
    int64_t n_taps;           /* compared */
    struct trace_tap nearest; /* of those within their limit, the one that comes closest to it */
    int64_t pos0;             /* position of the first id */
};
struct trace {
    const struct model *a, *b;
    enum precision precision;
    const int32_t *ids;
    int64_t n; /* at most TRACE_POSITIONS */
    int64_t pos0;
    bool causal;
    struct workers *workers;
};
/* A position beyond the context before scaling, where one side has scaled rotary positions; else 0. */
int64_t trace_far_position(const struct model *a, const struct model *b);
enum status trace_run(const struct trace *t, struct trace_result *out, struct error *err);

/* For hypotheses: (rows, cols) in precision p. NaN anywhere gives an infinite distance. */
enum status tap_compare(struct tap_distance *d, enum precision p, const void *a, const void *b, int64_t rows,
                 int64_t cols, struct error *err);

#endif

/* How far an operation of B may be from A's, and which weight is behind it. */
#ifndef LATHE_TRACE_LIMIT_H
#define LATHE_TRACE_LIMIT_H

#include "verify/trace.h"

struct trace_limit {
    double worst, rel; /* of the two members of struct tap_distance */
};
/* The role of m's weight behind a tap; ROLE_COUNT: there is none. */
enum role trace_role(const struct model *m, const char *tap, int64_t layer);
/* Rounding, and what the types of the two weights explain. Where that is exceeded B's weight is read: plain floats that are all numbers of
 * bfloat16 came by way of it, and are judged as that. */
enum status trace_limit_of(struct trace_limit *out, const struct trace *t, const char *tap, int64_t layer,
                           const struct tap_distance *d, bool *within, struct error *err);
bool trace_within(const struct tap_distance *d, double worst, double rel);

#endif

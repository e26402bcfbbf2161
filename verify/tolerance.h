/* How much two forms of a model may differ, from how their weights are stored. docs/numerics.md gives the reasoning and what was
 * observed. */
#ifndef LATHE_TOLERANCE_H
#define LATHE_TOLERANCE_H

#include "models/forward.h"

struct tolerance {
    double value;     /* of max |Δlogit| / max |logit of A| */
    bool lossy;       /* weights of one side are rounded: logits alone cannot tell a damaged row, the weights have to be looked at */
    char reason[256]; /* one line for people */
};
/* A is taken for the original: a type of B that holds every value of A's allows rounding of the arithmetic only. */
void tolerance_default(struct tolerance *t, const struct model *a, const struct model *b,
                       enum precision precision);
/* Error of a weight stored as t, root mean square, relative to the root mean square of normally distributed weights. */
double tolerance_type_error(enum dtype t);
/* The same of numbers of type x that are stored as type y: 0 where y holds every value of x. */
double tolerance_cast_error(enum dtype x, enum dtype y);
/* The same of a weight that is `a` in one model and `b` in another: 0 where b's type holds every value of a's. */
double tolerance_weight_error(const struct model *ma, const struct weight *a, const struct model *mb,
                              const struct weight *b);

#endif

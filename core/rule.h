/* What a family's rule means for one model: used on the way into the unified format and on the way back. */
#ifndef LATHE_RULE_H
#define LATHE_RULE_H

#include "core/transform.h"

struct rule_step {
    enum transform transform;
    struct transform_args args;
    /* the first rows of the target are multiplied; scaled_rows 0: none */
    double scale;
    int64_t scaled_rows;
};
void rule_step(const struct tensor_rule *rule, const struct hparams *hp, int64_t layer, struct rule_step *out);
/* A pattern with {i} as the layer's number, {p} as the prefix, and {e} as the expert's number. Of alternatives the first. NULL: no memory. */
char *rule_name(struct arena *mem, const char *pattern, const char *prefix, int64_t layer, int64_t expert);

#endif

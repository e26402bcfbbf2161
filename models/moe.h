/* A feed-forward layer of experts, as GLM-4.5 has it: sigmoid scores, a bias that counts in the choice alone, experts that every token has. */
#ifndef LATHE_MOE_H
#define LATHE_MOE_H

#include "models/forward.h"

/* dst = sum of the chosen experts of src, by weight, + the shared expert; dst may be src. Uses scratch 1 to 6. */
enum status moe_run(struct forward *f, struct act *dst, const struct act *src, int64_t layer, struct error *err);

#endif

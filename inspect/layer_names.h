/* Names of tensors that differ by their layer only: blk.0.attn_q.weight, blk.1.attn_q.weight are blk.{}.attn_q.weight of layers 0 and 1.
 *
 * A group is shown as one line: blk.{0..29}.attn_q.weight x30.
 */
#ifndef LATHE_LAYER_NAMES_H
#define LATHE_LAYER_NAMES_H

#include "base/memory.h"

/* The first component of the name that is a number is the layer, the pattern the name with {} in its place (in *a; NULL when memory ran out or there is
 * no layer). -1: no layer. */
int64_t layer_split(const char *name, struct arena *a, const char **pattern);

struct layer_group {
    const char *name;    /* of its first member */
    const char *pattern; /* NULL: a single name without a layer */
    int64_t first, last; /* layers */
    size_t count;
};
void layer_group_add(struct layer_group *g, int64_t layer);
/* "blk.{0..29}.attn_q.weight", "blk.{0,...,29}..." where layers between are missing; of one member its name. Escaped. */
void layer_group_name(const struct layer_group *g, char dst[320]);

#endif

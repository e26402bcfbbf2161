/* --heatmap: one tensor's weights; with a second form of the model also its weights, and the difference. */
#ifndef LATHE_PICTURE_H
#define LATHE_PICTURE_H

#include "base/json.h"
#include "base/options.h"
#include "inspect/output.h"
#include "inspect/weight_view.h"

/* What pictures of weights have in common */
struct weight_options {
    const char *name;   /* the tensor, or role */
    const char *output; /* NULL: the terminal */
    enum reduction reduction;
    double clip; /* quantile of the cells where the colours end */
};
enum status picture_heatmap(const struct tool *t, struct weight_source *s, const struct weight_options *o,
                            struct buf *out, struct jwriter *json, struct error *err);

#endif

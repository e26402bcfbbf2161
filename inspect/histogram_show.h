/* --histogram: how often values occur in one tensor; with a second form of the model both, one over the other. */
#ifndef LATHE_HISTOGRAM_SHOW_H
#define LATHE_HISTOGRAM_SHOW_H

#include "inspect/picture.h"

enum status histogram_show(const struct tool *t, struct weight_source *s, const struct weight_options *o, struct buf *out,
                           struct jwriter *json, struct error *err);

#endif

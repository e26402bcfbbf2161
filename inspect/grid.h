/* --grid: one role of the model in every layer, as tiles of one page and one colour scale; of vectors, one row for each layer. */
#ifndef LATHE_GRID_H
#define LATHE_GRID_H

#include "inspect/picture.h"

/* o->name: "attn_q", "attn_q.bias". STATUS_NOTFOUND, with what there is as a hint, when no layer has it. */
enum status grid_show(const struct tool *t, struct weight_source *s, const struct weight_options *o, struct buf *out,
                      struct jwriter *json, struct error *err);

#endif

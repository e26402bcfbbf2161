/* What quantization did to the tensors of a plan, as text and as JSON. After writer_run. */
#ifndef LATHE_DAMAGE_REPORT_H
#define LATHE_DAMAGE_REPORT_H

#include "base/json.h"
#include "core/plan.h"

/* A table of all tensors in the order of the file, or one line with the worst few by relative error. Nothing if no tensor was quantized. */
void damage_table(const struct plan *p, struct buf *b);
void damage_worst(const struct plan *p, struct buf *b);
/* Member "damage" of the current object: an array of objects. */
void damage_json(const struct plan *p, struct jwriter *w);

#endif

/* What a plan and its execution have to tell: fallbacks, losses of casts. Shared by the tools that write. */
#ifndef LATHE_PLAN_REPORT_H
#define LATHE_PLAN_REPORT_H

#include "base/json.h"
#include "base/warnings.h"
#include "core/plan.h"

/* "type-fallback": tensors whose rows are no multiple of the wanted type's block, with what that costs. After plan_layout. */
void report_fallbacks(const struct plan *p, struct warnings *warn);
/* After writer_run: "cast-overflow", "cast-flushed", "cast-subnormal", "source-nan", "source-inf". One warning for each tensor where they are few,
 * else one for all with the worst of them. */
void report_casts(const struct plan *p, struct warnings *warn);
/* Array "casts": {tensor, from, to, n, overflow, flushed, subnormal, nan, inf} of each tensor with a count that is not 0. */
void report_casts_json(const struct plan *p, struct jwriter *w);
/* "warnings": array of {code, text}, with "note": true where it is one */
void report_warnings_json(const struct warnings *warn, struct jwriter *w);
/* Lines "TOOL: warning: TEXT [CODE]" (or "note:") into b, escaped. */
void report_warnings(const struct warnings *warn, const char *tool, struct buf *b);
/* --strict: STATUS_UNSUPPORTED naming the first warning when there is one that is no note. */
enum status report_strict(const struct warnings *warn, const char *path, struct error *err);
/* "bf16 177, f32 61": types by number of tensors, most elements first */
void report_types(const struct plan *p, struct buf *b);

#endif

/* What a trace found, as lines of the report and as members of its JSON object. */
#ifndef LATHE_TRACE_REPORT_H
#define LATHE_TRACE_REPORT_H

#include "base/json.h"
#include "verify/trace.h"

void trace_text(const struct trace_result *t, struct buf *out);
/* "first" {tap, layer, rel, worst_rel, worst_column, limit, rel_limit} or null, "tensor", "cause", "explanation", "nearest", "trace_operations",
 * "trace_position" */
void trace_json(const struct trace_result *t, struct jwriter *w);

#endif

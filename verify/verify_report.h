/* What lathe-verify says, as text and as JSON. */
#ifndef LATHE_VERIFY_REPORT_H
#define LATHE_VERIFY_REPORT_H

#include "base/json.h"
#include "base/warnings.h"
#include "verify/tolerance.h"
#include "verify/trace.h"
#include "verify/verify_run.h"
#include "verify/weights.h"
#include "verify/words.h"

struct verify_report {
    const struct verify_run *run;
    const char *path_a, *path_b;
    const char *tokens_path; /* NULL: the built-in ids */
    const struct metrics_result *result;
    const struct tolerance *tolerance; /* NULL: one side */
    bool agree;                        /* in the probe, the trace and the weights, too */
    const struct weights_report *weights; /* NULL: not looked at */
    const char *weights_why_not;          /* NULL: there was no need to */
    const struct probe *probe;         /* NULL: there was none */
    const struct metrics_result *probe_result;
    const struct trace_result *trace; /* NULL: no --trace */
    const struct words *words;        /* what ids stand for */
    const struct metrics_point *points; /* NULL: not kept */
    const char *plot_path, *points_path; /* NULL: not written */
    double seconds;
    const struct warnings *warnings;
};
void verify_report_text(const struct verify_report *p, struct buf *out);
void verify_report_json(const struct verify_report *p, struct buf *out);

#endif

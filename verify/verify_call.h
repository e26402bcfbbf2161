/* One call of lathe-verify: what it was asked for, and what it holds.
 *
 *     struct call c = {.tool = &tool, .o = &options};
 *     st = call_run(&c, &code, &text, err);       code: 0 agree, 1 differ
 *     call_close(&c);
 */
#ifndef LATHE_VERIFY_CALL_H
#define LATHE_VERIFY_CALL_H

#include "base/file.h"
#include "base/options.h"
#include "verify/verify_report.h"

#define CONTEXT_NOT_GIVEN INT64_MIN

struct verify_options {
    const char *tokens, *save_logits, *config, *positions, *plot, *points;
    int64_t context;
    int precision;
    double tolerance;
    const char *prompt, *text;
    int ppl_style;
    bool trace, weights;
    bool requantize;
    const char *imatrix;
};
/* Everything that one call of the tool holds */
struct call {
    const struct tool *tool;
    const struct verify_options *o;
    struct model *a, *b;
    struct workers *workers;
    struct tokens tokens;
    struct words words;
    struct metrics_point *points; /* kept for --plot and --points */
    struct outfile *plot_out, *points_out, *logits_out;
    struct positions at; /* --positions START:END; count 0: not given */
    bool causal;         /* --positions, but for `model` */
    struct warnings warnings;
    struct progress progress;
};

/* Options are checked, models opened, ids read. *n_context: positions in a window. With --weights no ids are read. */
enum status call_open(struct call *c, int64_t *n_context, struct error *err);
/* The whole of it, with the report in `out` and the files that were asked for. */
enum status call_run(struct call *c, int *code, struct buf *out, struct error *err);
void call_close(struct call *c);

#endif

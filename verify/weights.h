/* --weights: two forms of a model tensor by tensor, without a forward pass.
 *
 * One side's tensors are brought into the other's layout by the rules that convert uses (rows reordered, matrices transposed, factors applied), and compared as
 * numbers. So this proves bytes, not the rules: a wrong rule shows in the forward pass only. Receipts are not needed and not believed.
 */
#ifndef LATHE_WEIGHTS_H
#define LATHE_WEIGHTS_H

#include "base/json.h"
#include "base/progress.h"
#include "base/workers.h"
#include "models/model.h"

enum weight_verdict {
    WEIGHT_EXACT,     /* same type, same bytes */
    WEIGHT_CAST,      /* B holds what a cast of A's numbers to its type gives */
    WEIGHT_QUANTIZED, /* B's type is coarser, and no row is further off than that explains */
    WEIGHT_DIFFERENT,
    WEIGHT_MISSING, /* only A has it */
    WEIGHT_EXTRA,   /* only B has it */
};
struct weight_result {
    const char *name;   /* in B; of a missing one, in A */
    const char *source; /* A's tensor; NULL: made by convert, or extra */
    const char *dtype_a, *dtype_b;
    enum weight_verdict verdict;
    double max_abs_diff, rms_diff, rel; /* rel: rms_diff by A's root mean square */
    double limit;                       /* of a row's rel, for a quantized tensor */
    int64_t n_rows, n_rows_different, first_row;
};
struct weights_report {
    struct weight_result *items; /* owned */
    size_t n, n_different;       /* different, missing or extra */
    struct arena mem;
};
/* STATUS_UNSUPPORTED for two checkpoints of different layouts of which none is a GGUF. */
enum status weights_compare(const struct model *a, const struct model *b, struct workers *w,
                            struct progress *progress, struct weights_report *out, struct error *err);
void weights_clear(struct weights_report *r);
uint64_t weights_bytes(const struct model *a, const struct model *b); /* that are read, for progress */
const char *weight_verdict_name(enum weight_verdict v);

void weights_text(const struct weights_report *r, const char *path_b, struct buf *out);
/* "tensors": array of {name, source, verdict, max_abs_diff, rms_diff, ...}, and "agree" */
void weights_json(const struct weights_report *r, struct jwriter *w);

#endif

/* The numbers behind pictures of weights: one checkpoint's tensors as they are stored, or two forms of a model in one layout.
 *
 *     struct weight_source s;
 *     TRY(weight_source_open(&s, path, against, workers, err));       against NULL: one
 *     TRY(weight_view_make(&v, &s, "blk.0.attn_q.weight", REDUCE_RMS, 1024, err));
 *     v.a.values, and with two v.b.values, v.d.values (B - A)
 *     weight_view_clear(&v);
 *     weight_source_close(&s);
 *
 * A tensor of more than two dimensions is seen as its rows, a 1-D one as one row. Two forms are shown in the layout of a GGUF, the numbers as
 * floats; where one has in one tensor what the other has in several, the rows that both have.
 */
#ifndef LATHE_WEIGHT_VIEW_H
#define LATHE_WEIGHT_VIEW_H

#include "core/scan.h"
#include "core/weight_pairs.h"
#include "inspect/subject.h"

struct weight_source {
    struct subject subject; /* A */
    struct model *b;        /* NULL: one form */
    struct canonical side_a, side_b;
    struct weight_pairs pairs;
    struct workers *workers;
};
/* With a second form both must be complete models. */
enum status weight_source_open(struct weight_source *s, const char *path, const char *against,
                               struct workers *workers, struct error *err);
void weight_source_close(struct weight_source *s);

/* One tensor of it */
struct weight_place {
    const struct ckpt_tensor *t;    /* of one form */
    const struct weight_pair *pair; /* of two; NULL: one */
    const char *name;               /* in the layout that is shown */
    const char *dtype_a, *dtype_b, *file_a, *file_b; /* b: NULL without a second form */
    int64_t n_rows, n_cols;
};
/* STATUS_NOTFOUND with a hint when there is no such tensor, on one side or both. */
enum status weight_find(struct weight_place *p, const struct weight_source *s, const char *name, struct error *err);

/* Both forms' elements [first, first + n), row-major. Called by different workers; all elements of `multiple` rows together come from one of them,
 * in order. */
typedef enum status weight_fn(void *ctx, int64_t first, int64_t n, const float *a, const float *b, struct error *err);
enum status weight_walk(const struct weight_source *s, const struct weight_place *p, int64_t multiple, weight_fn *take,
                        void *ctx, struct error *err);

struct weight_view {
    struct weight_place place;
    struct cells a, b, d; /* b, d: zeroed without a second form */
    double rms_a, rms_d, max_d; /* over the elements where both are finite */
    int64_t max_row, max_col;
};
enum status weight_view_make(struct weight_view *v, struct weight_source *s, const char *name, enum reduction r,
                             int64_t max_cells, struct error *err);
void weight_view_clear(struct weight_view *v);

#endif

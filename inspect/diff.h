/* --diff A B: two checkpoints' metadata, hyperparameters and tensor lists, from headers alone.
 *
 *     struct diff d;
 *     TRY(diff_make(&d, a, b, err));            a, b: open subjects, which outlive d
 *     diff_text(&d, out); diff_json(&d, w);     exit status: diff_same(&d) ? 0 : 1
 *     diff_clear(&d);
 *
 * Layout-aware: where one side is a GGUF and the other is not (or two sources have other names), sources are told as lathe-convert would write them: names, shapes and
 * metadata. So a transposed matrix or experts in one tensor are no difference; nor is one tensor that the other side holds as several (queries, keys and values) or under
 * another name of the same role. Types are those that the files have.
 */
#ifndef LATHE_DIFF_H
#define LATHE_DIFF_H

#include "core/plan.h"
#include "inspect/subject.h"

struct diff_tensor {
    const char *name;   /* in the layout of the comparison */
    const char *source; /* what it is called in the file; NULL: the same */
    enum dtype dtype;
    int n_dims; /* without leading dimensions of 1, which not every format can say */
    int64_t shape[TENSOR_DIMS_MAX];
};
struct diff_side {
    const struct subject *s;
    bool planned; /* told as lathe-convert would write it */
    struct plan plan;
    struct diff_tensor *tensors;
    size_t n_tensors;
    const struct kv *kvs; /* in the spelling of the comparison; or, of two folders, none: see json */
    size_t n_kvs;
};
/* One metadata key or hyperparameter that differs. Texts are as shown, cut where long; NULL: this side has none. */
struct diff_entry {
    const char *key, *a, *b;
};
struct diff_pair {
    const struct diff_tensor *a, *b; /* NULL: only the other side has it */
};
struct diff_entries {
    struct diff_entry *items;
    size_t n, cap, n_compared;
};
struct diff {
    struct diff_side a, b;
    struct diff_entries metadata, hparams;
    struct diff_pair *pairs; /* those that differ, in A's order, then what only B has */
    size_t n_pairs, n_common, n_type, n_shape, n_only_a, n_only_b;
    size_t n_regrouped; /* tensors whose rows the other side has in other tensors */
    struct arena mem;
};
enum status diff_make(struct diff *d, const struct subject *a, const struct subject *b, struct error *err);
void diff_clear(struct diff *d);
bool diff_same(const struct diff *d);
void diff_text(const struct diff *d, struct buf *out);
void diff_json(const struct diff *d, struct jwriter *w);

/* For diff.c: fill d->metadata, d->hparams. */
enum status diff_metadata(struct diff *d, struct error *err);
enum status diff_hparams(struct diff *d, struct error *err);

#endif

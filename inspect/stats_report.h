/* Statistics as columns of the tensor list, as JSON, as CSV, and added up by the role that tensors have in the model. */
#ifndef LATHE_STATS_REPORT_H
#define LATHE_STATS_REPORT_H

#include "base/json.h"
#include "core/stats.h"
#include "inspect/roles.h"

void stats_text_head(struct buf *out);
void stats_text(const struct tensor_stats *s, struct buf *out);
/* Member "stats" of the object that is open. */
void stats_json(const struct tensor_stats *s, struct jwriter *w);
/* Names of the columns, with a comma before each; and the values. */
void stats_csv_head(struct buf *out);
void stats_csv(const struct tensor_stats *s, struct buf *out);

/* What all tensors of one role have together. */
struct role_stats {
    struct role_sum {
        struct moments m;
        int64_t n_tensors, n_outlier_tensors; /* with an outlier row or column */
        double std_min, std_max;              /* of single tensors */
    } sums[ROLE_COUNT][PART_COUNT];
    struct tensor_roles roles;
};
/* Without a model nothing is gathered. */
enum status role_stats_begin(struct role_stats *r, const struct subject *s, struct error *err);
void role_stats_add(struct role_stats *r, const struct subject *s, const struct ckpt_tensor *t,
                    const struct tensor_stats *stats);
void role_stats_text(const struct role_stats *r, struct buf *out);
void role_stats_json(const struct role_stats *r, struct jwriter *w); /* member "roles" */
void role_stats_clear(struct role_stats *r);

#endif

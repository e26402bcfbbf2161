/* Statistics of one tensor in one streaming pass, in bounded memory.
 *
 *     struct tensor_stats s;
 *     TRY(stats_tensor(t, workers, &s, &progress, err));
 *
 * docs/numerics.md defines every figure. Results do not depend on the number of threads: work is cut into pieces that follow from the shape
 * alone, and their results are merged in order.
 */
#ifndef LATHE_STATS_H
#define LATHE_STATS_H

#include "base/progress.h"
#include "base/workers.h"
#include "core/moments.h"
#include "formats/checkpoint.h"

enum {
    STATS_OUTLIER = 4, /* a channel whose RMS is more than this many times the median is an outlier */
    STATS_CHANNELS_MAX = 1 << 20, /* channels are looked at up to this many */
};
/* The rows, or columns, of a matrix as channels. n_channels 0: not looked at (no matrix, or too many). */
struct channel_stats {
    int64_t n_channels, n_outliers;
    int64_t worst;      /* the channel with the largest RMS, the first of equal ones */
    double worst_ratio; /* its RMS by the median RMS; 0 when the median is 0 */
};
struct tensor_stats {
    struct moments
        m; /* of all elements; n_subnormal: below the smallest normal number of the tensor's type */
    double std, kurtosis, abs_max;
    struct channel_stats rows, cols;
};
/* STATUS_UNSUPPORTED for a type that cannot be decoded. progress may be NULL. */
enum status stats_tensor(const struct ckpt_tensor *t, struct workers *w, struct tensor_stats *out,
                         struct progress *progress, struct error *err);

#endif

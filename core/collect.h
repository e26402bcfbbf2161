/* Makes an importance matrix: runs a model over token ids and sums the squares of what each matrix of a layer is multiplied with, column by column.
 *
 *     TRY(collect_run(model, ids, n, &(struct collect_options){.n_context = 512, .workers = w, ...}, &result, err));
 *
 * The file is llama-imatrix's: general.type, imatrix.datasets, imatrix.chunk_count and .chunk_size, and of each matrix NAME.in_sum2 and
 * NAME.counts as F32, by name. As there, ids are cut into windows of n_context, what is left over is not used, the output matrix is not
 * collected, and each window starts at position 0. Sums are taken in double. Names and columns are GGUF's, whatever form the model has.
 */
#ifndef LATHE_COLLECT_H
#define LATHE_COLLECT_H

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "models/forward.h"

struct collect_options {
    const struct tool *tool; /* keeps the file (tool_keep) */
    const char *path;
    unsigned flags;      /* of the output file: enum outfile_flag */
    const char *dataset; /* name of the text or list of ids; its folder is left out */
    int64_t n_context;   /* at least 16: fewer say little */
    int32_t first_id;    /* takes the place of each window's first id, as llama-imatrix does with BOS; -1: none */
    struct workers *workers;
    struct progress *progress;
};
struct collect_result {
    size_t n_entries;
    int64_t n_chunks;
    uint64_t size_bytes;
};
/* STATUS_RANGE for fewer ids than a window, or a sum that is not finite (names the tensor). */
enum status collect_run(const struct model *m, const int32_t *ids, int64_t n, const struct collect_options *opt, struct collect_result *out,
                        struct error *err);
/* Bytes of weights that a run reads: what progress counts. */
uint64_t collect_bytes(const struct model *m, int64_t n_windows);

#endif

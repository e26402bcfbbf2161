/* Executes a plan: reads every source tensor, rearranges and casts it, and writes it at its place, in bounded memory.
 *
 *     TRY(outfile_create(&o, path, flags, p.out.size_bytes, err));
 *     TRY(writer_run(&p, o, &(struct writer_options){.workers = w, .hash = true}, err));
 *     receipt_patch(&p);                      digests are known now
 *     TRY(writer_header(&p, o, err));
 *     TRY(outfile_commit(o, err));
 *
 * The bytes do not depend on the number of threads or on the size of the pieces. Memory does not grow with the model: a few MiB per worker,
 * or one head (where rows are reordered) or one column (TRANSFORM_TRANSPOSE) where that is larger. Every source byte is read once; twice for a
 * transposed tensor that is larger than a piece and whose digest is wanted.
 */
#ifndef LATHE_WRITER_H
#define LATHE_WRITER_H

#include "base/file.h"
#include "base/progress.h"
#include "base/workers.h"
#include "core/plan.h"

struct writer_options {
    struct workers *workers;
    struct progress *progress; /* gets the source bytes as they are done; may be NULL */
    bool hash;                 /* fill plan_source.sha256 */
    bool finite; /* a NaN or an infinity in a source is an error; for block types it always is one */
    bool
        allow_overflow; /* finite values that the target cannot hold become infinite and are counted; else an error */
    const bool *skip;     /* by tensor: complete already; NULL: none */
    /* Called when all of a tensor is written and its digests are known, one call at a time; NULL: not at all */
    enum status (*tensor_done)(void *ctx, size_t i, struct error *err);
    void *done_ctx;
    uint64_t piece_bytes; /* source bytes of a piece; 0: chosen by the number of workers */
};
/* Where bytes go instead of a file: any order, any thread, each byte once. */
struct writer_sink {
    enum status (*write)(void *ctx, uint64_t off, const void *src, size_t n, struct error *err);
    void *ctx;
};
enum status writer_run_to(struct plan *p, const struct writer_sink *sink, const struct writer_options *opt, struct error *err);
/* Tensor data and padding. Fills audit of every tensor. Errors of the content (overflow, not finite) name tensor, row, column and value;
 * they are the first in the order of the plan, whatever the number of threads. */
enum status writer_run(struct plan *p, struct outfile *o, const struct writer_options *opt,
                       struct error *err);
/* Bytes that writer_run needs for n_workers beyond what the plan occupies: an upper bound. */
uint64_t writer_memory_bytes(struct plan *p, int n_workers);
/* The header as it stands in p->out.header. */
enum status writer_header(const struct plan *p, struct outfile *o, struct error *err);

#endif

/* Derives a quantized GGUF again from the model it was made of, and compares: the same bytes, or where they first differ.
 *
 *     TRY(requantize_compare(source, quantized, &(struct requantize_options){.workers = w}, &result, err));
 *
 * Each tensor of `quantized` is made anew from the source's tensor of that name in the type that the file gives it, whatever recipe was used.
 * Metadata is not compared. Where block types differ they are made once more with encoders that fuse multiplications and additions, as compilers do
 * that are not told otherwise (ggml's own builds on ARM, and on x86 before the end of 2024): then result.n_fused_blocks tells how many still differ.
 */
#ifndef LATHE_REQUANTIZE_H
#define LATHE_REQUANTIZE_H

#include "base/progress.h"
#include "core/imatrix.h"
#include "core/writer.h"
#include "dtypes/kernels.h"
#include "models/model.h"

struct requantize_options {
    const struct imatrix *imatrix; /* that the file was made with; NULL: none */
    struct workers *workers;
    struct progress *progress;
};
struct requantize_result {
    size_t n_tensors, n_different; /* of the quantized file; n_missing ones are not in the source */
    size_t n_missing;
    const char *missing;           /* the first of them */
    uint64_t n_blocks, n_different_blocks; /* of all tensors; an element is a block of its own in plain types */
    /* the first difference in the order of the file; valid when n_different > 0 */
    const char *tensor;
    enum dtype dtype;
    int64_t row, block, byte; /* block inside the row, byte inside the block */
    uint64_t tensor_blocks, tensor_different_blocks;
    bool fused_tried;        /* encoders that fuse were tried, on every tensor of a block type that differs */
    uint64_t n_fused_tried;  /* differing blocks of those tensors */
    uint64_t n_fused_blocks; /* blocks of them that differ from what the fused encoders give that come nearest */
    enum fuse_style style;   /* those encoders' */
};
/* Texts of the result live as long as `quantized`. STATUS_FORMAT when quantized is no GGUF, STATUS_MISMATCH when a shape differs; a type that cannot
 * be encoded here, or not without importance weights, is an error, too. */
enum status requantize_compare(struct model *source, struct checkpoint *source_gguf, struct checkpoint *quantized,
                               const struct requantize_options *opt, struct requantize_result *out, struct error *err);

#endif

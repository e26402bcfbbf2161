/* Elements of a view (a tensor that is transposed, expanded, or a slice of something larger) in row-major order.
 *
 *     struct strided_block b = strided_block(t, elem_bytes, index, 4 << 20);
 *     TRY(strided_gather(t, elem_bytes, &b, dst, read, ctx, err));       dst gets b.n_elements elements
 *
 * A row of a transposed matrix lies scattered over the whole storage, one element here and there. So views are read in blocks: as many
 * rows as fit the wanted size, gathered in the order in which they lie in the storage, in reads of up to STRIDED_SPAN_BYTES.
 */
#ifndef LATHE_STRIDED_H
#define LATHE_STRIDED_H

#include "formats/container.h"

enum { STRIDED_SPAN_BYTES = 1 << 20 };

struct strided_block {
    uint64_t first, n_elements; /* in the row-major order of the tensor */
    int dim;      /* indices before dim are fixed; of dim, `rows` are taken; those after it are complete */
    uint64_t off; /* storage offset of its first element, in elements, from the view's first */
    int64_t rows;
};
/* The block that holds element `index` (< t->n_elements): at most max_bytes, if one element fits. Blocks do not overlap. */
struct strided_block strided_block(const struct tensor *t, uint64_t elem_bytes, uint64_t index,
                                   uint64_t max_bytes);

/* Bytes [off, off + n) of the storage, counted from the view's first element. */
typedef enum status strided_read_fn(void *ctx, uint64_t off, void *dst, size_t n, struct error *err);
/* Uses at most STRIDED_SPAN_BYTES of memory. elem_bytes is at most 16. */
enum status strided_gather(const struct tensor *t, uint64_t elem_bytes, const struct strided_block *b,
                           void *dst, strided_read_fn *read, void *ctx, struct error *err);

/* True if the elements lie in row-major order without gaps. Dimensions of one element may have any stride. */
bool strided_is_contiguous(const struct tensor *t);
/* *end = 1 + the largest storage offset that the view reaches from its first element, 0 for an empty view; false if that overflows. */
bool strided_extent(const struct tensor *t, uint64_t *end);

#endif

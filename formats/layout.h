/* Where the bytes of a container's tensors lie, and which bytes belong to none.
 *
 *     struct layout l;
 *     TRY(layout_measure(&l, container, NULL, 0, err));
 *
 * For what opening has accepted: ranges are inside the file, and overlap only where tensors are views of one storage (torch). Reads the gaps, up to
 * LIMIT_LAYOUT_READ bytes, to tell padding from something that is hidden there.
 */
#ifndef LATHE_LAYOUT_H
#define LATHE_LAYOUT_H

#include "base/limits.h"
#include "formats/container.h"

struct layout_region {
    uint64_t begin, end;
};
struct layout {
    uint64_t off_first, off_end; /* of the regions */
    uint64_t tensor_bytes;       /* sum over tensors */
    size_t n_shared;             /* tensors that begin inside the bytes of another */
    size_t n_storages;           /* that tensors are views of (torch); 0: tensors are their own */
    size_t n_gaps, n_filled;     /* bytes of no tensor between and after tensors; those with bytes other than 0 */
    uint64_t gap_bytes, largest_gap, off_filled; /* off_filled: the first byte that is not 0 */
    bool gaps_unread;                            /* there were more than LIMIT_LAYOUT_READ bytes of them */
    uint64_t trailing_bytes;                     /* after the last tensor (and its padding), among the gaps */
    uint64_t alignment;                          /* highest power of two that all offsets are a multiple of, at most 4096 */
    int dims_max;
    size_t name_max;
    const struct tensor *largest; /* NULL: there are no tensors */
    size_t n_empty;
};
/* The regions that tensors should fill, ascending; none: from c->off_data (or the first tensor) to the end of the file. */
enum status layout_measure(struct layout *l, const struct container *c, const struct layout_region *regions,
                           size_t n_regions, struct error *err);

#endif

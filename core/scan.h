/* Single passes over a tensor's elements in bounded memory: digest, reduction to a picture's cells. Statistics: core/stats.h.
 *
 * Results do not depend on the number of threads: work is cut into fixed pieces whose results are merged in order.
 */
#ifndef LATHE_SCAN_H
#define LATHE_SCAN_H

#include "base/digest.h"
#include "base/progress.h"
#include "base/workers.h"
#include "core/cells.h"
#include "formats/checkpoint.h"

/* SHA-256 of the elements' bytes in row-major order. */
enum status scan_sha256(const struct ckpt_tensor *t, uint8_t digest[SHA256_BYTES], struct progress *progress,
                        struct error *err);

/* Cells of at most max_cells per side; a tensor of more than two dimensions is seen as its rows, a 1-D one as one row. */
enum status scan_cells(const struct ckpt_tensor *t, struct workers *w, enum reduction r, int64_t max_cells,
                       struct cells *out, struct error *err);

#endif

/* NumPy's array files, as far as they carry token ids, tables of numbers, and logits.
 *
 *     struct npy a;
 *     TRY(npy_read(&a, "ids.npy", 1 << 30, err));
 *     int64_t id = npy_int(&a, 0);
 *     npy_clear(&a);
 *
 *     struct buf head = {0};
 *     TRY(npy_header(&head, DTYPE_F32, 2, (int64_t[]){n_positions, n_vocab}, err));
 *     ... write head.data, head.len bytes; then the rows as they come, little-endian
 *
 *   1. "\x93NUMPY", u8 major version (1 or 2; 3 differs in the header's encoding), u8 minor
 *   2. u16 (version 1) or u32 length of the header
 *   3. header: a Python dict in text, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, spaces, newline
 *   4. the elements, row-major
 *
 * Read are 0-, 1- and 2-D arrays of little-endian int32, int64, float32 and float64 in C order. The file must have exactly the bytes that its
 * header announces.
 */
#ifndef LATHE_NPY_H
#define LATHE_NPY_H

#include "base/memory.h"
#include "dtypes/dtype.h"

struct npy {
    enum dtype dtype; /* I32, I64, F32, F64 */
    int n_dims;
    int64_t shape[2]; /* missing dimensions are 1 */
    int64_t n_elements;
    void *data; /* owned */
};
/* STATUS_FORMAT for anything that is not such a file, STATUS_UNSUPPORTED for other types, orders and ranks, STATUS_RANGE beyond max_bytes. */
enum status npy_read(struct npy *out, const char *path, uint64_t max_bytes, struct error *err);
void npy_clear(struct npy *a);
/* Element i as integer (a fraction is cut off) or double. i must be in range. */
int64_t npy_int(const struct npy *a, int64_t i);
double npy_double(const struct npy *a, int64_t i);
enum { NPY_HEADER_DIMS_MAX = 4 };
/* Parts 1 to 3 appended to out: version 1, a multiple of 64 bytes, as NumPy writes them. Types as above, 0 to
 * NPY_HEADER_DIMS_MAX dimensions. */
enum status npy_header(struct buf *out, enum dtype t, int n_dims, const int64_t *shape, struct error *err);

#endif

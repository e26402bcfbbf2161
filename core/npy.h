/* Arrays in NumPy's file format, as far as tools exchange them: token ids in, logits out.
 *
 * Layout: 1. "\x93NUMPY"; 2. major and minor version, one byte each; 3. length of the header, 2 bytes (version
 * 1) or 4, little-endian; 4. the header: a Python dictionary with 'descr', 'fortran_order' and 'shape', padded
 * with spaces to a multiple of 64 bytes from the start, ended by a newline; 5. the elements.
 */
#ifndef LATHE_NPY_H
#define LATHE_NPY_H

#include "base/memory.h"
#include "base/status.h"

#include <stdint.h>

enum { NPY_DIMS_MAX = 8 };
struct npy {
    char kind;      /* 'i', 'u', 'f', 'b' */
    int size_bytes; /* of an element: 1, 2, 4, 8 */
    bool fortran;   /* first index fastest */
    int n_dims;
    int64_t shape[NPY_DIMS_MAX];
    uint64_t n_elements;
    const unsigned char *data; /* into the text that was parsed; any alignment */
};
bool npy_is(const void *data, size_t n); /* by the first bytes */
/* Little-endian arrays only. STATUS_FORMAT when the header does not follow the format or the elements do not fill the file. */
enum status npy_parse(struct npy *out, const void *data, size_t n, const char *path, struct error *err);
/* Parts 1 to 4 of a (rows, cols) array of float or double in C order, appended to b. */
void npy_header(struct buf *b, bool is_f64, int64_t rows, int64_t cols);

#endif

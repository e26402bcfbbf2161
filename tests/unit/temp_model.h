/* Small checkpoints made on the spot, for tests of what reads and writes tensors. */
#ifndef LATHE_TEMP_MODEL_H
#define LATHE_TEMP_MODEL_H

#include "formats/checkpoint.h"
#include "formats/gguf.h"

struct temp_tensor {
    const char *name;
    enum dtype dtype;
    int n_dims;
    int64_t shape[4];
    const void *data; /* NULL: temp_value of each index, as F32 */
};
/* What an element is unless told otherwise: an integer of at most 16 bits, so that every plain type but F8 and BF16 holds it. In Python:
 * (i * 40503) % 65536 - 32768 */
float temp_value(uint64_t i);
/* A folder of its own below TMPDIR, removed with all it holds at the end of the program. */
const char *temp_dir(void);
/* path of a file in it; a few are kept */
const char *temp_path(const char *name);
/* Writes a GGUF file with these tensors (and the key general.architecture) and opens it. Fails the test on any error. */
struct checkpoint *temp_model(const char *name, const struct temp_tensor *tensors, size_t n);

#endif

/* The header of a safetensors file, whose layout formats/safetensors.c describes.
 *
 *     qsort(tensors, n, sizeof *tensors, safetensors_compare);
 *     TRY(safetensors_header(&header, tensors, n, err));         tensors[i].off is its offset in the file from now on
 *
 * The bytes are those that the safetensors library writes for the same tensors with the metadata {"format": "pt"}: wide types first, then by name,
 * no gaps, and spaces behind the JSON up to a multiple of 8.
 */
#ifndef LATHE_SAFETENSORS_WRITE_H
#define LATHE_SAFETENSORS_WRITE_H

#include "formats/container.h"

struct safetensors_out {
    const struct tensor *t; /* name, dtype, shape and size_bytes count */
    void *owner;            /* the caller's */
    uint64_t off;           /* a result */
};
int safetensors_compare(const void *a, const void *b);
/* Appended to *out. STATUS_UNSUPPORTED for a type that the format has not, STATUS_RANGE for equal names or a header beyond its limit. */
enum status safetensors_header(struct buf *out, struct safetensors_out *tensors, size_t n, struct error *err);

#endif

/* A run of elements from one type to another, checked, in small steps; the step between reading a piece and writing it.
 *
 * Equal types: the bytes are passed on as they are and only looked at. Nothing is printed or kept; thread-safe with a scratch per thread.
 */
#ifndef LATHE_ENCODE_H
#define LATHE_ENCODE_H

#include "core/damage.h"
#include "core/transform.h"
#include "dtypes/dtype.h"

#include <stddef.h>

enum fault_kind { FAULT_NONE, FAULT_NOT_FINITE, FAULT_OVERFLOW };
struct encode_fault {
    enum fault_kind kind;
    int64_t index; /* counted from the tensor's first element */
    double value;  /* the source's */
};
struct encode_scratch {
    void *out;
    double *scaled;
    float *before, *after; /* a step's weights, for block types */
    size_t cap;            /* elements in each of them; a row may be longer than a step */
};
void encode_scratch_clear(struct encode_scratch *s);
/* Bytes that a scratch grows to for such a tensor. */
uint64_t encode_scratch_bytes(enum dtype from, enum dtype to, int64_t n_per_row, bool scaled);

struct encode_job {
    enum dtype from, to;
    int64_t first; /* index of the first element in its tensor; a multiple of both types' blocks */
    int64_t n;
    /* For a block type as target `first` and n are whole rows of n_per_row. Each run of n_rows_shared rows of the tensor has its n_per_row
     * importance weights; NULL: none. */
    int64_t n_per_row, n_rows_shared;
    const float *weights;
    const void *src;
    bool finite, allow_overflow; /* as in struct writer_options */
    /* elements of the tensor before this index are multiplied by scale, in double, before they are rounded; 0: none */
    int64_t scale_end;
    const struct transform_spec *scale_by; /* not NULL: the index that counts is that of the element in the transform's source */
    double scale;
    /* target bytes, in ascending order of offsets; off is that of the tensor's first byte */
    uint64_t off;
    enum status (*write)(void *ctx, uint64_t off, const void *src, size_t n, struct error *err);
    void *ctx;
    /* results. A fault ends the run early and is no error: the caller decides which one to tell. */
    struct cast_audit audit; /* start from CAST_AUDIT_INIT; first_overflow counts from `first` */
    struct damage damage;    /* of a block type as target; to be zeroed before */
    struct encode_fault fault;
};
enum status encode_run(struct encode_job *job, struct encode_scratch *s, struct error *err);

/* Index of the first element that is NaN or infinite, n if there is none or t cannot be decoded. Counts of all of them add to *n_nan and *n_inf.
 * Fast where all is well. */
int64_t encode_scan(enum dtype t, const void *src, int64_t n, uint64_t *n_nan, uint64_t *n_inf);

#endif

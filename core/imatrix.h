/* Importance matrix: for each column of a weight matrix the mean square of what it is multiplied with, on some text.
 *
 *     struct imatrix *im;
 *     TRY(imatrix_open(&im, "imatrix.gguf", err));               llama.cpp's GGUF form or its older .dat
 *     const struct imatrix_entry *e = imatrix_find(im, "blk.0.attn_q.weight");
 *     TRY(imatrix_read(im, e, weights, err));                    e->n_values floats
 *     imatrix_close(im);
 *
 * Opening reads the whole file once, in bounded memory: for its digest, and because a value that is not finite makes the file useless
 * (STATUS_RANGE names entry and index). Values are read when they are asked for and are those that llama-quantize computes: of the GGUF form sum
 * by count, 1 where the count is 0 (an expert that was never asked); of the .dat value by number of calls. Reading is thread-safe.
 */
#ifndef LATHE_IMATRIX_H
#define LATHE_IMATRIX_H

#include "base/digest.h"
#include "formats/container.h"

struct imatrix_entry {
    const char *name;   /* of the tensor */
    int64_t n_values;   /* columns, times experts */
    int64_t n_counts;   /* 1, or one for each expert */
    /* how the file holds it; callers do not look */
    const struct tensor *sums, *counts; /* GGUF form */
    uint64_t off_file;                  /* .dat: of the values */
    int32_t n_calls;                    /* .dat */
};
struct imatrix {
    const char *path;
    char sha256[SHA256_HEX]; /* of the file */
    bool legacy;
    const char *dataset; /* the first one's name, or NULL */
    int64_t n_chunks;    /* 0: not told */
    struct imatrix_entry *entries; /* by name */
    size_t n_entries;
    struct container *gguf; /* GGUF form; else `file` */
    struct file file;
    struct strmap by_name;
    struct arena mem;
};
enum status imatrix_open(struct imatrix **out, const char *path, struct error *err);
void imatrix_close(struct imatrix *im); /* NULL is allowed */
/* NULL when there is none */
const struct imatrix_entry *imatrix_find(const struct imatrix *im, const char *tensor_name);
enum status imatrix_read(const struct imatrix *im, const struct imatrix_entry *e, float *values, struct error *err);

#endif

/* The ways a source tensor's elements are rearranged on the way into the unified format.
 *
 *     struct transform_spec s;
 *     TRY(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_BF16, 2, shape, &(struct transform_args){.heads = 32}, err));
 *     int64_t n = transform_slab(&s, 1 << 20);                       target elements that about 1 MiB holds
 *     TRY(transform_read(&s, first, n, read, ctx, dst, scratch, &raw, err));
 *
 * A transform only permutes: every element keeps its bytes, so it can be undone, and a slab of target elements is made from the source
 * bytes it needs in bounded memory. Types with blocks can be permuted by whole rows. Stateless and thread-safe.
 * Adding one: a value in enum transform (models/arch.h), a line in the table of transform.c.
 */
#ifndef LATHE_TRANSFORM_H
#define LATHE_TRANSFORM_H

#include "models/arch.h"

/* What a kind needs beside the shape; the rest stays 0. */
struct transform_args {
    int64_t heads;   /* ROPE_ROWS, HALVES_ROWS: heads in the rows; QKV_GROUPS, QKV_UNGROUP: query heads */
    int64_t groups;  /* QKV_GROUPS, QKV_UNGROUP: key and value heads */
    int64_t rotated; /* ROPE_ROWS, HALVES_ROWS: rows at the start of each head that are reordered; 0: all */
};
struct transform_spec {
    enum transform kind;
    enum dtype dtype; /* of the elements, before and after */
    int64_t n_elements;
    int64_t rows,
        cols; /* of the target; dimensions before the last are flattened into rows; where rows are reordered they are the first dimension */
    struct transform_args args;
    /* where rows are reordered: runs that keep together, and the range that none of them leaves */
    int64_t unit_rows, group_rows;
    int n_dims;    /* of the target */
    int64_t shape[TENSOR_DIMS_MAX];
};

/* Source bytes [off, off + n), row-major. */
typedef enum status transform_reader(void *ctx, uint64_t off, void *dst, size_t n, struct error *err);

/* "none", "transpose", "rope_rows", "halves_rows", "qkv_groups", "qkv_ungroup": the word in plans and receipts */
const char *transform_name(enum transform kind);
enum transform transform_from_name(const char *name); /* TRANSFORM_COUNT if unknown */
/* What undoes it, with the same arguments. */
enum transform transform_inverse(enum transform kind);

/* n_dims and shape are the source's; args may be NULL. STATUS_RANGE when the shape does not fit the transform: not a matrix, rows that are no
 * multiple of the heads, an odd number of rotated rows; STATUS_UNSUPPORTED for a block type that would be cut. */
enum status transform_init(struct transform_spec *s, enum transform kind, enum dtype dtype, int n_dims,
                           const int64_t *shape, const struct transform_args *args, struct error *err);

/* Target elements of a slab whose source bytes are at most max_bytes, or one indivisible piece (256 elements, a head, a row of a transposed
 * matrix) when that is larger; at most n_elements. Slabs begin at multiples of it; the last one may be shorter. A slab is a whole number of
 * blocks of any type that the target's rows can have. */
int64_t transform_slab(const struct transform_spec *s, uint64_t max_bytes);
/* Bytes of n elements; n is a multiple of the type's block. */
uint64_t transform_bytes(const struct transform_spec *s, int64_t n);
/* true when slabs of that many elements are made from the same range of source bytes, in ascending order: a digest of the source can be taken
 * along the way. */
bool transform_in_order(const struct transform_spec *s, int64_t slab);

/* Target elements [first, first + n) into dst; first is a multiple of transform_slab and n that or the rest. scratch: as large as dst.
 * *raw: the source bytes of the same range when transform_in_order, in dst or scratch, valid until these are written again; else NULL. */
enum status transform_read(const struct transform_spec *s, int64_t first, int64_t n, transform_reader *read,
                           void *ctx, void *dst, void *scratch, const void **raw, struct error *err);

/* Row-major index in the source of the element at row-major index i of the target. */
int64_t transform_source_index(const struct transform_spec *s, int64_t i);

#endif

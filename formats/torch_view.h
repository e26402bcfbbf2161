/* A tensor as PyTorch files hold it: a view of a storage. What the zip form and the form before it share.
 *
 *     TRY(torch_view_set(&t, &named, &place, path, err));
 *     TRY(torch_block_read(&block, &t, off, dst, n, read, ctx, err));     elements that do not lie in row-major order
 *     torch_block_clear(&block);
 */
#ifndef LATHE_TORCH_VIEW_H
#define LATHE_TORCH_VIEW_H

#include "formats/strided.h"
#include "formats/torch_state.h"

/* Where a storage's bytes are. */
struct torch_place {
    uint64_t off_file, size_bytes;
    bool big_endian;
};
/* Fills *t. STATUS_FORMAT when the view reaches beyond its storage, STATUS_UNSUPPORTED for one that repeats a few bytes until they are many. */
enum status torch_view_set(struct tensor *t, const struct torch_named *named, const struct torch_place *place,
                           const char *path, struct error *err);

/* The block of a view that was gathered last. Start from {0}. Not thread-safe: the caller holds a lock. */
struct torch_block {
    const struct tensor *of; /* NULL: none */
    struct strided_block block;
    unsigned char *bytes;
};
/* Row-major bytes [off, off + n) of t, in native byte order; read gives the storage's bytes from the view's first element on. */
enum status torch_block_read(struct torch_block *b, const struct tensor *t, uint64_t off, void *dst, size_t n,
                             strided_read_fn *read, void *ctx, struct error *err);
void torch_block_clear(struct torch_block *b);

#endif

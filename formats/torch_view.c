#include "formats/torch_view.h"

#include <stdlib.h>
#include <string.h>

enum {
    EXPAND_FREE_BYTES =
        256 << 20, /* an expanded view (stride 0) may be that large, or EXPAND_RATIO of its storage */
    EXPAND_RATIO = 64,
    BLOCK_BYTES = 4 << 20,
};

/* The view lies in the part of the storage that it may see; *off is where it begins in the whole storage, in elements (0 when empty). */
static enum status check_extent(const struct tensor *t, const struct pickle_tensor *p, uint64_t n_storage,
                                uint64_t *off, const char *path, struct error *err)
{
    const struct pickle_storage *s = p->storage;
    uint64_t seen = s->root ? s->n_elements : n_storage, end;
    *off = 0;
    if (!strided_extent(t, &end) || (end > 0 && (!size_add(end, (uint64_t)p->offset, &end) || end > seen)))
        return error_at(err, STATUS_FORMAT, path, t->name,
                        "its view reaches beyond its storage of %llu elements", (unsigned long long)seen);
    if (end > 0) *off = s->off_root + (uint64_t)p->offset; /* off_root + n_elements fits the root: pickle.h */
    return STATUS_OK;
}

enum status torch_view_set(struct tensor *t, const struct torch_named *named, const struct torch_place *place,
                           const char *path, struct error *err)
{
    const struct pickle_tensor *p = named->tensor;
    uint64_t elem = dtype_info(p->dtype)->block_bytes, off;
    t->name = named->name;
    t->dtype = p->dtype;
    t->n_dims = p->n_dims;
    memcpy(t->shape, p->shape, sizeof t->shape);
    memcpy(t->stride, p->stride, sizeof t->stride);
    TRY(tensor_set_size(t, path, err));
    TRY(check_extent(t, p, place->size_bytes / elem, &off, path, err));
    if (t->size_bytes > EXPAND_FREE_BYTES && t->size_bytes / EXPAND_RATIO > place->size_bytes)
        return error_at(err, STATUS_UNSUPPORTED, path, t->name,
                        "a view that repeats the %llu bytes of its storage until they are %llu",
                        (unsigned long long)place->size_bytes, (unsigned long long)t->size_bytes);
    t->storage_id = p->storage->index + 1;
    t->off_file = place->off_file + off * elem;
    t->contiguous = strided_is_contiguous(t);
    t->swapped = place->big_endian && elem > 1;
    return STATUS_OK;
}

/* Both parts of a complex number are swapped by themselves. */
static void swap_bytes(enum dtype type, uint64_t elem, unsigned char *p, uint64_t n_bytes)
{
    uint64_t k = type == DTYPE_C64 || type == DTYPE_C128 ? elem / 2 : elem;
    for (uint64_t i = 0; i < n_bytes; i += k) {
        for (uint64_t a = 0, b = k - 1; a < b; a++, b--) {
            unsigned char t = p[i + a];
            p[i + a] = p[i + b];
            p[i + b] = t;
        }
    }
}

/* Makes the block with element `index` of t the one that is kept. */
static enum status load_block(struct torch_block *b, const struct tensor *t, uint64_t elem, uint64_t index,
                              strided_read_fn *read, void *ctx, struct error *err)
{
    if (b->of == t && index >= b->block.first && index - b->block.first < b->block.n_elements)
        return STATUS_OK;
    if (!b->bytes) {
        void *mem;
        TRY(mem_alloc(&mem, BLOCK_BYTES, 1, err));
        b->bytes = mem;
    }
    b->of = NULL;
    b->block = strided_block(t, elem, index, BLOCK_BYTES);
    TRY(strided_gather(t, elem, &b->block, b->bytes, read, ctx, err));
    if (t->swapped) swap_bytes(t->dtype, elem, b->bytes, b->block.n_elements * elem);
    b->of = t;
    return STATUS_OK;
}

enum status torch_block_read(struct torch_block *b, const struct tensor *t, uint64_t off, void *dst, size_t n,
                             strided_read_fn *read, void *ctx, struct error *err)
{
    uint64_t elem = dtype_info(t->dtype)->block_bytes;
    unsigned char *to = dst;
    while (n > 0) {
        TRY(load_block(b, t, elem, off / elem, read, ctx, err));
        uint64_t begin = off - b->block.first * elem, left = b->block.n_elements * elem - begin;
        size_t k = left < n ? (size_t)left : n;
        memcpy(to, b->bytes + begin, k);
        to += k;
        off += k;
        n -= k;
    }
    return STATUS_OK;
}

void torch_block_clear(struct torch_block *b)
{
    free(b->bytes);
    *b = (struct torch_block){0};
}

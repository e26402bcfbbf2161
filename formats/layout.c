#include "base/limits.h"
#include "formats/layout.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_MAX = 4096, READ_BYTES = 1 << 16, LEGACY_COUNT_BYTES = 8 };

struct extent {
    uint64_t begin, end, storage;
};
struct measuring {
    struct layout *l;
    const struct container *c;
    struct extent *extents; /* ascending by begin */
    size_t n, at; /* at: the first that may lie in the next region */
    uint64_t n_read;
};

/* The bytes of a view reach from its first element to its last. */
static uint64_t extent_bytes(const struct tensor *t)
{
    if (t->contiguous || t->n_elements == 0) return t->size_bytes;
    uint64_t last = 0;
    for (int i = 0; i < t->n_dims; i++) last += (uint64_t)(t->shape[i] - 1) * (uint64_t)t->stride[i];
    return (last + 1) * dtype_info(t->dtype)->block_bytes;
}

static int by_begin(const void *pa, const void *pb)
{
    const struct extent *a = pa, *b = pb;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static void note_limits(struct measuring *m)
{
    struct layout *l = m->l;
    for (size_t i = 0; i < m->c->n_tensors; i++) {
        const struct tensor *t = &m->c->tensors[i];
        size_t name = strlen(t->name);
        l->tensor_bytes += t->size_bytes;
        l->n_empty += t->n_elements == 0;
        if (t->n_dims > l->dims_max) l->dims_max = t->n_dims;
        if (t->storage_id > l->n_storages) l->n_storages = (size_t)t->storage_id;
        if (name > l->name_max) l->name_max = name;
        if (!l->largest || t->size_bytes > l->largest->size_bytes) l->largest = t;
        while (t->off_file % l->alignment != 0) l->alignment /= 2;
        if (t->n_elements > 0) m->extents[m->n++] = (struct extent){t->off_file, t->off_file + extent_bytes(t), t->storage_id};
    }
    qsort(m->extents, m->n, sizeof *m->extents, by_begin);
}

/* Looks for a byte that is not 0. */
static enum status read_gap(struct measuring *m, uint64_t begin, uint64_t end, struct error *err)
{
    static const unsigned char zeros[READ_BYTES];
    unsigned char bytes[READ_BYTES];
    for (uint64_t at = begin; at < end; at += READ_BYTES) {
        size_t n = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
        if (m->n_read + n > LIMIT_LAYOUT_READ) {
            m->l->gaps_unread = true;
            return STATUS_OK;
        }
        m->n_read += n;
        TRY(file_read_at(&m->c->file, at, bytes, n, err));
        if (memcmp(bytes, zeros, n) == 0) continue;
        size_t k = 0;
        while (!bytes[k]) k++;
        if (m->l->n_filled++ == 0) m->l->off_filled = at + k;
        return STATUS_OK;
    }
    return STATUS_OK;
}

/* `between`: of two storages of the form before zip, the second of which begins with its count */
static enum status add_gap(struct measuring *m, uint64_t begin, uint64_t end, bool between, struct error *err)
{
    if (between) end = end - begin > LEGACY_COUNT_BYTES ? end - LEGACY_COUNT_BYTES : begin;
    if (begin >= end) return STATUS_OK;
    m->l->n_gaps++;
    m->l->gap_bytes += end - begin;
    if (end - begin > m->l->largest_gap) m->l->largest_gap = end - begin;
    return read_gap(m, begin, end, err);
}

/* Padding behind the last tensor is no trailing byte. */
static void note_trailing(struct measuring *m, uint64_t covered, uint64_t end)
{
    uint64_t padded;
    if (!size_align(covered, m->c->alignment, &padded)) return;
    m->l->trailing_bytes = end > padded ? end - padded : 0;
}

static enum status measure_region(struct measuring *m, const struct layout_region *r, bool last, struct error *err)
{
    uint64_t covered = r->begin, storage = 0;
    bool legacy = strcmp(m->c->format->name, "torch-legacy") == 0;
    for (; m->at < m->n && m->extents[m->at].begin < r->end; m->at++) {
        const struct extent *e = &m->extents[m->at];
        if (e->begin < r->begin) continue;
        if (e->begin > covered) TRY(add_gap(m, covered, e->begin, legacy && storage && storage != e->storage, err));
        if (e->begin < covered) m->l->n_shared++;
        if (e->end > covered) {
            covered = e->end;
            storage = e->storage;
        }
    }
    if (last) note_trailing(m, covered, r->end);
    return covered < r->end ? add_gap(m, covered, r->end, false, err) : STATUS_OK;
}

enum status layout_measure(struct layout *l, const struct container *c, const struct layout_region *regions,
                           size_t n_regions, struct error *err)
{
    struct measuring m = {.l = l, .c = c};
    void *mem;
    *l = (struct layout){.alignment = ALIGNMENT_MAX};
    TRY(mem_alloc(&mem, c->n_tensors, sizeof *m.extents, err));
    m.extents = mem;
    note_limits(&m);
    struct layout_region whole = {c->off_data, c->file.size_bytes};
    if (whole.begin == 0) whole.begin = m.n ? m.extents[0].begin : whole.end;
    if (n_regions == 0) {
        regions = &whole;
        n_regions = 1;
    }
    l->off_first = regions[0].begin;
    l->off_end = regions[n_regions - 1].end;
    enum status st = STATUS_OK;
    for (size_t i = 0; i < n_regions && st == STATUS_OK; i++) st = measure_region(&m, &regions[i], i + 1 == n_regions, err);
    free(m.extents);
    return st;
}

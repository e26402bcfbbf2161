#include "formats/strided.h"

#include <stdlib.h>
#include <string.h>

/* Reading a span of the storage in one piece is worth it while at least one element in so many is wanted. */
enum { DENSITY = 8 };

struct dim {
    uint64_t n, src, dst; /* elements, and their distances in storage and block */
};
struct gather {
    struct dim dims[TENSOR_DIMS_MAX]; /* widest storage stride first */
    int n_dims;
    /* of the dims from i on: elements, and storage elements from the first to the last of them */
    uint64_t count[TENSOR_DIMS_MAX + 1], span[TENSOR_DIMS_MAX + 1];
    uint64_t elem, max_span; /* bytes; elements */
    unsigned char *dst, *scratch;
    strided_read_fn *read;
    void *ctx;
};

bool strided_is_contiguous(const struct tensor *t)
{
    int64_t expected = 1;
    for (int i = t->n_dims - 1; i >= 0 && t->n_elements > 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != expected) return false;
        expected *= t->shape[i];
    }
    return true;
}

bool strided_extent(const struct tensor *t, uint64_t *end)
{
    uint64_t last = 0, step;
    *end = 0;
    if (t->n_elements == 0) return true;
    for (int i = 0; i < t->n_dims; i++)
        if (!size_mul((uint64_t)t->shape[i] - 1, (uint64_t)t->stride[i], &step) ||
            !size_add(last, step, &last))
            return false;
    return size_add(last, 1, end);
}

struct strided_block strided_block(const struct tensor *t, uint64_t elem_bytes, uint64_t index,
                                   uint64_t max_bytes)
{
    uint64_t max = max_bytes / elem_bytes, inner = 1;
    int dim = t->n_dims - 1;
    if (max == 0) max = 1;
    /* as many trailing dimensions as fit whole */
    while (dim > 0 && inner * (uint64_t)t->shape[dim] <= max) inner *= (uint64_t)t->shape[dim--];
    struct strided_block b = {.first = index, .n_elements = 1, .dim = dim, .rows = 1};
    if (dim < 0) return b;
    uint64_t outer = index / inner, n = (uint64_t)t->shape[dim], i = outer % n,
             rows = max / inner ? max / inner : 1;
    uint64_t begin = i - i % rows, end = n - begin > rows ? begin + rows : n;
    b.first = (outer - i + begin) * inner;
    b.n_elements = (end - begin) * inner;
    b.rows = (int64_t)(end - begin);
    b.off = begin * (uint64_t)t->stride[dim];
    outer /= n;
    for (int d = dim - 1; d >= 0; d--) {
        b.off += outer % (uint64_t)t->shape[d] * (uint64_t)t->stride[d];
        outer /= (uint64_t)t->shape[d];
    }
    return b;
}

static int widest_first(const void *pa, const void *pb)
{
    const struct dim *a = pa, *b = pb;
    return a->src > b->src ? -1 : a->src < b->src;
}

static void plan(struct gather *g, const struct tensor *t, const struct strided_block *b)
{
    uint64_t dst = 1;
    for (int d = t->n_dims - 1; d >= b->dim && d >= 0; d--) {
        uint64_t n = d == b->dim ? (uint64_t)b->rows : (uint64_t)t->shape[d];
        if (n > 1) g->dims[g->n_dims++] = (struct dim){n, (uint64_t)t->stride[d], dst};
        dst *= n;
    }
    qsort(g->dims, (size_t)g->n_dims, sizeof g->dims[0], widest_first);
    g->count[g->n_dims] = g->span[g->n_dims] = 1;
    for (int d = g->n_dims - 1; d >= 0; d--) {
        g->count[d] = g->count[d + 1] * g->dims[d].n;
        g->span[d] = g->span[d + 1] + (g->dims[d].n - 1) * g->dims[d].src;
    }
}

static void copy_elements(unsigned char *dst, const unsigned char *src, uint64_t n, uint64_t dst_step,
                          uint64_t src_step, uint64_t elem)
{
    switch (elem) { /* constant sizes let memcpy become one move */
    case 1:
        for (uint64_t i = 0; i < n; i++) dst[i * dst_step] = src[i * src_step];
        break;
    case 2:
        for (uint64_t i = 0; i < n; i++) memcpy(dst + i * dst_step * 2, src + i * src_step * 2, 2);
        break;
    case 4:
        for (uint64_t i = 0; i < n; i++) memcpy(dst + i * dst_step * 4, src + i * src_step * 4, 4);
        break;
    default:
        for (uint64_t i = 0; i < n; i++) memcpy(dst + i * dst_step * elem, src + i * src_step * elem, elem);
    }
}

/* From the span in scratch to the block: `rows` of dimension d, the dimensions after it whole. Depth is at most TENSOR_DIMS_MAX. */
static void scatter(const struct gather *g, int d, uint64_t rows, uint64_t src, uint64_t dst)
{
    if (d == g->n_dims) {
        memcpy(g->dst + dst * g->elem, g->scratch + src * g->elem, g->elem);
    } else if (d == g->n_dims - 1) {
        copy_elements(g->dst + dst * g->elem, g->scratch + src * g->elem, rows, g->dims[d].dst,
                      g->dims[d].src, g->elem);
    } else {
        for (uint64_t i = 0; i < rows; i++)
            scatter(g, d + 1, g->dims[d + 1].n, src + i * g->dims[d].src, dst + i * g->dims[d].dst);
    }
}

static bool worth_one_read(const struct gather *g, uint64_t span, uint64_t count)
{
    return span <= g->max_span && span / DENSITY <= count;
}

static enum status read_span(const struct gather *g, int d, uint64_t rows, uint64_t span, uint64_t src,
                             uint64_t dst, struct error *err)
{
    TRY(g->read(g->ctx, src * g->elem, g->scratch, (size_t)(span * g->elem), err));
    scatter(g, d, rows, 0, dst);
    return STATUS_OK;
}

/* The block's dimensions from d on. Depth is at most TENSOR_DIMS_MAX. */
static enum status gather(const struct gather *g, int d, uint64_t src, uint64_t dst, struct error *err)
{
    uint64_t n = d < g->n_dims ? g->dims[d].n : 1;
    if (worth_one_read(g, g->span[d], g->count[d])) return read_span(g, d, n, g->span[d], src, dst, err);
    const struct dim *dim = &g->dims[d];
    uint64_t sub = g->span[d + 1], rows = 1;
    /* several rows per read where they are close enough */
    if (worth_one_read(g, sub, g->count[d + 1]) && dim->src / DENSITY <= g->count[d + 1] && dim->src > 0)
        rows = (g->max_span - sub) / dim->src + 1;
    for (uint64_t i = 0; i < n; i += rows) {
        uint64_t k = n - i < rows ? n - i : rows;
        TRY(k > 1 ? read_span(g, d, k, sub + (k - 1) * dim->src, src + i * dim->src, dst + i * dim->dst, err)
                  : gather(g, d + 1, src + i * dim->src, dst + i * dim->dst, err));
    }
    return STATUS_OK;
}

enum status strided_gather(const struct tensor *t, uint64_t elem_bytes, const struct strided_block *b,
                           void *dst, strided_read_fn *read, void *ctx, struct error *err)
{
    struct gather g = {.elem = elem_bytes,
                       .max_span = STRIDED_SPAN_BYTES / elem_bytes,
                       .dst = dst,
                       .read = read,
                       .ctx = ctx};
    void *scratch;
    plan(&g, t, b);
    if (g.span[0] < g.max_span) g.max_span = g.span[0]; /* a small view needs no more memory than that */
    TRY(mem_alloc(&scratch, g.max_span, (size_t)elem_bytes, err));
    g.scratch = scratch;
    enum status st = gather(&g, 0, b->off, 0, err);
    free(scratch);
    return st;
}

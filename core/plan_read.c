#include "core/plan_read.h"

#include "core/dequant.h"

#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 1 << 20, TRANSPOSE_BYTES = 6 << 20 /* wide strips: each source row costs one read */ };

void plan_scratch_clear(struct plan_scratch *s)
{
    free(s->piece);
    free(s->aside);
    free(s->floats);
    *s = (struct plan_scratch){0};
}

enum status plan_scratch_reserve(void **p, size_t *cap, size_t n, struct error *err)
{
    if (n <= *cap) return STATUS_OK;
    free(*p);
    *cap = 0;
    *p = malloc(n);
    if (!*p) return error_nomem(err, n);
    *cap = n;
    return STATUS_OK;
}

enum status plan_read_sources(void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const struct plan_tensor *t = ctx;
    char *to = dst;
    for (size_t i = 0; i < t->n_sources && n > 0; i++) {
        uint64_t size_bytes = t->sources[i].t->t->size_bytes;
        if (off >= size_bytes) {
            off -= size_bytes;
            continue;
        }
        size_t part = size_bytes - off < n ? (size_t)(size_bytes - off) : n;
        TRY(ckpt_read(t->sources[i].t, off, to, part, err));
        to += part;
        n -= part;
        off = 0;
    }
    return n == 0 ? STATUS_OK : error_at(err, STATUS_RANGE, "", t->name, "the plan reads beyond its sources");
}

/* The same bytes of the sources as floats, for blocks that must not be cut. Off and n are whole floats. */
static enum status read_decoded(void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    enum { CHUNK = 4096 }; /* floats; a multiple of every block */
    const struct plan_tensor *t = ctx;
    const struct dtype_info *info = dtype_info(t->from);
    float values[CHUNK];
    char blocks[CHUNK * sizeof(float)]; /* no block type takes more than floats do */
    uint64_t first = off / sizeof(float), end = first + n / sizeof(float);
    char *to = dst;
    for (uint64_t at = first - first % info->block_len; at < end;) {
        uint64_t last = end + info->block_len - 1, n_here;
        last -= last % info->block_len;
        n_here = last - at < CHUNK ? last - at : CHUNK;
        TRY(plan_read_sources(ctx, at / info->block_len * info->block_bytes, blocks, (size_t)(n_here / info->block_len * info->block_bytes), err));
        TRY(dtype_decode_f32(t->from, blocks, values, (int64_t)n_here, err));
        uint64_t from = at < first ? first - at : 0, stop = at + n_here > end ? end - at : n_here;
        memcpy(to, values + from, (size_t)(stop - from) * sizeof(float));
        to += (stop - from) * sizeof(float);
        at += n_here;
    }
    return STATUS_OK;
}

transform_reader *plan_reader(const struct plan_tensor *t)
{
    return t->decoded ? read_decoded : plan_read_sources;
}

static int64_t slab_of(const struct plan_tensor *t)
{
    if (t->transform == TRANSFORM_NONE) return t->spec.n_elements;
    return transform_slab(&t->spec, t->transform == TRANSFORM_TRANSPOSE ? TRANSPOSE_BYTES : SLAB_BYTES);
}

int64_t plan_read_grain(const struct plan_tensor *t)
{
    int64_t rows = t->spec.cols > 0 && t->transform != TRANSFORM_NONE ? slab_of(t) / t->spec.cols : 1;
    return rows < 1 ? 1 : rows;
}

static enum status to_floats(const struct plan_tensor *t, int64_t first, int64_t n, const void *src, float *dst,
                             struct error *err)
{
    if (t->scales.t) return dequant_run(t, first, n, src, dst, err);
    return dtype_cast(DTYPE_F32, dst, t->spec.dtype, src, n, NULL, err);
}

/* Target elements [first, first + n), n of them within one slab or, without a transform, anywhere */
static enum status read_piece(const struct plan_tensor *t, int64_t first, int64_t n, float *dst,
                              struct plan_scratch *s, struct error *err)
{
    size_t n_bytes = (size_t)transform_bytes(&t->spec, n);
    const void *raw;
    union { /* the reader only reads it */
        const struct plan_tensor *in;
        void *out;
    } ctx = {t};
    TRY(plan_scratch_reserve(&s->piece, &s->piece_cap, n_bytes, err));
    if (t->transform != TRANSFORM_NONE) TRY(plan_scratch_reserve(&s->aside, &s->aside_cap, n_bytes, err));
    TRY(transform_read(&t->spec, first, n, plan_reader(t), ctx.out, s->piece, s->aside, &raw, err));
    return to_floats(t, first, n, s->piece, dst, err);
}

/* Whole slabs, of which the elements asked for are taken */
static enum status read_slabs(const struct plan_tensor *t, int64_t first, int64_t n, float *dst,
                              struct plan_scratch *s, struct error *err)
{
    int64_t slab = slab_of(t), total = t->spec.n_elements;
    for (int64_t at = first / slab * slab; at < first + n; at += slab) {
        int64_t size = total - at < slab ? total - at : slab;
        int64_t from = at > first ? at : first, to = at + size < first + n ? at + size : first + n;
        bool whole = from == at && to == at + size;
        if (!whole) TRY(plan_scratch_reserve(&s->floats, &s->floats_cap, (size_t)size * sizeof(float), err));
        float *out = whole ? dst + (at - first) : s->floats;
        TRY(read_piece(t, at, size, out, s, err));
        if (!whole) memcpy(dst + (from - first), out + (from - at), (size_t)(to - from) * sizeof(float));
    }
    return STATUS_OK;
}

static enum status read_data(const struct plan_tensor *t, int64_t first, int64_t n, float *dst, struct error *err)
{
    const char *data = t->data;
    return dtype_cast(DTYPE_F32, dst, t->from, data + transform_bytes(&t->spec, first), n, NULL, err);
}

static void multiply(const struct plan_tensor *t, int64_t first, int64_t n, float *dst)
{
    int64_t end = t->scaled_rows * (t->spec.n_dims > 1 ? t->spec.cols : 1); /* a vector: of elements */
    for (int64_t i = 0; i < n && first + i < end; i++) dst[i] = (float)((double)dst[i] * t->scale);
}

enum status plan_read_rows(const struct plan_tensor *t, int64_t row, int64_t n_rows, float *dst,
                           struct plan_scratch *s, struct error *err)
{
    int64_t first = row * t->spec.cols, n = n_rows * t->spec.cols;
    if (row < 0 || n_rows < 0 || n_rows > t->spec.rows - row)
        return error_at(err, STATUS_RANGE, "", t->name, "rows beyond the tensor");
    if (n == 0) return STATUS_OK;
    if (t->n_sources == 0)
        TRY(read_data(t, first, n, dst, err));
    else if (t->transform == TRANSFORM_NONE)
        TRY(read_piece(t, first, n, dst, s, err));
    else
        TRY(read_slabs(t, first, n, dst, s, err));
    multiply(t, first, n, dst);
    return STATUS_OK;
}

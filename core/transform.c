#include "core/transform.h"

#include <string.h>

/* One kind of rearrangement. Sizes are in elements of the target. */
struct transform_info {
    const char *name;
    /* NULL: any shape; fills rows, cols, shape */
    enum status (*init)(struct transform_spec *s, struct error *err);
    /* smallest piece that can be made on its own */
    int64_t (*grain)(const struct transform_spec *s);
    /* NULL: read straight into dst */
    enum status (*read)(const struct transform_spec *s, int64_t first, int64_t n, transform_reader *read,
                        void *ctx, void *dst, void *scratch, struct error *err);
    int64_t (*source_index)(const struct transform_spec *s, int64_t i);
    bool in_order; /* a slab's source bytes are those of the same range */
};

/* --- none --- */

/* A multiple of every block length, so that a slab can be encoded into any type. */
static int64_t grain_blocks(const struct transform_spec *s)
{
    (void)s;
    return 256;
}

static int64_t index_same(const struct transform_spec *s, int64_t i)
{
    (void)s;
    return i;
}

/* --- transpose: (in, out) → (out, in) --- */

static enum status init_transpose(struct transform_spec *s, struct error *err)
{
    if (s->n_dims != 2)
        return error_set(err, STATUS_RANGE, "cannot transpose: expected 2 dimensions, found %d", s->n_dims);
    if (dtype_info(s->dtype)->block_len != 1)
        return error_set(err, STATUS_UNSUPPORTED, "cannot transpose %s: its blocks would be cut",
                         dtype_info(s->dtype)->name);
    s->rows = s->shape[1];
    s->cols = s->shape[0];
    s->shape[0] = s->rows;
    s->shape[1] = s->cols;
    return STATUS_OK;
}

static int64_t grain_row(const struct transform_spec *s)
{
    return s->cols > 0 ? s->cols : 1;
}

/* dst is (n_cols, n_rows), src is (n_rows, n_cols), elements of type T. Tiles keep both sides' cache lines in use. */
#define TRANSPOSE_TILES(T)                                                                                   \
    do {                                                                                                     \
        enum { TILE = 32 };                                                                                  \
        T *to = dst;                                                                                         \
        const T *from = src;                                                                                 \
        for (int64_t r0 = 0; r0 < n_rows; r0 += TILE)                                                        \
            for (int64_t c0 = 0; c0 < n_cols; c0 += TILE) {                                                  \
                int64_t r1 = r0 + TILE < n_rows ? r0 + TILE : n_rows,                                        \
                        c1 = c0 + TILE < n_cols ? c0 + TILE : n_cols;                                        \
                for (int64_t c = c0; c < c1; c++)                                                            \
                    for (int64_t r = r0; r < r1; r++) to[c * n_rows + r] = from[r * n_cols + c];             \
            }                                                                                                \
    } while (0)

static void transpose(void *dst, const void *src, int64_t n_rows, int64_t n_cols, uint32_t element_bytes)
{
    struct pair {
        uint64_t a, b;
    };
    switch (element_bytes) {
    case 1:
        TRANSPOSE_TILES(uint8_t);
        break;
    case 2:
        TRANSPOSE_TILES(uint16_t);
        break;
    case 4:
        TRANSPOSE_TILES(uint32_t);
        break;
    case 8:
        TRANSPOSE_TILES(uint64_t);
        break;
    default: /* complex doubles; no plain type is larger */
        TRANSPOSE_TILES(struct pair);
        break;
    }
}

/* A strip of source columns, row by row. */
static enum status read_transpose(const struct transform_spec *s, int64_t first, int64_t n,
                                  transform_reader *read, void *ctx, void *dst, void *scratch,
                                  struct error *err)
{
    uint32_t element_bytes = dtype_info(s->dtype)->block_bytes;
    int64_t source_rows = s->cols, source_cols = s->rows, col0 = first / s->cols, width = n / s->cols;
    if (width == source_cols) {
        TRY(read(ctx, 0, scratch, transform_bytes(s, n), err));
    } else {
        size_t width_bytes = (size_t)width * element_bytes;
        for (int64_t r = 0; r < source_rows; r++)
            TRY(read(ctx, (uint64_t)(r * source_cols + col0) * element_bytes,
                     (char *)scratch + (size_t)r * width_bytes, width_bytes, err));
    }
    transpose(dst, scratch, source_rows, width, element_bytes);
    return STATUS_OK;
}

static int64_t index_transpose(const struct transform_spec *s, int64_t i)
{
    return i % s->cols * s->rows + i / s->cols;
}

/* --- rope_rows: inside each head of D rows, out[2p + b] = in[b*(D/2) + p] --- */

static enum status init_rope_rows(struct transform_spec *s, struct error *err)
{
    if (s->n_dims < 1 || s->heads < 1 || s->shape[0] % s->heads != 0 || s->shape[0] / s->heads % 2 != 0)
        return error_set(
            err, STATUS_RANGE,
            "cannot reorder rows for RoPE: expected a multiple of 2 x %lld heads, found %lld rows",
            (long long)s->heads, (long long)(s->n_dims < 1 ? 1 : s->shape[0]));
    s->rows = s->shape[0];
    s->cols = s->rows > 0 ? s->n_elements / s->rows : 0;
    if (s->cols % dtype_info(s->dtype)->block_len != 0)
        return error_set(err, STATUS_UNSUPPORTED, "cannot reorder rows of %s: its blocks would be cut",
                         dtype_info(s->dtype)->name);
    return STATUS_OK;
}

static int64_t head_elements(const struct transform_spec *s)
{
    int64_t n = s->rows / s->heads * s->cols;
    return n > 0 ? n : 1;
}

static enum status read_rope_rows(const struct transform_spec *s, int64_t first, int64_t n,
                                  transform_reader *read, void *ctx, void *dst, void *scratch,
                                  struct error *err)
{
    size_t row_bytes = transform_bytes(s, s->cols);
    int64_t head_rows = s->rows / s->heads, half = head_rows / 2, n_rows = n / s->cols;
    TRY(read(ctx, transform_bytes(s, first), scratch, transform_bytes(s, n), err));
    char *to = dst;
    for (int64_t head = 0; head < n_rows; head += head_rows)
        for (int64_t p = 0; p < half; p++)
            for (int64_t b = 0; b < 2; b++, to += row_bytes)
                memcpy(to, (const char *)scratch + (size_t)(head + b * half + p) * row_bytes, row_bytes);
    return STATUS_OK;
}

static int64_t index_rope_rows(const struct transform_spec *s, int64_t i)
{
    int64_t head_rows = s->rows / s->heads, row = i / s->cols, r = row % head_rows;
    return (row - r + r % 2 * (head_rows / 2) + r / 2) * s->cols + i % s->cols;
}

static const struct transform_info infos[TRANSFORM_COUNT] = {
    [TRANSFORM_NONE] = {"none", NULL, grain_blocks, NULL, index_same, true},
    [TRANSFORM_TRANSPOSE] = {"transpose", init_transpose, grain_row, read_transpose, index_transpose, false},
    [TRANSFORM_ROPE_ROWS] = {"rope_rows", init_rope_rows, head_elements, read_rope_rows, index_rope_rows,
                             true},
};

const char *transform_name(enum transform kind)
{
    return (unsigned)kind < TRANSFORM_COUNT ? infos[kind].name : "unknown";
}

enum transform transform_from_name(const char *name)
{
    int k = 0;
    while (k < TRANSFORM_COUNT && strcmp(infos[k].name, name) != 0) k++;
    return (enum transform)k;
}

enum status transform_init(struct transform_spec *s, enum transform kind, enum dtype dtype, int n_dims,
                           const int64_t *shape, int64_t heads, struct error *err)
{
    *s = (struct transform_spec){
        .kind = kind, .dtype = dtype, .n_dims = n_dims, .heads = kind == TRANSFORM_ROPE_ROWS ? heads : 0};
    if ((unsigned)kind >= TRANSFORM_COUNT || !dtype_info(dtype) || n_dims < 0 || n_dims > TENSOR_DIMS_MAX)
        return error_set(err, STATUS_RANGE, "no such transform");
    uint64_t n = 1, bytes;
    for (int d = 0; d < n_dims; d++) {
        if (shape[d] < 0 || !size_mul(n, (uint64_t)shape[d], &n) || n > INT64_MAX)
            return error_set(err, STATUS_RANGE, "dimension %d of %lld is out of range", d,
                             (long long)shape[d]);
        s->shape[d] = shape[d];
    }
    s->n_elements = (int64_t)n;
    if (!dtype_bytes(dtype, s->n_elements, &bytes))
        return error_set(err, STATUS_RANGE, "%lld elements are no whole number of %s blocks",
                         (long long)s->n_elements, dtype_info(dtype)->name);
    s->cols = n_dims > 0 ? s->shape[n_dims - 1] : 1;
    s->rows = s->cols > 0 ? s->n_elements / s->cols : 0;
    return infos[kind].init ? infos[kind].init(s, err) : STATUS_OK;
}

uint64_t transform_bytes(const struct transform_spec *s, int64_t n)
{
    const struct dtype_info *t = dtype_info(s->dtype);
    return (uint64_t)n / t->block_len * t->block_bytes; /* n_elements was checked */
}

int64_t transform_slab(const struct transform_spec *s, uint64_t max_bytes)
{
    int64_t grain = infos[s->kind].grain(s);
    uint64_t grain_bytes = transform_bytes(s, grain);
    uint64_t n = grain_bytes > 0 ? max_bytes / grain_bytes : 1;
    uint64_t n_max = (uint64_t)(s->n_elements / grain) + 1;
    if (n < 1) n = 1;
    if (n > n_max) n = n_max;
    int64_t slab = (int64_t)n * grain;
    return slab < s->n_elements ? slab : s->n_elements;
}

bool transform_in_order(const struct transform_spec *s, int64_t slab)
{
    return infos[s->kind].in_order || slab >= s->n_elements;
}

enum status transform_read(const struct transform_spec *s, int64_t first, int64_t n, transform_reader *read,
                           void *ctx, void *dst, void *scratch, const void **raw, struct error *err)
{
    const struct transform_info *t = &infos[s->kind];
    *raw = NULL;
    if (n <= 0) return STATUS_OK;
    if (!t->read) {
        *raw = dst;
        return read(ctx, transform_bytes(s, first), dst, transform_bytes(s, n), err);
    }
    if (t->in_order || n == s->n_elements) *raw = scratch;
    return t->read(s, first, n, read, ctx, dst, scratch, err);
}

int64_t transform_source_index(const struct transform_spec *s, int64_t i)
{
    return infos[s->kind].source_index(s, i);
}

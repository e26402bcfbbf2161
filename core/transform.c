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
    /* for reordered rows: where unit number `unit` of the target stands in the source */
    int64_t (*source_unit)(const struct transform_spec *s, int64_t unit);
};
static const struct transform_info infos[TRANSFORM_COUNT];

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

/* --- rows in another order: units of rows keep together, groups of rows stay where they are --- */

static enum status init_rows(struct transform_spec *s, int64_t unit_rows, int64_t group_rows, struct error *err)
{
    s->rows = s->n_dims > 0 ? s->shape[0] : 1;
    s->cols = s->rows > 0 ? s->n_elements / s->rows : 0;
    s->unit_rows = unit_rows;
    s->group_rows = group_rows;
    if (s->cols % dtype_info(s->dtype)->block_len != 0)
        return error_set(err, STATUS_UNSUPPORTED, "cannot reorder rows of %s: its blocks would be cut",
                         dtype_info(s->dtype)->name);
    return STATUS_OK;
}

/* Rotated rows come first in each head of D rows, the rest stays where it is. */
static enum status init_rotated_rows(struct transform_spec *s, struct error *err)
{
    int64_t rows = s->n_dims > 0 ? s->shape[0] : 1, heads = s->args.heads;
    bool whole = s->args.rotated == 0;
    if (s->n_dims < 1 || heads < 1 || rows % heads != 0 || (whole && rows / heads % 2 != 0))
        return error_set(err, STATUS_RANGE,
                         "cannot reorder rows for RoPE: expected a multiple of %s%lld heads, found %lld rows",
                         whole ? "2 x " : "", (long long)heads, (long long)rows);
    if (whole) s->args.rotated = rows / heads;
    if (s->args.rotated < 0 || s->args.rotated % 2 != 0 || s->args.rotated > rows / heads)
        return error_set(err, STATUS_RANGE,
                         "cannot reorder rows for RoPE: expected an even number of at most %lld rotated rows "
                         "in a head, found %lld",
                         (long long)(rows / heads), (long long)s->args.rotated);
    return init_rows(s, 1, rows / heads, err);
}

/* out[2p + b] = in[b*(R/2) + p] */
static int64_t unit_of_pairs(const struct transform_spec *s, int64_t unit)
{
    int64_t r = unit % s->group_rows;
    return r < s->args.rotated ? unit - r + r % 2 * (s->args.rotated / 2) + r / 2 : unit;
}

/* out[b*(R/2) + p] = in[2p + b] */
static int64_t unit_of_halves(const struct transform_spec *s, int64_t unit)
{
    int64_t r = unit % s->group_rows, half = s->args.rotated / 2;
    return r < s->args.rotated ? unit - r + r % half * 2 + r / half : unit;
}

/* Units are heads: K groups of H/K queries, a key, a value → all H queries, all K keys, all K values. */
static enum status init_qkv_groups(struct transform_spec *s, struct error *err)
{
    int64_t rows = s->n_dims > 0 ? s->shape[0] : 1, heads = s->args.heads, groups = s->args.groups;
    if (s->n_dims < 1 || groups < 1 || heads < 1 || heads > INT32_MAX || heads % groups != 0 ||
        rows % (heads + 2 * groups) != 0)
        return error_set(err, STATUS_RANGE,
                         "cannot regroup queries, keys and values: expected rows for %lld heads in %lld "
                         "groups, found %lld rows",
                         (long long)heads, (long long)groups, (long long)rows);
    return init_rows(s, rows / (heads + 2 * groups), rows, err);
}

static int64_t unit_of_qkv(const struct transform_spec *s, int64_t unit)
{
    int64_t heads = s->args.heads, groups = s->args.groups, width = heads / groups;
    if (unit < heads) return unit / width * (width + 2) + unit % width;
    unit -= heads;
    return unit % groups * (width + 2) + width + unit / groups;
}

/* All H queries, all K keys, all K values → K groups of H/K queries, a key, a value. */
static int64_t unit_of_groups(const struct transform_spec *s, int64_t unit)
{
    int64_t heads = s->args.heads, groups = s->args.groups, width = heads / groups;
    int64_t group = unit / (width + 2), place = unit % (width + 2);
    if (place < width) return group * width + place;
    return heads + (place - width) * groups + group;
}

static int64_t unit_elements(const struct transform_spec *s)
{
    int64_t n = s->unit_rows * s->cols;
    return n > 0 ? n : 1;
}

static int64_t group_elements(const struct transform_spec *s)
{
    int64_t n = s->group_rows * s->cols;
    return n > 0 ? n : 1;
}

/* Whole groups, or everything: one read, then unit by unit from memory. */
static enum status read_groups(const struct transform_spec *s, int64_t first, int64_t n,
                               transform_reader *read, void *ctx, void *dst, void *scratch, struct error *err)
{
    size_t unit_bytes = transform_bytes(s, unit_elements(s));
    int64_t first_unit = first / unit_elements(s), n_units = n / unit_elements(s);
    TRY(read(ctx, transform_bytes(s, first), scratch, transform_bytes(s, n), err));
    for (int64_t i = 0; i < n_units; i++) {
        int64_t from = infos[s->kind].source_unit(s, first_unit + i) - first_unit;
        memcpy((char *)dst + (size_t)i * unit_bytes, (const char *)scratch + (size_t)from * unit_bytes,
               unit_bytes);
    }
    return STATUS_OK;
}

/* Units from all over the source. */
static enum status read_units(const struct transform_spec *s, int64_t first, int64_t n,
                              transform_reader *read, void *ctx, void *dst, void *scratch, struct error *err)
{
    if (n == s->n_elements) return read_groups(s, first, n, read, ctx, dst, scratch, err);
    size_t unit_bytes = transform_bytes(s, unit_elements(s));
    int64_t first_unit = first / unit_elements(s), n_units = n / unit_elements(s);
    for (int64_t i = 0; i < n_units; i++)
        TRY(read(ctx, (uint64_t)infos[s->kind].source_unit(s, first_unit + i) * unit_bytes,
                 (char *)dst + (size_t)i * unit_bytes, unit_bytes, err));
    return STATUS_OK;
}

static int64_t index_rows(const struct transform_spec *s, int64_t i)
{
    int64_t n = unit_elements(s);
    return infos[s->kind].source_unit(s, i / n) * n + i % n;
}

static const struct transform_info infos[TRANSFORM_COUNT] = {
    [TRANSFORM_NONE] = {"none", NULL, grain_blocks, NULL, index_same, true, NULL},
    [TRANSFORM_TRANSPOSE] = {"transpose", init_transpose, grain_row, read_transpose, index_transpose, false, NULL},
    [TRANSFORM_ROPE_ROWS] = {"rope_rows", init_rotated_rows, group_elements, read_groups, index_rows, true,
                             unit_of_pairs},
    [TRANSFORM_HALVES_ROWS] = {"halves_rows", init_rotated_rows, group_elements, read_groups, index_rows, true,
                               unit_of_halves},
    [TRANSFORM_QKV_GROUPS] = {"qkv_groups", init_qkv_groups, unit_elements, read_units, index_rows, false,
                              unit_of_qkv},
    [TRANSFORM_QKV_UNGROUP] = {"qkv_ungroup", init_qkv_groups, unit_elements, read_units, index_rows, false,
                               unit_of_groups},
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

enum transform transform_inverse(enum transform kind)
{
    switch (kind) {
    case TRANSFORM_ROPE_ROWS:
        return TRANSFORM_HALVES_ROWS;
    case TRANSFORM_HALVES_ROWS:
        return TRANSFORM_ROPE_ROWS;
    case TRANSFORM_QKV_GROUPS:
        return TRANSFORM_QKV_UNGROUP;
    case TRANSFORM_QKV_UNGROUP:
        return TRANSFORM_QKV_GROUPS;
    default:
        return kind; /* its own */
    }
}

enum status transform_init(struct transform_spec *s, enum transform kind, enum dtype dtype, int n_dims,
                           const int64_t *shape, const struct transform_args *args, struct error *err)
{
    *s = (struct transform_spec){.kind = kind, .dtype = dtype, .n_dims = n_dims};
    if (args) s->args = *args;
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

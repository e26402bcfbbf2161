/* Inside the forward pass: the loops of one precision behind a table, and the state that operations share.
 * Only models/forward.c and models/ops*.c include this. */
#ifndef LATHE_OPS_H
#define LATHE_OPS_H

#include "models/forward.h"
#include "models/matmul.h"

/* One query panel of one head. Matrices are row-major with their row length in elements. */
struct attention_panel {
    const void *q, *k;    /* first query row and first key row, at this head's columns */
    const void *v_turned; /* (head_dim, n_keys) of this head's values */
    int64_t ld_q, ld_k, ld_v;
    int64_t head_dim;
    int64_t first; /* number of the first query among the keys; n_queries <= width follow it */
    int64_t n_queries;
    int64_t window; /* 0: none */
    int64_t prefix; /* keys before it are seen by every query; 0, or no window */
    double scale;
    void *out; /* (n_queries, head_dim) */
    int64_t ld_out;
    void *probs; /* (n_queries, ld_probs) zeroed, or NULL */
    int64_t ld_probs;
    void *q_panel; /* scratch: head_dim * width, of the queries and then of the result */
    void *scores;  /* scratch: max(first + n_queries, prefix) * width */
};

/* Loops over plain arrays of one precision. `width` elements are 128 bytes. */
struct real_ops {
    size_t size; /* bytes of an element */
    int width;   /* columns of a panel */
    enum dtype dtype;
    enum status (*decode)(enum dtype t, const void *src, void *dst, int64_t n, struct error *err);

    void (*rms_norm)(void *dst, const void *src, int64_t rows, int64_t n, const double *w, double eps);
    void (*layer_norm)(void *dst, const void *src, int64_t rows, int64_t n, const double *w, const double *b,
                       double eps);
    /* n_heads heads of head_dim elements in each row; cos and sin are (rows, dim/2) */
    void (*rope)(void *a, int64_t ld, int64_t rows, int64_t n_heads, int64_t head_dim, int64_t dim,
                 enum rope_style style, const double *cos, const double *sin);
    void (*activate)(void *a, int64_t n, enum activation kind);
    void (*multiply)(void *dst, const void *src, int64_t n);
    void (*add)(void *dst, const void *src, int64_t n);
    void (*scale)(void *a, int64_t n, double factor);

    /* panel (k, width) from up to `width` rows; missing ones are 0 */
    void (*pack)(void *panel, const void *src, int64_t ld, int64_t rows, int64_t k);
    /* The same from `width` rows as a file holds them, one behind the other. False: not for this type or length. NULL: for none. */
    bool (*pack_raw)(void *panel, enum dtype t, const void *raw, int64_t k);
    /* out (n_pos, n_cols) (+)= x (n_pos, n_k) · panels, of which each is (n_k, width), + bias unless NULL. add: then what is there is the sum
     * over a multiple of MATMUL_BLOCK. edge: scratch of OPS_CHUNK * width. */
    void (*linear)(const struct matmul *mm, void *out, int64_t ld_out, const void *x, int64_t ld_x, int64_t n_pos,
                   const void *panels, int64_t n_cols, int64_t n_k, bool add, const void *bias, void *edge);
    /* Row k of a (n_k, n) matrix into its place in panels of `width` columns, each (n_k, width). */
    void (*scatter)(void *panels, int64_t n_k, int64_t k, const void *row, int64_t n);
    /* dst (cols, ld) = src (rows, cols) turned */
    void (*turn)(void *dst, int64_t ld_dst, const void *src, int64_t ld_src, int64_t rows, int64_t cols);
    void (*attention)(const struct matmul *mm, const struct attention_panel *p);
};
extern const struct real_ops ops_f32, ops_f64, ops_f32_avx2, ops_f64_avx2, ops_f32_avx512, ops_f64_avx512;
/* One pair of them per instruction set: the portable one first, then ever faster ones; name NULL at the end. */
struct ops_set {
    const char *name;
    bool (*supported)(void);
    const struct real_ops *f32, *f64;
};
extern const struct ops_set ops_sets[];
/* The fastest set for this precision and processor; all give the same bits. */
const struct real_ops *ops_select(enum precision p);

enum { OPS_CHUNK = 18 * MATMUL_ROWS /* positions that share a pass over a panel of weights */ };
_Static_assert((int)OPS_CHUNK == (int)FORWARD_HEAD_POSITIONS, "one pass");

/* Memory that grows and does not keep its content; aligned to 64 bytes. */
struct buffer {
    void *data;
    uint64_t size_bytes;
};
enum status buffer_reserve(struct buffer *b, uint64_t n, uint64_t size, struct error *err);

struct worker_scratch {
    struct buffer raw, rows, acc, edge, scales; /* acc: panels, scores */
};
/* out (n_pos, n_out) = x (n_pos, n_in) · Wᵀ + b, W as t stores it. b may be NULL. */
struct linear {
    const struct ckpt_tensor *w, *b;
    bool conv1d;
    bool is_part; /* W is rows [row0, row0 + n_out) of w */
    int64_t row0;
    const void *x;
    int64_t n_pos, n_in, n_out;
    void *out;
};
/* The same taken to pieces, where W is (n_out, n_in): a worker turns columns [c, c + n) of the result, at most tile_cols of them, into panels, and
 * multiplies any positions with these. p.out is not used. */
struct linear_job {
    struct forward *f;
    struct linear p;
    const void *bias;
    const void *x; /* the input, in other places if its own are bad ones */
    int64_t ld_x;
    int64_t tile_cols;
    int64_t n_tiles, n_units; /* units: tiles, then single panels of what is left */
    int64_t k0, n_k; /* conv1d: the slab of rows in hand */
};
struct forward_state {
    struct linear_job head; /* see forward_head_open */
    const struct real_ops *ops;
    const struct matmul *mm;
    struct buffer x, slots[FORWARD_SLOTS], probs;
    struct buffer positions; /* of all rows: 2 * n_max int64_t */
    struct buffer spans;
    struct buffer tapped; /* what a tap is shown in another order */
    struct buffer shared;    /* an operation's input in another form, or panels of weights that workers share */
    struct buffer input; /* of a product, in other places */
    struct buffer norm_w, norm_b, bias[PROJECTIONS_MAX];
    double *rope_cos, *rope_sin;   /* (n_max, rope_dim/2), or NULL */
    double *block_cos, *block_sin; /* likewise, of the second position */
    int64_t rope_dim;
    struct worker_scratch *scratch;
    int n_scratch;
};

enum status linear_run(struct forward *f, const struct linear *p, struct error *err);
/* tile_cols: 0: whatever suits */
enum status linear_open(struct linear_job *job, struct forward *f, const struct linear *p, int64_t tile_cols, struct error *err);
enum status linear_pack(const struct linear_job *job, int worker, int64_t c, int64_t n, struct error *err);
/* out (n_pos, n), rows ld_out elements apart, = the product, and bias, of positions [pos, pos + n_pos) and the columns that this worker packed last */
void linear_multiply(const struct linear_job *job, int worker, int64_t pos, int64_t n_pos, int64_t c, int64_t n, void *out, int64_t ld_out);
/* n elements of a vector into dst, in the forward's precision or in double. */
enum status ops_read_vector(struct forward *f, const struct ckpt_tensor *t, int64_t n, void *dst,
                            struct error *err);
enum status ops_read_doubles(struct forward *f, const struct ckpt_tensor *t, int64_t n, double *dst,
                             struct error *err);
/* Rows of a matrix decoded to the forward's precision; uses the worker's raw buffer, which was reserved for them. */
enum status ops_read_rows(struct forward *f, int worker, const struct ckpt_tensor *t, int64_t row,
                          int64_t n_rows, void *dst, struct error *err);
/* Every worker's buffers hold at least these many bytes from now on. */
enum status ops_reserve(struct forward *f, uint64_t raw, uint64_t rows, uint64_t acc, struct error *err);
static inline void *ops_at(const struct forward *f, const void *base, int64_t element)
{
    return (char *)(uintptr_t)base + (size_t)element * f->state->ops->size;
}

#endif

/* The reference forward pass: one side of a comparison, layer by layer, each file read in its own layout.
 *
 *     struct forward *f;
 *     TRY(forward_new(&f, model, workers, PRECISION_F32, 512, err));
 *     TRY(forward_begin(f, ids, n, 0, err));                      embedding
 *     for (int64_t i = 0; i < model->hp.n_layer; i++) TRY(forward_layer(f, i, err));
 *     TRY(forward_finish(f, err));                                last norm
 *     TRY(forward_logits(f, pos, n_pos, logits, err));            (n_pos, n_vocab) in the forward's precision
 *     forward_free(f);
 *
 * Activations are matrices of float or double, (positions, width), row-major. Weights are read from the checkpoint as they are needed,
 * decoded tile by tile: memory is activations + tiles, whatever the model's size. Tiles are fixed, so results do not depend on the
 * number of threads. Sums of norms, softmax and RoPE tables are done in double in both precisions.
 *
 * Ops below are for arch_*.c: each does one step of the paper for all positions and, if a tap is set, reports its result.
 */
#ifndef LATHE_FORWARD_H
#define LATHE_FORWARD_H

#include "base/workers.h"
#include "models/model.h"

enum precision { PRECISION_F32, PRECISION_F64 };

/* Where the ids of one window stand and what they may look at: counted up and causal, or built from the ids by the family's `plan`
 * (models/arch.h) as its own code builds it. */
struct window_plan {
    int64_t *pos; /* (n) position of each token: of rotations, a row of a learned table */
    int64_t
        *block; /* (n) second position, counted inside the piece that is being filled in; 0 outside of one */
    int64_t prefix; /* every query also sees all keys before this one; 0: causal */
};
/* A window among the rows of the pass. Attention does not leave it. */
struct forward_span {
    int64_t first, n; /* rows */
    int64_t prefix;   /* as in struct window_plan */
};
/* (rows, cols) numbers in the forward's precision */
struct act {
    int64_t rows, cols;
    void *data;
};
/* Called after each named operation: "embd"; of a layer "attn_norm", "q", "k", "v", "q_norm", "k_norm", "q_rope", "k_rope", "attn_mix"
 * (values weighted by the probabilities), "attn_out", "attn_post_norm", "attn_residual", "ffn_norm", "ffn_gate", "ffn_up", "ffn_act", "ffn_out",
 * "ffn_residual", "ffn_post_norm", "residual"; "norm". layer -1 outside of layers. The data is valid during the call.
 * Queries, keys, values, gate and up are shown in one order whatever the file's: heads one after the other, in a head the first members of
 * all rotated pairs before the second ones, queries multiplied by the scale of their scores. With tap_changes the pass goes on with what the
 * tap leaves in `a`. */
typedef enum status tap_fn(void *ctx, const char *tap, int64_t layer, struct act *a, struct error *err);
/* Called before each product of activations with a matrix of a layer: what w is multiplied with. expert: whose part of w; -1: there are none. */
typedef enum status linear_fn(void *ctx, const struct weight *w, int64_t expert, const struct act *src, struct error *err);

struct attention;
/* Called for each head of a layer in turn. p is (n, n) in the forward's precision, a row for each query, 0 where it does not see the key (at->window and the
 * window's prefix say which); valid during the call. */
typedef enum status probs_fn(void *ctx, const struct attention *at, int64_t layer, int64_t head, const void *p, struct error *err);

struct forward {
    const struct model *model;
    struct workers *workers;
    enum precision precision;
    int64_t n_max; /* positions it was made for */
    int64_t n;     /* positions of the current windows together */
    int64_t pos0;  /* position of the first one of each window */
    int64_t step;  /* from each position of a window to the next, set before forward_begin; 0: 1 */
    int64_t
        rope_length; /* the window counts as the start of a pass this long (RoPE that depends on it); 0: what it spans */
    const int32_t *ids;
    bool
        causal; /* positions count up and attention is causal, whatever the family's own code does; set before forward_begin */
    struct window_plan
        window; /* positions of all rows; they stay inside the forward. The prefix of each window is in its span. */
    struct forward_span *spans;
    int64_t n_spans;
    struct act x; /* residual stream, (n, n_embd) */
    tap_fn *tap;  /* NULL: none */
    void *tap_ctx;
    bool tap_changes;
    int64_t tap_rope_dim; /* rotated part by which heads are shown; 0: the model's */
    double norm_offset;   /* added to the weights of norms: for a trace that tries a repair */
    linear_fn *before_linear; /* NULL: none */
    void *linear_ctx;
    probs_fn *probs; /* NULL: attention probabilities are never materialised whole */
    void *probs_ctx;
    struct forward_state *state; /* scratch, RoPE tables */
};

enum status forward_new(struct forward **out, const struct model *m, struct workers *w, enum precision p,
                        int64_t n_max, struct error *err);
void forward_free(struct forward *f);
/* ids: n ≤ n_max token ids (kept until the window ends); STATUS_RANGE for an id outside the vocabulary or a position that the model does
 * not have (learned positions), or ids that the family's code does not take. */
enum status forward_begin(struct forward *f, const int32_t *ids, int64_t n, int64_t pos0, struct error *err);
/* The same for several windows that go through the layers together, so that weights are read once for all of them: lengths[i] ids each, one after
 * the other in `ids`, n_max together at most. Each is its own sequence and gives the bits that it gives alone. */
enum status forward_begin_windows(struct forward *f, const int32_t *ids, const int64_t *lengths,
                                  int64_t n_windows, int64_t pos0, struct error *err);
enum status forward_layer(struct forward *f, int64_t layer, struct error *err);
enum status forward_finish(struct forward *f, struct error *err);
enum status forward_logits(struct forward *f, int64_t first, int64_t n_pos, void *logits, struct error *err);
/* The same logits piece by piece, for a caller who looks at them while they are in cache: between forward_finish and the next window, inside of units of
 * the caller's run of the workers,
 *     TRY(forward_head_open(f, n_cols, err));                              before the run
 *     TRY(forward_head_pack(f, worker, first, n, err));                    entries [first, first + n) of the vocabulary, n <= n_cols, made ready
 *     forward_head_logits(f, worker, pos, n_pos, first, n, logits);        (n_pos, n) of them; best for FORWARD_HEAD_POSITIONS at a time */
enum { FORWARD_HEAD_POSITIONS = 252 };
enum status forward_head_open(struct forward *f, int64_t n_cols, struct error *err);
enum status forward_head_pack(const struct forward *f, int worker, int64_t first, int64_t n, struct error *err);
void forward_head_logits(const struct forward *f, int worker, int64_t pos, int64_t n_pos, int64_t first, int64_t n, void *logits);

/* --- operations --- */

/* Scratch matrix number `slot` (0 .. FORWARD_SLOTS-1) as (f->n, cols); its content is what was last written to it. */
enum { FORWARD_SLOTS = 8 };
enum status op_scratch(struct forward *f, int slot, int64_t cols, struct act *a, struct error *err);
/* dst[t] = row ids[t] of the role's table */
enum status op_embed(struct forward *f, struct act *dst, enum role table, struct error *err);
/* dst[t] += row positions[t] of the role's table; STATUS_RANGE for one that it does not have. `positions` are the window's. */
enum status op_add_positions(struct forward *f, struct act *dst, enum role table, const int64_t *positions,
                             struct error *err);
/* dst = src / sqrt(mean(src^2) + eps) * w */
enum status op_rms_norm(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                        struct error *err);
/* dst = (src - mean) / sqrt(var + eps) * w + b, variance over n */
enum status op_layer_norm(struct forward *f, struct act *dst, const struct act *src, enum role r,
                          int64_t layer, struct error *err);
/* dst (n, out) = src (n, in) · Wᵀ + bias (bias if the model has one). conv1d: the matrix is stored (in, out). */
enum status op_linear(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                      bool conv1d, struct error *err);
/* The same for several matrices of one input, which threads share out without waiting for each other in between. */
struct projection {
    struct act *dst;
    enum role role;
};
enum { PROJECTIONS_MAX = 3 };
enum status op_linears(struct forward *f, const struct act *src, const struct projection *to, int n, int64_t layer, bool conv1d,
                       struct error *err);
/* Rotates the first rope.dim elements of each of n_heads heads, in place; heads begin at column col0 and every `stride` columns from there. */
enum status op_rope(struct forward *f, struct act *a, int64_t col0, int64_t n_heads, int64_t stride,
                    enum rope_style style, struct error *err);
/* The same by the window's second position. The model has position_2d. */
enum status op_rope_block(struct forward *f, struct act *a, int64_t col0, int64_t n_heads, int64_t stride,
                          enum rope_style style, struct error *err);
/* Columns of q, k, v inside (possibly the same, fused) matrices. */
struct attention {
    const struct act *q, *k, *v;
    int64_t q_col0, k_col0, v_col0;
    int64_t
        group; /* columns from one key head, value head, or run of query heads that share them, to the next; 0: side by side */
    int64_t n_head, n_head_kv, head_dim;
    double scale;   /* of q·k */
    int64_t window; /* keys seen by a query, itself included; 0: all before it */
};
/* dst (n, n_head*head_dim) = softmax(causal(q kᵀ scale)) v; query head h uses kv head h / (n_head / n_head_kv) */
enum status op_attention(struct forward *f, struct act *dst, const struct attention *p, int64_t layer,
                         struct error *err);
enum status op_activate(struct forward *f, struct act *a, enum activation kind, struct error *err);
/* gate = kind(gate) * up */
enum status op_gate(struct forward *f, struct act *gate, const struct act *up, enum activation kind, struct error *err);
/* dst (n, F) = kind(left half) * right half of src (n, 2F): a gated layer whose gate and up matrices are one, the gate first */
enum status op_gate_halves(struct forward *f, struct act *dst, const struct act *src, enum activation kind,
                           struct error *err);
enum status op_add(struct forward *f, struct act *dst, const struct act *src,
                   struct error *err); /* dst += src */
enum status op_scale(struct forward *f, struct act *a, double factor, struct error *err);
/* Reports a to the tap, if there is one. */
enum status op_tap(struct forward *f, const char *tap, int64_t layer, struct act *a, struct error *err);
/* Queries, keys or values of `at` in matrix a; columns [col0, col0 + cols) of a; shown as struct forward's tap says. */
enum status op_tap_queries(struct forward *f, const char *tap, int64_t layer, struct act *a,
                           const struct attention *at, struct error *err);
enum status op_tap_keys(struct forward *f, const char *tap, int64_t layer, struct act *a,
                        const struct attention *at, struct error *err);
enum status op_tap_values(struct forward *f, const char *tap, int64_t layer, struct act *a,
                          const struct attention *at, struct error *err);
enum status op_tap_columns(struct forward *f, const char *tap, int64_t layer, struct act *a, int64_t col0,
                           int64_t cols, struct error *err);
/* Columns of a head in its matrix, from q_col0, or from k_col0 and v_col0, on. */
int64_t attention_query_column(const struct attention *p, int64_t head);
int64_t attention_key_column(const struct attention *p, int64_t head_kv);

#endif

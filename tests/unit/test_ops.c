/* Operations of the forward pass against PyTorch's float64 (tests/vectors/make_ops_vectors.py), and the promises
 * about order: bits do not depend on threads, on the layout of a matrix, or on how many positions go together. */
#include "models/ops.h"
#include "models/vmath.h"
#include "tests/vectors/ops_vectors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- a forward pass without a model --- */

struct rig {
    struct forward f;
    struct forward_state state;
    struct forward_span span;
};

static void rig_open(struct rig *r, enum precision precision, int n_threads, int64_t n)
{
    struct error err;
    memset(r, 0, sizeof *r);
    r->f = (struct forward){.precision = precision, .n_max = n, .n = n, .state = &r->state};
    r->span = (struct forward_span){.n = n};
    r->f.spans = &r->span;
    r->f.n_spans = 1;
    assert_int_equal(workers_new(&r->f.workers, n_threads, &err), STATUS_OK);
    r->state.ops = ops_select(precision);
    r->state.mm = matmul_active();
    r->state.n_scratch = n_threads;
    r->state.scratch = calloc((size_t)n_threads, sizeof *r->state.scratch);
}

static void rig_close(struct rig *r)
{
    struct forward_state *s = &r->state;
    for (int i = 0; i < s->n_scratch; i++) {
        free(s->scratch[i].raw.data);
        free(s->scratch[i].rows.data);
        free(s->scratch[i].acc.data);
        free(s->scratch[i].edge.data);
    }
    free(s->scratch);
    for (int i = 0; i < FORWARD_SLOTS; i++) free(s->slots[i].data);
    free(s->probs.data);
    free(s->shared.data);
    free(s->input.data);
    for (int i = 0; i < PROJECTIONS_MAX; i++) free(s->bias[i].data);
    workers_free(r->f.workers);
}

/* doubles as an array of the precision */
static void *reals(enum precision p, const double *v, size_t n)
{
    size_t size = p == PRECISION_F64 ? sizeof(double) : sizeof(float);
    char *out = malloc(n * size);
    for (size_t i = 0; i < n; i++) {
        if (p == PRECISION_F64)
            ((double *)(void *)out)[i] = v[i];
        else
            ((float *)(void *)out)[i] = (float)v[i];
    }
    return out;
}

static double real_at(enum precision p, const void *a, size_t i)
{
    return p == PRECISION_F64 ? ((const double *)a)[i] : (double)((const float *)a)[i];
}

/* Largest error, relative to the largest expected value */
static double worst(enum precision p, const void *got, const double *want, size_t n)
{
    double error = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(real_at(p, got, i) - want[i]);
        if (!(d <= error)) error = d; /* NaN counts */
        scale = fmax(scale, fabs(want[i]));
    }
    return error / scale;
}

/* Roundings of one operation on numbers of order 1, with room for some tens of terms */
static const double limits[] = {[PRECISION_F32] = 1e-6, [PRECISION_F64] = 2e-15};
static const enum precision both[] = {PRECISION_F32, PRECISION_F64};

static const struct real_ops *ops_of(enum precision p)
{
    return p == PRECISION_F64 ? &ops_f64 : &ops_f32;
}

/* --- sets --- */

enum { SET_ROWS = 21, SET_COLS = 48, SET_N = SET_ROWS * SET_COLS };

/* Everything that a set does to numbers, one result after the other. */
static void run_set(const struct real_ops *o, enum precision p, char *out)
{
    size_t line = SET_N * o->size;
    double v[SET_N], w[SET_COLS], b[SET_COLS], c[SET_N], s[SET_N];
    srand(8);
    for (int i = 0; i < SET_N; i++) {
        v[i] = 8.0 * rand() / RAND_MAX - 4;
        c[i] = cos(i);
        s[i] = sin(i);
    }
    for (int i = 0; i < SET_COLS; i++) w[i] = 1 + 0.1 * cos(i), b[i] = 0.1 * sin(i);
    char *x = reals(p, v, SET_N);
    o->rms_norm(out, x, SET_ROWS, SET_COLS, w, 1e-5);
    o->layer_norm(out += line, x, SET_ROWS, SET_COLS, w, b, 1e-5);
    for (int style = 0; style < 2; style++) {
        memcpy(out += line, x, line);
        o->rope(out, SET_COLS, SET_ROWS, 3, 16, 12, style ? ROPE_PAIRS : ROPE_HALVES, c, s);
    }
    for (int a = 0; a < ACTIVATION_COUNT; a++) {
        memcpy(out += line, x, line);
        o->activate(out, SET_N, (enum activation)a);
    }
    memcpy(out += line, x, line);
    o->multiply(out, x, SET_N);
    o->add(out, x, SET_N);
    out += line;
    char *turned = calloc(1, line), *q_panel = calloc(64 * 32, o->size), *scores = calloc(64 * 32, o->size);
    o->turn(turned, SET_ROWS, x, SET_COLS, SET_ROWS, 16);
    const struct attention_panel panel = {.q = x,
                                          .k = x + 16 * o->size,
                                          .v_turned = turned,
                                          .ld_q = SET_COLS,
                                          .ld_k = SET_COLS,
                                          .ld_v = SET_ROWS,
                                          .head_dim = 16,
                                          .n_queries = o->width < SET_ROWS ? o->width : SET_ROWS,
                                          .window = 5,
                                          .scale = 0.25,
                                          .out = out,
                                          .ld_out = 16,
                                          .q_panel = q_panel,
                                          .scores = scores};
    memset(out, 0, line);
    o->attention(matmul_active(), &panel);
    free(turned);
    free(q_panel);
    free(scores);
    free(x);
}

/* All instruction sets give the same bits. */
static void test_sets(void **state)
{
    (void)state;
    enum { LINES = 6 + ACTIVATION_COUNT };
    for (size_t k = 0; k < COUNT(both); k++) {
        static char want[LINES * SET_N * sizeof(double)], got[LINES * SET_N * sizeof(double)];
        run_set(ops_of(both[k]), both[k], want);
        for (const struct ops_set *s = ops_sets; s->name; s++) {
            if (!s->supported()) continue;
            memset(got, 0, sizeof got);
            run_set(both[k] == PRECISION_F64 ? s->f64 : s->f32, both[k], got);
            assert_memory_equal(want, got, sizeof got);
        }
    }
}

/* Panels made of rows as a file has them are those of decoded rows; other types and lengths are left to these. */
static void test_pack_raw(void **state)
{
    (void)state;
    enum { W = MATMUL_WIDTH_F32, K = 48 };
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16};
    static float rows[W * K], decoded[W * K], want[K * W], got[K * W];
    static uint16_t raw[W * K];
    struct error err;
    for (int i = 0; i < W * K; i++) rows[i] = (float)(i * 7919 % 4001 - 2000) * (i % 11 == 0 ? 1e-7f : 0.37f);
    for (const struct ops_set *s = ops_sets; s->name; s++)
        for (size_t t = 0; s->supported() && s->f32->pack_raw && t < COUNT(types); t++) {
            assert_int_equal(dtype_encode_f32(types[t], rows, raw, W * K, &err), STATUS_OK);
            assert_int_equal(dtype_decode_f32(types[t], raw, decoded, W * K, &err), STATUS_OK);
            ops_f32.pack(want, decoded, K, W, K);
            assert_true(s->f32->pack_raw(got, types[t], raw, K));
            assert_memory_equal(want, got, sizeof want);
            assert_false(s->f32->pack_raw(got, types[t], raw, K - 5));
            assert_false(s->f32->pack_raw(got, DTYPE_I16, raw, K));
        }
}

/* --- products --- */

static float chain_f32(const char *set, float x, float y, float z)
{
    return strcmp(set, "portable") == 0 ? x * y + z : fmaf(x, y, z);
}
static double chain_f64(const char *set, double x, double y, double z)
{
    return strcmp(set, "portable") == 0 ? x * y + z : fma(x, y, z);
}

/* Every set computes exactly the documented chain. (The portable set fuses only where the compiler may.) */
static void test_matmul_order(void **state)
{
    (void)state;
    enum { K = 2 * MATMUL_BLOCK + 37, LD = K + 3, ROWS = MATMUL_ROWS + 8 };
    enum { LF = MATMUL_WIDTH_F32 + 3, LF64 = MATMUL_WIDTH_F64 + 5 }; /* numbers between the rows of a result stay as they are */
    static float pf[K * MATMUL_WIDTH_F32], rf[ROWS * LD], af[(ROWS + 1) * LF];
    static double pd[K * MATMUL_WIDTH_F64], rd[ROWS * LD], ad[(ROWS + 1) * LF64];
    srand(3);
    for (size_t i = 0; i < COUNT(pf); i++) pf[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (size_t i = 0; i < COUNT(pd); i++) pd[i] = (double)rand() / RAND_MAX - 0.5;
    for (size_t i = 0; i < COUNT(rf); i++) rd[i] = rf[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    for (const struct matmul *const *m = matmul_list; *m; m++) {
        if (!(*m)->supported()) continue;
#ifdef __FP_FAST_FMAF
        const char *name = "fused";
#else
        const char *name = (*m)->name;
#endif
        for (int n_rows = 1; n_rows <= ROWS; n_rows++) {
            bool add = n_rows % 2;
            for (size_t i = 0; i < COUNT(af); i++) af[i] = (float)i;
            for (size_t i = 0; i < COUNT(ad); i++) ad[i] = (double)i;
            (*m)->f32(pf, rf, LD, n_rows, K, af, LF, add);
            (*m)->f64(pd, rd, LD, n_rows, K, ad, LF64, add);
            for (int i = 0; i < (int)COUNT(af); i++) {
                int row = i / LF, col = i % LF;
                float sum = 0, total = add ? (float)i : 0;
                bool outside = row >= n_rows || col >= MATMUL_WIDTH_F32;
                for (int k = 0; !outside && k < K; k++) {
                    sum = chain_f32(name, rf[row * LD + k], pf[k * MATMUL_WIDTH_F32 + col], sum);
                    if ((k + 1) % MATMUL_BLOCK == 0 || k + 1 == K) total += sum, sum = 0;
                }
                assert_true(af[i] == (outside ? (float)i : total));
            }
            for (int i = 0; i < (int)COUNT(ad); i++) {
                int row = i / LF64, col = i % LF64;
                double sum = 0, total = add ? (double)i : 0;
                bool outside = row >= n_rows || col >= MATMUL_WIDTH_F64;
                for (int k = 0; !outside && k < K; k++) {
                    sum = chain_f64(name, rd[row * LD + k], pd[k * MATMUL_WIDTH_F64 + col], sum);
                    if ((k + 1) % MATMUL_BLOCK == 0 || k + 1 == K) total += sum, sum = 0;
                }
                assert_true(ad[i] == (outside ? (double)i : total));
            }
        }
    }
}

/* A tensor in memory behind the reader's interface */
struct fake {
    struct container container;
    struct tensor tensor;
    struct ckpt_tensor ckpt;
    const char *bytes;
};
static char fake_path[] = "memory";

static enum status fake_read(struct container *c, const struct tensor *t, uint64_t off, void *dst, size_t n,
                             struct error *err)
{
    (void)t;
    (void)err;
    memcpy(dst, ((const struct fake *)c->priv)->bytes + off, n);
    return STATUS_OK;
}
static const struct container_format fake_format = {.name = "memory", .read = fake_read};

static const struct ckpt_tensor *fake_init(struct fake *k, enum dtype type, const void *bytes, int64_t rows,
                                           int64_t cols)
{
    struct error err;
    memset(k, 0, sizeof *k);
    k->container = (struct container){.format = &fake_format, .priv = k, .file.path = fake_path};
    k->tensor = (struct tensor){.name = "w", .dtype = type, .n_dims = 2, .shape = {rows, cols}};
    if (rows == 1) k->tensor = (struct tensor){.name = "b", .dtype = type, .n_dims = 1, .shape = {cols}};
    assert_int_equal(tensor_set_size(&k->tensor, fake_path, &err), STATUS_OK);
    k->bytes = bytes;
    k->ckpt = (struct ckpt_tensor){.t = &k->tensor, .container = &k->container};
    return &k->ckpt;
}

static void *run_linear(enum precision p, int n_threads, const struct ckpt_tensor *w,
                        const struct ckpt_tensor *b, bool conv1d, const void *x, int64_t n_pos, int64_t n_in,
                        int64_t n_out)
{
    struct error err;
    struct rig r;
    rig_open(&r, p, n_threads, n_pos);
    void *out = calloc((size_t)(n_pos * n_out), ops_of(p)->size);
    const struct linear job = {
        .w = w, .b = b, .conv1d = conv1d, .x = x, .n_pos = n_pos, .n_in = n_in, .n_out = n_out, .out = out};
    assert_int_equal(linear_run(&r.f, &job, &err), STATUS_OK);
    rig_close(&r);
    return out;
}

static void test_linear(void **state)
{
    (void)state;
    float w[LIN_OUT * LIN_IN], turned[LIN_OUT * LIN_IN], b[LIN_OUT];
    for (int o = 0; o < LIN_OUT; o++) {
        b[o] = (float)lin_b[o];
        for (int i = 0; i < LIN_IN; i++)
            turned[i * LIN_OUT + o] = w[o * LIN_IN + i] = (float)lin_w[o * LIN_IN + i];
    }
    struct fake fw, ft, fb;
    fake_init(&fw, DTYPE_F32, w, LIN_OUT, LIN_IN);
    fake_init(&ft, DTYPE_F32, turned, LIN_IN, LIN_OUT);
    fake_init(&fb, DTYPE_F32, b, 1, LIN_OUT);
    for (size_t i = 0; i < COUNT(both); i++) {
        enum precision p = both[i];
        void *x = reals(p, lin_x, COUNT(lin_x));
        void *rows = run_linear(p, 1, &fw.ckpt, &fb.ckpt, false, x, LIN_T, LIN_IN, LIN_OUT);
        void *cols = run_linear(p, 1, &ft.ckpt, &fb.ckpt, true, x, LIN_T, LIN_IN, LIN_OUT);
        assert_true(worst(p, rows, lin_out, COUNT(lin_out)) < limits[p]);
        assert_memory_equal(rows, cols, COUNT(lin_out) * ops_of(p)->size);
        free(x);
        free(rows);
        free(cols);
    }
}

/* Many tiles, several blocks of the sum, weights in half precision: same bits for 1, 2, 3 threads, for both layouts, and for one
 * position alone. */
static void test_linear_bits(void **state)
{
    (void)state;
    enum { T = 301, IN = 600, OUT = 250 };
    uint16_t *w = malloc(IN * OUT * sizeof *w), *turned = malloc(IN * OUT * sizeof *w);
    double *v = malloc(T * IN * sizeof *v);
    srand(7);
    for (int i = 0; i < T * IN; i++) v[i] = (double)((float)rand() / (float)RAND_MAX - 0.5f);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            turned[i * OUT + o] = w[o * IN + i] = bf16_from_f32((float)rand() / (float)RAND_MAX - 0.5f);
    struct fake fw, ft;
    fake_init(&fw, DTYPE_BF16, w, OUT, IN);
    fake_init(&ft, DTYPE_BF16, turned, IN, OUT);
    for (size_t i = 0; i < COUNT(both); i++) {
        enum precision p = both[i];
        size_t size = ops_of(p)->size;
        char *x = reals(p, v, T * IN);
        char *one = run_linear(p, 1, &fw.ckpt, NULL, false, x, T, IN, OUT);
        for (int n_threads = 1; n_threads <= 3; n_threads++)
            for (int conv1d = 0; conv1d < 2; conv1d++) {
                void *got =
                    run_linear(p, n_threads, conv1d ? &ft.ckpt : &fw.ckpt, NULL, conv1d, x, T, IN, OUT);
                assert_memory_equal(got, one, T * OUT * size);
                free(got);
            }
        for (int t = 0; t < T; t += 75) {
            void *got = run_linear(p, 1, &fw.ckpt, NULL, false, x + (size_t)(t * IN) * size, 1, IN, OUT);
            assert_memory_equal(got, one + (size_t)(t * OUT) * size, OUT * size);
            free(got);
        }
        double error = 0;
        for (int t = 0; t < T; t += 50)
            for (int o = 0; o < OUT; o++) {
                long double sum = 0;
                for (int k = 0; k < IN; k++)
                    sum += (long double)v[t * IN + k] * (long double)bf16_to_f32(w[o * IN + k]);
                error =
                    fmax(error, fabs((double)(sum - (long double)real_at(p, one, (size_t)(t * OUT + o)))));
            }
        assert_true(error < (p == PRECISION_F64 ? 1e-14 : 5e-6)); /* 600 products of order 0.1 */
        free(x);
        free(one);
    }
    free(v);
    free(w);
    free(turned);
}

static void test_linear_refuses(void **state)
{
    (void)state;
    struct error err;
    struct rig r;
    struct fake fw, fb;
    float w[6] = {0}, out[2], x[3] = {0};
    fake_init(&fw, DTYPE_F32, w, 2, 3);
    fake_init(&fb, DTYPE_F32, w, 1, 3);
    rig_open(&r, PRECISION_F32, 1, 1);
    struct linear job = {.w = &fw.ckpt, .x = x, .n_pos = 1, .n_in = 3, .n_out = 2, .out = out};
    assert_int_equal(linear_run(&r.f, &job, &err), STATUS_OK);
    job.conv1d = true;
    assert_int_equal(linear_run(&r.f, &job, &err), STATUS_MISMATCH);
    assert_string_equal(err.tensor, "w");
    job.conv1d = false;
    job.b = &fb.ckpt;
    assert_int_equal(linear_run(&r.f, &job, &err), STATUS_MISMATCH);
    assert_string_equal(err.tensor, "b");
    rig_close(&r);
}

/* --- rows --- */

static void test_norms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(both); i++) {
        enum precision p = both[i];
        void *x = reals(p, norm_x, COUNT(norm_x)), *y = reals(p, norm_x, COUNT(norm_x));
        ops_of(p)->rms_norm(y, x, NORM_ROWS, NORM_N, norm_w, NORM_EPS);
        assert_true(worst(p, y, norm_rms, COUNT(norm_rms)) < limits[p]);
        ops_of(p)->layer_norm(y, x, NORM_ROWS, NORM_N, norm_w, norm_b, NORM_EPS);
        assert_true(worst(p, y, norm_layer, COUNT(norm_layer)) < limits[p]);
        free(x);
        free(y);
    }
}

static void test_activations(void **state)
{
    (void)state;
    static const struct {
        enum activation kind;
        const double *want;
    } cases[] = {
        {ACTIVATION_SILU, act_silu},         {ACTIVATION_GELU_TANH, act_gelu_tanh},
        {ACTIVATION_GELU_ERF, act_gelu_erf}, {ACTIVATION_GELU_QUICK, act_gelu_quick},
        {ACTIVATION_RELU, act_relu},
    };
    assert_int_equal(COUNT(cases), ACTIVATION_COUNT);
    for (size_t i = 0; i < COUNT(both); i++)
        for (size_t c = 0; c < COUNT(cases); c++) {
            enum precision p = both[i];
            void *x = reals(p, act_x, ACT_N);
            ops_of(p)->activate(x, ACT_N, cases[c].kind);
            /* Element by element: relative to the result, so that nothing is lost where it is small; plus a little of the argument
             * for its own rounding inside exp, and the reference's cancellation in 1 + tanh. */
            for (size_t j = 0; j < ACT_N; j++) {
                double want = cases[c].want[j], error = fabs(real_at(p, x, j) - want);
                assert_true(error <=
                            limits[p] * (fabs(want) + 1e-3 * fabs(act_x[j])) + 2.3e-16 * fabs(act_x[j]));
            }
            free(x);
        }
}

static void test_rope(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(both); i++) {
        enum precision p = both[i];
        for (int style = ROPE_HALVES; style <= ROPE_PAIRS; style++) {
            char *x = reals(p, rope_x, COUNT(rope_x));
            ops_of(p)->rope(x + ROPE_COL0 * ops_of(p)->size, ROPE_LD, ROPE_T, ROPE_H, ROPE_D, ROPE_DIM,
                            (enum rope_style)style, rope_cos, rope_sin);
            const double *want = style == ROPE_HALVES ? rope_halves : rope_pairs;
            const double *other = style == ROPE_HALVES ? rope_pairs : rope_halves;
            assert_true(worst(p, x, want, COUNT(rope_x)) < limits[p]);
            assert_true(worst(p, x, other, COUNT(rope_x)) > 0.1);
            free(x);
        }
    }
}

/* --- attention --- */

struct probs_seen {
    int count;
    enum precision p;
};
static enum status see_probs(void *ctx, const struct attention *at, int64_t layer, int64_t head,
                             const void *p, struct error *err)
{
    (void)err;
    struct probs_seen *seen = ctx;
    assert_int_equal(at->n_head, ATTN_H);
    assert_int_equal(layer, 4);
    assert_int_equal(head, seen->count);
    assert_true(worst(seen->p, p, attn_probs + head * ATTN_T * ATTN_T, ATTN_T * ATTN_T) < limits[seen->p]);
    seen->count++;
    return STATUS_OK;
}

static void *run_attention(enum precision p, int n_threads, int64_t window, struct probs_seen *seen)
{
    struct error err;
    struct rig r;
    rig_open(&r, p, n_threads, ATTN_T);
    struct act x = {
        .rows = ATTN_T, .cols = (ATTN_H + 2 * ATTN_K) * ATTN_D, .data = reals(p, attn_qkv, COUNT(attn_qkv))};
    struct act out = {
        .rows = ATTN_T, .cols = ATTN_H * ATTN_D, .data = calloc(COUNT(attn_full), ops_of(p)->size)};
    const struct attention a = {
        .q = &x,
        .k = &x,
        .v = &x,
        .k_col0 = ATTN_H * ATTN_D,
        .v_col0 = (ATTN_H + ATTN_K) * ATTN_D,
        .n_head = ATTN_H,
        .n_head_kv = ATTN_K,
        .head_dim = ATTN_D,
        .scale = 1 / sqrt(ATTN_D),
        .window = window,
    };
    if (seen) {
        r.f.probs = see_probs;
        r.f.probs_ctx = seen;
    }
    assert_int_equal(op_attention(&r.f, &out, &a, 4, &err), STATUS_OK);
    free(x.data);
    rig_close(&r);
    return out.data;
}

static void test_attention(void **state)
{
    (void)state;
    static const struct {
        int64_t window;
        const double *want;
    } cases[] = {{0, attn_full}, {ATTN_T, attn_full}, {5, attn_window5}, {1, attn_window1}};
    for (size_t i = 0; i < COUNT(both); i++)
        for (size_t c = 0; c < COUNT(cases); c++) {
            enum precision p = both[i];
            void *one = run_attention(p, 1, cases[c].window, NULL);
            assert_true(worst(p, one, cases[c].want, COUNT(attn_full)) < limits[p]);
            for (int n = 2; n <= 3; n++) {
                void *got = run_attention(p, n, cases[c].window, NULL);
                assert_memory_equal(got, one, COUNT(attn_full) * ops_of(p)->size);
                free(got);
            }
            free(one);
        }
}

static void test_attention_probs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(both); i++) {
        struct probs_seen seen = {.p = both[i]};
        void *plain = run_attention(both[i], 2, 0, NULL), *tapped = run_attention(both[i], 2, 0, &seen);
        assert_int_equal(seen.count, ATTN_H);
        assert_memory_equal(plain, tapped, COUNT(attn_full) * ops_of(both[i])->size);
        free(plain);
        free(tapped);
    }
}

/* --- exp --- */

static void test_exp(void **state)
{
    (void)state;
    double ulps = 0, ulps64 = 0, ulps_below = 0;
    for (double x = -86.5; x < 88.7; x += 0.00137) {
        float v = (float)x, want = (float)expl((long double)v);
        double ulp = (double)(nextafterf(want, INFINITY) - want);
        ulps = fmax(ulps, fabs((double)(vmath_exp_f32(v) - want)) / ulp);
    }
    for (double x = -708; x < 709.7; x += 0.0079) {
        long double want = expl((long double)x);
        double ulp = nextafter((double)want, INFINITY) - (double)want;
        ulps64 = fmax(ulps64, (double)fabsl((long double)vmath_exp_f64(x) - want) / ulp);
    }
    for (double x = -708; x <= 0; x += 0.0079) {
        long double want = expl((long double)x);
        double ulp = nextafter((double)want, INFINITY) - (double)want;
        ulps_below = fmax(ulps_below, (double)fabsl((long double)vmath_exp_below_f64(x) - want) / ulp);
    }
    assert_true(ulps <= 1.5);
    assert_true(ulps64 <= 1.5);
    assert_true(ulps_below <= 1);
    assert_true(vmath_exp_below_f64(0) == 1 && vmath_exp_below_f64(-INFINITY) == 0 && vmath_exp_below_f64(-1e300) == 0);
    assert_true(isnan(vmath_exp_below_f64(NAN)));
    assert_true(vmath_exp_f32(0) == 1 && vmath_exp_f64(0) == 1);
    assert_true(vmath_exp_f32(-INFINITY) == 0 && vmath_exp_f64(-INFINITY) == 0);
    assert_true(vmath_exp_f32(-1e30f) == 0 && vmath_exp_f64(-1e300) == 0);
    assert_true(isinf(vmath_exp_f32(89)) && isinf(vmath_exp_f32(INFINITY)) && isinf(vmath_exp_f32(1e30f)));
    assert_true(isinf(vmath_exp_f64(710)) && isinf(vmath_exp_f64(INFINITY)));
    assert_true(isnan(vmath_exp_f32(NAN)) && isnan(vmath_exp_f64(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_pack_raw),
        cmocka_unit_test(test_matmul_order),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_bits),
        cmocka_unit_test(test_linear_refuses),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_probs),
        cmocka_unit_test(test_exp),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}

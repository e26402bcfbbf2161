/* Encoders of blocks of 32 with a lane for each block. Included once by the file of an instruction set, after its lanes_*.h and with KERNEL_SET
 * defined; gives encode_q4_1_SET and so on, whose bytes are those of quant_simple.c and quant_iq4.c.
 */
#include "dtypes/quant_32.h"
#include "dtypes/search_lanes.h"

enum { RUNS = 32 /* blocks, or sub-blocks, that are worked on together */, RUNS_LEN = RUNS * QK };

/* Some blocks of a row, as whole vectors: past the last one zeros. */
struct runs {
    int n;
    const float *x, *weights; /* weights NULL: none */
    float x_copy[RUNS_LEN], weights_copy[RUNS_LEN];
};

static void runs_open(struct runs *r, const float *row, const float *weights, int64_t n)
{
    r->n = (int)(n / QK < RUNS ? n / QK : RUNS);
    r->x = row;
    r->weights = weights;
    if (r->n == RUNS) return;
    size_t bytes = (size_t)r->n * QK * sizeof(float);
    memset(r->x_copy, 0, sizeof r->x_copy);
    r->x = memcpy(r->x_copy, row, bytes);
    if (!weights) return;
    memset(r->weights_copy, 0, sizeof r->weights_copy);
    r->weights = memcpy(r->weights_copy, weights, bytes);
}

/* Elements of LANES blocks, from block `first`, and their weights. */
INLINE void load_weighed(const struct runs *r, int first, vf sigma2, vf *x, vf *w)
{
    lanes_load(QK, r->x + first * QK, x);
    lanes_load(QK, r->weights + first * QK, w);
    for (int i = 0; i < QK; i++) w[i] = w[i] * v_sqrt(sigma2 + x[i] * x[i]);
}

/* Fields of LANES blocks. */
struct fields {
    float d[LANES], m[LANES];
    unsigned char low[16][LANES], fifth[4][LANES];
};

/* Quants below 32 to nibbles, j and j + 16 in a byte, and fifth bits. */
INLINE void pack_quants(vf *q, bool fifth, struct fields *f)
{
    if (fifth) {
        for (int k = 0; k < 4; k++) {
            vf bits = v_set(0);
            for (int j = 0; j < 8; j++) {
                vm high = v_less(v_set(15), q[8 * k + j]);
                bits = bits + v_select(high, v_set((float)(1 << j)), v_set(0));
                q[8 * k + j] = v_select(high, q[8 * k + j] - v_set(16), q[8 * k + j]);
            }
            v_store_bytes(f->fifth[k], bits);
        }
    }
    for (int j = 0; j < 16; j++) v_store_bytes(f->low[j], q[j] + q[j + 16] * v_set(16));
}

/* A type's fields lie in this order: d, m, fifth bits, nibbles. Returns where the next block begins. */
INLINE unsigned char *emit_block(const struct fields *f, int lane, bool min, bool fifth, unsigned char *out)
{
    struct half d = half_store(f->d[lane]), m = half_store(f->m[lane]);
    memcpy(out, &d, 2);
    out += 2;
    if (min) {
        memcpy(out, &m, 2);
        out += 2;
    }
    for (int k = 0; fifth && k < 4; k++) *out++ = f->fifth[k][lane];
    for (int j = 0; j < 16; j++) *out++ = f->low[j][lane];
    return out;
}

/* How the blocks of a type are made and where they go. */
struct sink {
    bool min, fifth;
    int block_bytes;
    float sigma2;
    encode_f32_fn *plain;        /* for a block that lanes cannot do: without weights */
    encode_block_fn *plain_block; /* ... with */
    unsigned char *dst;
};

/* Blocks first.. of the runs, as far as there are that many. */
INLINE void emit_blocks(struct sink *s, const struct runs *r, int first, const struct fields *f, unsigned strange)
{
    for (int j = 0; j < LANES && first + j < r->n; j++, s->dst += s->block_bytes) {
        const float *x = r->x + (first + j) * QK;
        if (!(strange >> j & 1))
            emit_block(f, j, s->min, s->fifth, s->dst);
        else if (r->weights)
            s->plain_block(x, r->weights + (first + j) * QK, s->sigma2, s->dst);
        else
            s->plain(x, s->dst, QK);
    }
}

/* --- without weights: the extreme elements give the scale --- */

/* 0, or NaN where an element is not finite */
INLINE vf odd_of(const vf *x)
{
    vf odd = v_set(0);
    for (int i = 0; i < QK; i++) odd = odd + (x[i] - x[i]);
    return odd;
}

/* Scales and their inverses are normal floats, and products with them stay small. */
INLINE vm usual_range(vf range)
{
    return m_and(v_less(v_set(1e-30f), range), v_less(range, v_set(1e38f)));
}

/* v is in 0..top + 2, save in strange lanes. */
INLINE vf truncate_quant(vf v, float top)
{
    return v_min(v_trunc(v_max(v_min(v, v_set(64)), v_set(0))), v_set(top));
}

INLINE void extremes_symmetric(float half, vf *x, struct fields *f, unsigned *strange)
{
    vf amax = v_set(0), extreme = v_set(0);
    for (int i = 0; i < QK; i++) {
        vf a = v_abs(x[i]);
        extreme = v_select(v_less(amax, a), x[i], extreme);
        amax = v_max(a, amax);
    }
    vf d = extreme / v_set(-half), id = v_set(1) / d;
    *strange = m_bits(m_not(m_and(usual_range(amax), v_equal(odd_of(x), v_set(0)))));
    for (int i = 0; i < QK; i++) x[i] = truncate_quant(x[i] * id + v_set(half + 0.5f), 2 * half - 1);
    v_store(f->d, d);
}

INLINE void extremes_affine(float levels, vf *x, struct fields *f, unsigned *strange)
{
    vf lo = x[0], hi = x[0];
    for (int i = 1; i < QK; i++) {
        lo = v_min(x[i], lo);
        hi = v_max(x[i], hi);
    }
    vf range = hi - lo, d = range / v_set(levels), id = v_set(1) / d;
    vm flat = v_equal(range, v_set(0));
    id = v_select(flat, v_set(0), id);
    *strange = m_bits(m_not(m_and(m_or(usual_range(range), flat), v_equal(odd_of(x), v_set(0)))));
    for (int i = 0; i < QK; i++) x[i] = truncate_quant((x[i] - lo) * id + v_set(0.5f), levels);
    v_store(f->d, d);
    v_store(f->m, lo);
}

INLINE void encode_extremes(struct sink s, const float *src, int64_t n, float top)
{
    struct runs r;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        runs_open(&r, src + at, NULL, n - at);
        for (int first = 0; first < r.n; first += LANES) {
            vf x[QK];
            struct fields f = {0};
            unsigned strange;
            lanes_load(QK, r.x + first * QK, x);
            if (s.min)
                extremes_affine(top, x, &f, &strange);
            else
                extremes_symmetric((top + 1) / 2, x, &f, &strange);
            pack_quants(x, s.fifth, &f);
            emit_blocks(&s, &r, first, &f, strange);
        }
    }
}

#define SINK(NAME, MIN, FIFTH)                                                                               \
    {.min = MIN, .fifth = FIFTH, .block_bytes = sizeof(struct block_##NAME), .plain = encode_##NAME,         \
     .plain_block = encode_##NAME##_block, .dst = dst}

void KERNEL(encode_q5_0)(const float *src, void *dst, int64_t n)
{
    encode_extremes((struct sink)SINK(q5_0, false, true), src, n, 31);
}
void KERNEL(encode_q4_1)(const float *src, void *dst, int64_t n)
{
    encode_extremes((struct sink)SINK(q4_1, true, false), src, n, 15);
}
void KERNEL(encode_q5_1)(const float *src, void *dst, int64_t n)
{
    encode_extremes((struct sink)SINK(q5_1, true, true), src, n, 31);
}

/* --- with weights: searches --- */

INLINE void encode_symmetric(struct sink s, const float *row, const float *weights, int64_t n, float half)
{
    struct runs r;
    s.sigma2 = sum_of_squares(row, n) / (float)n;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        runs_open(&r, row + at, weights + at, n - at);
        for (int first = 0; first < r.n; first += FLIGHT * LANES) {
            struct symmetric_lanes p[FLIGHT];
            for (int h = 0; h < FLIGHT; h++) {
                load_weighed(&r, first + LANES * h, v_set(s.sigma2), p[h].x, p[h].w);
                symmetric_begin(QK, &p[h], true);
            }
            symmetric_run(QK, half, p, FLIGHT);
            for (int h = 0; h < FLIGHT; h++) {
                struct fields f = {0};
                for (int i = 0; i < QK; i++) {
                    vf l = v_max(v_round(p[h].kept_iscale * p[h].x[i]), v_set(-half));
                    l = v_min(l, v_set(half - 1)) + v_set(half);
                    p[h].x[i] = v_select(p[h].active, l, v_set(0));
                }
                v_store(f.d, p[h].scale);
                pack_quants(p[h].x, s.fifth, &f);
                emit_blocks(&s, &r, first + LANES * h, &f, m_bits(p[h].strange));
            }
        }
    }
}

INLINE void encode_affine(struct sink s, const struct affine_search *search, const float *row, const float *weights,
                          int64_t n)
{
    struct runs r;
    const vf zero = v_set(0), nmax = v_set((float)search->nmax);
    s.sigma2 = sum_of_squares(row, n) / (float)n;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        runs_open(&r, row + at, weights + at, n - at);
        for (int first = 0; first < r.n; first += AFFINE_FLIGHT * LANES) {
            struct affine_lanes p[AFFINE_FLIGHT];
            for (int h = 0; h < AFFINE_FLIGHT; h++)
                load_weighed(&r, first + LANES * h, v_set(s.sigma2), p[h].x, p[h].w);
            affine_run(search, QK, p, false);
            for (int h = 0; h < AFFINE_FLIGHT; h++) {
                struct fields f;
                for (int i = 0; i < QK; i++) {
                    vf l = v_max(v_round(p[h].kept_iscale * (p[h].x[i] - p[h].kept_min)), zero);
                    p[h].l[i] = v_select(p[h].flat, zero, v_min(l, nmax));
                }
                v_store(f.d, v_select(p[h].flat, zero, p[h].scale));
                v_store(f.m, p[h].min);
                pack_quants(p[h].l, s.fifth, &f);
                emit_blocks(&s, &r, first + LANES * h, &f, m_bits(p[h].strange));
            }
        }
    }
}

void KERNEL(encode_q4_0_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    encode_symmetric((struct sink)SINK(q4_0, false, false), row, weights, n, 8);
}
void KERNEL(encode_q5_0_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    encode_symmetric((struct sink)SINK(q5_0, false, true), row, weights, n, 16);
}
void KERNEL(encode_q4_1_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    encode_affine((struct sink)SINK(q4_1, true, false), &search_q4_1, row, weights, n);
}
void KERNEL(encode_q5_1_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    encode_affine((struct sink)SINK(q5_1, true, true), &search_q5_1, row, weights, n);
}

/* --- sixteen levels: comparisons only, so that no lane is strange --- */

/* Of 16 values the one whose index is that of the level nearest to v. From halfway on it is the upper one: near the middle both differences are exact,
 * so that comparing with the middle is what comparing the differences does. */
INLINE vf pick_level(vf v, const float values[16])
{
    vf picked = v_set(values[15]);
    for (int i = 14; i >= 0; i--) {
        float middle = 0.5f * (float)(iq4_levels[i] + iq4_levels[i + 1]);
        picked = v_select(v_less(v, v_set(middle)), v_set(values[i]), picked);
    }
    return picked;
}

INLINE struct fit_lanes level_sums(const vf *x, const vf *w, vf iscale, const float levels[16])
{
    struct fit_lanes f = {v_set(0), v_set(0)};
    for (int i = 0; i < QK; i++) {
        vf level = pick_level(iscale * x[i], levels);
        vf wl = w[i] * level;
        f.sx = f.sx + wl * x[i];
        f.s2 = f.s2 + wl * level;
    }
    return f;
}

/* search_levels of quant_iq4.c */
INLINE vf search_levels_lanes(const vf *x, const vf *w, const float levels[16])
{
    vf amax = v_set(0), v = v_set(0), zero = v_set(0);
    for (int i = 0; i < QK; i++) {
        vf a = v_abs(x[i]);
        v = v_select(v_less(amax, a), x[i], v);
        amax = v_max(a, amax);
    }
    struct fit_lanes f = level_sums(x, w, v_set(1) / ((zero - v) / v_set(levels[0])), levels);
    vf scale = v_select(v_less(zero, f.s2), f.sx / f.s2, zero);
    vf best = scale * f.sx;
    for (int is = -7; is <= 7; is++) {
        f = level_sums(x, w, v_set((float)is + levels[0]) / v, levels);
        vm better = m_and(v_less(zero, f.s2), v_less(best * f.s2, f.sx * f.sx));
        vf candidate = f.sx / f.s2;
        scale = v_select(better, candidate, scale);
        best = v_select(better, candidate * f.sx, best);
    }
    return v_select(v_less(amax, v_set(1e-15f)), zero, scale);
}

static void level_values(float levels[16])
{
    for (int i = 0; i < 16; i++) levels[i] = (float)iq4_levels[i];
}

/* Scales of all runs; sigma2 of each, where there are weights. */
static void search_iq4_runs(const struct runs *r, const float sigma2[RUNS], float scales[RUNS])
{
    float levels[16];
    level_values(levels);
    for (int first = 0; first < r->n; first += LANES) {
        vf x[QK], w[QK];
        if (r->weights) {
            load_weighed(r, first, v_load(sigma2 + first), x, w);
        } else {
            lanes_load(QK, r->x + first * QK, x);
            for (int i = 0; i < QK; i++) w[i] = x[i] * x[i];
        }
        v_store(scales + first, search_levels_lanes(x, w, levels));
    }
}

/* Indices of the levels nearest to iscale * x: 16 bytes a run, at qs[run]. */
static void store_iq4_runs(const struct runs *r, const float iscales[RUNS], unsigned char *const qs[RUNS])
{
    static const float indices[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int first = 0; first < r->n; first += LANES) {
        vf x[QK], iscale = v_load(iscales + first);
        struct fields f;
        lanes_load(QK, r->x + first * QK, x);
        for (int i = 0; i < QK; i++) x[i] = pick_level(iscale * x[i], indices);
        pack_quants(x, false, &f);
        for (int j = 0; j < LANES && first + j < r->n; j++)
            for (int i = 0; i < 16; i++) qs[first + j][i] = f.low[i][j];
    }
}

void KERNEL(encode_iq4_nl_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_iq4_nl *b = dst;
    struct runs r;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        float sigma2[RUNS] = {0}, scales[RUNS] = {0}, iscales[RUNS] = {0};
        unsigned char *qs[RUNS];
        runs_open(&r, row + at, weights ? weights + at : NULL, n - at);
        for (int s = 0; weights && s < r.n; s++) sigma2[s] = sum_of_squares(r.x + QK * s, QK) * (2.0f / QK);
        search_iq4_runs(&r, sigma2, scales);
        for (int s = 0; s < r.n; s++, b++) {
            b->d = half_store(scales[s]);
            iscales[s] = scales[s] != 0 ? 1 / scales[s] : 0.0f;
            qs[s] = b->qs;
        }
        store_iq4_runs(&r, iscales, qs);
    }
}

void KERNEL(encode_iq4_xs_weighted)(const float *row, const float *weights, void *dst, int64_t n)
{
    struct block_iq4_xs *b = dst;
    struct runs r;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        float sigma2[RUNS] = {0}, scales[RUNS] = {0}, iscales[RUNS] = {0};
        unsigned char *qs[RUNS];
        runs_open(&r, row + at, weights ? weights + at : NULL, n - at);
        for (int s = 0; weights && s < r.n; s++)
            sigma2[s] = s % 8 ? sigma2[s - 1] : sum_of_squares(r.x + QK * s, QK_K) * (2.0f / QK_K);
        search_iq4_runs(&r, sigma2, scales);
        for (int s = 0; s < r.n; s += 8, b++) {
            iq4_xs_set_scales(b, scales + s, iscales + s);
            for (int k = 0; k < 8; k++) qs[s + k] = b->qs + 16 * k;
        }
        store_iq4_runs(&r, iscales, qs);
    }
}

void KERNEL(encode_iq4_nl)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_iq4_nl_weighted)(src, NULL, dst, n);
}
void KERNEL(encode_iq4_xs)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_iq4_xs_weighted)(src, NULL, dst, n);
}

/* --- 4-bit floats: comparisons only as well --- */

/* nearest_e2m1 of quant_fp4.c */
INLINE vf nearest_code(vf x, vf d)
{
    static const float doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    const vf zero = v_set(0);
    vf a = v_abs(x), least = a, best = zero;
    for (int k = 1; k < 8; k++) {
        vf e = v_abs(v_set(doubled[k]) * d - a);
        vm nearer = v_less(e, least);
        best = v_select(nearer, v_set((float)k), best);
        least = v_select(nearer, e, least);
    }
    vm negative = m_and(v_less(x, zero), v_less(zero, best));
    return v_select(negative, best + v_set(8), best);
}

void KERNEL(encode_mxfp4)(const float *src, void *dst, int64_t n)
{
    struct block_mxfp4 *b = dst;
    struct runs r;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        runs_open(&r, src + at, NULL, n - at);
        for (int first = 0; first < r.n; first += LANES) {
            vf x[QK], amax = v_set(0);
            float magnitudes[LANES], d[LANES];
            unsigned char exponents[LANES];
            struct fields f;
            lanes_load(QK, r.x + first * QK, x);
            for (int i = 0; i < QK; i++) amax = v_max(v_abs(x[i]), amax);
            v_store(magnitudes, amax);
            for (int j = 0; j < LANES; j++) {
                exponents[j] = mxfp4_exponent(magnitudes[j]);
                d[j] = e8m0_half(exponents[j]);
            }
            for (int i = 0; i < QK; i++) x[i] = nearest_code(x[i], v_load(d));
            pack_quants(x, false, &f);
            for (int j = 0; j < LANES && first + j < r.n; j++, b++) {
                b->e = exponents[j];
                for (int i = 0; i < 16; i++) b->qs[i] = f.low[i][j];
            }
        }
    }
}

/* A lane holds two groups of 16, which have a scale each. */
INLINE void encode_nvfp4_groups(const float *src, float halves[2][LANES], unsigned char scales[2][LANES], unsigned char codes[2][8][LANES])
{
    vf x[QK];
    lanes_load(QK, src, x);
    for (int g = 0; g < 2; g++) {
        float magnitudes[LANES];
        vf *v = x + 16 * g, amax = v_set(0);
        for (int i = 0; i < 16; i++) amax = v_max(v_abs(v[i]), amax);
        v_store(magnitudes, amax);
        for (int j = 0; j < LANES; j++) {
            scales[g][j] = nvfp4_scale(magnitudes[j]);
            halves[g][j] = ue4m3_half(scales[g][j]);
        }
        for (int i = 0; i < 16; i++) v[i] = nearest_code(v[i], v_load(halves[g]));
        for (int i = 0; i < 8; i++) v_store_bytes(codes[g][i], v[i] + v[i + 8] * v_set(16));
    }
}

void KERNEL(encode_nvfp4)(const float *src, void *dst, int64_t n)
{
    struct block_nvfp4 *b = dst;
    struct runs r;
    for (int64_t at = 0; at < n; at += RUNS_LEN) {
        runs_open(&r, src + at, NULL, n - at);
        for (int first = 0; first < r.n; first += LANES) {
            float halves[2][LANES];
            unsigned char scales[2][LANES], codes[2][8][LANES];
            encode_nvfp4_groups(r.x + first * QK, halves, scales, codes);
            for (int j = 0; j < LANES && first + j < r.n; j++)
                for (int g = 0; g < 2; g++) {
                    int group = (2 * j + g) % 4;
                    b->d[group] = scales[g][j];
                    for (int i = 0; i < 8; i++) b->qs[8 * group + i] = codes[g][i][j];
                    b += group == 3;
                }
        }
    }
}

/* Encoders of super-blocks with a lane for each sub-block. Included once by the file of an instruction set, after its lanes_*.h and with
 * KERNEL_SET defined; gives encode_q4_k_SET and so on, whose bytes are those of quant_k.c.
 *
 * A chunk of super-blocks goes through three stages: the searches, lanes = sub-blocks; integer scales under a half, with importance weights
 * lanes = super-blocks; quants with the scales as stored, lanes = elements.
 */
#include "dtypes/descent_lanes.h"

/* --- types with a minimum --- */

static void affine_found(const struct affine_lanes *p, int at, int per_block, struct found *f)
{
    vf zero = v_set(0);
    v_store(f->scale + at, v_select(p->flat, zero, p->scale));
    v_store(f->min + at, zero - p->min);
    v_store(f->sum_w + at, p->sum_w);
    v_store(f->kept_iscale + at, v_select(p->flat, zero, p->kept_iscale));
    v_store(f->kept_min + at, p->kept_min);
    mark_strange(f, m_bits(p->strange), at, per_block);
}

INLINE void search_affine_chunk(const struct k_affine *t, int len, bool weighted, bool absolute, const struct chunk *c,
                                struct found *f)
{
    const int per_block = QK_K / len;
    const struct affine_search *s = weighted ? &t->weighted : &t->plain;
    for (int first = 0; first < c->blocks * per_block; first += AFFINE_FLIGHT * LANES) {
        struct affine_lanes p[AFFINE_FLIGHT];
        for (int h = 0; h < AFFINE_FLIGHT; h++) {
            lanes_load(len, c->x + (first + LANES * h) * len, p[h].x);
            if (weighted)
                weigh_lanes(len, c, first + LANES * h, p[h].x, p[h].w);
            else
                weigh_lanes_plain(len, t->mean, p[h].x, p[h].w);
        }
        affine_run(s, len, p, absolute);
        for (int h = 0; h < AFFINE_FLIGHT; h++) affine_found(&p[h], first + LANES * h, per_block, f);
    }
}

static void search_32(const struct k_affine *t, const struct chunk *c, struct found *f)
{
    search_affine_chunk(t, 32, false, false, c, f);
}
static void search_32_weighted(const struct k_affine *t, const struct chunk *c, struct found *f)
{
    search_affine_chunk(t, 32, true, false, c, f);
}
static void search_16_absolute(const struct k_affine *t, const struct chunk *c, struct found *f)
{
    search_affine_chunk(t, 16, false, true, c, f);
}
static void search_16_weighted(const struct k_affine *t, const struct chunk *c, struct found *f)
{
    search_affine_chunk(t, 16, true, false, c, f);
}

/* Scales and minima of the super-blocks of a chunk as integers, through search_positive: a lane for the scales of a super-block, one for its
 * minima. */
static void weighted_scales(const struct k_affine *t, struct found *f, struct k_affine_scales k[CHUNK])
{
    enum { RUNS = 2 * CHUNK };
    const int n = QK_K / t->len;
    float x[16][RUNS], w[16][RUNS], l[RUNS], scale[RUNS];
    for (int b = 0; b < CHUNK; b++)
        for (int j = 0; j < n; j++) {
            x[j][b] = f->scale[b * n + j];
            x[j][b + CHUNK] = f->min[b * n + j];
            w[j][b] = w[j][b + CHUNK] = f->sum_w[b * n + j];
        }
    for (int r = 0; r < RUNS; r += LANES) {
        struct positive_lanes p;
        for (int j = 0; j < n; j++) {
            p.x[j] = v_load(x[j] + r);
            p.w[j] = v_load(w[j] + r);
        }
        positive_run(n, t->scale_max, &p);
        v_store(scale + r, p.scale);
        unsigned strange = m_bits(p.strange);
        for (int i = 0; i < LANES; i++)
            if (strange >> i & 1) f->strange[(r + i) % CHUNK] = true;
        for (int j = 0; j < n; j++) {
            v_store(l, p.l[j]);
            for (int i = 0; i < LANES; i++) *((r + i < CHUNK ? k[r + i].s : k[r + i - CHUNK].m) + j) = (uint8_t)l[i];
        }
    }
    for (int b = 0; b < CHUNK; b++) {
        k[b].d = half_store(scale[b]);
        k[b].dmin = half_store(scale[b + CHUNK]);
    }
}

/* What requantizing a super-block takes: n elements of each sub-block, quants lo..hi. */
struct requantize {
    int n, lo, hi;
    const float *x;
    const float *step, *min;                 /* 16 of each, the last ones 0 where there are 8; min NULL: none */
    const float *kept_iscale, *kept_min;     /* of the search; kept_min NULL: none */
};

/* iscale 0: the search gave up, all quants are the lowest. */
static void keep_quants(const struct requantize *r, int j, uint8_t *q)
{
    float iscale = r->kept_iscale[j], min = r->kept_min ? r->kept_min[j] : 0;
    for (int i = r->n * j; i < r->n * (j + 1); i++) {
        int32_t v = i32_clamp(i32_nearest(iscale * (r->x[i] - min)), r->lo, r->hi);
        q[i] = iscale == 0 ? 0 : (uint8_t)(v - r->lo);
    }
}

static void divide_quants(const struct requantize *r, int j, uint8_t *q)
{
    float step = r->step[j], min = r->min ? r->min[j] : 0;
    for (int i = r->n * j; i < r->n * (j + 1); i++)
        q[i] = (uint8_t)(i32_clamp(i32_nearest((r->x[i] + min) / step), r->lo, r->hi) -
                         r->lo);
}

/* Quants of a super-block, biased to 0 .. hi - lo: what the scales as stored give, or, where such a scale is zero, what the search left.
 * Products with 1 / step instead of quotients: of a magnitude up to 64 they are at most 1.2e-5 off, which matters only near a tie of the
 * rounding; beyond, both are cut to the same end. Where a tie is near, rounding leaves its domain, or a scale is no number, the whole super-block is
 * divided. */
INLINE void requantize(const struct requantize *r, int n, int lo, int hi, bool has_min, uint8_t q[QK_K])
{
    float inverse[16];
    int8_t nearest[QK_K];
    vf off = v_set(0), far = v_set(0);
    vm known = v_equal(off, far);
    for (int j = 0; j < 16; j += LANES) {
        vf step = v_load(r->step + j);
        known = m_and(known, v_finite(step));
        if (has_min) known = m_and(known, v_finite(v_load(r->min + j)));
        v_store(inverse + j, v_select(v_equal(step, v_set(0)), v_set(0), v_set(1) / step));
    }
    for (int j = 0; j < QK_K / n; j++)
        for (int i = n * j; i < n * (j + 1); i += LANES) {
            vf x = v_load(r->x + i);
            if (has_min) x = x + v_set(r->min[j]);
            vf v = x * v_set(inverse[j]);
            vi k = v_nearest_int(v);
            off = v_most_abs(off, v - v_from_int(k));
            far = v_most_abs(far, v);
            v_store_int8(nearest + i, k);
        }
    for (int i = 0; i < QK_K; i++) { /* all in bytes */
        int8_t v = nearest[i] < (int8_t)lo ? (int8_t)lo : nearest[i];
        v = v > (int8_t)hi ? (int8_t)hi : v;
        q[i] = (uint8_t)((uint8_t)v - (uint8_t)lo);
    }
    bool divide = v_most(off) >= 0.49998f || v_most(far) >= 4e6f || m_bits(m_not(known));
    for (int j = 0; j < QK_K / n; j++) {
        if (r->step[j] == 0)
            keep_quants(r, j, q);
        else if (divide)
            divide_quants(r, j, q);
    }
}

/* A type of super-blocks with a minimum. */
struct affine_kernel {
    const struct k_affine *type;
    void (*search)(const struct k_affine *t, const struct chunk *c, struct found *f);
    void (*search_weighted)(const struct k_affine *t, const struct chunk *c, struct found *f);
    void (*store)(void *block, const struct k_affine_scales *k, float step[16], float min[16]);
    void (*pack)(void *block, const uint8_t q[QK_K]);
    encode_row_weighted_fn *plain_code;
    size_t block_bytes;
};

static void affine_chunk(const struct affine_kernel *a, struct chunk *c, struct found *f, struct k_affine_scales k[CHUNK])
{
    const int n = QK_K / a->type->len;
    memset(f->strange, 0, sizeof f->strange);
    if (c->importance) {
        chunk_sigmas(c, a->type->sigma);
        a->search_weighted(a->type, c, f);
        for (int s = c->blocks * n; s < CHUNK * n; s++) f->scale[s] = f->min[s] = f->sum_w[s] = 0;
        weighted_scales(a->type, f, k);
        return;
    }
    a->search(a->type, c, f);
    for (int b = 0; b < c->blocks; b++) k_affine_plain(a->type, f->scale + b * n, f->min + b * n, &k[b]);
}

INLINE void encode_affine(const struct affine_kernel *a, int len, const float *row, const float *importance, void *dst,
                          int64_t n)
{
    const int hi = a->type->plain.nmax;
    unsigned char *block = dst;
    struct chunk c;
    struct found f;
    struct k_affine_scales k[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK_LEN) {
        chunk_open(&c, row + at, importance ? importance + at : NULL, n - at);
        affine_chunk(a, &c, &f, k);
        for (int b = 0; b < c.blocks; b++, block += a->block_bytes) {
            const float *x = c.x + QK_K * b;
            float step[16] = {0}, min[16] = {0};
            uint8_t q[QK_K];
            if (f.strange[b]) {
                a->plain_code(x, c.importance ? c.importance + QK_K * b : NULL, block, QK_K);
                continue;
            }
            a->store(block, &k[b], step, min);
            struct requantize r = {len, 0, hi, x, step, min, f.kept_iscale + b * (QK_K / len), f.kept_min + b * (QK_K / len)};
            requantize(&r, len, 0, hi, true, q);
            a->pack(block, q);
        }
    }
}

static void store_q2(void *block, const struct k_affine_scales *k, float step[16], float min[16])
{
    k_pack_scales_q2(k, block, step, min);
}
static void pack_q2(void *block, const uint8_t q[QK_K])
{
    k_pack_q2(q, ((struct block_q2_k *)block)->qs);
}
static void store_q4(void *block, const struct k_affine_scales *k, float step[16], float min[16])
{
    struct block_q4_k *b = block;
    b->d = k->d;
    b->dmin = k->dmin;
    k_pack_scales_q4(k, b->scales, step, min);
}
static void pack_q4(void *block, const uint8_t q[QK_K])
{
    k_pack_q4(q, ((struct block_q4_k *)block)->qs);
}
static void store_q5(void *block, const struct k_affine_scales *k, float step[16], float min[16])
{
    struct block_q5_k *b = block;
    b->d = k->d;
    b->dmin = k->dmin;
    k_pack_scales_q4(k, b->scales, step, min);
}
static void pack_q5(void *block, const uint8_t q[QK_K])
{
    k_pack_q5(q, block);
}

static const struct affine_kernel kernel_q2 = {
    &k_affine_q2, search_16_absolute, search_16_weighted, store_q2, pack_q2, encode_q2_k_weighted, sizeof(struct block_q2_k)};
static const struct affine_kernel kernel_q4 = {
    &k_affine_q4, search_32, search_32_weighted, store_q4, pack_q4, encode_q4_k_weighted, sizeof(struct block_q4_k)};
static const struct affine_kernel kernel_q5 = {
    &k_affine_q5, search_32, search_32_weighted, store_q5, pack_q5, encode_q5_k_weighted, sizeof(struct block_q5_k)};

void KERNEL(encode_q2_k_weighted)(const float *row, const float *importance, void *dst, int64_t n)
{
    encode_affine(&kernel_q2, 16, row, importance, dst, n);
}
void KERNEL(encode_q4_k_weighted)(const float *row, const float *importance, void *dst, int64_t n)
{
    encode_affine(&kernel_q4, 32, row, importance, dst, n);
}
void KERNEL(encode_q5_k_weighted)(const float *row, const float *importance, void *dst, int64_t n)
{
    encode_affine(&kernel_q5, 32, row, importance, dst, n);
}
void KERNEL(encode_q2_k)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_q2_k_weighted)(src, NULL, dst, n);
}
void KERNEL(encode_q4_k)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_q4_k_weighted)(src, NULL, dst, n);
}
void KERNEL(encode_q5_k)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_q5_k_weighted)(src, NULL, dst, n);
}

/* --- types without --- */

enum weighing { BY_SQUARE, BY_IMPORTANCE, BY_BOTH /* as search_affine is weighed */ };

INLINE void search_symmetric_chunk(float nmax, enum weighing by, int flight, const struct chunk *c, struct found *f)
{
    for (int first = 0; first < c->blocks * 16; first += flight * LANES) {
        struct symmetric_lanes p[FLIGHT_LONG];
        for (int h = 0; h < flight; h++) {
            int at = first + LANES * h;
            lanes_load(16, c->x + at * 16, p[h].x);
            if (by == BY_IMPORTANCE) lanes_load(16, c->importance + at * 16, p[h].w);
            if (by == BY_BOTH) {
                weigh_lanes(16, c, at, p[h].x, p[h].w);
                vf sum = v_set(0);
                for (int i = 0; i < 16; i++) sum = sum + p[h].w[i];
                v_store(f->sum_w + at, sum);
            }
            symmetric_begin(16, &p[h], by != BY_SQUARE);
        }
        symmetric_run(16, nmax, p, flight);
        for (int h = 0; h < flight; h++) {
            int at = first + LANES * h;
            v_store(f->scale + at, p[h].scale);
            v_store(f->kept_iscale + at, p[h].kept_iscale);
            mark_strange(f, m_bits(p[h].strange), at, 16);
        }
    }
}

/* k_scales_q6; no scale is NaN or infinite */
INLINE bool scales_q6(const float scales[16], struct block_q6_k *b, float step[16])
{
    float largest = extreme_16(scales);
    if (fabsf(largest) < 1e-15f) {
        memset(b, 0, sizeof *b);
        return false;
    }
    float iscale = -128.0f / largest;
    uint16_t half = f_to_half(1 / iscale);
    memcpy(b->d.le, &half, sizeof half);
    for (int j = 0; j < 16; j += LANES) {
        vf k = v_min(v_round(v_set(iscale) * v_load(scales + j)), v_set(127));
        v_store_int8(b->scales + j, v_nearest_int(k));
        v_store(step + j, v_set(f_half(half)) * k);
    }
    return true;
}

void KERNEL(encode_q6_k_weighted)(const float *row, const float *importance, void *dst, int64_t n)
{
    struct block_q6_k *block = dst;
    struct chunk c;
    struct found f;
    for (int64_t at = 0; at < n; at += CHUNK_LEN) {
        chunk_open(&c, row + at, importance ? importance + at : NULL, n - at);
        memset(f.strange, 0, sizeof f.strange);
        if (importance)
            search_symmetric_chunk(32, BY_IMPORTANCE, FLIGHT_MOST, &c, &f);
        else
            search_symmetric_chunk(32, BY_SQUARE, FLIGHT_LONG, &c, &f);
        for (int b = 0; b < c.blocks; b++, block++) {
            const float *x = c.x + QK_K * b;
            float step[16];
            uint8_t q[QK_K];
            if (f.strange[b]) {
                encode_q6_k_weighted(x, importance ? c.importance + QK_K * b : NULL, block, QK_K);
                continue;
            }
            if (!scales_q6(f.scale + 16 * b, block, step)) continue;
            struct requantize r = {16, -32, 31, x, step, NULL, f.kept_iscale + 16 * b, NULL};
            requantize(&r, 16, -32, 31, false, q);
            k_pack_q6(q, block);
        }
    }
}

/* The scales of the super-blocks, a lane for each. */
static void weighted_scales_q3(struct found *f, float scale[LANES * 2], float kept_iscale[LANES * 2], int first)
{
    struct symmetric_lanes p;
    for (int j = 0; j < 16; j++) {
        float x[LANES] = {0}, w[LANES] = {0};
        for (int i = 0; i < LANES && first + i < CHUNK; i++) {
            x[i] = f->scale[16 * (first + i) + j];
            w[i] = f->sum_w[16 * (first + i) + j];
        }
        p.x[j] = v_load(x);
        p.w[j] = v_load(w);
    }
    symmetric_begin(16, &p, true);
    symmetric_run(16, 32, &p, 1);
    v_store(scale, p.scale);
    v_store(kept_iscale, p.kept_iscale);
    unsigned strange = m_bits(p.strange);
    for (int i = 0; i < LANES && first + i < CHUNK; i++)
        if (strange >> i & 1) f->strange[first + i] = true;
}

void KERNEL(encode_q3_k_weighted)(const float *row, const float *importance, void *dst, int64_t n)
{
    struct block_q3_k *block = dst;
    struct chunk c;
    struct found f;
    for (int64_t at = 0; at < n; at += CHUNK_LEN) {
        float d[CHUNK + 2 * LANES], iscale[CHUNK + 2 * LANES];
        chunk_open(&c, row + at, importance ? importance + at : NULL, n - at);
        memset(f.strange, 0, sizeof f.strange);
        if (importance) {
            chunk_sigmas(&c, 2);
            search_symmetric_chunk(4, BY_BOTH, FLIGHT_MOST, &c, &f);
            for (int s = c.blocks * 16; s < SUBS_MAX; s++) f.scale[s] = f.sum_w[s] = 0;
            for (int b = 0; b < CHUNK; b += LANES) weighted_scales_q3(&f, d + b, iscale + b, b);
        } else {
            search_descent_chunk(4, &c, &f);
            memset(f.kept_iscale, 0, sizeof f.kept_iscale);
        }
        for (int b = 0; b < c.blocks; b++, block++) {
            const float *x = c.x + QK_K * b;
            float step[16];
            uint8_t q[QK_K];
            if (f.strange[b]) {
                encode_q3_k_weighted(x, importance ? c.importance + QK_K * b : NULL, block, QK_K);
                continue;
            }
            if (importance) {
                int8_t u[16];
                for (int j = 0; j < 16; j++)
                    u[j] = iscale[b] == 0 ? 0 : (int8_t)(i32_clamp(i32_nearest(iscale[b] * f.scale[16 * b + j]), -32, 31) + 32);
                k_set_scales_q3(u, d[b], block, step);
            } else
                k_scales_q3(f.scale + 16 * b, block, step);
            struct requantize r = {16, -4, 3, x, step, NULL, f.kept_iscale + 16 * b, NULL};
            requantize(&r, 16, -4, 3, false, q);
            for (int j = 0; !importance && j < 16; j++) /* rare: the passes again */
                if (step[j] == 0) {
                    int8_t l[16];
                    search_descent(16, 4, x + 16 * j, l);
                    for (int i = 0; i < 16; i++) q[16 * j + i] = (uint8_t)(l[i] + 4);
                }
            k_pack_q3(q, block);
        }
    }
}
void KERNEL(encode_q3_k)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_q3_k_weighted)(src, NULL, dst, n);
}
void KERNEL(encode_q6_k)(const float *src, void *dst, int64_t n)
{
    KERNEL(encode_q6_k_weighted)(src, NULL, dst, n);
}

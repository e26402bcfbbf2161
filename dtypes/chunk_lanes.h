/* Chunks of super-blocks, whose sub-blocks go through the searches of search_lanes.h a lane each. */
#include "dtypes/search_lanes.h"

enum { CHUNK = 8 /* super-blocks */, CHUNK_LEN = CHUNK * QK_K, SUBS_MAX = CHUNK_LEN / 16 };

/* A chunk as the searches read it: whole vectors, past the last super-block zeros. */
struct chunk {
    const float *x, *importance; /* importance NULL: none */
    int blocks;
    float sigma2[CHUNK];
    float x_copy[CHUNK_LEN], importance_copy[CHUNK_LEN];
};

/* What they found, by sub-block. */
struct found {
    float scale[SUBS_MAX], min[SUBS_MAX], sum_w[SUBS_MAX];
    float kept_iscale[SUBS_MAX], kept_min[SUBS_MAX];
    bool strange[CHUNK]; /* any sub-block of the super-block */
};

static void chunk_open(struct chunk *c, const float *row, const float *importance, int64_t n)
{
    c->blocks = (int)(n / QK_K < CHUNK ? n / QK_K : CHUNK);
    c->x = row;
    c->importance = importance;
    if (c->blocks == CHUNK) return;
    size_t bytes = (size_t)c->blocks * QK_K * sizeof(float);
    memset(c->x_copy, 0, sizeof c->x_copy);
    c->x = memcpy(c->x_copy, row, bytes);
    if (!importance) return;
    memset(c->importance_copy, 0, sizeof c->importance_copy);
    c->importance = memcpy(c->importance_copy, importance, bytes);
}

/* Sums of squares of the super-blocks, each in element order. */
static void chunk_sigmas(struct chunk *c, float factor)
{
    float sum[CHUNK] = {0};
    for (int i = 0; i < QK_K; i++)
        for (int b = 0; b < CHUNK; b++) sum[b] += c->x[QK_K * b + i] * c->x[QK_K * b + i];
    for (int b = 0; b < CHUNK; b++) c->sigma2[b] = factor * sum[b] / QK_K;
}

/* Lane j: sigma2 of the super-block of sub-block first + j */
INLINE vf sigma_lanes(const struct chunk *c, int first, int per_block)
{
    float s[LANES];
    for (int j = 0; j < LANES; j++) s[j] = c->sigma2[(first + j) / per_block];
    return v_load(s);
}

static void mark_strange(struct found *f, unsigned bits, int first, int per_block)
{
    for (; bits; bits &= bits - 1) f->strange[(first + __builtin_ctz(bits)) / per_block] = true;
}

/* Weights of the elements x of n_lanes sub-blocks, from the importance of their columns. */
INLINE void weigh_lanes(int len, const struct chunk *c, int first, const vf *x, vf *w)
{
    vf sigma2 = sigma_lanes(c, first, QK_K / len);
    lanes_load(len, c->importance + first * len, w);
    for (int i = 0; i < len; i++) w[i] = w[i] * v_sqrt(sigma2 + x[i] * x[i]);
}

INLINE void weigh_lanes_plain(int len, bool mean, const vf *x, vf *w)
{
    vf m = v_set(0);
    if (mean) {
        for (int i = 0; i < len; i++) m = m + x[i] * x[i];
        m = v_sqrt(m / v_set((float)len));
    }
    for (int i = 0; i < len; i++) w[i] = m + v_abs(x[i]);
}

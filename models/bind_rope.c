/* RoPE once all tensors are bound: the factor tensors of a GGUF are read, and its two descriptions are weighed against each other.
 *
 * The keys and tensors are what a runtime computes with; the source's block (lathe.rope.source) says what the model means, with every digit.
 *   1. Both give the same angles, up to the rounding of floats: the block counts, for its digits.
 *   2. The runtime cannot compute what the block says, and the keys are the nearest to it: the block counts.
 *   3. Anything else is damage, or a change by another tool: the keys count, as for any runtime, with the warning "rope-source-differs".
 */
#include "models/bind.h"
#include "models/rope_runtime.h"

#include <stdio.h>
#include <stdlib.h>

static enum status read_factors(struct model *m, enum role role, const float **out, struct error *err)
{
    const struct weight *w = model_weight(m, role, -1, PART_WEIGHT);
    int64_t n = m->hp.rope.dim / 2;
    if (!w) return STATUS_OK;
    const struct tensor *t = w->t->t;
    double *v = arena_array(&m->mem, (uint64_t)n, sizeof *v);
    float *f = arena_array(&m->mem, (uint64_t)n, sizeof *f);
    void *raw = arena_alloc(&m->mem, (size_t)t->size_bytes); /* a file's bytes, which are there */
    if (!v || !f || !raw) return error_nomem(err, (size_t)n * sizeof *v);
    if (t->n_elements != n)
        return error_at(err, STATUS_MISMATCH, w->t->container->file.path, t->name,
                        "expected %lld elements, one for each pair, found %lld", (long long)n,
                        (long long)t->n_elements);
    TRY(ckpt_read(w->t, 0, raw, (size_t)t->size_bytes, err));
    TRY(dtype_decode_f64(t->dtype, raw, v, n, err));
    for (int64_t p = 0; p < n; p++) f[p] = (float)v[p];
    *out = f;
    return STATUS_OK;
}

static enum status weigh(struct model *m, const struct rope_runtime *k, struct warnings *warn, struct error *err)
{
    struct rope *rope = &m->hp.rope;
    struct rope block = *rope;
    struct rope_runtime nearest;
    bool same, exact;
    block.runtime = NULL;
    TRY(rope_check(&block, err));
    TRY(rope_runtime_matches(k, &block, &same, err));
    if (!same) {
        TRY(rope_runtime_choose(&block, config_rope_has_tensors(m->arch), &nearest, &exact, &m->mem, err));
        if (!exact) TRY(rope_runtime_same(k, &nearest, rope->dim, &same, err));
    }
    if (same) {
        rope->runtime = NULL;
        return STATUS_OK;
    }
    config_rope_describe(k, &m->hp);
    warnings_add(warn, "rope-source-differs",
                 "the RoPE keys and tensors of the file give other angles than lathe.rope.source: they count, as they "
                 "do for llama.cpp");
    return STATUS_OK;
}

static enum status settle_gguf(struct model *m, struct warnings *warn, struct error *err)
{
    struct rope *rope = &m->hp.rope;
    struct rope_runtime *k = arena_alloc(&m->mem, sizeof *k);
    if (!k) return error_nomem(err, sizeof *k);
    *k = *rope->runtime;
    rope->runtime = k;
    TRY(read_factors(m, ROLE_ROPE_FREQS, &k->freqs, err));
    TRY(read_factors(m, ROLE_ROPE_FACTORS_SHORT, &k->short_factors, err));
    TRY(read_factors(m, ROLE_ROPE_FACTORS_LONG, &k->long_factors, err));
    TRY(rope_runtime_check(k, rope->dim, err));
    return rope->source ? weigh(m, k, warn, err) : STATUS_OK;
}

/* Numbers that are each in order can still give angles that are not: better said now than at the first window. */
static enum status try_frequencies(const struct model *m, struct error *err)
{
    const struct rope *rope = &m->hp.rope;
    void *p;
    double a;
    TRY(mem_alloc(&p, (uint64_t)(rope->dim / 2), sizeof(double), err));
    enum status st = rope_frequencies(rope, 1, p, &a, err);
    if (st == STATUS_OK) st = rope_frequencies(rope, rope_original_context(rope) + 1, p, &a, err);
    free(p);
    return st;
}

enum status bind_rope(struct model *m, struct warnings *warn, struct error *err)
{
    if (!m->arch->uses_rope || m->hp.rope.type == ROPE_NONE) return STATUS_OK;
    enum status st = hparams_rotated_fits(&m->hp, err);
    if (st == STATUS_OK && m->is_gguf) st = settle_gguf(m, warn, err);
    if (st == STATUS_OK) st = try_frequencies(m, err);
    if (st != STATUS_OK && !err->path[0])
        snprintf(err->path, sizeof err->path, "%s", m->is_gguf ? m->ckpt->path : json_path(m->config));
    return st;
}

/* RoPE blocks as config.json spells them, against the frequencies of transformers' own LlamaRotaryEmbedding in float64
 * (tests/vectors/make_rope_vectors.py); and the same block after a GGUF's keys: what llama.cpp computes from them, and what is read back. */
#include "models/model.h"
#include "models/rope_runtime.h"
#include "tests/unit/fixtures.h"
#include "tests/vectors/rope_vectors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st)
{
    char line[sizeof err];
    error_format(&err, "test", line, sizeof line);
    if (st != STATUS_OK) fail_msg("%s", line);
}

/* One tiny model per head size, whose config each vector changes */
static struct model *open_vector(struct fixture *f, const struct rope_vector *v)
{
    struct model *m;
    struct warnings w = {0};
    char n_ctx[24];
    snprintf(n_ctx, sizeof n_ctx, "%lld", (long long)v->n_ctx);
    fixture_config(f, "max_position_embeddings", n_ctx);
    fixture_config(f, "rope_theta", v->theta);
    fixture_config(f, "rope_scaling", v->scaling);
    fixture_config(f, "rope_parameters", v->parameters);
    fixture_config(f, "original_max_position_embeddings", v->original);
    enum status st = model_open(&m, fixture_write(f), NULL, &w, &err);
    warnings_clear(&w);
    must(st);
    return m;
}

/* relative: 53 bits, ln theta < 14, and what a few more operations add */
static void check_equal(const struct rope_vector *v, const double *f, double a, double tolerance)
{
    if (!(fabs(a - v->attn_factor) <= tolerance * v->attn_factor))
        fail_msg("%s, %lld: attention factor %.17g, not %.17g", v->name, (long long)v->length, a, v->attn_factor);
    for (int p = 0; p < v->head_dim / 2; p++)
        if (!(fabs(f[p] - v->inv_freq[p]) <= tolerance * v->inv_freq[p]))
            fail_msg("%s, %lld, pair %d: %.17g, not %.17g", v->name, (long long)v->length, p, f[p], v->inv_freq[p]);
}

static struct fixture fixture_of(int64_t head_dim)
{
    const struct fixture_sizes sizes = {40, 64, 1, 2 * head_dim, 8, 2, 1, head_dim};
    struct fixture f;
    fixture_llama(&f, &sizes);
    return f;
}

static void for_each_vector(void (*run)(const struct rope_vector *v, const struct model *m))
{
    struct fixture f[] = {fixture_of(8), fixture_of(16), fixture_of(32)};
    for (size_t i = 0; i < COUNT(rope_vectors); i++) {
        const struct rope_vector *v = &rope_vectors[i];
        struct model *m = open_vector(&f[v->head_dim == 8 ? 0 : v->head_dim == 16 ? 1 : 2], v);
        run(v, m);
        model_close(m);
    }
    for (size_t i = 0; i < COUNT(f); i++) fixture_clear(&f[i]);
}

static void run_source(const struct rope_vector *v, const struct model *m)
{
    double f[16], a;
    must(rope_frequencies(&m->hp.rope, v->length, f, &a, &err));
    check_equal(v, f, a, 8e-15);
}

static void test_source(void **state)
{
    (void)state;
    for_each_vector(run_source);
}

/* Keys of arch llama: exact but for dynamic scaling; llama.cpp's choice between longrope's lists is by context. */
static void run_runtime(const struct rope_vector *v, const struct model *m)
{
    struct arena mem = {0};
    struct rope_runtime k;
    double f[16], a;
    bool exact;
    must(rope_runtime_choose(&m->hp.rope, true, &k, &exact, &mem, &err));
    assert_int_equal(exact, m->hp.rope.type != ROPE_DYNAMIC);
    must(rope_runtime_check(&k, v->head_dim, &err));
    rope_runtime_frequencies(&k, v->head_dim, v->length, f, &a);
    if (exact) check_equal(v, f, a, 0x1p-22);
    if (m->hp.rope.type == ROPE_DYNAMIC) {
        struct rope baked = m->hp.rope;
        baked.n_baked = v->length;
        must(rope_runtime_choose(&baked, false, &k, &exact, &mem, &err));
        assert_true(exact && !k.freqs && !k.scaling_given);
        rope_runtime_frequencies(&k, v->head_dim, 1, f, &a);
        check_equal(v, f, a, 0x1p-22);
    }
    arena_clear(&mem);
}

static void test_runtime(void **state)
{
    (void)state;
    for_each_vector(run_runtime);
}

/* Without factor tensors (qwen2, qwen3) only plain keys are exact. */
static void run_without_tensors(const struct rope_vector *v, const struct model *m)
{
    struct arena mem = {0};
    struct rope_runtime k;
    bool exact;
    enum rope_type t = m->hp.rope.type;
    must(rope_runtime_choose(&m->hp.rope, false, &k, &exact, &mem, &err));
    assert_true(!k.freqs && !k.long_factors && !k.short_factors);
    if (t == ROPE_DEFAULT || t == ROPE_LINEAR) assert_true(exact);
    if (t == ROPE_DYNAMIC || t == ROPE_LONGROPE || t == ROPE_LLAMA3) assert_true(!exact || strstr(v->name, "ramp"));
    bool plain = strstr(v->name, "truncate") || strstr(v->name, "betas and") || strstr(v->name, "everything");
    if (t == ROPE_YARN && !strstr(v->name, "end")) assert_int_equal(exact, !plain && !strstr(v->name, "truncated"));
    arena_clear(&mem);
}

static void test_without_tensors(void **state)
{
    (void)state;
    for_each_vector(run_without_tensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_runtime),
        cmocka_unit_test(test_without_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

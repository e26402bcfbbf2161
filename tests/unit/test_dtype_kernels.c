/* Every kernel set against the table's functions: each type, awkward lengths, addresses and values. */
#include "dtypes/dtype.h"
#include "dtypes/kernels.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 4096 + 512 + 37 };

static uint64_t seed;

static uint32_t random_bits(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static float random_unit(void)
{
    return (float)(random_bits() >> 8) * 0x1p-23f - 1.0f;
}

static float any_bits(void)
{
    uint32_t w = random_bits();
    float v;
    memcpy(&v, &w, sizeof v);
    return v;
}

static float finite_bits(void)
{
    float v = any_bits();
    return isfinite(v) ? v : 0.0f;
}

/* Rows of values: name, value of element i. */
/* clang-format off */
#define KINDS(X)                                                                                     \
    X(any_bits, any_bits())                                                                          \
    X(finite_bits, finite_bits())                                                                    \
    X(weights, (random_unit() + random_unit() + random_unit()) * 0.02f)                              \
    X(zeros, 0.0f)                                                                                   \
    X(minus_zeros, -0.0f)                                                                            \
    X(mixed_zeros, random_bits() & 1 ? 0.0f : -0.0f)                                                 \
    X(constant, 0.3f)                                                                                \
    X(minus_constant, -0.3f)                                                                         \
    X(ternary, (float)(random_bits() % 3) - 1.0f)                                                    \
    X(integers, (float)(random_bits() % 17) - 8.0f)                                                  \
    X(half_steps, i % 32 == 5 ? 127.0f : (float)(random_bits() % 507) * 0.5f - 126.5f)               \
    X(sparse, random_bits() % 20 ? 0.0f : random_unit())                                             \
    X(positive, fabsf(random_unit()))                                                                \
    X(huge, random_unit() * FLT_MAX)                                                                 \
    X(1e18, random_unit() * 1e18f)                                                                   \
    X(1e12, random_unit() * 1e12f)                                                                   \
    X(large, random_unit() * 65504.0f * 130.0f)                                                      \
    X(subnormal, random_unit() * 0x1p-130f)                                                          \
    X(tiny, random_unit() * 4e-37f)                                                                  \
    X(1e20th, random_unit() * 1e-20f)                                                                \
    X(1e15th, random_unit() * 2e-15f)                                                                \
    X(scales_by_16, ldexpf(random_unit(), i / 16 * 7919 % 250 - 125))                                \
    X(scales_by_32, ldexpf(random_unit(), i / 32 * 7919 % 40 - 20))                                  \
    X(scales_mixed, ldexpf(random_unit(), (int)(random_bits() % 60) - 40))                           \
    X(some_nan, random_bits() % 100 ? random_unit() : NAN)                                           \
    X(some_infinite, random_bits() % 100 ? random_unit() : random_bits() & 1 ? INFINITY : -INFINITY) \
    X(all_nan, NAN)

#define DEFINE(NAME, VALUE) static float row_##NAME(int i) { (void)i; return VALUE; }
#define LIST(NAME, VALUE) {#NAME, row_##NAME},
KINDS(DEFINE)
static const struct {
    const char *name;
    float (*at)(int i);
} kinds[] = {KINDS(LIST)};
/* clang-format on */

enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* At this length a set's function is called even if it is ref's own: absurd values must pass through every function once. */
enum { ONCE = 768 };
static const int64_t lengths[] = {0,   1,   7,   8,   9,    15,   17,   32,   64,   96,
                                  256, 288, 512, 768, 1280, 2048, 2304, 4096, 4608, N};
enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

/* Equal bytes, and nothing written past the end; at an odd byte address. */
static void check_encode(const struct dtype_info *t, const struct kernels *k, enum dtype id, const char *kind,
                         const float *src, int64_t n)
{
    static unsigned char want[N * 8 + 16], got[N * 8 + 16];
    size_t bytes = (size_t)n / t->block_len * t->block_bytes;
    memset(want, 0xA5, bytes + 16);
    memset(got, 0xA5, bytes + 16);
    t->encode_f32(src, want + 1, n);
    k->encode_f32[id](src, got + 1, n);
    for (size_t i = 0; i < bytes + 16; i++)
        if (want[i] != got[i])
            fail_msg("%s encodes %s otherwise than ref: %s, n = %lld, byte %zu of %zu", k->name, t->name,
                     kind, (long long)n, i - 1, bytes);
}

/* The same with importance weights. */
static void check_weighted(const struct dtype_info *t, const struct kernels *k, enum dtype id,
                           const char *kind, const float *src, const float *weights, int64_t n)
{
    static unsigned char want[N * 8 + 16], got[N * 8 + 16];
    size_t bytes = (size_t)n / t->block_len * t->block_bytes;
    memset(want, 0xA5, bytes + 16);
    memset(got, 0xA5, bytes + 16);
    t->encode_row_weighted(src, weights, want + 1, n);
    k->encode_row_weighted[id](src, weights, got + 1, n);
    for (size_t i = 0; i < bytes + 16; i++)
        if (want[i] != got[i])
            fail_msg("%s encodes %s with weights otherwise than ref: %s, n = %lld, byte %zu of %zu", k->name,
                     t->name, kind, (long long)n, i - 1, bytes);
}

static void check_decode(const struct dtype_info *t, const struct kernels *k, enum dtype id,
                         const unsigned char *src, int64_t n)
{
    static float want[N + 4], got[N + 4];
    memset(want, 0xA5, sizeof want);
    memset(got, 0xA5, sizeof got);
    t->decode_f32(src, want, n);
    k->decode_f32[id](src, got, n);
    /* of two NaN, a scale and a minimum, either may come out: which one is not settled by the language */
    for (int64_t i = 0; i < n; i++)
        if (isnan(want[i]) && isnan(got[i])) got[i] = want[i];
    if (memcmp(want, got, sizeof want) != 0)
        fail_msg("%s decodes %s otherwise than ref: n = %lld", k->name, t->name, (long long)n);
}

static void check_set(const char *name)
{
    static float src[N + 1], weights[N + 1];
    static unsigned char raw[N * 8 + 1];
    struct error err;
    assert_int_equal(kernels_select(name, &err), STATUS_OK);
    const struct kernels *k = kernels_active();
    assert_string_equal(k->name, name);
    for (int kind = 0; kind < N_KINDS; kind++) {
        seed = (uint64_t)kind;
        for (int i = 0; i <= N; i++) src[i] = kinds[kind].at(i);
        for (int i = 0; i <= N; i++) weights[i] = i % 97 == 5 ? 0.0f : random_unit() + 1.0f;
        for (size_t i = 0; i < sizeof raw; i++) raw[i] = (unsigned char)random_bits();
        for (int t = 0; t < DTYPE_COUNT; t++) {
            const struct dtype_info *info = dtype_info((enum dtype)t);
            assert_int_equal(!k->encode_f32[t], !info->encode_f32);
            assert_int_equal(!k->decode_f32[t], !info->decode_f32);
            assert_int_equal(!k->encode_row_weighted[t], !info->encode_row_weighted);
            for (int l = 0; l < N_LENGTHS; l++) {
                if (lengths[l] % info->block_len != 0) continue;
                if (info->block_len == 256 && lengths[l] > 2304) continue; /* the searches of the plain code are slow */
                bool once = lengths[l] == ONCE && k->name[0] == 'r';
                if (info->encode_f32 && (once || k->encode_f32[t] != info->encode_f32))
                    check_encode(info, k, (enum dtype)t, kinds[kind].name, src + l % 2, lengths[l]);
                if (info->encode_row_weighted && (once || k->encode_row_weighted[t] != info->encode_row_weighted))
                    check_weighted(info, k, (enum dtype)t, kinds[kind].name, src + l % 2, weights, lengths[l]);
                if (info->decode_f32 && (once || k->decode_f32[t] != info->decode_f32))
                    check_decode(info, k, (enum dtype)t, raw + l % 2, lengths[l]);
            }
        }
    }
}

static void test_sets_equal_ref(void **state)
{
    (void)state;
    for (const char *const *name = kernels_names(); *name; name++) check_set(*name);
}

static void test_select(void **state)
{
    (void)state;
    struct error err;
    assert_string_equal(kernels_names()[0], "ref");
    assert_int_equal(kernels_select("ref", &err), STATUS_OK);
    assert_string_equal(kernels_active()->name, "ref");
    assert_int_equal(kernels_select("auto", &err), STATUS_OK);
    int n = 0;
    while (kernels_names()[n]) n++;
    assert_string_equal(kernels_active()->name, kernels_names()[n - 1]);
    assert_int_equal(kernels_select("sse9", &err), STATUS_USAGE);
    assert_non_null(strstr(err.text, "sse9"));
    assert_non_null(strstr(err.text, "auto, ref"));
    assert_string_equal(kernels_active()->name, kernels_names()[n - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sets_equal_ref), cmocka_unit_test(test_select)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

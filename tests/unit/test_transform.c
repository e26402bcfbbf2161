/* Rearrangements against lists written down by hand, and the same result for every way to cut them. */
#include "core/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADS(n) (&(struct transform_args){.heads = n})

/* A source in memory that refuses to be read outside of its bytes and counts what was read. */
struct memory {
    const unsigned char *data;
    size_t size, bytes_read, largest;
};
static enum status read_memory(void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    struct memory *m = ctx;
    assert_true(off <= m->size && n <= m->size - off);
    memcpy(dst, m->data + off, n);
    m->bytes_read += n;
    if (n > m->largest) m->largest = n;
    return n > 0 ? STATUS_OK : error_set(err, STATUS_RANGE, "nothing to read");
}

/* Runs the transform in slabs of about max_bytes and returns the target, to be freed. */
static unsigned char *run(const struct transform_spec *s, struct memory *m, uint64_t max_bytes)
{
    struct error err;
    size_t size = (size_t)transform_bytes(s, s->n_elements);
    int64_t slab = transform_slab(s, max_bytes);
    size_t slab_bytes = (size_t)transform_bytes(s, slab);
    unsigned char *out = malloc(size + 1), *dst = malloc(slab_bytes + 1), *scratch = malloc(slab_bytes + 1);
    assert_true(slab > 0);
    for (int64_t first = 0; first < s->n_elements; first += slab) {
        int64_t n = s->n_elements - first < slab ? s->n_elements - first : slab;
        const void *raw = "unset";
        assert_int_equal(transform_read(s, first, n, read_memory, m, dst, scratch, &raw, &err), STATUS_OK);
        memcpy(out + transform_bytes(s, first), dst, (size_t)transform_bytes(s, n));
        if (transform_in_order(s, slab)) {
            assert_non_null(raw);
            assert_memory_equal(raw, m->data + transform_bytes(s, first), (size_t)transform_bytes(s, n));
        } else {
            assert_null(raw);
        }
    }
    free(dst);
    free(scratch);
    return out;
}

static void test_transpose_by_hand(void **state)
{
    (void)state;
    /* numpy.arange(15, dtype='u2').reshape(3, 5).T.ravel() */
    static const uint16_t source[15] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    static const uint16_t target[15] = {0, 5, 10, 1, 6, 11, 2, 7, 12, 3, 8, 13, 4, 9, 14};
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_TRANSPOSE, DTYPE_BF16, 2, (int64_t[]){3, 5}, NULL, &err),
                     STATUS_OK);
    assert_int_equal(s.shape[0], 5);
    assert_int_equal(s.shape[1], 3);
    for (uint64_t max = 1; max < 64; max++) {
        struct memory m = {(const unsigned char *)source, sizeof source, 0, 0};
        unsigned char *out = run(&s, &m, max);
        assert_memory_equal(out, target, sizeof target);
        assert_int_equal(m.bytes_read, sizeof source);
        free(out);
    }
    for (int64_t i = 0; i < 15; i++) assert_int_equal(source[transform_source_index(&s, i)], target[i]);
}

static void test_rope_rows_by_hand(void **state)
{
    (void)state;
    /* Two heads of 8 rows: the first half of a head holds the real parts, the second the imaginary ones. */
    static const uint8_t order[16] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
    uint32_t source[16][3], target[16][3];
    for (uint32_t r = 0; r < 16; r++)
        for (uint32_t c = 0; c < 3; c++) source[r][c] = 100 * r + c;
    for (uint32_t r = 0; r < 16; r++) memcpy(target[r], source[order[r]], sizeof target[r]);
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){16, 3}, HEADS(2), &err),
                     STATUS_OK);
    for (uint64_t max = 1; max < 300; max += 7) {
        struct memory m = {(const unsigned char *)source, sizeof source, 0, 0};
        unsigned char *out = run(&s, &m, max);
        assert_memory_equal(out, target, sizeof target);
        assert_int_equal(m.bytes_read, sizeof source);
        free(out);
    }
    for (int64_t i = 0; i < 48; i++)
        assert_int_equal((&source[0][0])[transform_source_index(&s, i)], (&target[0][0])[i]);
}

static void test_rope_rows_of_a_bias(void **state)
{
    (void)state;
    static const uint16_t source[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const uint16_t target[12] = {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11}; /* three heads of 4 */
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F16, 1, (int64_t[]){12}, HEADS(3), &err),
                     STATUS_OK);
    assert_int_equal(s.n_dims, 1);
    struct memory m = {(const unsigned char *)source, sizeof source, 0, 0};
    unsigned char *out = run(&s, &m, 8);
    assert_memory_equal(out, target, sizeof target);
    assert_int_equal(m.largest, 8);
    free(out);
}

static void test_rope_rows_of_blocks(void **state)
{
    (void)state;
    /* Whole rows move, so rows of blocks can: 4 rows of one Q8_0 block. */
    unsigned char source[4 * 34], target[4 * 34];
    static const int order[4] = {0, 2, 1, 3};
    for (int i = 0; i < 4 * 34; i++) source[i] = (unsigned char)i;
    for (int r = 0; r < 4; r++) memcpy(target + 34 * r, source + 34 * order[r], 34);
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_Q8_0, 2, (int64_t[]){4, 32}, HEADS(1), &err),
                     STATUS_OK);
    struct memory m = {source, sizeof source, 0, 0};
    unsigned char *out = run(&s, &m, 1);
    assert_memory_equal(out, target, sizeof target);
    free(out);
}

/* order[i]: which source row is the target's row i; every way to cut the work gives that. */
static void check_rows(enum transform kind, const struct transform_args *args, int n_rows, const int *order)
{
    enum { ROWS_MAX = 32 };
    uint32_t source[ROWS_MAX][3], target[ROWS_MAX][3];
    struct transform_spec s;
    struct error err;
    for (uint32_t r = 0; r < (uint32_t)n_rows; r++)
        for (uint32_t c = 0; c < 3; c++) source[r][c] = 100 * r + c;
    for (int r = 0; r < n_rows; r++) memcpy(target[r], source[order[r]], sizeof target[r]);
    assert_int_equal(transform_init(&s, kind, DTYPE_F32, 2, (int64_t[]){n_rows, 3}, args, &err), STATUS_OK);
    for (uint64_t max = 1; max < sizeof source + 100; max += 7) {
        struct memory m = {(const unsigned char *)source, (size_t)n_rows * sizeof *source, 0, 0};
        unsigned char *out = run(&s, &m, max);
        assert_memory_equal(out, target, (size_t)n_rows * sizeof *target);
        assert_int_equal(m.bytes_read, (size_t)n_rows * sizeof *source);
        free(out);
    }
    for (int64_t i = 0; i < 3 * n_rows; i++)
        assert_int_equal((&source[0][0])[transform_source_index(&s, i)], (&target[0][0])[i]);
    /* the same for a bias */
    assert_int_equal(transform_init(&s, kind, DTYPE_F32, 1, (int64_t[]){n_rows}, args, &err), STATUS_OK);
    for (int64_t i = 0; i < n_rows; i++) assert_int_equal(transform_source_index(&s, i), order[i]);
}

static void test_partly_rotated_rows(void **state)
{
    (void)state;
    /* two heads of 7 rows, of which 4 are rotated */
    static const int pairs[14] = {0, 2, 1, 3, 4, 5, 6, 7, 9, 8, 10, 11, 12, 13};
    check_rows(TRANSFORM_ROPE_ROWS, &(struct transform_args){.heads = 2, .rotated = 4}, 14, pairs);
    /* one head of 8 rows, of which 6 are: evens, then odds */
    static const int halves[8] = {0, 2, 4, 1, 3, 5, 6, 7};
    check_rows(TRANSFORM_HALVES_ROWS, &(struct transform_args){.heads = 1, .rotated = 6}, 8, halves);
    static const int back[8] = {0, 3, 1, 4, 2, 5, 6, 7};
    check_rows(TRANSFORM_ROPE_ROWS, &(struct transform_args){.heads = 1, .rotated = 6}, 8, back);
}

static void test_qkv_groups(void **state)
{
    (void)state;
    /* numpy: arange(18).reshape(3, 3, 2).swapaxes(0, 1).ravel(): three heads, each query, key, value, of two rows */
    static const int heads[18] = {0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15, 4, 5, 10, 11, 16, 17};
    check_rows(TRANSFORM_QKV_GROUPS, &(struct transform_args){.heads = 3, .groups = 3}, 18, heads);
    /* two groups of two queries that share a key, heads of two rows */
    static const int groups[16] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15};
    check_rows(TRANSFORM_QKV_GROUPS, &(struct transform_args){.heads = 4, .groups = 2}, 16, groups);
    /* one key for all: already as the target has it */
    static const int one[5] = {0, 1, 2, 3, 4};
    check_rows(TRANSFORM_QKV_GROUPS, &(struct transform_args){.heads = 3, .groups = 1}, 5, one);
}

static void test_none_passes_bytes(void **state)
{
    (void)state;
    unsigned char source[3000];
    for (size_t i = 0; i < sizeof source; i++) source[i] = (unsigned char)(i * 7 + i / 256);
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_NONE, DTYPE_BF16, 3, (int64_t[]){5, 3, 100}, HEADS(9), &err),
                     STATUS_OK);
    assert_int_equal(s.rows, 15);
    assert_int_equal(s.cols, 100);
    for (uint64_t max = 1; max < 4000; max += 501) {
        struct memory m = {source, sizeof source, 0, 0};
        unsigned char *out = run(&s, &m, max);
        assert_memory_equal(out, source, sizeof source);
        free(out);
    }
    assert_int_equal(transform_slab(&s, 1100) % 256, 0);
}

static void test_sizes_of_slabs(void **state)
{
    (void)state;
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_TRANSPOSE, DTYPE_F32, 2, (int64_t[]){1000, 300}, NULL, &err),
                     STATUS_OK);
    assert_int_equal(transform_slab(&s, 40000), 10 * 1000); /* ten target rows */
    assert_int_equal(transform_slab(&s, 1), 1000);          /* never less than one */
    assert_int_equal(transform_slab(&s, 1u << 30), 300000); /* never more than there is */
    assert_false(transform_in_order(&s, 10000));
    assert_true(transform_in_order(&s, 300000));
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){64, 10}, HEADS(4), &err),
                     STATUS_OK);
    assert_int_equal(transform_slab(&s, 1300), 2 * 160); /* two heads of 16 rows */
    assert_int_equal(transform_init(&s, TRANSFORM_NONE, DTYPE_F32, 2, (int64_t[]){0, 10}, NULL, &err),
                     STATUS_OK);
    assert_int_equal(transform_slab(&s, 1300), 0);
}

static void test_refusals(void **state)
{
    (void)state;
    struct transform_spec s;
    struct error err;
    assert_int_equal(transform_init(&s, TRANSFORM_TRANSPOSE, DTYPE_F32, 3, (int64_t[]){2, 3, 4}, NULL, &err),
                     STATUS_RANGE);
    assert_string_equal(err.text, "cannot transpose: expected 2 dimensions, found 3");
    assert_int_equal(transform_init(&s, TRANSFORM_TRANSPOSE, DTYPE_Q8_0, 2, (int64_t[]){32, 32}, NULL, &err),
                     STATUS_UNSUPPORTED);
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){15, 4}, HEADS(5), &err),
                     STATUS_RANGE); /* odd heads */
    assert_string_equal(err.text,
                        "cannot reorder rows for RoPE: expected a multiple of 2 x 5 heads, found 15 rows");
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){16, 4}, HEADS(3), &err),
                     STATUS_RANGE);
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){16, 4}, NULL, &err),
                     STATUS_RANGE);
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 2, (int64_t[]){16, 4}, HEADS(-1), &err),
                     STATUS_RANGE);
    assert_int_equal(transform_init(&s, TRANSFORM_ROPE_ROWS, DTYPE_F32, 0, NULL, HEADS(1), &err), STATUS_RANGE);
    static const struct transform_args bad[] = {{.heads = 3, .groups = 2}, {.heads = 4, .groups = 4},
                                                {.heads = 4, .groups = 0}, {.groups = 1},
                                                {.heads = INT64_MAX, .groups = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            transform_init(&s, TRANSFORM_QKV_GROUPS, DTYPE_F32, 2, (int64_t[]){16, 4}, &bad[i], &err),
            STATUS_RANGE);
    static const int64_t rotated[] = {3, 10, -2};
    for (size_t i = 0; i < sizeof rotated / sizeof *rotated; i++)
        assert_int_equal(
            transform_init(&s, TRANSFORM_HALVES_ROWS, DTYPE_F32, 2, (int64_t[]){16, 4},
                           &(struct transform_args){.heads = 2, .rotated = rotated[i]}, &err),
            STATUS_RANGE);
    assert_int_equal(transform_init(&s, TRANSFORM_NONE, DTYPE_F32, 2, (int64_t[]){INT64_MAX, 3}, NULL, &err),
                     STATUS_RANGE);
    assert_int_equal(transform_init(&s, TRANSFORM_NONE, DTYPE_F32, 1, (int64_t[]){-1}, NULL, &err),
                     STATUS_RANGE);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(transform_name(TRANSFORM_NONE), "none");
    assert_string_equal(transform_name(TRANSFORM_TRANSPOSE), "transpose");
    for (int k = 0; k < TRANSFORM_COUNT; k++)
        assert_int_equal(transform_from_name(transform_name((enum transform)k)), k);
    assert_string_equal(transform_name(TRANSFORM_ROPE_ROWS), "rope_rows");
    assert_int_equal(transform_from_name("rope_rows"), TRANSFORM_ROPE_ROWS);
    assert_int_equal(transform_from_name("rope"), TRANSFORM_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transpose_by_hand),
        cmocka_unit_test(test_rope_rows_by_hand),
        cmocka_unit_test(test_rope_rows_of_a_bias),
        cmocka_unit_test(test_rope_rows_of_blocks),
        cmocka_unit_test(test_partly_rotated_rows),
        cmocka_unit_test(test_qkv_groups),
        cmocka_unit_test(test_none_passes_bytes),
        cmocka_unit_test(test_sizes_of_slabs),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

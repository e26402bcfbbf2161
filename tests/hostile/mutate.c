#include "tests/hostile/mutate.h"

#include <stdlib.h>
#include <string.h>

struct mutant {
    char *bytes;
    size_t n;
    uint64_t seed;
};

static uint64_t next_random(struct mutant *m) /* splitmix64 */
{
    uint64_t z = m->seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static size_t below(struct mutant *m, size_t n)
{
    return n ? (size_t)(next_random(m) % n) : 0;
}

enum { NEAR = 4096, RANGE_MOST = 64 };

static size_t place(struct mutant *m)
{
    size_t near = m->n < NEAR ? m->n : NEAR;
    switch (below(m, 5)) {
    case 0: return below(m, m->n);
    case 1: return m->n - 1 - below(m, near);
    default: return below(m, near);
    }
}

/* A range of at most RANGE_MOST bytes; returns its length. */
static size_t range(struct mutant *m, size_t *at)
{
    *at = place(m);
    size_t left = m->n - *at, n = 1 + below(m, RANGE_MOST);
    return n < left ? n : left;
}

static void flip_bit(struct mutant *m)
{
    size_t at = place(m);
    m->bytes[at] = (char)(m->bytes[at] ^ 1 << below(m, 8));
}

static void set_byte(struct mutant *m)
{
    static const unsigned char values[] = {0, 1, 0x7F, 0x80, 0xFF, '"', '{', '[', '-', '\n', '.', 0xC3};
    m->bytes[place(m)] = (char)values[below(m, sizeof values)];
}

static void set_number(struct mutant *m)
{
    static const uint64_t values[] = {0, 1, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, UINT64_C(1) << 62,
                                      INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    uint64_t v = values[below(m, sizeof values / sizeof values[0])];
    size_t at = place(m), n = (size_t)2 << below(m, 3);
    memcpy(m->bytes + at, &v, n < m->n - at ? n : m->n - at);
}

static void remove_range(struct mutant *m)
{
    size_t at, n = range(m, &at);
    if (n >= m->n) return;
    memmove(m->bytes + at, m->bytes + at + n, m->n - at - n);
    m->n -= n;
}

static void double_range(struct mutant *m) /* there is room: see mutate */
{
    size_t at, n = range(m, &at);
    memmove(m->bytes + at + n, m->bytes + at, m->n - at);
    m->n += n;
}

static void fill_range(struct mutant *m)
{
    size_t at, n = range(m, &at);
    memset(m->bytes + at, (int)below(m, 256), n);
}

static void copy_range(struct mutant *m)
{
    size_t from, n = range(m, &from), to = place(m);
    memmove(m->bytes + to, m->bytes + from, n < m->n - to ? n : m->n - to);
}

static void (*const changes[])(struct mutant *) = {flip_bit, set_byte, set_number, remove_range, double_range, fill_range, copy_range};
enum { N_CHANGES = sizeof changes / sizeof changes[0], CHANGES_MOST = 3 };

char *mutate(const char *good, size_t n, uint64_t seed, size_t *n_bad)
{
    struct mutant m = {malloc(n + CHANGES_MOST * RANGE_MOST + 1), n, seed};
    if (!m.bytes) abort();
    memcpy(m.bytes, good, n);
    for (size_t i = 1 + below(&m, CHANGES_MOST); i > 0 && m.n > 0; i--) changes[below(&m, N_CHANGES)](&m);
    *n_bad = m.n;
    return m.bytes;
}

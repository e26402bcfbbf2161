/* The string map of memory.h: open addressing, linear probing, SipHash-1-3 under a key drawn once per
 * process. */
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct strmap_slot {
    const char *key; /* NULL: free */
    size_t value;
    uint32_t hash;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_draw(void)
{
    if (getrandom(seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed) return;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    seed[0] = (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15U + (uint64_t)t.tv_sec;
    seed[1] = (uint64_t)getpid() ^ (uint64_t)(uintptr_t)&t;
}

static uint64_t rotate(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint32_t hash_of(const char *key, size_t n)
{
    pthread_once(&seed_once, seed_draw);
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575U, seed[1] ^ 0x646f72616e646f6dU,
                     seed[0] ^ 0x6c7967656e657261U, seed[1] ^ 0x7465646279746573U};
    uint64_t word;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        memcpy(&word, key + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (n > i) memcpy(&word, key + i, n - i);
    word |= (uint64_t)n << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++) sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(word ^ word >> 32);
}

/* The slot that holds the key, or the free one where it belongs. cap > 0 and at least one slot is free. */
static struct strmap_slot *slot_of(const struct strmap *m, const char *key, size_t n, uint32_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct strmap_slot *s = &m->slots[i];
        if (!s->key) return s;
        if (s->hash == hash && strlen(s->key) == n && memcmp(s->key, key, n) == 0) return s;
    }
}

static bool grow(struct strmap *m)
{
    struct strmap bigger = {.cap = m->cap ? m->cap * 2 : 16, .count = m->count};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots) return false;
    for (size_t i = 0; i < m->cap; i++) {
        if (!m->slots[i].key) continue;
        size_t j = m->slots[i].hash & (bigger.cap - 1);
        while (bigger.slots[j].key) j = (j + 1) & (bigger.cap - 1);
        bigger.slots[j] = m->slots[i];
    }
    free(m->slots);
    *m = bigger;
    return true;
}

enum status strmap_add(struct strmap *m, const char *key, size_t value, size_t *existing, struct error *err)
{
    if (m->count >= m->cap / 4 * 3 && !grow(m)) return error_nomem(err, m->cap * 2 * sizeof *m->slots);
    size_t n = strlen(key);
    uint32_t hash = hash_of(key, n);
    struct strmap_slot *s = slot_of(m, key, n, hash);
    if (s->key) {
        if (existing) *existing = s->value;
        return error_set(err, STATUS_EXISTS, "duplicate name '%s'", key);
    }
    *s = (struct strmap_slot){.key = key, .value = value, .hash = hash};
    m->count++;
    return STATUS_OK;
}

bool strmap_find_n(const struct strmap *m, const char *key, size_t key_len, size_t *value)
{
    if (m->count == 0) return false;
    const struct strmap_slot *s = slot_of(m, key, key_len, hash_of(key, key_len));
    if (s->key && value) *value = s->value;
    return s->key != NULL;
}

bool strmap_find(const struct strmap *m, const char *key, size_t *value)
{
    return strmap_find_n(m, key, strlen(key), value);
}

void strmap_clear(struct strmap *m)
{
    free(m->slots);
    *m = (struct strmap){0};
}

#include "formats/tok_index.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- hashing --- */

static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_draw(void)
{
    uint64_t drawn;
    if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) == (ssize_t)sizeof drawn) seed ^= drawn;
}

static uint64_t get_seed(void)
{
    pthread_once(&seed_once, seed_draw);
    return seed;
}

/* Both halves of a 128-bit product: every bit of either factor reaches the result. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide p = (wide)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t hash_with(uint64_t key, const void *src, size_t n)
{
    const unsigned char *s = src;
    uint64_t h = key ^ (n * UINT64_C(0xA0761D6478BD642F)), word;
    for (; n >= 8; n -= 8, s += 8) {
        memcpy(&word, s, 8);
        h = mix(h ^ word, key ^ UINT64_C(0xE7037ED1A0B428DB));
    }
    word = 0;
    if (n > 0) memcpy(&word, s, n);
    return mix(h ^ word, key ^ UINT64_C(0x8EBC6AF09C88C6E3));
}

uint64_t index_hash(const void *s, size_t n)
{
    return hash_with(get_seed(), s, n);
}

/* Slots for n entries at no more than half load */
static size_t slots_for(size_t n)
{
    size_t cap = 16;
    while (cap < 2 * n) cap *= 2;
    return cap;
}

/* --- texts --- */

bool text_map_init(struct text_map *m, size_t n_expected)
{
    size_t cap = slots_for(n_expected);
    *m = (struct text_map){.slots = calloc(cap, sizeof *m->slots), .mask = cap - 1};
    return m->slots != NULL;
}

static struct text_slot *text_slot_of(const struct text_map *m, const char *s, size_t n, uint32_t hash)
{
    size_t i = hash & m->mask;
    for (;; i = (i + 1) & m->mask) {
        struct text_slot *slot = &m->slots[i];
        if (!slot->s) return slot;
        if (slot->hash == hash && slot->len == n && memcmp(slot->s, s, n) == 0) return slot;
    }
}

static bool text_map_grow(struct text_map *m)
{
    struct text_map bigger;
    if (!text_map_init(&bigger, m->mask + 1)) return false;
    for (size_t i = 0; i <= m->mask; i++) {
        const struct text_slot *s = &m->slots[i];
        if (s->s) *text_slot_of(&bigger, s->s, s->len, s->hash) = *s;
    }
    bigger.count = m->count;
    free(m->slots);
    *m = bigger;
    return true;
}

bool text_map_add(struct text_map *m, const char *s, size_t n, int32_t id)
{
    if (n > UINT32_MAX) return false;
    if (2 * (m->count + 1) > m->mask + 1 && !text_map_grow(m)) return false;
    uint32_t hash = (uint32_t)index_hash(s, n);
    struct text_slot *slot = text_slot_of(m, s, n, hash);
    if (slot->s) return true;
    *slot = (struct text_slot){s, (uint32_t)n, hash, id};
    m->count++;
    return true;
}

int32_t text_map_find(const struct text_map *m, const char *s, size_t n)
{
    const struct text_slot *slot = text_slot_of(m, s, n, (uint32_t)index_hash(s, n));
    return slot->s ? slot->id : -1;
}

void text_map_clear(struct text_map *m)
{
    free(m->slots);
    *m = (struct text_map){0};
}

/* --- pairs --- */

bool pair_map_init(struct pair_map *m, size_t n_expected)
{
    size_t cap = slots_for(n_expected);
    *m = (struct pair_map){.slots = malloc(cap * sizeof *m->slots), .mask = cap - 1, .seed = get_seed()};
    for (size_t i = 0; m->slots && i < cap; i++) m->slots[i].rank = -1;
    return m->slots != NULL;
}

static inline struct pair_slot *pair_slot_of(const struct pair_map *m, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)mix(key ^ m->seed, UINT64_C(0xE7037ED1A0B428DB)) & m->mask;
    for (;; i = (i + 1) & m->mask) {
        struct pair_slot *s = &m->slots[i];
        if (s->rank < 0 || (s->left == left && s->right == right)) return s;
    }
}

void pair_map_add(struct pair_map *m, int32_t left, int32_t right, int32_t rank, int32_t result)
{
    *pair_slot_of(m, left, right) = (struct pair_slot){left, right, rank, result};
}

const struct pair_slot *pair_map_find(const struct pair_map *m, int32_t left, int32_t right)
{
    const struct pair_slot *s = pair_slot_of(m, left, right);
    return s->rank < 0 ? NULL : s;
}

void pair_map_clear(struct pair_map *m)
{
    free(m->slots);
    *m = (struct pair_map){0};
}

/* --- prefixes --- */

bool trie_init(struct trie *t)
{
    const size_t cap = 1024;
    memset(t, 0, sizeof *t);
    t->seed = get_seed();
    t->slots = calloc(cap, sizeof *t->slots);
    t->ids = malloc(cap * sizeof *t->ids);
    t->mask = cap - 1;
    t->cap_nodes = cap;
    t->n_nodes = 1;
    if (!t->slots || !t->ids) return false;
    t->ids[0] = -1;
    return true;
}

static inline struct trie_slot *trie_slot_of(const struct trie *t, uint32_t parent, unsigned char byte)
{
    uint64_t key = (uint64_t)parent << 8 | byte;
    size_t i = (size_t)mix(key ^ t->seed, UINT64_C(0xE7037ED1A0B428DB)) & t->mask;
    for (;; i = (i + 1) & t->mask) {
        struct trie_slot *s = &t->slots[i];
        if (s->child == 0 || (s->parent == parent && s->byte == byte)) return s;
    }
}

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte)
{
    return node == 0 ? t->roots[byte] : trie_slot_of(t, node, byte)->child;
}

static bool trie_grow(struct trie *t)
{
    struct trie_slot *old = t->slots;
    size_t n = t->mask + 1, cap = 2 * t->cap_nodes;
    if (2 * (t->n_nodes + 1) > n) {
        t->slots = calloc(4 * n, sizeof *t->slots);
        if (!t->slots) {
            t->slots = old;
            return false;
        }
        t->mask = 4 * n - 1;
        for (size_t i = 0; i < n; i++)
            if (old[i].child) *trie_slot_of(t, old[i].parent, old[i].byte) = old[i];
        free(old);
    }
    if (t->n_nodes < t->cap_nodes) return true;
    int32_t *ids = realloc(t->ids, cap * sizeof *ids);
    if (!ids) return false;
    t->ids = ids;
    t->cap_nodes = cap;
    return true;
}

bool trie_add(struct trie *t, const char *s, size_t n, int32_t id)
{
    uint32_t node = 0;
    if (n == 0 || n > LIMIT_TOKENIZER_PIECE) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)s[i];
        uint32_t next = trie_step(t, node, byte);
        if (next == 0) {
            if (t->n_nodes >= UINT32_MAX || !trie_grow(t)) return false;
            next = (uint32_t)t->n_nodes++;
            t->ids[next] = -1;
            if (node == 0)
                t->roots[byte] = next;
            else
                *trie_slot_of(t, node, byte) = (struct trie_slot){node, next, byte};
        }
        node = next;
    }
    if (t->ids[node] < 0) t->ids[node] = id;
    return true;
}

size_t trie_longest(const struct trie *t, const char *s, size_t n, int32_t *id)
{
    size_t found = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = trie_step(t, node, (unsigned char)s[i]);
        if (node == 0) break;
        if (t->ids[node] < 0) continue;
        found = i + 1;
        *id = t->ids[node];
    }
    return found;
}

void trie_clear(struct trie *t)
{
    free(t->slots);
    free(t->ids);
    memset(t, 0, sizeof *t);
}

/* Look-ups that encoders make for every word: text → id, pair of ids → merge, longest text that a string begins with.
 *
 * Tables are filled from files: hashes are seeded, so that no file can make them slow. Ids are 0 to INT32_MAX. Callers check memory once:
 * a failed addition returns false.
 */
#ifndef LATHE_TOK_INDEX_H
#define LATHE_TOK_INDEX_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t index_hash(const void *s, size_t n);

/* --- text → id; texts are not copied --- */

struct text_slot {
    const char *s;
    uint32_t len, hash;
    int32_t id;
};
struct text_map {
    struct text_slot *slots;
    size_t mask, count;
};
bool text_map_init(struct text_map *m, size_t n_expected);
/* The first of two equal texts stays. */
bool text_map_add(struct text_map *m, const char *s, size_t n, int32_t id);
int32_t text_map_find(const struct text_map *m, const char *s, size_t n); /* -1: none */
void text_map_clear(struct text_map *m);

/* --- pair of ids → rank and result; the last of two equal pairs counts, as in Hugging Face's library --- */

struct pair_slot {
    int32_t left, right, rank, result;
};
struct pair_map {
    struct pair_slot *slots;
    size_t mask;
    uint64_t seed;
};
bool pair_map_init(struct pair_map *m, size_t n_expected);
void pair_map_add(struct pair_map *m, int32_t left, int32_t right, int32_t rank, int32_t result);
const struct pair_slot *pair_map_find(const struct pair_map *m, int32_t left, int32_t right); /* NULL: none */
void pair_map_clear(struct pair_map *m);

/* --- prefixes --- */

struct trie_slot {
    uint32_t parent, child; /* child 0: free */
    uint8_t byte;
};
struct trie {
    struct trie_slot *slots;
    size_t mask;
    int32_t *ids; /* by node; -1: no text ends here */
    size_t n_nodes, cap_nodes;
    uint32_t roots[256];
    uint64_t seed;
};
bool trie_init(struct trie *t);
/* Texts of at most LIMIT_TOKENIZER_PIECE bytes; the first of two equal ones stays. */
bool trie_add(struct trie *t, const char *s, size_t n, int32_t id);
/* The node that `byte` leads to from `node` (0: the root); 0: none. */
uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte);
/* Length of the longest text that s begins with, 0 if there is none; *id is its id. */
size_t trie_longest(const struct trie *t, const char *s, size_t n, int32_t *id);
void trie_clear(struct trie *t);

#endif

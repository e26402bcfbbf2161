/* What the models of words share. */
#include "formats/tok_bytes.h"
#include "formats/tok_model.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_SLOTS = 1 << 16, CACHE_BYTES = 32 << 20 };

void id_list_add(struct id_list *l, int32_t id)
{
    if (l->failed) return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        int32_t *ids = cap <= SIZE_MAX / sizeof *ids ? realloc(l->ids, cap * sizeof *ids) : NULL;
        if (!ids) {
            l->failed = true;
            return;
        }
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = id;
}

void id_list_clear(struct id_list *l)
{
    free(l->ids);
    *l = (struct id_list){0};
}

bool word_cache_init(struct word_cache *c)
{
    *c = (struct word_cache){.slots = calloc(CACHE_SLOTS, sizeof *c->slots)};
    return c->slots != NULL;
}

/* Two places for each word, side by side: the second is used where the first is taken. */
bool word_cache_get(struct word_cache *c, const char *s, size_t n, uint64_t *hash, struct id_list *out)
{
    *hash = index_hash(s, n);
    for (size_t k = 0; k < 2; k++) {
        const struct word_slot *slot = &c->slots[(*hash ^ k) & (CACHE_SLOTS - 1)];
        if (slot->hash != *hash || slot->len != n || n == 0 || memcmp(c->data.data + slot->off, s, n) != 0)
            continue;
        for (uint32_t i = 0; i < slot->n_ids; i++) {
            int32_t id;
            memcpy(&id, c->data.data + slot->off + n + i * sizeof id, sizeof id);
            id_list_add(out, id);
        }
        return true;
    }
    return false;
}

void word_cache_put(struct word_cache *c, const char *s, size_t n, uint64_t hash, const int32_t *ids,
                    size_t n_ids)
{
    if (c->data.len > CACHE_BYTES) {
        memset(c->slots, 0, CACHE_SLOTS * sizeof *c->slots);
        c->data.len = 0;
    }
    struct word_slot *slot = &c->slots[hash & (CACHE_SLOTS - 1)];
    if (slot->len > 0) {
        struct word_slot *other = &c->slots[(hash ^ 1) & (CACHE_SLOTS - 1)];
        if (other->len == 0) slot = other;
    }
    size_t off = c->data.len;
    buf_append(&c->data, s, n);
    buf_append(&c->data, ids, n_ids * sizeof *ids);
    if (c->data.failed) return; /* then words are just not remembered */
    *slot = (struct word_slot){hash, (uint32_t)off, (uint32_t)n, (uint32_t)n_ids};
}

void word_cache_clear(struct word_cache *c)
{
    free(c->slots);
    buf_clear(&c->data);
}

static bool mark_at(const char *s, size_t n)
{
    return n >= SPACE_MARK_LEN && memcmp(s, SPACE_MARK, SPACE_MARK_LEN) == 0;
}

size_t marked_word(const char *s, size_t n)
{
    size_t i = 0;
    while (mark_at(s + i, n - i)) i += SPACE_MARK_LEN;
    const char *next = memmem(s + i, n - i, SPACE_MARK, SPACE_MARK_LEN);
    return next ? (size_t)(next - s) : n;
}

bool crosses_mark(const char *s, size_t n)
{
    return marked_word(s, n) < n;
}

void piece_range(const struct tokenizer *t, const struct jvalue *v, size_t *first, size_t *end)
{
    const struct {
        const char *key;
        size_t *to;
    } keys[] = {{"first_piece", first}, {"end_piece", end}};
    *first = 0;
    *end = t->n_tokens;
    for (size_t i = 0; i < 2; i++) {
        double d = -1;
        struct error ignored;
        const struct jvalue *n = json_get(v, keys[i].key);
        if (n && json_double(NULL, n, &d, &ignored) == STATUS_OK && d >= 0 && d <= (double)t->n_tokens)
            *keys[i].to = (size_t)d;
    }
}

bool piece_is_text(const struct tokenizer *t, size_t id)
{
    return !t->types || t->types[id] == TOKEN_NORMAL || t->types[id] == TOKEN_USER_DEFINED;
}

bool byte_token_ids(const struct tokenizer *t, int32_t ids[256])
{
    size_t found = 0;
    for (int i = 0; i < 256; i++) ids[i] = -1;
    for (size_t id = 0; id < t->n_tokens; id++) {
        int byte = byte_token_value(t->tokens[id].s, t->tokens[id].len);
        if (byte < 0 || ids[byte] >= 0) continue;
        ids[byte] = (int32_t)id;
        found++;
    }
    return found == 256;
}

bool piece_text(struct arena *mem, const struct tokenizer *t, size_t id, const char **s, size_t *n)
{
    *s = t->tokens[id].s;
    *n = t->tokens[id].len;
    if (!t->types || t->types[id] != TOKEN_USER_DEFINED || !memchr(*s, ' ', *n)) return true;
    struct buf b = {0};
    text_replace(*s, *n, " ", SPACE_MARK, &b);
    *s = b.failed ? NULL : arena_strndup(mem, b.data, b.len);
    *n = b.len;
    buf_clear(&b);
    return *s != NULL;
}

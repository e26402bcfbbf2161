/* BPE: characters (or bytes) of a word are put together pair by pair, the pair of lowest rank first, leftmost on ties. */
#include "base/utf8.h"
#include "formats/tok_bytes.h"
#include "formats/tok_model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARRAY_MAX = 96, /* symbols up to which looking at every pair again beats a heap */
    NO_RANK = INT32_MAX,
    AFFIX_MAX = 64,
};

struct symbol {
    int32_t id, rank, result; /* rank and result of the pair with the next one */
};
struct node { /* of a long word */
    int32_t id;
    int64_t prev, next;
    bool gone;
};
struct candidate {
    int32_t rank, result;
    int64_t at;
};
struct merge_model {
    struct word_model base;
    const struct tokenizer *t;
    bool byte_level, byte_fallback, fuse_unk, ignore_merges, by_marks;
    int32_t unk_id;
    const char *prefix, *suffix; /* of a word's later parts, of its last one; NULL: none */
    int32_t byte_ids[256];       /* byte-level: one-byte tokens; else the <0xHH> tokens */
    struct text_map vocab;
    struct pair_map merges;
    struct word_cache cache;
    struct symbol *symbols;
    struct id_list parts;
    struct buf scratch;
    struct arena mem;
};

/* --- merging --- */

static void rank_pair(const struct merge_model *m, struct symbol *s, int32_t right)
{
    const struct pair_slot *p = pair_map_find(&m->merges, s->id, right);
    s->rank = p ? p->rank : NO_RANK;
    s->result = p ? p->result : -1;
}

/* Ids of parts → merged ids, for words of a few symbols */
static size_t merge_array(const struct merge_model *m, struct symbol *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) rank_pair(m, &s[i], s[i + 1].id);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (s[i].rank < s[best].rank) best = i;
        if (s[best].rank == NO_RANK) break;
        s[best].id = s[best].result;
        n--;
        memmove(&s[best + 1], &s[best + 2], (n - best - 1) * sizeof *s);
        if (best + 1 < n) rank_pair(m, &s[best], s[best + 1].id);
        if (best > 0) rank_pair(m, &s[best - 1], s[best].id);
    }
    return n;
}

/* A heap of candidates, lowest rank first, then leftmost. */
struct heap {
    struct candidate *items;
    size_t n;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void heap_push(struct heap *h, struct candidate c)
{
    size_t i = h->n++;
    for (; i > 0 && before(&c, &h->items[(i - 1) / 2]); i = (i - 1) / 2) h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = c;
}

static struct candidate heap_pop(struct heap *h)
{
    struct candidate top = h->items[0], last = h->items[--h->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && before(&h->items[child + 1], &h->items[child])) child++;
        if (!before(&h->items[child], &last)) break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = last;
    return top;
}

static void push_pair(const struct merge_model *m, struct heap *h, const struct node *nodes, int64_t left)
{
    if (left < 0 || nodes[left].next < 0) return;
    const struct pair_slot *p = pair_map_find(&m->merges, nodes[left].id, nodes[nodes[left].next].id);
    if (p) heap_push(h, (struct candidate){p->rank, p->result, left});
}

static void merge_nodes(const struct merge_model *m, struct heap *h, struct node *nodes)
{
    while (h->n > 0) {
        struct candidate c = heap_pop(h);
        struct node *left = &nodes[c.at];
        if (left->gone || left->next < 0) continue;
        struct node *right = &nodes[left->next];
        const struct pair_slot *p = pair_map_find(&m->merges, left->id, right->id);
        if (!p || p->result != c.result) continue;
        left->id = c.result;
        right->gone = true;
        left->next = right->next;
        if (left->next >= 0) nodes[left->next].prev = c.at;
        push_pair(m, h, nodes, left->prev);
        push_pair(m, h, nodes, c.at);
    }
}

/* The same for long words. At most 3 n candidates: n - 1 at first, two for each of n - 1 merges. */
static enum status merge_heap(const struct merge_model *m, const int32_t *ids, size_t n, struct id_list *out,
                              struct error *err)
{
    struct node *nodes = calloc(n, sizeof *nodes);
    struct heap h = {calloc(n, 3 * sizeof *h.items), 0};
    enum status st = nodes && h.items ? STATUS_OK : error_nomem(err, n * sizeof *nodes);
    for (size_t i = 0; st == STATUS_OK && i < n; i++)
        nodes[i] = (struct node){ids[i], (int64_t)i - 1, i + 1 < n ? (int64_t)i + 1 : -1, false};
    for (size_t i = 0; st == STATUS_OK && i + 1 < n; i++) push_pair(m, &h, nodes, (int64_t)i);
    if (st == STATUS_OK) {
        merge_nodes(m, &h, nodes);
        for (int64_t i = 0; i >= 0; i = nodes[i].next) id_list_add(out, nodes[i].id);
    }
    free(nodes);
    free(h.items);
    return st;
}

static enum status merge_parts(struct merge_model *m, struct id_list *out, struct error *err)
{
    size_t n = m->parts.n;
    if (m->parts.failed) return error_nomem(err, n);
    if (n > ARRAY_MAX) return merge_heap(m, m->parts.ids, n, out, err);
    for (size_t i = 0; i < n; i++) m->symbols[i].id = m->parts.ids[i];
    n = merge_array(m, m->symbols, n);
    for (size_t i = 0; i < n; i++) id_list_add(out, m->symbols[i].id);
    return STATUS_OK;
}

/* --- first parts --- */

/* With the prefix of later parts and the suffix of the last one, as the vocabulary has it */
static int32_t part_id(struct merge_model *m, const char *s, size_t n, bool first, bool last)
{
    if ((first || !m->prefix) && (!last || !m->suffix)) return text_map_find(&m->vocab, s, n);
    m->scratch.len = 0;
    if (!first && m->prefix) buf_puts(&m->scratch, m->prefix);
    buf_append(&m->scratch, s, n);
    if (last && m->suffix) buf_puts(&m->scratch, m->suffix);
    return m->scratch.failed ? -1 : text_map_find(&m->vocab, m->scratch.data, m->scratch.len);
}

static bool add_bytes(struct merge_model *m, const char *s, size_t n, bool first, bool last)
{
    char affixed[4 + 2 * AFFIX_MAX];
    size_t len = 0;
    if (!first && m->prefix) len = strlen(strcpy(affixed, m->prefix));
    memcpy(affixed + len, s, n);
    len += n;
    if (last && m->suffix) len += strlen(strcpy(affixed + len, m->suffix));
    for (size_t i = 0; i < len; i++)
        if (m->byte_ids[(unsigned char)affixed[i]] < 0) return false;
    for (size_t i = 0; i < len; i++) id_list_add(&m->parts, m->byte_ids[(unsigned char)affixed[i]]);
    return true;
}

/* Characters without a token become bytes, or the unknown token, which waits for its like. */
static void split_characters(struct merge_model *m, const char *s, size_t n)
{
    bool unknown = false;
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_decode(s + i, n - i, NULL);
        if (len == 0) len = 1;
        bool first = i == 0, last = i + len == n;
        int32_t id = part_id(m, s + i, len, first, last);
        if (id >= 0) {
            if (unknown) id_list_add(&m->parts, m->unk_id);
            unknown = false;
            id_list_add(&m->parts, id);
        } else if (!(m->byte_fallback && add_bytes(m, s + i, len, first, last)) && m->unk_id >= 0) {
            if (unknown && !m->fuse_unk) id_list_add(&m->parts, m->unk_id);
            unknown = true;
        }
    }
    if (unknown) id_list_add(&m->parts, m->unk_id);
}

static void split_bytes(struct merge_model *m, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = m->byte_ids[(unsigned char)s[i]];
        if (id < 0) id = m->unk_id;
        if (id >= 0) id_list_add(&m->parts, id);
    }
}

static enum status encode_word(struct merge_model *m, const char *s, size_t n, struct id_list *out,
                               struct error *err)
{
    uint64_t hash = 0;
    bool cached = n <= CACHE_WORD_MAX;
    if (cached && word_cache_get(&m->cache, s, n, &hash, out)) return STATUS_OK;
    size_t before_n = out->n;
    int32_t whole = m->ignore_merges ? text_map_find(&m->vocab, s, n) : -1;
    if (whole >= 0) {
        id_list_add(out, whole);
    } else {
        m->parts.n = 0;
        if (m->byte_level)
            split_bytes(m, s, n);
        else
            split_characters(m, s, n);
        if (m->parts.n > 0 || m->parts.failed) TRY(merge_parts(m, out, err));
    }
    if (cached && !out->failed)
        word_cache_put(&m->cache, s, n, hash, out->ids ? out->ids + before_n : NULL, out->n - before_n);
    return STATUS_OK;
}

static enum status merge_encode(struct word_model *base, const char *s, size_t n, struct id_list *out,
                                struct error *err)
{
    struct merge_model *m = (struct merge_model *)base;
    if (!m->by_marks) return encode_word(m, s, n, out, err);
    for (size_t i = 0, len; i < n; i += len) {
        len = marked_word(s + i, n - i);
        TRY(encode_word(m, s + i, len, out, err));
    }
    return STATUS_OK;
}

/* --- from a tokenizer --- */

/* *s is NULL for a text that no merges lead to: one that is not in the alphabet, where words are bytes. */
static enum status token_key(struct merge_model *m, size_t id, const char **s, size_t *n, struct error *err)
{
    const struct kv_string *text = &m->t->tokens[id];
    *s = NULL;
    if (!m->byte_level) return piece_text(&m->mem, m->t, id, s, n) ? STATUS_OK : error_nomem(err, text->len);
    m->scratch.len = 0;
    if (!bytes_from_alphabet(text->s, text->len, &m->scratch)) return STATUS_OK;
    TRY(buf_check(&m->scratch, err));
    *n = m->scratch.len;
    *s = arena_strndup(&m->mem, m->scratch.data ? m->scratch.data : "", *n);
    return *s ? STATUS_OK : error_nomem(err, *n);
}

static enum status read_vocab(struct merge_model *m, struct error *err)
{
    const struct tokenizer *t = m->t;
    if (!text_map_init(&m->vocab, t->n_tokens)) return error_nomem(err, t->n_tokens);
    for (size_t id = 0; id < t->n_tokens; id++) {
        const char *s;
        size_t n;
        if (t->types && t->types[id] == TOKEN_UNUSED) continue; /* padding of the embedding */
        TRY(token_key(m, id, &s, &n, err));
        if (s && !text_map_add(&m->vocab, s, n, (int32_t)id)) return error_nomem(err, n);
    }
    if (!m->byte_level) return STATUS_OK;
    for (int b = 0; b < 256; b++) m->byte_ids[b] = text_map_find(&m->vocab, &(char){(char)b}, 1);
    return STATUS_OK;
}

static enum status merge_side(struct merge_model *m, const char *s, size_t n, struct buf *out, struct error *err)
{
    out->len = 0;
    if (!m->byte_level || !bytes_from_alphabet(s, n, out)) buf_append(out, s, n);
    return buf_check(out, err);
}

static enum status bad_merge(size_t index, const struct kv_string *merge, const char *what, struct error *err)
{
    return error_set(err, STATUS_FORMAT, "tokenizer: merge %zu, '%.80s': %s", index, merge->s, what);
}

static enum status read_merge(struct merge_model *m, size_t index, struct buf *left, struct buf *right,
                              struct error *err)
{
    const struct kv_string *merge = &m->t->merges[index];
    const char *space = memchr(merge->s, ' ', merge->len);
    if (!space) return bad_merge(index, merge, "expected two parts", err);
    size_t n = (size_t)(space - merge->s);
    TRY(merge_side(m, merge->s, n, left, err));
    TRY(merge_side(m, space + 1, merge->len - n - 1, right, err));
    if (left->len == 0 || right->len == 0) return bad_merge(index, merge, "expected two parts", err);
    int32_t a = text_map_find(&m->vocab, left->data, left->len),
            b = text_map_find(&m->vocab, right->data, right->len);
    size_t skip = m->prefix ? strlen(m->prefix) : 0;
    if (skip > right->len) skip = 0;
    buf_append(left, right->data + skip, right->len - skip);
    TRY(buf_check(left, err));
    int32_t result = text_map_find(&m->vocab, left->data, left->len);
    if (a < 0 || b < 0 || result < 0)
        return bad_merge(index, merge, "a part or the result is not in the vocabulary", err);
    if (m->by_marks && crosses_mark(left->data, left->len)) m->by_marks = false;
    pair_map_add(&m->merges, a, b, (int32_t)index, result);
    return STATUS_OK;
}

static enum status read_merges(struct merge_model *m, struct error *err)
{
    struct buf left = {0}, right = {0};
    enum status st = STATUS_OK;
    if (m->t->n_merges > INT32_MAX || !pair_map_init(&m->merges, m->t->n_merges))
        return error_nomem(err, m->t->n_merges);
    for (size_t i = 0; st == STATUS_OK && i < m->t->n_merges; i++) st = read_merge(m, i, &left, &right, err);
    buf_clear(&left);
    buf_clear(&right);
    return st;
}

static enum status read_affix(struct merge_model *m, const struct jvalue *v, const char *key, const char **out,
                              struct error *err)
{
    const char *text = json_string(json_get(v, key));
    if (!text || !*text) return STATUS_OK;
    if (strlen(text) > AFFIX_MAX)
        return error_set(err, STATUS_RANGE, "tokenizer: %s of %zu bytes, expected at most %d", key,
                         strlen(text), AFFIX_MAX);
    *out = arena_strndup(&m->mem, text, strlen(text));
    return *out ? STATUS_OK : error_nomem(err, strlen(text));
}

static enum status read_settings(struct merge_model *m, const struct jvalue *v, struct error *err)
{
    const char *unk = json_string(json_get(v, "unk_token"));
    m->byte_fallback = json_is_true(json_get(v, "byte_fallback"));
    m->fuse_unk = json_is_true(json_get(v, "fuse_unk"));
    m->ignore_merges = json_is_true(json_get(v, "ignore_merges"));
    TRY(read_affix(m, v, "continuing_subword_prefix", &m->prefix, err));
    TRY(read_affix(m, v, "end_of_word_suffix", &m->suffix, err));
    TRY(read_vocab(m, err));
    m->unk_id = unk ? text_map_find(&m->vocab, unk, strlen(unk)) : -1;
    if (!m->byte_level) byte_token_ids(m->t, m->byte_ids); /* a character whose bytes are not all there is unknown */
    /* A part that begins a word must be known where words are cut: unknown ones of two words would melt. */
    m->by_marks = !m->byte_level && !m->prefix && !m->suffix && !m->ignore_merges &&
                  text_map_find(&m->vocab, SPACE_MARK, SPACE_MARK_LEN) >= 0;
    return read_merges(m, err);
}

static void merge_free(struct word_model *base)
{
    struct merge_model *m = (struct merge_model *)base;
    text_map_clear(&m->vocab);
    pair_map_clear(&m->merges);
    word_cache_clear(&m->cache);
    free(m->symbols);
    id_list_clear(&m->parts);
    buf_clear(&m->scratch);
    arena_clear(&m->mem);
    free(m);
}

enum status merge_model_new(struct word_model **out, const struct tokenizer *t, const struct jvalue *v,
                            bool byte_level, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, 1, sizeof(struct merge_model), err));
    struct merge_model *m = mem;
    m->base = (struct word_model){merge_encode, merge_free, false};
    m->t = t;
    m->byte_level = byte_level;
    m->symbols = calloc(ARRAY_MAX, sizeof *m->symbols);
    enum status st = m->symbols && word_cache_init(&m->cache) ? read_settings(m, v, err) : error_nomem(err, 1);
    if (st != STATUS_OK) {
        merge_free(&m->base);
        return st;
    }
    *out = &m->base;
    return STATUS_OK;
}

/* SentencePiece: its normalization, and its two models. BPE there puts neighbours together whose text is a piece, the one of highest score
 * first, leftmost on ties; unigram is the lattice.
 *
 * Block "model" (docs/format.md): {"type": "SentencePiece", "algorithm": "bpe" | "unigram", "add_dummy_prefix", "remove_extra_whitespaces",
 * "escape_whitespaces", "treat_whitespace_as_suffix", "byte_fallback": bool, "unk_id": id}. The table of replacements is the tokenizer's charsmap.
 */
#include "base/utf8.h"
#include "formats/tok_bytes.h"
#include "formats/tok_charsmap.h"
#include "formats/tok_model.h"

#include <stdlib.h>
#include <string.h>

enum { ARRAY_MAX = 64 };

struct part { /* of a word that is being put together: bytes [at, at + len) of the text */
    size_t at, len;
    int64_t prev, next;
    bool frozen;
    float score; /* of the pair with the next part, and what it would be */
    int32_t joined;
};
struct union_candidate {
    float score;
    int32_t id;
    int64_t left;
    size_t len;
};
struct piece_model {
    struct word_model base;
    const struct tokenizer *t;
    bool unigram, dummy_prefix, squeeze, escape, suffix, fallback, by_marks;
    int32_t unk_id, byte_ids[256];
    size_t first, end; /* ids of the pieces */
    struct charsmap map;
    struct trie user; /* user-defined pieces: never changed, never split */
    bool any_user, any_unused;
    struct text_map pieces; /* bpe */
    struct lattice *lattice; /* unigram */
    struct word_cache cache;
    struct buf text;
    struct id_list ids, starts;
    struct part *parts;
    size_t cap_parts;
    struct union_candidate *heap;
    size_t n_heap, cap_heap;
    int32_t *split_at; /* by id: the left part of an unused piece that came up; 0: none did */
    struct arena mem;
};

/* --- normalization --- */

/* What the text begins with becomes *to; returns how much of it. */
static size_t normal_prefix(const struct piece_model *m, const char *s, size_t n, const char **to, size_t *to_len)
{
    int32_t id;
    size_t len = m->any_user ? trie_longest(&m->user, s, n, &id) : 0;
    if (len == 0) {
        len = charsmap_find(&m->map, s, n, false, to, to_len);
        if (len > 0) return len;
        len = utf8_decode(s, n, NULL);
    }
    *to = len > 0 ? s : "\xEF\xBF\xBD";
    *to_len = len > 0 ? len : 3;
    return len > 0 ? len : 1;
}

static void put_space(const struct piece_model *m, struct buf *out)
{
    buf_puts(out, m->escape ? SPACE_MARK : " ");
}

static void put_normal(const struct piece_model *m, const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        const char *space = memchr(s + i, ' ', n - i);
        size_t end = space ? (size_t)(space - s) : n;
        buf_append(out, s + i, end - i);
        if (space) put_space(m, out);
        i = end + (space ? 1 : 0);
    }
}

static void trim_end(const struct piece_model *m, struct buf *out)
{
    const char *space = m->escape ? SPACE_MARK : " ";
    size_t n = strlen(space);
    while (out->len >= n && memcmp(out->data + out->len - n, space, n) == 0) out->len -= n;
}

static enum status normalize(const struct piece_model *m, const char *s, size_t n, struct buf *out,
                             struct error *err)
{
    const char *to;
    size_t to_len, len;
    out->len = 0;
    while (m->squeeze && n > 0) {
        len = normal_prefix(m, s, n, &to, &to_len);
        if (to_len != 1 || to[0] != ' ') break;
        s += len;
        n -= len;
    }
    if (n == 0) return STATUS_OK;
    if (m->dummy_prefix && !m->suffix) put_space(m, out);
    bool after_space = m->squeeze;
    for (; n > 0; s += len, n -= len) {
        len = normal_prefix(m, s, n, &to, &to_len);
        while (after_space && to_len > 0 && to[0] == ' ') to++, to_len--;
        put_normal(m, to, to_len, out);
        if (to_len > 0) after_space = m->squeeze && to[to_len - 1] == ' ';
    }
    if (m->squeeze) trim_end(m, out);
    if (m->dummy_prefix && m->suffix) put_space(m, out);
    return buf_check(out, err);
}

/* --- BPE by scores --- */

static void find_union(const struct piece_model *m, const char *s, struct part *left, const struct part *right)
{
    left->joined = -1;
    if (left->frozen || right->frozen) return;
    left->joined = text_map_find(&m->pieces, s + left->at, left->len + right->len);
    if (left->joined < 0) return;
    left->score = m->t->scores ? m->t->scores[left->joined] : 0;
    if (m->any_unused && m->t->types[left->joined] == TOKEN_UNUSED)
        m->split_at[left->joined] = (int32_t)left->len;
}

static size_t join_array(struct piece_model *m, const char *s, struct part *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) find_union(m, s, &p[i], &p[i + 1]);
    while (n > 1) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i + 1 < n; i++)
            if (p[i].joined >= 0 && (best == SIZE_MAX || p[i].score > p[best].score)) best = i;
        if (best == SIZE_MAX) break;
        p[best].len += p[best + 1].len;
        n--;
        memmove(&p[best + 1], &p[best + 2], (n - best - 1) * sizeof *p);
        if (best + 1 < n) find_union(m, s, &p[best], &p[best + 1]);
        if (best > 0) find_union(m, s, &p[best - 1], &p[best]);
    }
    return n;
}

static bool better(const struct union_candidate *a, const struct union_candidate *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(struct piece_model *m, struct union_candidate c)
{
    struct union_candidate *h = m->heap;
    size_t i = m->n_heap++;
    for (; i > 0 && better(&c, &h[(i - 1) / 2]); i = (i - 1) / 2) h[i] = h[(i - 1) / 2];
    h[i] = c;
}

static struct union_candidate heap_pop(struct piece_model *m)
{
    struct union_candidate *h = m->heap, top = h[0], last = h[--m->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->n_heap; i = child) {
        if (child + 1 < m->n_heap && better(&h[child + 1], &h[child])) child++;
        if (!better(&h[child], &last)) break;
        h[i] = h[child];
    }
    h[i] = last;
    return top;
}

static void push_union(struct piece_model *m, const char *s, struct part *p, int64_t left)
{
    if (left < 0 || p[left].next < 0) return;
    find_union(m, s, &p[left], &p[p[left].next]);
    if (p[left].joined >= 0)
        heap_push(m, (struct union_candidate){p[left].score, p[left].joined, left,
                                              p[left].len + p[p[left].next].len});
}

/* The same with a heap; parts that are gone have no length. Returns how many are left, moved together. */
static size_t join_heap(struct piece_model *m, const char *s, struct part *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i].prev = (int64_t)i - 1;
        p[i].next = i + 1 < n ? (int64_t)i + 1 : -1;
    }
    m->n_heap = 0;
    for (size_t i = 0; i < n; i++) push_union(m, s, p, (int64_t)i);
    while (m->n_heap > 0) {
        struct union_candidate c = heap_pop(m);
        struct part *left = &p[c.left];
        if (left->len == 0 || left->next < 0) continue;
        struct part *right = &p[left->next];
        if (left->len + right->len != c.len) continue;
        left->len = c.len;
        right->len = 0;
        left->next = right->next;
        if (left->next >= 0) p[left->next].prev = c.left;
        push_union(m, s, p, left->prev);
        push_union(m, s, p, c.left);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i].len > 0) p[kept++] = p[i];
    return kept;
}

/* Ids of one part; an unused piece falls apart again into what it was put together from. */
static void put_part(struct piece_model *m, const char *s, size_t n, struct id_list *out)
{
    int32_t id = text_map_find(&m->pieces, s, n);
    while (id >= 0 && m->any_unused && m->t->types[id] == TOKEN_UNUSED && m->split_at[id] > 0) {
        size_t left = (size_t)m->split_at[id];
        put_part(m, s, left, out); /* shorter each time; as deep as pieces are nested */
        s += left;
        n -= left;
        id = text_map_find(&m->pieces, s, n);
    }
    if (id >= 0)
        id_list_add(out, id);
    else if (m->fallback)
        for (size_t i = 0; i < n; i++) id_list_add(out, m->byte_ids[(unsigned char)s[i]]);
    else if (m->unk_id >= 0 && (out->n == 0 || out->ids[out->n - 1] != m->unk_id))
        id_list_add(out, m->unk_id);
}

static enum status room_for_parts(struct piece_model *m, size_t n, struct error *err)
{
    if (m->cap_parts < n) {
        struct part *p = realloc(m->parts, n * sizeof *p);
        if (!p) return error_nomem(err, n * sizeof *p);
        m->parts = p;
        m->cap_parts = n;
    }
    if (n <= ARRAY_MAX || m->cap_heap >= 3 * n) return STATUS_OK;
    struct union_candidate *h = realloc(m->heap, 3 * n * sizeof *h);
    if (!h) return error_nomem(err, 3 * n * sizeof *h);
    m->heap = h;
    m->cap_heap = 3 * n;
    return STATUS_OK;
}

static enum status bpe_word(struct piece_model *m, const char *s, size_t n, struct id_list *out, struct error *err)
{
    size_t count = 0;
    TRY(room_for_parts(m, n, err));
    for (size_t at = 0, len; at < n; at += len) {
        int32_t id;
        bool frozen = m->any_user && (len = trie_longest(&m->user, s + at, n - at, &id)) > 0;
        if (!frozen) len = utf8_decode(s + at, n - at, NULL);
        if (len == 0) len = 1;
        m->parts[count++] = (struct part){.at = at, .len = len, .frozen = frozen};
    }
    count = count <= ARRAY_MAX ? join_array(m, s, m->parts, count) : join_heap(m, s, m->parts, count);
    for (size_t i = 0; i < count; i++) put_part(m, s + m->parts[i].at, m->parts[i].len, out);
    return STATUS_OK;
}

static enum status bpe_text(struct piece_model *m, const char *s, size_t n, struct id_list *out, struct error *err)
{
    if (m->any_unused) memset(m->split_at, 0, m->end * sizeof *m->split_at);
    for (size_t i = 0, len; i < n; i += len) {
        uint64_t hash = 0;
        len = m->by_marks ? marked_word(s + i, n - i) : n;
        bool cached = len <= CACHE_WORD_MAX;
        if (cached && word_cache_get(&m->cache, s + i, len, &hash, out)) continue;
        m->ids.n = 0; /* of its own: what came before has no part in it */
        TRY(bpe_word(m, s + i, len, &m->ids, err));
        if (m->ids.failed) return error_nomem(err, len);
        if (cached) word_cache_put(&m->cache, s + i, len, hash, m->ids.ids, m->ids.n);
        for (size_t k = 0; k < m->ids.n; k++) id_list_add(out, m->ids.ids[k]);
    }
    return STATUS_OK;
}

/* --- unigram --- */

static enum status unigram_text(struct piece_model *m, const char *s, size_t n, struct id_list *out,
                                struct error *err)
{
    m->ids.n = m->starts.n = 0;
    TRY(lattice_best(m->lattice, s, n, &m->ids, &m->starts, err));
    for (size_t i = 0; i < m->ids.n; i++) {
        size_t start = (size_t)m->starts.ids[i], end = i + 1 < m->ids.n ? (size_t)m->starts.ids[i + 1] : n;
        if (m->ids.ids[i] != m->unk_id || !m->fallback)
            id_list_add(out, m->ids.ids[i]);
        else
            for (size_t k = start; k < end; k++) id_list_add(out, m->byte_ids[(unsigned char)s[k]]);
    }
    return STATUS_OK;
}

static enum status piece_encode(struct word_model *base, const char *s, size_t n, struct id_list *out,
                                struct error *err)
{
    struct piece_model *m = (struct piece_model *)base;
    TRY(normalize(m, s, n, &m->text, err));
    if (m->text.len == 0) return STATUS_OK;
    return m->unigram ? unigram_text(m, m->text.data, m->text.len, out, err)
                      : bpe_text(m, m->text.data, m->text.len, out, err);
}

/* --- from a tokenizer --- */

static enum status add_piece(struct piece_model *m, size_t id, struct error *err)
{
    const char *s;
    size_t n;
    int32_t type = m->t->types ? m->t->types[id] : TOKEN_NORMAL;
    if (!piece_text(&m->mem, m->t, id, &s, &n)) return error_nomem(err, 1);
    if (n == 0) return STATUS_OK;
    if (crosses_mark(s, n)) m->by_marks = false;
    if (!m->unigram && !text_map_add(&m->pieces, s, n, (int32_t)id)) return error_nomem(err, n);
    if (type != TOKEN_USER_DEFINED) return STATUS_OK;
    if (n > LIMIT_TOKENIZER_PIECE)
        return error_set(err, STATUS_RANGE, "tokenizer: piece %zu of %zu bytes, expected at most %d", id, n,
                         LIMIT_TOKENIZER_PIECE);
    m->any_user = true;
    return trie_add(&m->user, s, n, (int32_t)id) ? STATUS_OK : error_nomem(err, n);
}

static enum status add_pieces(struct piece_model *m, struct error *err)
{
    const struct tokenizer *t = m->t;
    if (!text_map_init(&m->pieces, m->end - m->first) || !trie_init(&m->user)) return error_nomem(err, m->end);
    m->by_marks = true;
    for (size_t id = m->first; id < m->end; id++) {
        bool unused = !m->unigram && t->types && t->types[id] == TOKEN_UNUSED;
        if (unused) m->any_unused = true;
        if (unused || piece_is_text(t, id)) TRY(add_piece(m, id, err));
    }
    m->by_marks = m->by_marks && text_map_find(&m->pieces, SPACE_MARK, SPACE_MARK_LEN) >= 0;
    if (m->any_unused) {
        m->split_at = calloc(m->end, sizeof *m->split_at);
        if (!m->split_at) return error_nomem(err, m->end);
        m->by_marks = false; /* how an unused piece falls apart depends on the whole text */
    }
    return STATUS_OK;
}

static enum status read_settings(struct piece_model *m, const struct jvalue *v, struct error *err)
{
    const char *algorithm = json_string(json_get(v, "algorithm"));
    double unk = -1;
    if (json_is(json_get(v, "unk_id"), JTYPE_NUMBER)) TRY(json_double(NULL, json_get(v, "unk_id"), &unk, err));
    m->unigram = algorithm && strcmp(algorithm, "unigram") == 0;
    m->dummy_prefix = json_is_true(json_get(v, "add_dummy_prefix"));
    m->squeeze = json_is_true(json_get(v, "remove_extra_whitespaces"));
    m->escape = json_is_true(json_get(v, "escape_whitespaces"));
    m->suffix = json_is_true(json_get(v, "treat_whitespace_as_suffix"));
    m->unk_id = unk >= 0 && unk < (double)m->t->n_tokens ? (int32_t)unk : -1;
    m->fallback = json_is_true(json_get(v, "byte_fallback"));
    if (m->fallback && !byte_token_ids(m->t, m->byte_ids))
        return error_set(err, STATUS_FORMAT, "tokenizer: byte_fallback without all of <0x00> to <0xFF>");
    piece_range(m->t, v, &m->first, &m->end);
    TRY(charsmap_open(&m->map, m->t->charsmap, m->t->charsmap_size, err));
    TRY(add_pieces(m, err));
    const struct lattice_spec spec = {m->t, m->first, m->end, true, m->unk_id, true, true};
    return m->unigram ? lattice_new(&m->lattice, &spec, err) : STATUS_OK;
}

static void piece_free(struct word_model *base)
{
    struct piece_model *m = (struct piece_model *)base;
    trie_clear(&m->user);
    text_map_clear(&m->pieces);
    lattice_free(m->lattice);
    word_cache_clear(&m->cache);
    buf_clear(&m->text);
    id_list_clear(&m->ids);
    id_list_clear(&m->starts);
    free(m->parts);
    free(m->heap);
    free(m->split_at);
    arena_clear(&m->mem);
    free(m);
}

enum status piece_model_new(struct word_model **out, const struct tokenizer *t, const struct jvalue *v,
                            bool byte_level, struct error *err)
{
    void *mem;
    (void)byte_level;
    TRY(mem_alloc(&mem, 1, sizeof(struct piece_model), err));
    struct piece_model *m = mem;
    m->base = (struct word_model){piece_encode, piece_free, true};
    m->t = t;
    enum status st = word_cache_init(&m->cache) ? read_settings(m, v, err) : error_nomem(err, 1);
    if (st != STATUS_OK) {
        piece_free(&m->base);
        return st;
    }
    *out = &m->base;
    return STATUS_OK;
}

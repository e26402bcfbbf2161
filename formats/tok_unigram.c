/* Unigram models: of all ways to cut a text into pieces, the one with the largest sum of scores (Viterbi). */
#include "base/utf8.h"
#include "formats/tok_bytes.h"
#include "formats/tok_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double unknown_penalty = 10.0;

struct lattice {
    struct trie pieces;
    double *scores; /* by id; NAN: the bonus of its length */
    double unk_score, max_score;
    int32_t unk_id;
    bool single;
    struct end { /* the best way to the end of each prefix */
        double score;
        size_t start;
        int32_t id;
    } * ends;
    size_t cap_ends;
    struct arena mem;
};

static enum status add_piece(struct lattice *l, const struct lattice_spec *spec, size_t id, struct error *err)
{
    const char *s;
    size_t n;
    if (!piece_text(&l->mem, spec->t, id, &s, &n)) return error_nomem(err, 1);
    if (n == 0) return STATUS_OK;
    if (n > LIMIT_TOKENIZER_PIECE)
        return error_set(err, STATUS_RANGE, "tokenizer: piece %zu of %zu bytes, expected at most %d", id, n,
                         LIMIT_TOKENIZER_PIECE);
    return trie_add(&l->pieces, s, n, (int32_t)id) ? STATUS_OK : error_nomem(err, n);
}

static enum status lattice_fill(struct lattice *l, const struct lattice_spec *spec, struct error *err)
{
    const struct tokenizer *t = spec->t;
    double least = 0, most = 0;
    bool any = false;
    l->scores = calloc(t->n_tokens + 1, sizeof *l->scores);
    if (!l->scores || !trie_init(&l->pieces)) return error_nomem(err, t->n_tokens);
    for (size_t id = spec->first; id < spec->end; id++) {
        if (spec->by_type && !piece_is_text(t, id)) continue;
        bool user = t->types && t->types[id] == TOKEN_USER_DEFINED;
        double score = t->scores ? (double)t->scores[id] : 0;
        l->scores[id] = spec->bonus && user ? NAN : score;
        TRY(add_piece(l, spec, id, err));
        if (user || (t->types && t->types[id] != TOKEN_NORMAL)) continue;
        least = !any || score < least ? score : least;
        most = !any || score > most ? score : most;
        any = true;
    }
    l->max_score = most;
    l->unk_score = spec->single ? (double)((float)least - (float)unknown_penalty) : least - unknown_penalty;
    l->unk_id = spec->unk_id;
    l->single = spec->single;
    return STATUS_OK;
}

enum status lattice_new(struct lattice **out, const struct lattice_spec *spec, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct lattice), err));
    struct lattice *l = mem;
    enum status st = lattice_fill(l, spec, err);
    if (st != STATUS_OK) {
        lattice_free(l);
        return st;
    }
    *out = l;
    return STATUS_OK;
}

void lattice_free(struct lattice *l)
{
    if (!l) return;
    trie_clear(&l->pieces);
    free(l->scores);
    free(l->ends);
    arena_clear(&l->mem);
    free(l);
}

static void offer(struct lattice *l, size_t start, size_t end, double score, int32_t id)
{
    struct end *e = &l->ends[end];
    double sum = l->ends[start].score + score;
    if (l->single) sum = (double)(float)sum;
    if (e->start != SIZE_MAX && !(sum > e->score)) return;
    *e = (struct end){sum, start, id};
}

static void from_position(struct lattice *l, const char *s, size_t n, size_t start)
{
    size_t len = utf8_decode(s + start, n - start, NULL);
    bool whole = false; /* a piece for the character alone */
    uint32_t node = 0;
    if (len == 0) len = 1;
    for (size_t end = start; end < n;) {
        node = trie_step(&l->pieces, node, (unsigned char)s[end++]);
        if (node == 0) break;
        int32_t id = l->pieces.ids[node];
        if (id < 0) continue;
        double score = l->scores[id];
        offer(l, start, end, isnan(score) ? (double)(end - start) * l->max_score - 0.1 : score, id);
        whole = whole || end - start == len;
    }
    if (!whole) offer(l, start, start + len, l->unk_score, l->unk_id);
}

static void reverse(int32_t *a, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        int32_t x = a[i];
        a[i] = a[n - 1 - i];
        a[n - 1 - i] = x;
    }
}

enum status lattice_best(struct lattice *l, const char *s, size_t n, struct id_list *out,
                         struct id_list *starts, struct error *err)
{
    if (n >= INT32_MAX) return error_set(err, STATUS_RANGE, "a text of %zu bytes, expected less than 2 GiB", n);
    if (l->cap_ends < n + 1) {
        struct end *ends = realloc(l->ends, (n + 1) * sizeof *ends);
        if (!ends) return error_nomem(err, n * sizeof *ends);
        l->ends = ends;
        l->cap_ends = n + 1;
    }
    for (size_t i = 0; i <= n; i++) l->ends[i] = (struct end){0, SIZE_MAX, -1};
    for (size_t at = 0, len; at < n; at += len) {
        from_position(l, s, n, at);
        len = utf8_decode(s + at, n - at, NULL);
        if (len == 0) len = 1;
    }
    size_t first = out->n, first_start = starts ? starts->n : 0;
    for (size_t end = n; end > 0; end = l->ends[end].start) {
        const struct end *e = &l->ends[end];
        if (e->id == l->unk_id && out->n > first && out->ids[out->n - 1] == l->unk_id) {
            if (starts) starts->ids[starts->n - 1] = (int32_t)e->start;
            continue;
        }
        id_list_add(out, e->id);
        if (starts) id_list_add(starts, (int32_t)e->start);
        if (out->failed || (starts && starts->failed)) return error_nomem(err, n);
    }
    if (out->n > first) reverse(out->ids + first, out->n - first);
    if (starts && starts->n > first_start) reverse(starts->ids + first_start, starts->n - first_start);
    return STATUS_OK;
}

/* --- Unigram of tokenizer.json --- */

struct unigram_model {
    struct word_model base;
    struct lattice *lattice;
    bool fallback; /* the text of unknown characters becomes bytes */
    int32_t unk_id, byte_ids[256];
    struct id_list ids, starts;
};

static enum status unigram_encode(struct word_model *base, const char *s, size_t n, struct id_list *out,
                                  struct error *err)
{
    struct unigram_model *m = (struct unigram_model *)base;
    m->ids.n = m->starts.n = 0;
    TRY(lattice_best(m->lattice, s, n, &m->ids, &m->starts, err));
    for (size_t i = 0; i < m->ids.n; i++) {
        size_t start = (size_t)m->starts.ids[i], end = i + 1 < m->ids.n ? (size_t)m->starts.ids[i + 1] : n;
        if (m->ids.ids[i] != m->unk_id || !m->fallback) {
            if (m->ids.ids[i] < 0)
                return error_set(err, STATUS_FORMAT, "tokenizer: a character that the vocabulary lacks, and no unknown token");
            id_list_add(out, m->ids.ids[i]);
            continue;
        }
        for (size_t k = start; k < end; k++) id_list_add(out, m->byte_ids[(unsigned char)s[k]]);
    }
    return STATUS_OK;
}

static void unigram_free(struct word_model *base)
{
    struct unigram_model *m = (struct unigram_model *)base;
    lattice_free(m->lattice);
    id_list_clear(&m->ids);
    id_list_clear(&m->starts);
    free(m);
}

enum status unigram_model_new(struct word_model **out, const struct tokenizer *t, const struct jvalue *v,
                              bool byte_level, struct error *err)
{
    void *mem;
    double unk = -1;
    (void)byte_level;
    const struct jvalue *unk_value = json_get(v, "unk_id");
    TRY(mem_alloc(&mem, 1, sizeof(struct unigram_model), err));
    struct unigram_model *m = mem;
    m->base = (struct word_model){unigram_encode, unigram_free, false};
    enum status st = json_is(unk_value, JTYPE_NUMBER) ? json_double(NULL, unk_value, &unk, err) : STATUS_OK;
    m->unk_id = unk >= 0 && unk < (double)t->n_tokens ? (int32_t)unk : -1;
    m->fallback = json_is_true(json_get(v, "byte_fallback")) && byte_token_ids(t, m->byte_ids);
    struct lattice_spec spec = {.t = t, .unk_id = m->unk_id};
    piece_range(t, v, &spec.first, &spec.end);
    if (st == STATUS_OK) st = lattice_new(&m->lattice, &spec, err);
    if (st != STATUS_OK) {
        unigram_free(&m->base);
        return st;
    }
    *out = &m->base;
    return STATUS_OK;
}

/* tiktoken's rank file: one token a line, its bytes in base64, a space, its rank, which is its id. (GLM-4's tokenizer.model;
 * it goes by the name of SentencePiece's.)
 *
 * A pair of tokens merges when their bytes together are a token, the one of lowest rank first. As a list of merges that is: for every
 * token of two bytes or more, in order of rank, each of its splits into two tokens, by the ranks of the parts.
 */
#include "base/base64.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_build.h"
#include "formats/tok_bytes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>


struct ranks {
    struct tok_build *b;
    const char *path;
    struct strmap by_text; /* token in the byte alphabet → rank */
    struct kv_string *merges;
    size_t n_merges, cap_merges;
    struct buf scratch;
};

/* One line without its end: "IQ== 0" */
static bool parse_line(const char *s, size_t n, struct buf *bytes, int64_t *rank)
{
    const char *space = memchr(s, ' ', n);
    char digits[24];
    if (!space) return false;
    size_t n_digits = n - (size_t)(space - s) - 1;
    if (n_digits < 1 || n_digits >= sizeof digits) return false;
    memcpy(digits, space + 1, n_digits);
    digits[n_digits] = 0;
    bytes->len = 0;
    *rank = tok_decimal(digits);
    return *rank >= 0 && base64_decode(bytes, s, (size_t)(space - s)) && bytes->len > 0;
}

/* The line at *pos, which moves behind its end. */
static const char *next_line(const struct buf *text, size_t *pos, size_t *n)
{
    const char *s = text->data + *pos, *nl = memchr(s, '\n', text->len - *pos);
    *n = nl ? (size_t)(nl - s) : text->len - *pos;
    *pos += *n + 1;
    if (*n > 0 && s[*n - 1] == '\r') --*n;
    return s;
}

enum status tok_is_ranks(const char *path, bool *yes, struct error *err)
{
    struct file f;
    char head[2048];
    struct buf text = {.data = head}, bytes = {0};
    TRY(file_open(&f, path, err));
    text.len = f.size_bytes < sizeof head ? (size_t)f.size_bytes : sizeof head;
    enum status st = text.len > 0 ? file_read_at(&f, 0, head, text.len, err) : STATUS_OK;
    size_t pos = 0, n = 0;
    int64_t rank;
    const char *s = next_line(&text, &pos, &n);
    *yes = st == STATUS_OK && parse_line(s, n, &bytes, &rank);
    buf_clear(&bytes);
    file_close(&f);
    return st;
}

/* --- tokens --- */

static enum status add_token(struct ranks *r, const struct buf *bytes, int64_t rank, struct error *err)
{
    if (bytes->len > LIMIT_TOKENIZER_RANK_BYTES)
        return error_at(err, STATUS_RANGE, r->path, NULL, "rank %" PRId64 ": %zu bytes, expected at most %d",
                        rank, bytes->len, LIMIT_TOKENIZER_RANK_BYTES);
    r->scratch.len = 0;
    bytes_to_alphabet(bytes->data, bytes->len, &r->scratch);
    TRY(buf_check(&r->scratch, err));
    struct kv_string text = tok_text(r->b, r->scratch.data, r->scratch.len);
    if (!text.s) return error_nomem(err, r->scratch.len);
    size_t other;
    enum status st = strmap_add(&r->by_text, text.s, (size_t)rank, &other, err);
    if (st == STATUS_EXISTS)
        return error_at(err, STATUS_FORMAT, r->path, NULL,
                        "rank %" PRId64 ": the token '%.60s' has rank %zu already", rank, text.s, other);
    TRY(st);
    return tok_set(r->b, rank, text, TOKEN_NORMAL, 0, r->path, err);
}

/* Calls add_token for each line; with `max` only looks for the largest rank. */
static enum status walk(struct ranks *r, const struct buf *text, int64_t *max, size_t *n_lines,
                        struct error *err)
{
    struct buf bytes = {0};
    enum status st = STATUS_OK;
    size_t line = 0, n;
    for (size_t pos = 0; pos < text->len && st == STATUS_OK;) {
        const char *s = next_line(text, &pos, &n);
        int64_t rank;
        line++;
        if (n == 0) continue;
        if (!parse_line(s, n, &bytes, &rank))
            st = error_at(err, STATUS_FORMAT, r->path, NULL, "line %zu: expected base64, a space and a rank",
                          line);
        else if (max)
            *max = rank > *max ? rank : *max;
        else
            st = add_token(r, &bytes, rank, err);
    }
    if (n_lines) *n_lines = line;
    buf_clear(&bytes);
    return st;
}

/* --- merges --- */

struct split {
    size_t left, at; /* rank of the left part, its length */
};

static int by_left(const void *a, const void *b)
{
    size_t x = ((const struct split *)a)->left, y = ((const struct split *)b)->left;
    return x < y ? -1 : x > y;
}

static enum status add_merge(struct ranks *r, const struct kv_string *token, size_t at, struct error *err)
{
    if (r->n_merges == r->cap_merges) {
        size_t cap = r->cap_merges ? 2 * r->cap_merges : 1024;
        struct kv_string *more = realloc(r->merges, cap * sizeof *more);
        if (!more) return error_nomem(err, cap * sizeof *more);
        r->merges = more;
        r->cap_merges = cap;
    }
    r->scratch.len = 0;
    buf_append(&r->scratch, token->s, at);
    buf_append(&r->scratch, " ", 1);
    buf_append(&r->scratch, token->s + at, token->len - at);
    TRY(buf_check(&r->scratch, err));
    struct kv_string text = tok_text(r->b, r->scratch.data, r->scratch.len);
    if (!text.s) return error_nomem(err, r->scratch.len);
    r->merges[r->n_merges++] = text;
    return STATUS_OK;
}

static enum status split_token(struct ranks *r, const struct kv_string *token, struct error *err)
{
    struct split splits[LIMIT_TOKENIZER_RANK_BYTES];
    size_t n = 0, left, right;
    for (size_t at = 1; at < token->len; at++) {
        if (((unsigned char)token->s[at] & 0xC0) == 0x80) continue; /* inside a character of the alphabet */
        if (strmap_find_n(&r->by_text, token->s, at, &left) &&
            strmap_find_n(&r->by_text, token->s + at, token->len - at, &right))
            splits[n++] = (struct split){left, at};
    }
    qsort(splits, n, sizeof *splits, by_left); /* parts on the left differ, so their ranks do */
    for (size_t i = 0; i < n; i++) TRY(add_merge(r, token, splits[i].at, err));
    return STATUS_OK;
}

static enum status make_merges(struct ranks *r, struct error *err)
{
    struct tok_build *b = r->b;
    for (int64_t id = 0; id < b->n_rows; id++)
        if (b->flags[id] & TOK_PRESENT) TRY(split_token(r, &b->tokens[id], err));
    struct kv_string *merges = arena_array(&b->t->mem, r->n_merges + 1, sizeof *merges);
    if (!merges) return error_nomem(err, r->n_merges * sizeof *merges);
    if (r->n_merges > 0) memcpy(merges, r->merges, r->n_merges * sizeof *merges);
    b->t->merges = merges;
    b->t->n_merges = r->n_merges;
    return STATUS_OK;
}

static enum status read_text(struct ranks *r, const struct buf *text, struct error *err)
{
    int64_t max = -1;
    size_t n_lines;
    TRY(walk(r, text, &max, &n_lines, err));
    r->b->n_pieces = max + 1;
    TRY(tok_rows(r->b, max, n_lines, r->path, err));
    TRY(walk(r, text, NULL, NULL, err));
    TRY(tok_read_pre(r->b, NULL, NULL, err));
    return make_merges(r, err);
}

enum status tok_read_ranks(struct tok_build *b, const char *path, struct error *err)
{
    struct buf text = {0};
    struct ranks r = {.b = b, .path = path};
    b->t->kind = TOKENIZER_BPE;
    b->t->model = "gpt2";
    b->from_ranks = true;
    b->t->ignore_merges = b->glm == GLM_NONE; /* tiktoken looks for whole words first; what llama.cpp does for GLM does not */
    TRY(file_read_all(&text, path, LIMIT_TOKENIZER_RANKS, err));
    enum status st = read_text(&r, &text, err);
    strmap_clear(&r.by_text);
    free(r.merges);
    buf_clear(&r.scratch);
    buf_clear(&text);
    return st;
}

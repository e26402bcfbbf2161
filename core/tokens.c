#include "core/tokens.h"

#include "base/file.h"
#include "base/limits.h"
#include "formats/encoder.h"
#include "formats/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


void tokens_clear(struct tokens *t)
{
    free(t->ids);
    *t = (struct tokens){0};
}

static enum status allocate(struct tokens *t, uint64_t n, struct error *err)
{
    void *p;
    TRY(mem_alloc(&p, n, sizeof *t->ids, err));
    t->ids = p;
    t->n = (int64_t)n;
    return STATUS_OK;
}

/* SplitMix64 (Steele, Lea, Flood 2014) from a fixed seed */
enum status tokens_make(struct tokens *t, int64_t n, int64_t n_vocab, struct error *err)
{
    *t = (struct tokens){.built_in = true};
    TRY(allocate(t, (uint64_t)n, err));
    uint64_t state = 20;
    for (int64_t i = 0; i < n; i++) {
        state += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t z = state;
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        z ^= z >> 31;
        t->ids[i] = (int32_t)(z % (uint64_t)n_vocab);
    }
    return STATUS_OK;
}

static enum status bad_id(const char *path, int64_t index, int64_t n_vocab, const char *found, size_t n,
                          struct error *err)
{
    return error_at(err, STATUS_RANGE, path, NULL, "token %lld: expected an id from 0 to %lld, found '%.*s'",
                    (long long)index, (long long)n_vocab - 1, (int)(n < 40 ? n : 40), found);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* The next word of text: false at its end */
static bool next_word(const char **p, const char *end, size_t *n)
{
    while (*p < end && is_blank(**p)) ++*p;
    const char *q = *p;
    while (q < end && !is_blank(*q)) q++;
    *n = (size_t)(q - *p);
    return *n > 0;
}

static enum status parse_text(struct tokens *t, const struct buf *text, const char *path, int64_t n_vocab,
                              struct error *err)
{
    const char *end = text->data + text->len, *p = text->data;
    size_t n;
    uint64_t count = 0;
    for (; next_word(&p, end, &n); p += n) count++;
    TRY(allocate(t, count, err));
    p = text->data;
    for (int64_t i = 0; next_word(&p, end, &n); p += n, i++) {
        int64_t v = 0;
        for (size_t k = 0; k < n && v < n_vocab; k++) {
            if (p[k] < '0' || p[k] > '9') return bad_id(path, i, n_vocab, p, n, err);
            v = v * 10 + (p[k] - '0');
        }
        if (v >= n_vocab) return bad_id(path, i, n_vocab, p, n, err);
        t->ids[i] = (int32_t)v;
    }
    return STATUS_OK;
}

static enum status take_array(struct tokens *t, const struct npy *a, const char *path, int64_t n_vocab,
                              struct error *err)
{
    bool flat = a->n_dims == 1 || (a->n_dims == 2 && a->shape[0] == 1);
    if (!flat || (a->dtype != DTYPE_I32 && a->dtype != DTYPE_I64))
        return error_at(err, STATUS_FORMAT, path, NULL,
                        "expected integers of shape (n) or (1, n), found %d dimensions of %s", a->n_dims,
                        dtype_info(a->dtype)->name);
    TRY(allocate(t, (uint64_t)a->n_elements, err));
    for (int64_t i = 0; i < a->n_elements; i++) {
        int64_t v = npy_int(a, i);
        char found[24];
        int n = snprintf(found, sizeof found, "%lld", (long long)v);
        if (v < 0 || v >= n_vocab) return bad_id(path, i, n_vocab, found, (size_t)n, err);
        t->ids[i] = (int32_t)v;
    }
    return STATUS_OK;
}

static enum status read_array(struct tokens *t, const char *path, int64_t n_vocab, struct error *err)
{
    struct npy a;
    TRY(npy_read(&a, path, LIMIT_TEXT, err));
    enum status st = take_array(t, &a, path, n_vocab, err);
    npy_clear(&a);
    return st;
}

static bool is_array(const struct buf *text)
{
    static const char magic[] = "\x93NUMPY";
    return text->len >= sizeof magic - 1 && memcmp(text->data, magic, sizeof magic - 1) == 0;
}

enum status tokens_read(struct tokens *t, const char *path, int64_t n_vocab, struct error *err)
{
    struct buf text = {0};
    *t = (struct tokens){0};
    enum status st = file_read_all(&text, path, LIMIT_TEXT, err);
    if (st == STATUS_OK && text.len > 0)
        st = is_array(&text) ? read_array(t, path, n_vocab, err) : parse_text(t, &text, path, n_vocab, err);
    if (st == STATUS_OK && t->n == 0)
        st = error_at(err, STATUS_FORMAT, path, NULL, "expected token ids, found none");
    if (st != STATUS_OK) tokens_clear(t);
    buf_clear(&text);
    return st;
}

/* --- text --- */

static enum status open_any(struct text_coder *c, const struct tokens_text *text, struct error *err)
{
    enum status st = STATUS_NOTFOUND;
    for (int i = 0; i < text->n_paths && st == STATUS_NOTFOUND; i++)
        st = text_coder_open(c, text->paths[i], err);
    if (st == STATUS_NOTFOUND) error_hint(err, "--tokens FILE takes ids");
    return st;
}

static enum status take_ids(struct tokens *t, const struct id_list *ids, int64_t n_vocab, struct error *err)
{
    if (ids->n == 0) return error_set(err, STATUS_USAGE, "the text gives no tokens");
    TRY(allocate(t, ids->n, err));
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] >= n_vocab)
            return error_set(
                err, STATUS_MISMATCH,
                "the tokenizer gives id %d, expected ids below %lld, the rows of the token embedding",
                (int)ids->ids[i], (long long)n_vocab);
        t->ids[i] = ids->ids[i];
    }
    return STATUS_OK;
}

enum status tokens_encode(struct tokens *t, const struct tokens_text *text, int64_t n_vocab,
                          struct error *err)
{
    struct text_coder coder = {0};
    struct buf file = {0};
    struct id_list ids = {0};
    enum status st;
    *t = (struct tokens){0};
    TRY_OUT(text->file ? file_read_all(&file, text->file, LIMIT_TEXT, err) : STATUS_OK);
    TRY_OUT(open_any(&coder, text, err));
    const char *s = text->file ? (file.data ? file.data : "") : text->prompt;
    TRY_OUT(encoder_encode(coder.encoder, s, text->file ? file.len : strlen(s), 0, &ids, err));
    st = take_ids(t, &ids, n_vocab, err);
out:
    if (st != STATUS_OK) tokens_clear(t);
    id_list_clear(&ids);
    text_coder_close(&coder);
    buf_clear(&file);
    return st;
}

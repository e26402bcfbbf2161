/* safetensors, read as strictly as its specification says.
 *
 *   1. u64 N, little-endian: bytes of the header, at most 100 000 000
 *   2. N bytes of JSON in UTF-8, beginning with '{', which may end in white space:
 *      {"NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ..., "__metadata__": {"KEY": "VALUE", ...}}
 *      offsets count from the end of the header
 *   3. the tensors' bytes, little-endian, row-major
 *
 * Every byte of part 3 belongs to exactly one tensor: no holes, overlaps or trailing bytes (so that no file is two things at once, and
 * tied tensors are stored once, under one name). Keys are unique after unescaping, integers plain and exact, members other than the three
 * are refused. Narrower than the reference reader on purpose: duplicate keys (it lets the last one win), unknown members (it ignores them),
 * `"__metadata__": null`, NUL in names, more than TENSOR_DIMS_MAX dimensions, and [0, 2^40, 2^40]-like shapes whose other dimensions
 * overflow.
 *
 * The header is read by its own small reader instead of a JSON tree: it needs exact 64-bit integers, and no memory beyond the text itself
 * and the tensor list. It runs twice over the text, first to check and count, then to fill.
 */
#include "base/cursor.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "formats/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8 };

struct text { /* a JSON string between its quotes, checked, escapes not yet resolved */
    const char *s;
    size_t n;
    bool escaped;
};
struct header {
    struct container *c;
    const char *s;
    size_t n, pos;
    uint64_t data_bytes;
    bool filling;            /* second run */
    size_t n_tensors, n_kvs; /* seen so far in this run */
    bool has_metadata;
    const char *tensor; /* for messages; second run only */
    struct strmap keys; /* of __metadata__ */
};
struct entry { /* one tensor's members */
    struct tensor t;
    int64_t begin, end;
    bool has_dtype, has_shape, has_offsets;
};

static enum status fail(const struct header *h, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum status fail(const struct header *h, struct error *err, const char *fmt, ...)
{
    char what[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return error_at(err, STATUS_FORMAT, h->c->file.path, h->tensor, "header byte %zu: %s", h->pos, what);
}

static void skip_space(struct header *h)
{
    while (h->pos < h->n && memchr(" \t\n\r", h->s[h->pos], 4)) h->pos++;
}

/* Takes character ch after optional white space if it is there. */
static bool take(struct header *h, char ch)
{
    skip_space(h);
    if (h->pos >= h->n || h->s[h->pos] != ch) return false;
    h->pos++;
    return true;
}

static enum status expect(struct header *h, char ch, struct error *err)
{
    if (take(h, ch)) return STATUS_OK;
    return fail(h, err, "expected '%c', found %s", ch,
                h->pos < h->n ? "something else" : "the end of the header");
}

/* Four hex digits at h->pos + at, or UINT32_MAX. */
static uint32_t hex4(const char *s, size_t n)
{
    uint32_t v = 0;
    if (n < 4) return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        char ch = s[i];
        uint32_t d = ch >= '0' && ch <= '9'   ? (uint32_t)(ch - '0')
                     : ch >= 'a' && ch <= 'f' ? (uint32_t)(ch - 'a') + 10
                     : ch >= 'A' && ch <= 'F' ? (uint32_t)(ch - 'A') + 10
                                              : 16;
        if (d > 15) return UINT32_MAX;
        v = v << 4 | d;
    }
    return v;
}

/* Character that the escape at s (after the backslash) stands for, its length in *len; UINT32_MAX if it is none. */
static uint32_t unescape(const char *s, size_t n, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (n == 0) return UINT32_MAX;
    const char *simple = s[0] ? strchr(from, s[0]) : NULL;
    *len = 1;
    if (simple) return (unsigned char)to[simple - from];
    if (s[0] != 'u') return UINT32_MAX;
    uint32_t code = hex4(s + 1, n - 1);
    *len = 5;
    if (code < 0xd800 || code > 0xdfff) return code;
    /* a surrogate stands for a character only as the first of a pair */
    if (code > 0xdbff || n < 11 || s[5] != '\\' || s[6] != 'u') return UINT32_MAX;
    uint32_t low = hex4(s + 7, n - 7);
    *len = 11;
    if (low < 0xdc00 || low > 0xdfff) return UINT32_MAX;
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static enum status parse_string(struct header *h, struct text *out, struct error *err)
{
    TRY(expect(h, '"', err));
    const char *s = h->s + h->pos;
    size_t left = h->n - h->pos, i = 0, len;
    *out = (struct text){.s = s};
    while (i < left && s[i] != '"') {
        if ((unsigned char)s[i] < 0x20) break;
        if (s[i] == '\\') {
            if (unescape(s + i + 1, left - i - 1, &len) == UINT32_MAX) break;
            out->escaped = true;
            i += 1 + len;
        } else if ((len = utf8_decode(s + i, left - i, NULL)) > 0) {
            i += len;
        } else {
            break;
        }
    }
    h->pos += i;
    if (i >= left) return fail(h, err, "the text ends inside a string");
    if (s[i] == '\\') return fail(h, err, "an escape that JSON does not have");
    if (s[i] != '"') return fail(h, err, "a string holds a control byte or invalid UTF-8");
    h->pos++;
    out->n = i;
    return STATUS_OK;
}

/* Resolves escapes into dst, which has room for t->n bytes. Returns the length. */
static size_t text_decode(const struct text *t, char *dst)
{
    size_t n = 0, len;
    for (size_t i = 0; i < t->n; i++) {
        if (t->s[i] != '\\') {
            dst[n++] = t->s[i];
            continue;
        }
        char utf8[4];
        size_t k = utf8_encode(unescape(t->s + i + 1, t->n - i - 1, &len), utf8);
        memcpy(dst + n, utf8, k);
        n += k;
        i += len;
    }
    return n;
}

static enum status text_copy(struct header *h, const struct text *t, const char **out, size_t *len,
                             struct error *err)
{
    char *s = arena_alloc(&h->c->mem, t->n + 1);
    if (!s) return error_nomem(err, t->n + 1);
    *len = text_decode(t, s);
    *out = s;
    return STATUS_OK;
}

static bool text_is(const struct text *t, const char *word)
{
    char s[6 * 16]; /* a character takes at most 6 bytes when escaped */
    size_t n = strlen(word);
    if (t->n > sizeof s || t->n > 6 * n) return false;
    return text_decode(t, s) == n && memcmp(s, word, n) == 0;
}

/* A plain integer 0 … 2^63 - 1: no sign, no fraction, no exponent, no leading zero. */
static enum status parse_int(struct header *h, int64_t *out, struct error *err)
{
    skip_space(h);
    size_t start = h->pos;
    uint64_t v = 0;
    while (h->pos < h->n && h->s[h->pos] >= '0' && h->s[h->pos] <= '9') {
        uint64_t d = (uint64_t)(h->s[h->pos] - '0');
        if (v > (INT64_MAX - d) / 10) return fail(h, err, "an integer beyond 2^63 - 1");
        if (h->pos == start + 1 && h->s[start] == '0') return fail(h, err, "an integer with a leading zero");
        v = v * 10 + d;
        h->pos++;
    }
    if (h->pos == start || (h->pos < h->n && memchr(".eE+-", h->s[h->pos], 5)))
        return fail(h, err, "expected a plain integer that is not negative");
    *out = (int64_t)v;
    return STATUS_OK;
}

/* [int, ...] into dst, at most max of them. */
static enum status parse_ints(struct header *h, int64_t *dst, int max, int *n, struct error *err)
{
    *n = 0;
    TRY(expect(h, '[', err));
    if (take(h, ']')) return STATUS_OK;
    do {
        if (*n == max)
            return error_at(err, STATUS_UNSUPPORTED, h->c->file.path, h->tensor,
                            "header byte %zu: expected at most %d numbers in this list", h->pos, max);
        TRY(parse_int(h, &dst[(*n)++], err));
    } while (take(h, ','));
    return expect(h, ']', err);
}

/* {"key": value, ...}: `member` reads each value. Nesting is that of the callers: three levels. */
typedef enum status member_fn(struct header *h, const struct text *key, void *ctx, struct error *err);
static enum status parse_object(struct header *h, member_fn *member, void *ctx, struct error *err)
{
    TRY(expect(h, '{', err));
    if (take(h, '}')) return STATUS_OK;
    do {
        struct text key;
        TRY(parse_string(h, &key, err));
        TRY(expect(h, ':', err));
        TRY(member(h, &key, ctx, err));
    } while (take(h, ','));
    return expect(h, '}', err);
}

static enum status read_dtype(struct header *h, struct entry *e, struct error *err)
{
    struct text name;
    char s[16];
    size_t n = 0;
    TRY(parse_string(h, &name, err));
    if (name.n < sizeof s) n = text_decode(&name, s);
    s[n] = '\0';
    e->t.dtype = memchr(s, 0, n) ? DTYPE_COUNT : dtype_from_st_name(s); /* no name ends before its NUL */
    if (e->t.dtype != DTYPE_COUNT) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, h->c->file.path, h->tensor, "unknown dtype '%.*s'",
                    (int)(name.n < 32 ? name.n : 32), name.s);
}

static enum status read_offsets(struct header *h, struct entry *e, struct error *err)
{
    int64_t v[2];
    int n;
    TRY(parse_ints(h, v, 2, &n, err));
    if (n != 2) return fail(h, err, "expected two data_offsets");
    e->begin = v[0];
    e->end = v[1];
    return STATUS_OK;
}

static enum status read_shape(struct header *h, struct entry *e, struct error *err)
{
    return parse_ints(h, e->t.shape, TENSOR_DIMS_MAX, &e->t.n_dims, err);
}

static enum status read_member(struct header *h, const struct text *key, void *ctx, struct error *err)
{
    struct entry *e = ctx;
    bool *seen = text_is(key, "dtype")          ? &e->has_dtype
                 : text_is(key, "shape")        ? &e->has_shape
                 : text_is(key, "data_offsets") ? &e->has_offsets
                                                : NULL;
    if (!seen) return fail(h, err, "expected dtype, shape or data_offsets, found another key");
    if (*seen) return fail(h, err, "duplicate key in one tensor");
    *seen = true;
    return seen == &e->has_dtype   ? read_dtype(h, e, err)
           : seen == &e->has_shape ? read_shape(h, e, err)
                                   : read_offsets(h, e, err);
}

static enum status check_entry(const struct header *h, struct entry *e, struct error *err)
{
    const char *path = h->c->file.path;
    const char *missing = !e->has_dtype     ? "dtype"
                          : !e->has_shape   ? "shape"
                          : !e->has_offsets ? "data_offsets"
                                            : NULL;
    if (missing) return error_at(err, STATUS_FORMAT, path, h->tensor, "it has no %s", missing);
    e->t.name = h->tensor;
    TRY(tensor_set_size(&e->t, path, err));
    if (e->end < e->begin)
        return error_at(err, STATUS_FORMAT, path, h->tensor,
                        "data_offsets end before they begin: [%lld, %lld]", (long long)e->begin,
                        (long long)e->end);
    uint64_t size = (uint64_t)(e->end - e->begin);
    if (size != e->t.size_bytes)
        return error_at(err, STATUS_FORMAT, path, h->tensor,
                        "expected %llu bytes from shape and dtype, found data_offsets [%lld, %lld]",
                        (unsigned long long)e->t.size_bytes, (long long)e->begin, (long long)e->end);
    if ((uint64_t)e->end > h->data_bytes)
        return error_at(err, STATUS_FORMAT, path, h->tensor,
                        "data_offsets end at %lld, but the file has %llu data bytes", (long long)e->end,
                        (unsigned long long)h->data_bytes);
    e->t.off_file = h->c->off_data + (uint64_t)e->begin;
    e->t.contiguous = true;
    return STATUS_OK;
}

static enum status read_tensor(struct header *h, const struct text *key, struct error *err)
{
    struct entry e = {.t.dtype = DTYPE_COUNT};
    size_t len = 0;
    if (h->filling) {
        TRY(text_copy(h, key, &h->tensor, &len, err));
        if (memchr(h->tensor, 0, len)) return fail(h, err, "a tensor name holds a NUL");
    }
    TRY(parse_object(h, read_member, &e, err));
    if (h->filling) {
        TRY(check_entry(h, &e, err));
        h->c->tensors[h->n_tensors] = e.t;
    }
    h->n_tensors++;
    h->tensor = NULL;
    return STATUS_OK;
}

static enum status read_pair(struct header *h, const struct text *key, void *ctx, struct error *err)
{
    struct text value;
    size_t len = 0;
    (void)ctx;
    TRY(parse_string(h, &value, err));
    if (h->filling) {
        struct kv *kv = &h->c->kvs[h->n_kvs];
        kv->type = KV_STRING;
        TRY(text_copy(h, key, &kv->key, &len, err));
        if (memchr(kv->key, 0, len)) return fail(h, err, "a key of __metadata__ holds a NUL");
        TRY(text_copy(h, &value, &kv->v.str.s, &len, err));
        kv->v.str.len = len;
        enum status st = strmap_add(&h->keys, kv->key, h->n_kvs, NULL, err);
        if (st == STATUS_EXISTS) return fail(h, err, "duplicate key in __metadata__");
        TRY(st);
    }
    h->n_kvs++;
    return STATUS_OK;
}

static enum status read_top(struct header *h, const struct text *key, void *ctx, struct error *err)
{
    (void)ctx;
    if (!text_is(key, "__metadata__")) return read_tensor(h, key, err);
    if (h->has_metadata) return fail(h, err, "duplicate key __metadata__");
    h->has_metadata = true;
    return parse_object(h, read_pair, NULL, err);
}

static enum status run(struct header *h, bool filling, struct error *err)
{
    h->pos = 0;
    h->n_tensors = h->n_kvs = 0;
    h->has_metadata = false;
    h->filling = filling;
    if (h->n == 0 || h->s[0] != '{') return fail(h, err, "expected '{' as its first byte");
    TRY(parse_object(h, read_top, NULL, err));
    skip_space(h);
    return h->pos == h->n ? STATUS_OK : fail(h, err, "expected nothing but white space after the last '}'");
}

static int by_offset(const void *pa, const void *pb)
{
    const struct tensor *a = pa, *b = pb;
    if (a->off_file != b->off_file) return a->off_file < b->off_file ? -1 : 1;
    if (a->size_bytes != b->size_bytes) return a->size_bytes < b->size_bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The tensors, sorted, must cover the data exactly. */
static enum status check_cover(const struct container *c, struct error *err)
{
    uint64_t end = c->off_data;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const struct tensor *t = &c->tensors[i];
        if (t->off_file < end)
            return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                            "its bytes overlap those of tensor '%s'", c->tensors[i - 1].name);
        if (t->off_file > end)
            return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                            "%llu bytes before its data belong to no tensor",
                            (unsigned long long)(t->off_file - end));
        end += t->size_bytes;
    }
    if (end != c->file.size_bytes)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "%llu bytes after the last tensor belong to none",
                        (unsigned long long)(c->file.size_bytes - end));
    return STATUS_OK;
}

static enum status read_list(struct header *h, struct error *err)
{
    struct container *c = h->c;
    TRY(run(h, false, err));
    c->tensors = arena_array(&c->mem, h->n_tensors, sizeof *c->tensors);
    c->kvs = arena_array(&c->mem, h->n_kvs, sizeof *c->kvs);
    if (!c->tensors || !c->kvs) return error_nomem(err, h->n_tensors * sizeof *c->tensors);
    TRY(run(h, true, err));
    c->n_tensors = h->n_tensors;
    c->n_kvs = h->n_kvs;
    /* names before offsets: a name stored twice with one range is better told as that than as an overlap */
    qsort(c->tensors, c->n_tensors, sizeof *c->tensors, by_offset);
    TRY(container_index(c, err));
    return check_cover(c, err);
}

static enum status open_safetensors(struct container *c, struct error *err)
{
    unsigned char prefix[PREFIX_BYTES];
    TRY(file_read_at(&c->file, 0, prefix, sizeof prefix, err));
    uint64_t n = le_get64(prefix), left = c->file.size_bytes - sizeof prefix;
    if (n > left)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "a header of %llu bytes is announced, but only %llu follow", (unsigned long long)n,
                        (unsigned long long)left);
    if (n > LIMIT_SAFETENSORS_HEADER)
        return error_at(err, STATUS_RANGE, c->file.path, NULL, "a header of %llu bytes, more than %d",
                        (unsigned long long)n, LIMIT_SAFETENSORS_HEADER);
    void *text;
    TRY(mem_alloc(&text, n, 1, err));
    c->off_data = sizeof prefix + n;
    struct header h = {.c = c, .s = text, .n = (size_t)n, .data_bytes = left - n};
    enum status st = file_read_at(&c->file, sizeof prefix, text, h.n, err);
    if (st == STATUS_OK) st = read_list(&h, err);
    strmap_clear(&h.keys);
    free(text);
    return st;
}

/* There is no magic: a header begins with '{'. GGUF can have that byte in its tensor count, zip in its compression method (which torch never uses). */
static bool probe_safetensors(const unsigned char *head, size_t head_size, uint64_t file_size)
{
    (void)file_size;
    return head_size > PREFIX_BYTES && head[PREFIX_BYTES] == '{' && memcmp(head, "GGUF", 4) != 0;
}

const struct container_format safetensors_format = {
    .name = "safetensors",
    .probe = probe_safetensors,
    .open = open_safetensors,
};

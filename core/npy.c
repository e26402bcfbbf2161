#include "core/npy.h"

#include <string.h>

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

bool npy_is(const void *data, size_t n)
{
    return n >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

/* The dictionary's text while it is read */
struct text {
    const char *p, *end;
};

static void skip_blank(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n')) t->p++;
}

static bool take(struct text *t, char c)
{
    skip_blank(t);
    if (t->p >= t->end || *t->p != c) return false;
    t->p++;
    return true;
}

static bool take_word(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_blank(t);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}

static bool take_int(struct text *t, int64_t *out)
{
    int64_t v = 0;
    skip_blank(t);
    const char *start = t->p;
    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *t->p - '0', &v)) return false;
    *out = v;
    return t->p > start;
}

/* '<i4', '|u1', ... */
static bool take_type(struct text *t, struct npy *out)
{
    if (!take(t, '\'') || t->end - t->p < 4) return false;
    char order = t->p[0], size = t->p[2];
    out->kind = t->p[1];
    out->size_bytes = size - '0';
    t->p += 3;
    if (!strchr("iufb", out->kind) || !out->kind || !strchr("1248", size) || !size) return false;
    if (order != '<' && !(order == '|' && out->size_bytes == 1)) return false;
    return take(t, '\'');
}

static bool take_shape(struct text *t, struct npy *out)
{
    if (!take(t, '(')) return false;
    out->n_dims = 0;
    while (!take(t, ')')) {
        if (out->n_dims == NPY_DIMS_MAX || !take_int(t, &out->shape[out->n_dims++])) return false;
        if (!take(t, ',') && out->n_dims < 2) return false; /* "(3)" is no tuple */
    }
    return true;
}

static bool take_dictionary(struct text *t, struct npy *out)
{
    unsigned seen = 0;
    if (!take(t, '{')) return false;
    while (!take(t, '}')) {
        if (take_word(t, "'descr':")) {
            seen |= 1;
            if (!take_type(t, out)) return false;
        } else if (take_word(t, "'fortran_order':")) {
            seen |= 2;
            out->fortran = take_word(t, "True");
            if (!out->fortran && !take_word(t, "False")) return false;
        } else if (take_word(t, "'shape':")) {
            seen |= 4;
            if (!take_shape(t, out)) return false;
        } else {
            return false;
        }
        take(t, ',');
    }
    skip_blank(t);
    return seen == 7 && t->p == t->end;
}

enum status npy_parse(struct npy *out, const void *data, size_t n, const char *path, struct error *err)
{
    const unsigned char *bytes = data;
    *out = (struct npy){0};
    if (!npy_is(data, n) || n < 12 || bytes[6] < 1 || bytes[6] > 3)
        return error_at(err, STATUS_FORMAT, path, NULL, "expected a NumPy file of version 1 to 3");
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > n - start)
        return error_at(err, STATUS_FORMAT, path, NULL, "NumPy header of %zu bytes, but %zu are left", length,
                        n - start);
    struct text t = {(const char *)bytes + start, (const char *)bytes + start + length};
    if (!take_dictionary(&t, out))
        return error_at(
            err, STATUS_FORMAT, path, NULL,
            "NumPy header: expected 'descr' (little-endian numbers), 'fortran_order' and 'shape'");
    uint64_t size = (uint64_t)out->size_bytes, found = n - start - length;
    out->n_elements = 1;
    bool fits = true;
    for (int i = 0; i < out->n_dims; i++)
        fits = fits && size_mul(out->n_elements, (uint64_t)out->shape[i], &out->n_elements);
    fits = fits && size_mul(out->n_elements, size, &size);
    if (!fits || size != found)
        return error_at(err, STATUS_FORMAT, path, NULL,
                        "NumPy array: its shape asks for %s%llu bytes, found %llu", fits ? "" : "more than ",
                        (unsigned long long)(fits ? size : UINT64_MAX), (unsigned long long)found);
    out->data = bytes + start + length;
    return STATUS_OK;
}

void npy_header(struct buf *b, bool is_f64, int64_t rows, int64_t cols)
{
    size_t start = b->len;
    buf_append(b, magic, sizeof magic);
    buf_append(b, "\x01\x00\x00\x00", 4);
    buf_printf(b, "{'descr': '<f%d', 'fortran_order': False, 'shape': (%lld, %lld), }", is_f64 ? 8 : 4,
               (long long)rows, (long long)cols);
    while ((b->len - start + 1) % 64 != 0 && !b->failed) buf_append(b, " ", 1);
    buf_append(b, "\n", 1);
    if (b->failed) return;
    size_t length = b->len - start - 10;
    b->data[start + 8] = (char)(length & 0xFF);
    b->data[start + 9] = (char)(length >> 8);
}

#include "formats/npy.h"

#include "base/cursor.h"
#include "base/file.h"
#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 6, HEADER_ALIGN = 64, DIMS_MAX = 2 };
static const char magic[] = "\x93NUMPY";

static const struct {
    const char *descr;
    enum dtype dtype;
} types[] = {{"<i4", DTYPE_I32}, {"<i8", DTYPE_I64}, {"<f4", DTYPE_F32}, {"<f8", DTYPE_F64}};

/* The header's text, read from left to right. */
struct text {
    const char *s;
    size_t n, pos;
};

static void skip_space(struct text *t)
{
    while (t->pos < t->n && memchr(" \t\r\n", t->s[t->pos], 4)) t->pos++;
}

static bool take(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_space(t);
    if (t->n - t->pos < n || memcmp(t->s + t->pos, word, n) != 0) return false;
    t->pos += n;
    return true;
}

/* A quoted text without escapes; false if there is none or it does not fit dst. */
static bool take_string(struct text *t, char *dst, size_t dst_size)
{
    char quote = take(t, "'") ? '\'' : take(t, "\"") ? '"' : '\0';
    const char *end = quote ? memchr(t->s + t->pos, quote, t->n - t->pos) : NULL;
    if (!end || (size_t)(end - (t->s + t->pos)) >= dst_size) return false;
    size_t n = (size_t)(end - (t->s + t->pos));
    memcpy(dst, t->s + t->pos, n);
    dst[n] = '\0';
    t->pos += n + 1;
    return !memchr(dst, '\\', n);
}

static bool take_int(struct text *t, int64_t *out)
{
    skip_space(t);
    size_t start = t->pos;
    int64_t v = 0;
    for (; t->pos < t->n && t->s[t->pos] >= '0' && t->s[t->pos] <= '9'; t->pos++) {
        int d = t->s[t->pos] - '0';
        if (v > (INT64_MAX - d) / 10) return false;
        v = v * 10 + d;
    }
    *out = v;
    return t->pos > start;
}

/* (), (3,), (3, 4): *n counts all, at most DIMS_MAX are kept */
static bool take_shape(struct text *t, int64_t shape[DIMS_MAX], int *n)
{
    int64_t v;
    *n = 0;
    if (!take(t, "(")) return false;
    while (!take(t, ")")) {
        if (*n > 64 || !take_int(t, &v)) return false;
        if (*n < DIMS_MAX) shape[*n] = v;
        ++*n;
        if (!take(t, ",")) return *n > 1 && take(t, ")"); /* "(3)" is a number, not a tuple */
    }
    return true;
}

static enum status bad(const char *path, const char *what, struct error *err)
{
    return error_at(err, STATUS_FORMAT, path, NULL, "not a NumPy array: %s", what);
}

static enum status set_type(struct npy *a, const char *path, const char *descr, bool fortran,
                            struct error *err)
{
    a->dtype = DTYPE_COUNT;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].descr, descr) == 0) a->dtype = types[i].dtype;
    if (a->dtype == DTYPE_COUNT)
        return error_at(err, STATUS_UNSUPPORTED, path, NULL,
                        "expected elements of type <i4, <i8, <f4 or <f8, found '%s'", descr);
    if (fortran)
        return error_at(err, STATUS_UNSUPPORTED, path, NULL, "expected C order, found Fortran order");
    return STATUS_OK;
}

static enum status parse_header(struct npy *a, const char *path, struct text *t, struct error *err)
{
    char key[32], descr[64] = "";
    bool has_descr = false, has_order = false, has_shape = false, fortran = false, ok = take(t, "{");
    while (ok && !take(t, "}")) {
        ok = take_string(t, key, sizeof key) && take(t, ":");
        if (!ok) break;
        if (strcmp(key, "descr") == 0 && !has_descr)
            ok = has_descr = take_string(t, descr, sizeof descr);
        else if (strcmp(key, "fortran_order") == 0 && !has_order)
            ok = has_order = (fortran = take(t, "True")) || take(t, "False");
        else if (strcmp(key, "shape") == 0 && !has_shape)
            ok = has_shape = take_shape(t, a->shape, &a->n_dims);
        else
            ok = false;
        if (ok && !take(t, ",")) {
            ok = take(t, "}");
            break;
        }
    }
    skip_space(t);
    if (!ok || !has_descr || !has_order || !has_shape || t->pos != t->n)
        return bad(path, "its header is damaged", err);
    if (a->n_dims > DIMS_MAX)
        return error_at(err, STATUS_UNSUPPORTED, path, NULL, "expected at most %d dimensions, found %d",
                        DIMS_MAX, a->n_dims);
    return set_type(a, path, descr, fortran, err);
}

static enum status read_header(struct npy *a, const struct file *f, uint64_t *off_data, struct error *err)
{
    unsigned char b[12];
    char *text;
    void *mem;
    if (f->size_bytes < sizeof b) return bad(f->path, "it is too short", err);
    TRY(file_read_at(f, 0, b, sizeof b, err));
    if (memcmp(b, magic, MAGIC_BYTES) != 0) return bad(f->path, "it does not begin with \\x93NUMPY", err);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0) return bad(f->path, "unknown version", err);
    uint64_t off = b[6] == 1 ? 10 : 12, n = b[6] == 1 ? le_get16(b + 8) : le_get32(b + 8);
    if (n > f->size_bytes - off || n > LIMIT_NPY_HEADER)
        return bad(f->path, "its header is cut short or too long", err);
    TRY(mem_alloc(&mem, n, 1, err));
    text = mem;
    struct text t = {.s = text, .n = (size_t)n};
    enum status st = file_read_at(f, off, text, t.n, err);
    if (st == STATUS_OK) st = parse_header(a, f->path, &t, err);
    free(text);
    *off_data = off + n;
    return st;
}

static enum status read_data(struct npy *a, const struct file *f, uint64_t off, uint64_t max_bytes,
                             struct error *err)
{
    uint64_t n = 1, bytes;
    for (int i = a->n_dims; i < DIMS_MAX; i++) a->shape[i] = 1;
    if (!size_mul((uint64_t)a->shape[0], (uint64_t)a->shape[1], &n) || n > INT64_MAX ||
        !dtype_bytes(a->dtype, (int64_t)n, &bytes) || bytes != f->size_bytes - off)
        return error_at(err, STATUS_FORMAT, f->path, NULL,
                        "its shape does not match the %llu bytes of data that it has",
                        (unsigned long long)(f->size_bytes - off));
    if (bytes > max_bytes)
        return error_at(err, STATUS_RANGE, f->path, NULL, "%llu bytes of data, more than %llu",
                        (unsigned long long)bytes, (unsigned long long)max_bytes);
    a->n_elements = (int64_t)n;
    TRY(mem_alloc(&a->data, bytes, 1, err));
    return file_read_at(f, off, a->data, (size_t)bytes, err);
}

enum status npy_read(struct npy *out, const char *path, uint64_t max_bytes, struct error *err)
{
    struct file f;
    uint64_t off = 0;
    *out = (struct npy){0};
    TRY(file_open(&f, path, err));
    enum status st = read_header(out, &f, &off, err);
    if (st == STATUS_OK) st = read_data(out, &f, off, max_bytes, err);
    if (st == STATUS_OK) st = file_check_unchanged(&f, err);
    file_close(&f);
    if (st != STATUS_OK) npy_clear(out);
    return st;
}

void npy_clear(struct npy *a)
{
    free(a->data);
    *a = (struct npy){0};
}

int64_t npy_int(const struct npy *a, int64_t i)
{
    switch (a->dtype) {
    case DTYPE_I32:
        return ((const int32_t *)a->data)[i];
    case DTYPE_I64:
        return ((const int64_t *)a->data)[i];
    default: {
        double v = npy_double(a, i); /* what int64_t cannot hold becomes its smallest value, which is no id */
        return v > -9.2e18 && v < 9.2e18 ? (int64_t)v : INT64_MIN;
    }
    }
}

double npy_double(const struct npy *a, int64_t i)
{
    switch (a->dtype) {
    case DTYPE_F32:
        return (double)((const float *)a->data)[i];
    case DTYPE_F64:
        return ((const double *)a->data)[i];
    case DTYPE_I32:
        return ((const int32_t *)a->data)[i];
    default:
        return (double)((const int64_t *)a->data)[i];
    }
}

static void put_shape(struct buf *out, int n_dims, const int64_t *shape)
{
    buf_puts(out, "(");
    for (int i = 0; i < n_dims; i++)
        buf_printf(out, "%s%" PRId64 "%s", i > 0 ? " " : "", shape[i], i + 1 < n_dims || n_dims == 1 ? "," : "");
    buf_puts(out, ")");
}

enum status npy_header(struct buf *out, enum dtype t, int n_dims, const int64_t *shape, struct error *err)
{
    const char *descr = NULL;
    struct buf text = {0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].dtype == t) descr = types[i].descr;
    if (!descr || n_dims < 0 || n_dims > NPY_HEADER_DIMS_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "expected an array of int32, int64, float32 or float64 of up to %d dimensions",
                         NPY_HEADER_DIMS_MAX);
    buf_printf(&text, "{'descr': '%s', 'fortran_order': False, 'shape': ", descr);
    put_shape(&text, n_dims, shape);
    buf_puts(&text, ", }");
    size_t fixed = MAGIC_BYTES + 4, total = fixed + text.len + 1;
    while (total % HEADER_ALIGN != 0) total++;
    unsigned char version_and_length[4] = {1, 0};
    le_put16(version_and_length + 2, (uint16_t)(total - fixed));
    buf_append(out, magic, MAGIC_BYTES);
    buf_append(out, version_and_length, sizeof version_and_length);
    if (!text.failed) buf_append(out, text.data, text.len);
    for (size_t i = fixed + text.len; i + 1 < total; i++) buf_append(out, " ", 1);
    buf_append(out, "\n", 1);
    enum status st = buf_check(&text, err);
    buf_clear(&text);
    return st == STATUS_OK ? buf_check(out, err) : st;
}

#include "formats/container.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

extern const struct container_format safetensors_format;
extern const struct container_format torch_zip_format;
extern const struct container_format torch_legacy_format;
extern const struct container_format gguf_format;

/* No two probes accept the same bytes, so the order is of no consequence. */
static const struct container_format *const formats[] = {
    &safetensors_format,
    &torch_zip_format,
    &torch_legacy_format,
    &gguf_format,
};
enum { FORMAT_COUNT = sizeof formats / sizeof formats[0], HEAD_MAX = 512 };

/* What a file that no format accepts most likely is: a better answer than its first bytes in hex. */
static const struct {
    const char *magic;
    size_t n;
    const char *what;
} foreign[] = {
    {"PK\5\6", 4, "an empty zip archive"},
    {"PK", 2, "a damaged zip archive"},
    {"\x1f\x8b", 2, "a gzip stream"},
    {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive"},
    {"\x89HDF\r\n\x1a\n", 8, "an HDF5 file"},
    {"\xfd"
     "7zXZ",
     5, "an xz stream"},
    {"BZh", 3, "a bzip2 stream"},
    {"\x28\xb5\x2f\xfd", 4, "a zstd stream"},
    {"ggml", 4, "a GGML file from before GGUF"},
    {"lmgg", 4, "a GGML file from before GGUF"},
    {"tjgg", 4, "a GGML file from before GGUF"},
    {"FUGG", 4, "a GGUF magic with its bytes swapped"},
    {"\x7f"
     "ELF",
     4, "an ELF program"},
    {"\x93NUMPY", 6, "a NumPy array"},
    {"version https://git-lfs", 23, "a Git LFS pointer: the file itself was not downloaded"},
    {"\x80", 1, "a bare pickle"},
    {"sys_info\0", 9, "a PyTorch file in tar form, from before version 0.1.10: load it there and save it again"},
    {"<", 1, "an HTML or XML text"},
    {"{", 1, "a JSON text"},
};

static enum status error_unknown(const char *path, const unsigned char *head, size_t n, struct error *err)
{
    if (n == 0) return error_at(err, STATUS_FORMAT, path, NULL, "not a checkpoint: the file is empty");
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (n >= foreign[i].n && memcmp(head, foreign[i].magic, foreign[i].n) == 0)
            return error_at(err, STATUS_FORMAT, path, NULL, "not a checkpoint: found %s", foreign[i].what);
    if (n >= 262 && memcmp(head + 257, "ustar", 5) == 0)
        return error_at(err, STATUS_FORMAT, path, NULL, "not a checkpoint: found a tar archive");
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < n && i < 8; i++) {
        static const char digits[] = "0123456789abcdef";
        hex[3 * i] = ' ';
        hex[3 * i + 1] = digits[head[i] >> 4];
        hex[3 * i + 2] = digits[head[i] & 15];
        hex[3 * i + 3] = '\0';
    }
    return error_at(
        err, STATUS_FORMAT, path, NULL,
        "not a checkpoint: expected safetensors, PyTorch or GGUF, found a file that begins with%s", hex);
}

static const struct container_format *find_format(const unsigned char *head, size_t n, uint64_t file_size)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (formats[i]->probe(head, n, file_size)) return formats[i];
    return NULL;
}

static enum status read_head(const struct file *f, unsigned char head[HEAD_MAX], size_t *n, struct error *err)
{
    *n = f->size_bytes < HEAD_MAX ? (size_t)f->size_bytes : HEAD_MAX;
    return file_read_at(f, 0, head, *n, err);
}

/* c->file is open */
static enum status open_content(struct container *c, struct error *err)
{
    unsigned char head[HEAD_MAX];
    size_t n;
    TRY(read_head(&c->file, head, &n, err));
    c->format = find_format(head, n, c->file.size_bytes);
    if (!c->format) return error_unknown(c->file.path, head, n, err);
    c->alignment = 1;
    TRY(c->format->open(c, err));
    return container_index(c, err);
}

static enum status open_any(struct container **out, const char *dir, const char *name, struct error *err)
{
    struct container *c;
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof *c, err));
    c = mem;
    enum status st = dir ? file_open_in(&c->file, dir, name, err) : file_open(&c->file, name, err);
    if (st != STATUS_OK) {
        free(c);
        return st;
    }
    st = open_content(c, err);
    if (st != STATUS_OK) {
        container_close(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

enum status container_open(struct container **out, const char *path, struct error *err)
{
    return open_any(out, NULL, path, err);
}

enum status container_open_in(struct container **out, const char *dir, const char *name, struct error *err)
{
    return open_any(out, dir, name, err);
}

enum status container_probe(const struct container_format **format, const char *path, struct error *err)
{
    struct file f;
    unsigned char head[HEAD_MAX];
    size_t n;
    *format = NULL;
    TRY(file_open(&f, path, err));
    enum status st = read_head(&f, head, &n, err);
    if (st == STATUS_OK) *format = find_format(head, n, f.size_bytes);
    file_close(&f);
    return st;
}

void container_close(struct container *c)
{
    if (!c) return;
    if (c->format && c->format->close) c->format->close(c);
    file_close(&c->file);
    strmap_clear(&c->by_name);
    arena_clear(&c->mem);
    free(c);
}

enum status container_read(struct container *c, const struct tensor *t, uint64_t off, void *dst, size_t n,
                           struct error *err)
{
    if (off > t->size_bytes || n > t->size_bytes - off)
        return error_at(err, STATUS_RANGE, c->file.path, t->name,
                        "bytes %llu to %llu were asked for, but it has %llu", (unsigned long long)off,
                        (unsigned long long)(off + n), (unsigned long long)t->size_bytes);
    if (n == 0) return STATUS_OK;
    if (c->format->read) return c->format->read(c, t, off, dst, n, err);
    return file_read_at(&c->file, t->off_file + off, dst, n, err);
}

const struct tensor *container_find(const struct container *c, const char *name)
{
    size_t i;
    return strmap_find(&c->by_name, name, &i) ? &c->tensors[i] : NULL;
}

const struct kv *container_kv(const struct container *c, const char *key)
{
    for (size_t i = 0; i < c->n_kvs; i++)
        if (strcmp(c->kvs[i].key, key) == 0) return &c->kvs[i];
    return NULL;
}

/* Elements, with the product of the dimensions other than 0 inside int64_t: partial products (strides, rows) then fit as well. */
static bool count_elements(const struct tensor *t, int64_t *n_elements)
{
    uint64_t product = 1;
    bool empty = false;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] < 0) return false;
        if (t->shape[i] == 0)
            empty = true;
        else if (!size_mul(product, (uint64_t)t->shape[i], &product) || product > INT64_MAX)
            return false;
    }
    *n_elements = empty ? 0 : (int64_t)product;
    return true;
}

enum status tensor_set_size(struct tensor *t, const char *path, struct error *err)
{
    const struct dtype_info *info = dtype_info(t->dtype);
    if (!info) return error_at(err, STATUS_FORMAT, path, t->name, "unknown element type");
    if (t->n_dims < 0 || t->n_dims > TENSOR_DIMS_MAX)
        return error_at(err, STATUS_UNSUPPORTED, path, t->name, "expected at most %d dimensions, found %d",
                        TENSOR_DIMS_MAX, t->n_dims);
    if (!count_elements(t, &t->n_elements))
        return error_at(err, STATUS_RANGE, path, t->name,
                        "its dimensions give more elements than 63 bits can count");
    /* Blocks of quantized types stay inside a row; safetensors packs its sub-byte types through the whole tensor. */
    int64_t cols = t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1;
    bool whole_rows = info->st_name || cols % (int64_t)info->block_len == 0;
    if (!whole_rows || t->n_elements % (int64_t)info->block_len != 0)
        return error_at(err, STATUS_FORMAT, path, t->name, "%s needs %s in multiples of %u, found %lld",
                        info->name, info->st_name ? "elements" : "rows", info->block_len,
                        (long long)(info->st_name ? t->n_elements : cols));
    if (!dtype_bytes(t->dtype, t->n_elements, &t->size_bytes))
        return error_at(err, STATUS_RANGE, path, t->name,
                        "%lld elements of %s give more bytes than 64 bits can count",
                        (long long)t->n_elements, info->name);
    return STATUS_OK;
}

enum status container_index(struct container *c, struct error *err)
{
    if (c->by_name.count > 0) return STATUS_OK; /* the format has done it already */
    for (size_t i = 0; i < c->n_tensors; i++) {
        const char *name = c->tensors[i].name;
        if (!utf8_valid(name, strlen(name)))
            return error_at(err, STATUS_FORMAT, c->file.path, name, "its name is not valid UTF-8");
        enum status st = strmap_add(&c->by_name, name, i, NULL, err);
        if (st == STATUS_EXISTS)
            return error_at(err, STATUS_FORMAT, c->file.path, name, "two tensors have this name");
        TRY(st);
    }
    return STATUS_OK;
}

bool utf8_valid(const char *s, size_t n)
{
    return utf8_check(s, n) == n && !memchr(s, 0, n);
}

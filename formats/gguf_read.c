/* GGUF v2 and v3, little-endian. Layout (see also gguf.h):
 *   1. "GGUF", u32 version, u64 n_tensors, u64 n_kv
 *   2. n_kv × { string key, u32 type, value }        string = u64 length, bytes without terminator
 *      array value = u32 element type, u64 count, elements packed; no arrays of arrays
 *   3. n_tensors × { string name, u32 n_dims, u64 ne[n_dims] innermost first, u32 type,
 *                    u64 offset from the data section }
 *   4. padding to general.alignment (u32, default 32); the data section
 *
 * Parts 1–3 are the head. It is scanned first, in a window that grows with what is really there: every length
 * is compared with the bytes left before anything is allocated for it. Then the scanned bytes become the
 * values: strings and arrays stay where they were read, so that a head takes little more memory than its
 * bytes.
 *
 * Policy where the format is silent or readers differ:
 *   - refused: version 1 and big-endian files (by name); duplicate keys and names; empty keys, keys that are
 *     no UTF-8 or hold NUL; names of 64 bytes or more; types that ggml does not define; n_dims 0 or above 4;
 *     a row that is no whole number of blocks; a head of more than 64 MiB + 1/16 of the file (1 GiB at most);
 *   - tensor data must lie inside the file, start at multiples of the alignment and not overlap. Gaps and any
 *     order are accepted, though ggml wants tensors back to back in the order of the list: the format's text
 *     asks for aligned offsets only, and rewriting such a file mends it. The padding after the last tensor
 *     counts as data: a file cut there is refused. Bytes after that are ignored, as ggml does;
 *   - a dimension of zero is legal; a bool is true for any byte but 0.
 */
#include "base/cursor.h"
#include "base/limits.h"
#include "formats/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "array values are used as they stand in the file");

enum {
    GGUF_DIMS_MAX = 4,
    GGUF_HEAD_BYTES = 24,
    GGUF_KV_BYTES_MIN = 8 + 1 + 4 + 1,
    GGUF_TENSOR_BYTES_MIN = 8 + 4 + 8 + 4 + 8,
    GGUF_ALIGNMENT = 32,
    HEAD_CHUNK = 64 << 10,
};

struct head {
    const struct file *file;
    unsigned char *data;
    size_t loaded; /* bytes of the file in data */
    uint64_t pos;
    uint64_t limit; /* no byte of the head may lie at or after this offset */
    /* what is being read, for messages */
    const char *part; /* "metadata entry", "tensor entry" */
    uint64_t index;
};

static uint64_t head_limit(uint64_t file_size)
{
    uint64_t cap = (UINT64_C(64) << 20) + file_size / 16;
    if (cap > (UINT64_C(1) << 30)) cap = UINT64_C(1) << 30;
    return file_size < cap ? file_size : cap;
}

static enum status head_error(const struct head *h, struct error *err, const char *text)
{
    return error_at(err, STATUS_FORMAT, h->file->path, NULL, "%s %" PRIu64 ", byte %" PRIu64 ": %s", h->part,
                    h->index, h->pos, text);
}

/* The next n bytes, `what`, pass the limit. */
static enum status head_error_end(const struct head *h, uint64_t n, const char *what, struct error *err)
{
    uint64_t left = h->limit - h->pos;
    if (h->limit < h->file->size_bytes)
        return error_at(err, STATUS_RANGE, h->file->path, NULL,
                        "%s %" PRIu64 ", byte %" PRIu64 ": %s takes %" PRIu64
                        " bytes, expected at most %" PRIu64
                        " (the limit for metadata of a file of this size)",
                        h->part, h->index, h->pos, what, n, left);
    return error_at(err, STATUS_FORMAT, h->file->path, NULL,
                    "%s %" PRIu64 ", byte %" PRIu64 ": %s takes %" PRIu64
                    " bytes, expected at most the %" PRIu64 " that are left in the file",
                    h->part, h->index, h->pos, what, n, left);
}

/* Makes the next n bytes present in data. */
static enum status head_need(struct head *h, uint64_t n, const char *what, struct error *err)
{
    if (n > h->limit - h->pos) return head_error_end(h, n, what, err);
    uint64_t end = h->pos + n;
    if (end <= h->loaded) return STATUS_OK;

    /* a quarter more each time: of a head of megabytes, little is read for nothing */
    uint64_t want = h->loaded + (uint64_t)h->loaded / 4;
    if (want < h->loaded + HEAD_CHUNK) want = h->loaded + HEAD_CHUNK;
    if (want < end) want = end;
    if (want > h->limit) want = h->limit;
    unsigned char *data = realloc(h->data, want);
    if (!data) return error_nomem(err, want);
    h->data = data;
    TRY(file_read_at(h->file, h->loaded, data + h->loaded, want - h->loaded, err));
    h->loaded = want;
    return STATUS_OK;
}

/* --- first pass: every length holds --- */

static enum status scan_skip(struct head *h, uint64_t n, const char *what, struct error *err)
{
    TRY(head_need(h, n, what, err));
    h->pos += n;
    return STATUS_OK;
}

static enum status scan_u32(struct head *h, uint32_t *v, const char *what, struct error *err)
{
    TRY(head_need(h, 4, what, err));
    *v = le_get32(h->data + h->pos);
    h->pos += 4;
    return STATUS_OK;
}

static enum status scan_u64(struct head *h, uint64_t *v, const char *what, struct error *err)
{
    TRY(head_need(h, 8, what, err));
    *v = le_get64(h->data + h->pos);
    h->pos += 8;
    return STATUS_OK;
}

static enum status scan_string(struct head *h, uint64_t min, uint64_t max, const char *what,
                               struct error *err)
{
    uint64_t len;
    TRY(scan_u64(h, &len, what, err));
    if (len < min || len > max)
        return error_at(err, STATUS_FORMAT, h->file->path, NULL,
                        "%s %" PRIu64 ", byte %" PRIu64 ": %s of %" PRIu64 " bytes, expected %" PRIu64
                        " to %" PRIu64,
                        h->part, h->index, h->pos, what, len, min, max);
    return scan_skip(h, len, what, err);
}

static enum status scan_array(struct head *h, struct error *err)
{
    uint32_t type;
    uint64_t n, bytes;
    TRY(scan_u32(h, &type, "array element type", err));
    TRY(scan_u64(h, &n, "array count", err));
    if (type == KV_ARRAY) return head_error(h, err, "array of arrays, expected a plain element type");
    if (type >= KV_TYPE_COUNT) return head_error(h, err, "unknown array element type");
    if (type != KV_STRING) {
        if (!size_mul(n, kv_type_size((enum kv_type)type), &bytes)) bytes = UINT64_MAX;
        return scan_skip(h, bytes, "array", err);
    }
    if (n > (h->limit - h->pos) / 8)
        return head_error_end(h, n > UINT64_MAX / 8 ? UINT64_MAX : 8 * n, "array of strings", err);
    for (uint64_t i = 0; i < n; i++) TRY(scan_string(h, 0, UINT64_MAX, "string in an array", err));
    return STATUS_OK;
}

static enum status scan_kv(struct head *h, struct error *err)
{
    uint32_t type;
    TRY(scan_string(h, 1, LIMIT_GGUF_KEY, "key", err));
    TRY(scan_u32(h, &type, "value type", err));
    if (type >= KV_TYPE_COUNT)
        return error_at(err, STATUS_FORMAT, h->file->path, NULL,
                        "metadata entry %" PRIu64 ", byte %" PRIu64 ": value type %" PRIu32
                        ", expected 0 to %d",
                        h->index, h->pos - 4, type, KV_TYPE_COUNT - 1);
    if (type == KV_STRING) return scan_string(h, 0, UINT64_MAX, "string", err);
    if (type == KV_ARRAY) return scan_array(h, err);
    return scan_skip(h, kv_type_size((enum kv_type)type), "value", err);
}

static enum status scan_tensor(struct head *h, struct error *err)
{
    uint32_t n_dims;
    TRY(scan_string(h, 0, LIMIT_GGUF_NAME, "tensor name", err));
    TRY(scan_u32(h, &n_dims, "number of dimensions", err));
    if (n_dims < 1 || n_dims > GGUF_DIMS_MAX)
        return error_at(err, STATUS_FORMAT, h->file->path, NULL,
                        "tensor entry %" PRIu64 ", byte %" PRIu64 ": %" PRIu32
                        " dimensions, expected 1 to %d",
                        h->index, h->pos - 4, n_dims, GGUF_DIMS_MAX);
    return scan_skip(h, 8 * (uint64_t)n_dims + 4 + 8, "shape, type and offset", err);
}

static enum status scan_version(struct head *h, uint32_t *version, struct error *err)
{
    TRY(scan_skip(h, 4, "magic", err));
    TRY(scan_u32(h, version, "version", err));
    if (*version == 2 || *version == 3) return STATUS_OK;
    const char *path = h->file->path;
    if (*version != 0 && (*version & 0xFFFF) == 0)
        return error_at(err, STATUS_UNSUPPORTED, path, NULL,
                        "big-endian GGUF (version field 0x%08" PRIX32 "), expected a little-endian file",
                        *version);
    if (*version == 0) return error_at(err, STATUS_FORMAT, path, NULL, "GGUF version 0, expected 2 or 3");
    return error_at(err, STATUS_UNSUPPORTED, path, NULL, "GGUF version %" PRIu32 ", expected 2 or 3",
                    *version);
}

/* A count that no file of this size can hold is refused before the entries are walked. */
static enum status scan_count(const struct head *h, uint64_t n, uint64_t bytes_min, const char *what,
                              struct error *err)
{
    uint64_t left = h->limit - h->pos;
    if (n <= left / bytes_min) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, h->file->path, NULL,
                    "%" PRIu64 " %s, expected at most %" PRIu64 " in the %" PRIu64 " bytes left", n, what,
                    left / bytes_min, left);
}

static enum status scan_head(struct head *h, uint32_t *version, uint64_t *n_tensors, uint64_t *n_kvs,
                             struct error *err)
{
    TRY(scan_version(h, version, err));
    TRY(scan_u64(h, n_tensors, "number of tensors", err));
    TRY(scan_u64(h, n_kvs, "number of metadata entries", err));
    TRY(scan_count(h, *n_kvs, GGUF_KV_BYTES_MIN, "metadata entries", err));
    TRY(scan_count(h, *n_tensors, GGUF_TENSOR_BYTES_MIN, "tensors", err));
    h->part = "metadata entry";
    for (h->index = 0; h->index < *n_kvs; h->index++) TRY(scan_kv(h, err));
    h->part = "tensor entry";
    for (h->index = 0; h->index < *n_tensors; h->index++) TRY(scan_tensor(h, err));
    return STATUS_OK;
}

/* --- second pass: the scanned bytes become values --- */

static unsigned char *take(struct head *h, uint64_t n)
{
    assert(n <= h->loaded - h->pos); /* the scan has seen these bytes */
    unsigned char *p = h->data + h->pos;
    h->pos += n;
    return p;
}

static uint32_t take_u32(struct head *h)
{
    return le_get32(take(h, 4));
}

static uint64_t take_u64(struct head *h)
{
    return le_get64(take(h, 8));
}

/* The string moves down one byte, over its own length field, to make room for a terminator. */
static struct kv_string take_string(struct head *h)
{
    uint64_t len = take_u64(h);
    unsigned char *s = take(h, len) - 1;
    memmove(s, s + 1, len);
    s[len] = 0;
    return (struct kv_string){(const char *)s, len};
}

/* Elements move down to an address that suits their type, over the type and count fields before them. */
static void *take_elements(struct head *h, enum kv_type type, uint64_t n)
{
    size_t size = kv_type_size(type);
    uint64_t bytes = n * size; /* fits: scanned */
    unsigned char *p = take(h, bytes);
    unsigned char *aligned = p - (uintptr_t)p % size;
    memmove(aligned, p, bytes);
    if (type == KV_BOOL)
        for (uint64_t i = 0; i < n; i++) aligned[i] = aligned[i] != 0;
    return aligned;
}

static enum status take_array(struct head *h, struct kv *kv, struct arena *mem, struct error *err)
{
    enum kv_type type = (enum kv_type)take_u32(h);
    uint64_t n = take_u64(h);
    kv->v.array.type = type;
    kv->v.array.n = n;
    if (type != KV_STRING) {
        kv->v.array.data = take_elements(h, type, n);
        return STATUS_OK;
    }
    struct kv_string *items = arena_array(mem, n ? n : 1, sizeof *items);
    if (!items) return error_nomem(err, n * sizeof *items);
    for (uint64_t i = 0; i < n; i++) items[i] = take_string(h);
    kv->v.array.data = items;
    return STATUS_OK;
}

static enum status take_value(struct head *h, struct kv *kv, struct arena *mem, struct error *err)
{
    float f;
    switch (kv->type) {
    case KV_U8:
        kv->v.u = *take(h, 1);
        break;
    case KV_I8:
        kv->v.i = (int8_t)*take(h, 1);
        break;
    case KV_U16:
        kv->v.u = le_get16(take(h, 2));
        break;
    case KV_I16:
        kv->v.i = (int16_t)le_get16(take(h, 2));
        break;
    case KV_U32:
        kv->v.u = take_u32(h);
        break;
    case KV_I32:
        kv->v.i = (int32_t)take_u32(h);
        break;
    case KV_F32:
        memcpy(&f, take(h, 4), 4);
        kv->v.f = f;
        break;
    case KV_BOOL:
        kv->v.u = *take(h, 1) != 0;
        break;
    case KV_STRING:
        kv->v.str = take_string(h);
        break;
    case KV_ARRAY:
        return take_array(h, kv, mem, err);
    case KV_U64:
        kv->v.u = take_u64(h);
        break;
    case KV_I64:
        kv->v.i = (int64_t)take_u64(h);
        break;
    case KV_F64:
        memcpy(&kv->v.f, take(h, 8), 8);
        break;
    case KV_TYPE_COUNT:
        break;
    }
    return STATUS_OK;
}

static enum status take_kvs(struct container *c, struct head *h, struct error *err)
{
    struct strmap keys = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < c->n_kvs && st == STATUS_OK; i++) {
        struct kv *kv = &c->kvs[i];
        struct kv_string key = take_string(h);
        kv->key = key.s;
        kv->type = (enum kv_type)take_u32(h);
        if (!utf8_valid(key.s, key.len)) {
            st = error_at(err, STATUS_FORMAT, c->file.path, NULL,
                          "metadata entry %zu: key is not UTF-8 without NUL", i);
            break;
        }
        st = strmap_add(&keys, key.s, i, NULL, err);
        if (st == STATUS_EXISTS)
            st = error_at(err, STATUS_FORMAT, c->file.path, NULL,
                          "metadata entry %zu: duplicate key '%.200s'", i, key.s);
        if (st == STATUS_OK) st = take_value(h, kv, &c->mem, err);
    }
    strmap_clear(&keys);
    return st;
}

static enum status take_tensor(struct container *c, struct head *h, struct tensor *t, struct error *err)
{
    struct kv_string name = take_string(h);
    t->name = name.s;
    if (!utf8_valid(name.s, name.len)) return head_error(h, err, "tensor name is not UTF-8 without NUL");
    t->n_dims = (int)take_u32(h);
    for (int d = t->n_dims - 1; d >= 0; d--) {
        t->shape[d] = (int64_t)take_u64(h);
        if (t->shape[d] < 0)
            return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                            "dimension %d is %" PRIu64 ", expected less than 2^63", t->n_dims - 1 - d,
                            (uint64_t)t->shape[d]);
    }
    uint32_t id = take_u32(h);
    t->dtype = dtype_from_ggml(id);
    if (t->dtype == DTYPE_COUNT)
        return error_at(err, STATUS_UNSUPPORTED, c->file.path, t->name,
                        "type id %" PRIu32 ", expected one of the types ggml defines", id);
    const struct dtype_info *info = dtype_info(t->dtype);
    if (t->shape[t->n_dims - 1] % info->block_len != 0)
        return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                        "rows of %" PRId64 " elements, expected a multiple of %" PRIu32 " for %s",
                        t->shape[t->n_dims - 1], info->block_len, info->ggml_name);
    t->contiguous = true;
    t->off_file = take_u64(h); /* relative to the data section until place_tensors */
    return tensor_set_size(t, c->file.path, err);
}

static enum status take_alignment(struct container *c, struct error *err)
{
    const struct kv *kv = NULL;
    for (size_t i = 0; i < c->n_kvs && !kv; i++)
        if (strcmp(c->kvs[i].key, "general.alignment") == 0) kv = &c->kvs[i];
    c->alignment = GGUF_ALIGNMENT;
    if (!kv) return STATUS_OK;
    if (kv->type != KV_U32)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL, "general.alignment has type %s, expected u32",
                        kv_type_name(kv->type));
    if (kv->v.u == 0 || (kv->v.u & (kv->v.u - 1)) != 0)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "general.alignment is %" PRIu64 ", expected a power of two", kv->v.u);
    c->alignment = kv->v.u;
    return STATUS_OK;
}

static enum status place_tensor(const struct container *c, struct tensor *t, struct error *err)
{
    uint64_t off = t->off_file, padded, room = c->file.size_bytes - c->off_data;
    if (off % c->alignment != 0)
        return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                        "data offset %" PRIu64 ", expected a multiple of the alignment %" PRIu64, off,
                        c->alignment);
    if (!size_align(t->size_bytes, c->alignment, &padded) || off > room || padded > room - off)
        return error_at(err, STATUS_FORMAT, c->file.path, t->name,
                        "%" PRIu64 " bytes at data offset %" PRIu64
                        ", expected to end, with padding, within the %" PRIu64 " bytes of data in the file",
                        t->size_bytes, off, room);
    t->off_file = c->off_data + off;
    return STATUS_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a, *y = *(const struct tensor *const *)b;
    if (x->off_file != y->off_file) return x->off_file < y->off_file ? -1 : 1;
    return (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes); /* empty ones first */
}

static enum status check_overlap(const struct container *c, struct error *err)
{
    const struct tensor **order;
    void *mem;
    TRY(mem_alloc(&mem, c->n_tensors, sizeof *order, err));
    order = mem;
    for (size_t i = 0; i < c->n_tensors; i++) order[i] = &c->tensors[i];
    qsort(order, c->n_tensors, sizeof *order, compare_offsets);
    enum status st = STATUS_OK;
    for (size_t i = 1; i < c->n_tensors && st == STATUS_OK; i++) {
        const struct tensor *a = order[i - 1], *b = order[i];
        if (b->size_bytes > 0 && a->size_bytes > b->off_file - a->off_file)
            st = error_at(err, STATUS_FORMAT, c->file.path, b->name,
                          "data at byte %" PRIu64 " overlaps the %" PRIu64 " bytes of '%s' at byte %" PRIu64,
                          b->off_file, a->size_bytes, a->name, a->off_file);
    }
    free(mem);
    return st;
}

static enum status place_tensors(struct container *c, uint64_t head_bytes, struct error *err)
{
    c->off_data = head_bytes;
    if (c->n_tensors == 0) return STATUS_OK;
    if (!size_align(head_bytes, c->alignment, &c->off_data) || c->off_data > c->file.size_bytes)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "%zu tensors listed up to byte %" PRIu64
                        ", but the file ends before their data begins",
                        c->n_tensors, head_bytes);
    for (size_t i = 0; i < c->n_tensors; i++) TRY(place_tensor(c, &c->tensors[i], err));
    return check_overlap(c, err);
}

static enum status take_head(struct container *c, struct head *h, struct error *err)
{
    uint64_t n_tensors, n_kvs;
    TRY(scan_head(h, &c->version, &n_tensors, &n_kvs, err));
    uint64_t head_bytes = h->pos;
    unsigned char *data = realloc(h->data, head_bytes); /* the window may have grown past the head */
    if (!data) return error_nomem(err, head_bytes);
    h->data = data;
    h->loaded = head_bytes;
    c->kvs = arena_array(&c->mem, n_kvs + 1, sizeof *c->kvs);
    c->tensors = arena_array(&c->mem, n_tensors + 1, sizeof *c->tensors);
    if (!c->kvs || !c->tensors) return error_nomem(err, head_bytes);
    c->n_kvs = n_kvs;
    h->pos = GGUF_HEAD_BYTES;
    TRY(take_kvs(c, h, err));
    TRY(take_alignment(c, err));
    for (h->index = 0; h->index < n_tensors; h->index++) TRY(take_tensor(c, h, &c->tensors[h->index], err));
    c->n_tensors = n_tensors;
    TRY(place_tensors(c, head_bytes, err));
    return container_index(c, err);
}

static bool gguf_probe(const unsigned char *head, size_t head_size, uint64_t file_size)
{
    (void)file_size;
    return head_size >= 4 && memcmp(head, "GGUF", 4) == 0;
}

static enum status gguf_open(struct container *c, struct error *err)
{
    struct head h = {.file = &c->file, .limit = head_limit(c->file.size_bytes), .part = "head entry"};
    enum status st = take_head(c, &h, err);
    c->priv = h.data;
    return st;
}

static void gguf_close(struct container *c)
{
    free(c->priv);
    c->priv = NULL;
}

const struct container_format gguf_format = {
    .name = "gguf", .probe = gguf_probe, .open = gguf_open, .read = NULL, .close = gguf_close};

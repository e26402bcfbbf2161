#include "base/cursor.h"
#include "base/limits.h"
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    GGUF_VERSION = 3,
    GGUF_DIMS_MAX = 4,
    GGUF_ALIGNMENT = 32,
    GGUF_ALIGNMENT_MAX = 1 << 20, /* the padding before the data is built in memory */
};
static const char key_alignment[] = "general.alignment";

/* --- metadata --- */

static size_t kv_index(const struct gguf_writer *w, const char *key)
{
    size_t i = 0;
    while (i < w->n_kvs && strcmp(w->kvs[i].key, key) != 0) i++;
    return i;
}

void gguf_remove(struct gguf_writer *w, const char *key)
{
    size_t i = kv_index(w, key);
    if (i == w->n_kvs) return;
    memmove(&w->kvs[i], &w->kvs[i + 1], (w->n_kvs - i - 1) * sizeof *w->kvs);
    w->n_kvs--;
}

void gguf_move_to_end(struct gguf_writer *w, const char *key)
{
    size_t i = kv_index(w, key);
    if (i == w->n_kvs) return;
    struct kv kv = w->kvs[i];
    gguf_remove(w, key);
    w->kvs[w->n_kvs++] = kv;
}

static bool writer_grow(struct gguf_writer *w)
{
    if (w->n_kvs < w->cap_kvs) return true;
    size_t cap = w->cap_kvs ? 2 * w->cap_kvs : 64;
    struct kv *kvs = realloc(w->kvs, cap * sizeof *kvs);
    if (!kvs) return false;
    w->kvs = kvs;
    w->cap_kvs = cap;
    return true;
}

/* One block holds the items and, behind them, their bytes with terminators. */
static const void *copy_strings(struct arena *mem, const struct kv_string *src, uint64_t n)
{
    uint64_t bytes;
    if (!size_mul(n, sizeof *src, &bytes)) return NULL;
    for (uint64_t i = 0; i < n; i++)
        if (!size_add(bytes, src[i].len, &bytes) || !size_add(bytes, 1, &bytes)) return NULL;
    struct kv_string *items = arena_alloc(mem, bytes ? bytes : 1);
    if (!items) return NULL;
    char *s = (char *)(items + n);
    for (uint64_t i = 0; i < n; i++) {
        items[i] = (struct kv_string){s, src[i].len};
        if (src[i].len > 0) memcpy(s, src[i].s, src[i].len);
        s[src[i].len] = 0;
        s += src[i].len + 1;
    }
    return items;
}

static size_t element_size(enum kv_type t)
{
    return t == KV_STRING ? sizeof(struct kv_string) : kv_type_size(t);
}

/* Replaces what v points to by a copy in the writer's memory. */
static bool kv_own(struct gguf_writer *w, struct kv *kv)
{
    if (kv->type == KV_STRING) {
        kv->v.str.s = arena_strndup(&w->mem, kv->v.str.s, kv->v.str.len);
        return kv->v.str.s != NULL;
    }
    if (kv->type != KV_ARRAY) return true;
    enum kv_type type = kv->v.array.type;
    uint64_t n = kv->v.array.n;
    if (type == KV_STRING) {
        kv->v.array.data = copy_strings(&w->mem, kv->v.array.data, n);
        return kv->v.array.data != NULL;
    }
    void *data = arena_array(&w->mem, n ? n : 1, element_size(type));
    if (!data) return false;
    if (n > 0) memcpy(data, kv->v.array.data, n * element_size(type));
    kv->v.array.data = data;
    return true;
}

void gguf_put_kv(struct gguf_writer *w, const struct kv *kv)
{
    struct kv own = *kv;
    own.key = arena_strndup(&w->mem, kv->key, strlen(kv->key));
    if (!own.key || !kv_own(w, &own) || !writer_grow(w)) {
        w->failed = true;
        return;
    }
    gguf_remove(w, kv->key);
    w->kvs[w->n_kvs++] = own;
    if (strcmp(own.key, key_alignment) == 0 && own.type == KV_U32) w->alignment = (uint32_t)own.v.u;
}

static void put_unsigned(struct gguf_writer *w, const char *key, enum kv_type type, uint64_t v)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = type, .v.u = v});
}

void gguf_put_u8(struct gguf_writer *w, const char *key, uint8_t v)
{
    put_unsigned(w, key, KV_U8, v);
}

void gguf_put_u16(struct gguf_writer *w, const char *key, uint16_t v)
{
    put_unsigned(w, key, KV_U16, v);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_unsigned(w, key, KV_U32, v);
}

void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = KV_I32, .v.i = v});
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    put_unsigned(w, key, KV_U64, v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = KV_F32, .v.f = (double)v});
}

void gguf_put_f64(struct gguf_writer *w, const char *key, double v)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = KV_F64, .v.f = v});
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    put_unsigned(w, key, KV_BOOL, v);
}

void gguf_put_string(struct gguf_writer *w, const char *key, const char *v)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = KV_STRING, .v.str = {v, strlen(v)}});
}

void gguf_put_array(struct gguf_writer *w, const char *key, enum kv_type type, uint64_t n, const void *data)
{
    gguf_put_kv(w, &(struct kv){.key = key, .type = KV_ARRAY, .v.array = {type, n, data}});
}

uint64_t gguf_kv_bytes(const struct kv *kv)
{
    uint64_t bytes = 8 + strlen(kv->key) + 4;
    if (kv->type == KV_STRING) return bytes + 8 + kv->v.str.len;
    if (kv->type != KV_ARRAY) return bytes + kv_type_size(kv->type);
    bytes += 4 + 8;
    if (kv->v.array.type != KV_STRING) return bytes + kv->v.array.n * kv_type_size(kv->v.array.type);
    const struct kv_string *items = kv->v.array.data;
    for (uint64_t i = 0; i < kv->v.array.n; i++) bytes += 8 + items[i].len;
    return bytes;
}

/* --- tensors --- */

enum status gguf_add_tensor(struct gguf_writer *w, const char *name, enum dtype t, int n_dims,
                            const int64_t *shape, struct error *err)
{
    struct gguf_out_tensor out = {.dtype = t};
    const struct dtype_info *info = dtype_info(t);
    if (!info || info->ggml_id < 0)
        return error_at(err, STATUS_UNSUPPORTED, "", name, "type %s cannot be stored in GGUF",
                        info ? info->name : "?");
    if (strlen(name) > LIMIT_GGUF_NAME)
        return error_at(err, STATUS_RANGE, "", name, "name of %zu bytes, expected at most %d", strlen(name),
                        LIMIT_GGUF_NAME);
    while (n_dims > 1 && shape[0] == 1) {
        shape++;
        n_dims--;
    }
    if (n_dims < 0 || n_dims > GGUF_DIMS_MAX)
        return error_at(err, STATUS_RANGE, "", name, "%d dimensions, expected at most %d", n_dims,
                        GGUF_DIMS_MAX);
    out.n_dims = n_dims > 0 ? n_dims : 1;
    out.shape[0] = 1; /* a scalar */
    if (n_dims > 0) memcpy(out.shape, shape, (size_t)n_dims * sizeof *shape);

    struct tensor sized = {.name = name, .dtype = t, .n_dims = out.n_dims};
    memcpy(sized.shape, out.shape, sizeof sized.shape);
    int64_t cols = out.shape[out.n_dims - 1];
    if (cols % info->block_len != 0)
        return error_at(err, STATUS_RANGE, "", name,
                        "rows of %" PRId64 " elements, expected a multiple of %" PRIu32 " for %s", cols,
                        info->block_len, info->ggml_name);
    TRY(tensor_set_size(&sized, "", err));
    out.size_bytes = sized.size_bytes;

    if (w->n_tensors == w->cap_tensors) {
        size_t cap = w->cap_tensors ? 2 * w->cap_tensors : 128;
        struct gguf_out_tensor *tensors = realloc(w->tensors, cap * sizeof *tensors);
        if (!tensors) return error_nomem(err, cap * sizeof *tensors);
        w->tensors = tensors;
        w->cap_tensors = cap;
    }
    out.name = arena_strndup(&w->mem, name, strlen(name));
    if (!out.name) return error_nomem(err, strlen(name) + 1);
    w->tensors[w->n_tensors++] = out;
    return STATUS_OK;
}

/* --- the bytes --- */

static void append_u32(struct buf *b, uint32_t v)
{
    unsigned char raw[4];
    le_put32(raw, v);
    buf_append(b, raw, sizeof raw);
}

static void append_u64(struct buf *b, uint64_t v)
{
    unsigned char raw[8];
    le_put64(raw, v);
    buf_append(b, raw, sizeof raw);
}

static void append_string(struct buf *b, const char *s, uint64_t len)
{
    append_u64(b, len);
    buf_append(b, s, len);
}

static void append_elements(struct buf *b, enum kv_type type, uint64_t n, const void *data)
{
    append_u32(b, type);
    append_u64(b, n);
    if (type != KV_STRING) {
        buf_append(b, data, n * kv_type_size(type)); /* the host is little-endian */
        return;
    }
    const struct kv_string *items = data;
    for (uint64_t i = 0; i < n; i++) append_string(b, items[i].s, items[i].len);
}

static void append_kv(struct buf *b, const struct kv *kv)
{
    append_string(b, kv->key, strlen(kv->key));
    append_u32(b, kv->type);
    unsigned char raw[8];
    float f = (float)kv->v.f;
    switch (kv->type) {
    case KV_STRING:
        append_string(b, kv->v.str.s, kv->v.str.len);
        return;
    case KV_ARRAY:
        append_elements(b, kv->v.array.type, kv->v.array.n, kv->v.array.data);
        return;
    case KV_F32:
        memcpy(raw, &f, 4);
        break;
    case KV_F64:
        memcpy(raw, &kv->v.f, 8);
        break;
    default:
        le_put64(raw, kv->v.u);
        break; /* the low bytes of an integer of either sign */
    }
    buf_append(b, raw, kv_type_size(kv->type));
}

static void append_tensor(struct buf *b, const struct gguf_out_tensor *t, uint64_t offset)
{
    append_string(b, t->name, strlen(t->name));
    append_u32(b, (uint32_t)t->n_dims);
    for (int d = t->n_dims - 1; d >= 0; d--) append_u64(b, (uint64_t)t->shape[d]);
    append_u32(b, (uint32_t)dtype_info(t->dtype)->ggml_id);
    append_u64(b, offset);
}

static enum status check_names(const struct gguf_writer *w, struct error *err)
{
    struct strmap names = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < w->n_tensors && st == STATUS_OK; i++) {
        st = strmap_add(&names, w->tensors[i].name, i, NULL, err);
        if (st == STATUS_EXISTS)
            st = error_at(err, STATUS_RANGE, "", w->tensors[i].name, "added twice to the output");
    }
    strmap_clear(&names);
    return st;
}

static enum status settle_alignment(struct gguf_writer *w, struct error *err)
{
    if (w->alignment == 0) w->alignment = GGUF_ALIGNMENT;
    if ((w->alignment & (w->alignment - 1)) != 0 || w->alignment > GGUF_ALIGNMENT_MAX)
        return error_set(err, STATUS_RANGE, "alignment %" PRIu32 ", expected a power of two up to %d",
                         w->alignment, GGUF_ALIGNMENT_MAX);
    size_t i = kv_index(w, key_alignment);
    bool said = i < w->n_kvs && w->kvs[i].type == KV_U32 && w->kvs[i].v.u == w->alignment;
    if (!said && (w->alignment != GGUF_ALIGNMENT || i < w->n_kvs))
        gguf_put_u32(w, key_alignment, w->alignment);
    return STATUS_OK;
}

/* Sums padded sizes; off_file holds the offset from the data section until the header's length is known. */
static enum status place_tensors(struct gguf_writer *w, uint64_t *data_bytes, struct error *err)
{
    *data_bytes = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        struct gguf_out_tensor *t = &w->tensors[i];
        t->off_file = *data_bytes;
        if (!size_align(t->size_bytes, w->alignment, &t->padded_bytes) ||
            !size_add(*data_bytes, t->padded_bytes, data_bytes))
            return error_at(err, STATUS_RANGE, "", t->name, "the file would pass 2^64 bytes");
    }
    return STATUS_OK;
}

enum status gguf_layout(struct gguf_writer *w, struct error *err)
{
    uint64_t data_bytes, header_bytes;
    TRY(check_names(w, err));
    TRY(settle_alignment(w, err));
    TRY(place_tensors(w, &data_bytes, err));
    if (w->failed) return error_nomem(err, 0);

    struct buf *b = &w->header;
    buf_clear(b);
    buf_append(b, "GGUF", 4);
    append_u32(b, GGUF_VERSION);
    append_u64(b, w->n_tensors);
    append_u64(b, w->n_kvs);
    for (size_t i = 0; i < w->n_kvs; i++) append_kv(b, &w->kvs[i]);
    for (size_t i = 0; i < w->n_tensors; i++) append_tensor(b, &w->tensors[i], w->tensors[i].off_file);
    static const char zeros[4096];
    while (!b->failed && b->len % w->alignment != 0) {
        size_t left = w->alignment - b->len % w->alignment;
        buf_append(b, zeros, left < sizeof zeros ? left : sizeof zeros);
    }
    TRY(buf_check(b, err));

    header_bytes = b->len;
    for (size_t i = 0; i < w->n_tensors; i++) w->tensors[i].off_file += header_bytes;
    if (!size_add(header_bytes, data_bytes, &w->size_bytes))
        return error_set(err, STATUS_RANGE, "the file would pass 2^64 bytes");
    return STATUS_OK;
}

void gguf_writer_clear(struct gguf_writer *w)
{
    free(w->kvs);
    free(w->tensors);
    buf_clear(&w->header);
    arena_clear(&w->mem);
    *w = (struct gguf_writer){0};
}

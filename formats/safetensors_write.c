#include "formats/safetensors_write.h"

#include "base/cursor.h"
#include "base/json.h"
#include "base/limits.h"

#include <string.h>

enum { PREFIX_BYTES = 8 };

/* The library's order of types. */
static const enum dtype order[] = {
    DTYPE_BOOL, DTYPE_F4,  DTYPE_F6_E2M3, DTYPE_F6_E3M2, DTYPE_U8,  DTYPE_I8,  DTYPE_F8_E5M2, DTYPE_F8_E4M3, DTYPE_F8_E8M0, DTYPE_F8_E4M3FNUZ, DTYPE_F8_E5M2FNUZ,
    DTYPE_I16,  DTYPE_U16, DTYPE_F16,     DTYPE_BF16,    DTYPE_I32, DTYPE_U32, DTYPE_F32,     DTYPE_C64,     DTYPE_F64,     DTYPE_I64,         DTYPE_U64,
};
enum { N_ORDER = sizeof order / sizeof *order };

static int rank(enum dtype t)
{
    int i = 0;
    while (i < N_ORDER && order[i] != t) i++;
    return i;
}

int safetensors_compare(const void *a, const void *b)
{
    const struct safetensors_out *x = a, *y = b;
    int rx = rank(x->t->dtype), ry = rank(y->t->dtype);
    if (rx != ry) return rx > ry ? -1 : 1;
    return strcmp(x->t->name, y->t->name);
}

static void put_tensor(struct jwriter *w, const struct tensor *t, uint64_t begin)
{
    jw_begin_object(w, t->name);
    jw_string(w, "dtype", dtype_info(t->dtype)->st_name);
    jw_begin_array(w, "shape");
    for (int d = 0; d < t->n_dims; d++) jw_int(w, NULL, t->shape[d]);
    jw_end_array(w);
    jw_begin_array(w, "data_offsets");
    jw_uint(w, NULL, begin);
    jw_uint(w, NULL, begin + t->size_bytes);
    jw_end_array(w);
    jw_end_object(w);
}

static enum status check(const struct safetensors_out *tensors, size_t n, struct error *err)
{
    struct strmap names = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct tensor *t = tensors[i].t;
        if (rank(t->dtype) == N_ORDER)
            st = error_at(err, STATUS_UNSUPPORTED, "", t->name, "type %s cannot be stored in safetensors", dtype_info(t->dtype)->name);
        else if (strcmp(t->name, "__metadata__") == 0)
            st = error_at(err, STATUS_RANGE, "", t->name, "the name is safetensors' own");
        else if (strmap_add(&names, t->name, i, NULL, err) == STATUS_EXISTS)
            st = error_at(err, STATUS_RANGE, "", t->name, "two tensors of the output have this name");
    }
    strmap_clear(&names);
    return st;
}

enum status safetensors_header(struct buf *out, struct safetensors_out *tensors, size_t n, struct error *err)
{
    struct jwriter w = {.out = out};
    uint64_t end = 0;
    TRY(check(tensors, n, err));
    char *prefix = buf_extend(out, PREFIX_BYTES);
    if (!prefix) return error_nomem(err, PREFIX_BYTES);
    jw_begin_object(&w, NULL);
    jw_begin_object(&w, "__metadata__");
    jw_string(&w, "format", "pt");
    jw_end_object(&w);
    for (size_t i = 0; i < n; i++) {
        put_tensor(&w, tensors[i].t, end);
        tensors[i].off = end;
        if (!size_add(end, tensors[i].t->size_bytes, &end) || end > INT64_MAX)
            return error_at(err, STATUS_RANGE, "", tensors[i].t->name, "the file would pass 2^63 bytes");
    }
    jw_end_object(&w);
    while (!out->failed && out->len % 8 != 0) buf_puts(out, " ");
    TRY(buf_check(out, err));
    if (out->len - PREFIX_BYTES > LIMIT_SAFETENSORS_HEADER)
        return error_set(err, STATUS_RANGE, "a safetensors header of %zu bytes, expected at most %d", out->len - PREFIX_BYTES, LIMIT_SAFETENSORS_HEADER);
    le_put64((unsigned char *)out->data, out->len - PREFIX_BYTES);
    for (size_t i = 0; i < n; i++) tensors[i].off += out->len;
    return STATUS_OK;
}

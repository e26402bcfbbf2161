#include "formats/gguf.h"

#include <string.h>

static const struct {
    const char *name;
    uint8_t size_bytes; /* of a scalar in the file */
} kv_types[KV_TYPE_COUNT] = {
    [KV_U8] = {"u8", 1},   [KV_I8] = {"i8", 1},   [KV_U16] = {"u16", 2},       [KV_I16] = {"i16", 2},
    [KV_U32] = {"u32", 4}, [KV_I32] = {"i32", 4}, [KV_F32] = {"f32", 4},       [KV_BOOL] = {"bool", 1},
    [KV_U64] = {"u64", 8}, [KV_I64] = {"i64", 8}, [KV_STRING] = {"string", 0}, [KV_ARRAY] = {"array", 0},
    [KV_F64] = {"f64", 8},
};

const char *kv_type_name(enum kv_type t)
{
    return (unsigned)t < KV_TYPE_COUNT ? kv_types[t].name : "unknown";
}

size_t kv_type_size(enum kv_type t)
{
    return (unsigned)t < KV_TYPE_COUNT ? kv_types[t].size_bytes : 0;
}

static bool kv_is_signed(enum kv_type t)
{
    return t == KV_I8 || t == KV_I16 || t == KV_I32 || t == KV_I64;
}

static bool kv_is_unsigned(enum kv_type t)
{
    return t == KV_U8 || t == KV_U16 || t == KV_U32 || t == KV_U64;
}

bool kv_get_int(const struct kv *kv, int64_t *out)
{
    if (!kv) return false;
    if (kv_is_signed(kv->type)) {
        *out = kv->v.i;
        return true;
    }
    if (!kv_is_unsigned(kv->type) || kv->v.u > INT64_MAX) return false;
    *out = (int64_t)kv->v.u;
    return true;
}

bool kv_get_double(const struct kv *kv, double *out)
{
    if (!kv) return false;
    if (kv->type == KV_F32 || kv->type == KV_F64)
        *out = kv->v.f;
    else if (kv_is_signed(kv->type))
        *out = (double)kv->v.i;
    else if (kv_is_unsigned(kv->type))
        *out = (double)kv->v.u;
    else
        return false;
    return true;
}

bool kv_get_bool(const struct kv *kv, bool *out)
{
    if (!kv || kv->type != KV_BOOL) return false;
    *out = kv->v.u != 0;
    return true;
}

const char *kv_get_string(const struct kv *kv)
{
    if (!kv || kv->type != KV_STRING) return NULL;
    return memchr(kv->v.str.s, 0, kv->v.str.len) ? NULL : kv->v.str.s;
}

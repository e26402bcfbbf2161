#include "formats/pickle_machine.h"

#include <string.h>

/* ---- what REDUCE may build ---- */

static bool is_empty_dict(const struct pickle_value *v)
{
    return v->type == PICKLE_NONE || (v->type == PICKLE_DICT && v->v.list->n == 0);
}

/* OrderedDict() or, as Python 2 wrote it, OrderedDict([[key, value], ...]) */
static enum status build_ordered_dict(struct machine *m, const struct pickle_value *args, uint32_t n,
                                      struct pickle_value *out)
{
    if (n > 1 || (n == 1 && args[0].type != PICKLE_LIST))
        return pickle_bad_value(m, "a list of pairs", n ? args : NULL);
    TRY(pickle_new_list(m, PICKLE_DICT, NULL, 0, out));
    out->v.list->ordered = true;
    if (n == 1) TRY(pickle_work(m, args[0].v.list->n));
    for (uint32_t i = 0; n == 1 && i < args[0].v.list->n; i++) {
        const struct pickle_value *pair = &args[0].v.list->items[i];
        if ((pair->type != PICKLE_LIST && pair->type != PICKLE_TUPLE) || pair->v.list->n != 2)
            return pickle_bad_value(m, "a list of pairs", pair);
        TRY(pickle_list_append(m, out->v.list, pair->v.list->items, 2));
    }
    return STATUS_OK;
}

/* Counter({...}): a dict */
static enum status build_counter(struct machine *m, const struct pickle_value *args, uint32_t n,
                                 struct pickle_value *out)
{
    if (n > 1 || (n == 1 && args[0].type != PICKLE_DICT)) return pickle_bad_value(m, "a dict", n ? args : NULL);
    if (n == 0) return pickle_new_list(m, PICKLE_DICT, NULL, 0, out);
    *out = args[0];
    return STATUS_OK;
}

/* device("cuda", 0): its name is all that is kept */
static enum status build_device(struct machine *m, const struct pickle_value *args, uint32_t n,
                                struct pickle_value *out)
{
    if (n < 1 || n > 2 || args[0].type != PICKLE_STRING)
        return pickle_bad_value(m, "the name of a device", n ? args : NULL);
    *out = args[0];
    return STATUS_OK;
}

static enum status build_size(struct machine *m, const struct pickle_value *args, uint32_t n,
                              struct pickle_value *out)
{
    if (n != 1 || args[0].type != PICKLE_TUPLE) return pickle_bad_value(m, "a tuple", n ? args : NULL);
    *out = args[0];
    return STATUS_OK;
}

static enum status read_dims(struct machine *m, const struct pickle_value *v, const char *what, int64_t *dst,
                             int *n)
{
    if (v->type != PICKLE_TUPLE && v->type != PICKLE_LIST) return pickle_bad_value(m, what, v);
    if (v->v.list->n > TENSOR_DIMS_MAX)
        return pickle_fail(m, STATUS_UNSUPPORTED, "expected at most %d dimensions, found %u", TENSOR_DIMS_MAX,
                           v->v.list->n);
    *n = (int)v->v.list->n;
    for (int i = 0; i < *n; i++) {
        const struct pickle_value *item = &v->v.list->items[i];
        if (item->type != PICKLE_INT) return pickle_bad_value(m, "integers in shape and stride", item);
        if (item->v.i < 0)
            return pickle_fail(m, STATUS_FORMAT, "a negative number in its %s: %lld", what,
                               (long long)item->v.i);
        dst[i] = item->v.i;
    }
    return STATUS_OK;
}

/* (storage, offset, shape, stride), the beginning of all three _rebuild_tensor functions */
static enum status build_view(struct machine *m, const struct pickle_value *args, enum dtype dtype,
                              struct pickle_value *out)
{
    if (args[0].type != PICKLE_STORAGE) return pickle_bad_value(m, "a storage", &args[0]);
    if (!pickle_is_count(&args[1]))
        return pickle_bad_value(m, "a storage offset that is not negative", &args[1]);
    struct pickle_tensor *t = pickle_new_object(m, sizeof *t);
    int n_strides;
    if (!t) return m->err->status;
    t->storage = args[0].v.storage;
    t->offset = args[1].v.i;
    t->dtype = dtype == DTYPE_COUNT ? t->storage->dtype : dtype;
    TRY(read_dims(m, &args[2], "shape", t->shape, &t->n_dims));
    TRY(read_dims(m, &args[3], "stride", t->stride, &n_strides));
    if (n_strides != t->n_dims)
        return pickle_fail(m, STATUS_FORMAT, "a shape of %d dimensions with %d strides", t->n_dims,
                           n_strides);
    if (t->dtype == DTYPE_COUNT) return pickle_fail(m, STATUS_FORMAT, "a tensor without element type");
    *out = (struct pickle_value){.type = PICKLE_TENSOR, .v.tensor = t};
    return STATUS_OK;
}

static enum status build_tensor_v1(struct machine *m, const struct pickle_value *args, uint32_t n,
                                   struct pickle_value *out)
{
    if (n != 4) return pickle_fail(m, STATUS_FORMAT, "expected 4 arguments, found %u", n);
    return build_view(m, args, DTYPE_COUNT, out);
}

/* requires_grad, backward_hooks: no hooks can be kept here */
static enum status check_grad(struct machine *m, const struct pickle_value *args)
{
    if (args[0].type != PICKLE_BOOL) return pickle_bad_value(m, "requires_grad, a bool", &args[0]);
    if (!is_empty_dict(&args[1])) return pickle_bad_value(m, "no backward hooks", &args[1]);
    return STATUS_OK;
}

/* The bits "conj" and "neg": a tensor whose bytes still have to be conjugated or negated */
static enum status check_metadata(struct machine *m, const struct pickle_value *v)
{
    if (v->type != PICKLE_NONE && v->type != PICKLE_DICT) return pickle_bad_value(m, "metadata, a dict", v);
    if (v->type == PICKLE_DICT) TRY(pickle_work(m, v->v.list->n));
    for (uint32_t i = 0; v->type == PICKLE_DICT && i < v->v.list->n; i += 2) {
        const struct pickle_value *key = &v->v.list->items[i], *value = key + 1;
        if (!pickle_is_string(key, "conj") && !pickle_is_string(key, "neg"))
            return pickle_fail(m, STATUS_UNSUPPORTED, "tensor metadata other than conj and neg");
        if (value->type != PICKLE_BOOL || value->v.b)
            return pickle_fail(m, STATUS_UNSUPPORTED, "a tensor that is stored conjugated or negated");
    }
    return STATUS_OK;
}

static enum status build_tensor_v2(struct machine *m, const struct pickle_value *args, uint32_t n,
                                   struct pickle_value *out)
{
    if (n != 6 && n != 7) return pickle_fail(m, STATUS_FORMAT, "expected 6 or 7 arguments, found %u", n);
    TRY(check_grad(m, args + 4));
    if (n == 7) TRY(check_metadata(m, &args[6]));
    return build_view(m, args, DTYPE_COUNT, out);
}

static enum status build_tensor_v3(struct machine *m, const struct pickle_value *args, uint32_t n,
                                   struct pickle_value *out)
{
    if (n != 7 && n != 8) return pickle_fail(m, STATUS_FORMAT, "expected 7 or 8 arguments, found %u", n);
    TRY(check_grad(m, args + 4));
    if (args[6].type != PICKLE_GLOBAL || args[6].v.global->kind != GLOBAL_DTYPE)
        return pickle_bad_value(m, "a dtype", &args[6]);
    if (n == 8) TRY(check_metadata(m, &args[7]));
    if (args[0].type == PICKLE_STORAGE && args[0].v.storage->dtype != DTYPE_COUNT)
        return pickle_fail(m, STATUS_FORMAT, "expected an untyped storage");
    return build_view(m, args, args[6].v.global->dtype, out);
}

/* A parameter is its tensor. Its fourth argument are attributes that Python code has set on it: no weights. */
static enum status build_parameter(struct machine *m, const struct pickle_value *args, uint32_t n,
                                   struct pickle_value *out)
{
    if (n != 3 && n != 4) return pickle_fail(m, STATUS_FORMAT, "expected 3 or 4 arguments, found %u", n);
    if (args[0].type != PICKLE_TENSOR) return pickle_bad_value(m, "a tensor", &args[0]);
    TRY(check_grad(m, args + 1));
    *out = args[0];
    return STATUS_OK;
}

/* ---- the names that are known ---- */

#define STORAGE(name, type)                                                                                  \
    {                                                                                                        \
        "torch", name "Storage", GLOBAL_STORAGE, type, NULL                                                  \
    }
#define TORCH_DTYPE(name, type)                                                                              \
    {                                                                                                        \
        "torch", name, GLOBAL_DTYPE, type, NULL                                                              \
    }
#define FUNCTION(module, name, fn)                                                                           \
    {                                                                                                        \
        module, name, GLOBAL_FUNCTION, DTYPE_COUNT, fn                                                       \
    }
static const struct pickle_global globals[] = {
    {"collections", "OrderedDict", GLOBAL_CLASS, DTYPE_COUNT, build_ordered_dict},
    {"collections", "Counter", GLOBAL_CLASS, DTYPE_COUNT, build_counter},
    {"argparse", "Namespace", GLOBAL_OBJECT, DTYPE_COUNT, NULL},
    {"torch", "Size", GLOBAL_CLASS, DTYPE_COUNT, build_size},
    {"torch", "device", GLOBAL_CLASS, DTYPE_COUNT, build_device},
    FUNCTION("torch._utils", "_rebuild_tensor", build_tensor_v1),
    FUNCTION("torch._utils", "_rebuild_tensor_v2", build_tensor_v2),
    FUNCTION("torch._utils", "_rebuild_tensor_v3", build_tensor_v3),
    FUNCTION("torch._utils", "_rebuild_parameter", build_parameter),
    FUNCTION("torch._utils", "_rebuild_parameter_with_state", build_parameter),
    {"torch.storage", "UntypedStorage", GLOBAL_STORAGE, DTYPE_COUNT, NULL},
    STORAGE("Float", DTYPE_F32),
    STORAGE("Double", DTYPE_F64),
    STORAGE("Half", DTYPE_F16),
    STORAGE("BFloat16", DTYPE_BF16),
    STORAGE("Long", DTYPE_I64),
    STORAGE("Int", DTYPE_I32),
    STORAGE("Short", DTYPE_I16),
    STORAGE("Char", DTYPE_I8),
    STORAGE("Byte", DTYPE_U8),
    STORAGE("Bool", DTYPE_BOOL),
    STORAGE("ComplexFloat", DTYPE_C64),
    STORAGE("ComplexDouble", DTYPE_C128),
    TORCH_DTYPE("float32", DTYPE_F32),
    TORCH_DTYPE("float64", DTYPE_F64),
    TORCH_DTYPE("float16", DTYPE_F16),
    TORCH_DTYPE("bfloat16", DTYPE_BF16),
    TORCH_DTYPE("float8_e4m3fn", DTYPE_F8_E4M3),
    TORCH_DTYPE("float8_e5m2", DTYPE_F8_E5M2),
    TORCH_DTYPE("float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ),
    TORCH_DTYPE("float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ),
    TORCH_DTYPE("float8_e8m0fnu", DTYPE_F8_E8M0),
    TORCH_DTYPE("int64", DTYPE_I64),
    TORCH_DTYPE("int32", DTYPE_I32),
    TORCH_DTYPE("int16", DTYPE_I16),
    TORCH_DTYPE("int8", DTYPE_I8),
    TORCH_DTYPE("uint64", DTYPE_U64),
    TORCH_DTYPE("uint32", DTYPE_U32),
    TORCH_DTYPE("uint16", DTYPE_U16),
    TORCH_DTYPE("uint8", DTYPE_U8),
    TORCH_DTYPE("bool", DTYPE_BOOL),
    TORCH_DTYPE("complex64", DTYPE_C64),
    TORCH_DTYPE("complex128", DTYPE_C128),
};

/* Harmless names that torch writes for things without a place here: an explanation instead of a warning. */
static const struct {
    const char *module, *name, *what;
} refused[] = {
    {"torch._utils", "_rebuild_sparse_tensor", "a sparse tensor"},
    {"torch._utils", "_rebuild_sparse_csr_tensor", "a sparse tensor"},
    {"torch._utils", "_rebuild_qtensor", "a tensor in PyTorch's quantized form"},
    {"torch._utils", "_rebuild_nested_tensor", "a nested tensor"},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", "a meta tensor, which has no data"},
    {"torch._utils", "_rebuild_wrapper_subclass", "a tensor subclass"},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", "a tensor of an accelerator saved through NumPy"},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", "a tensor of an accelerator"},
    {"torch._tensor", "_rebuild_from_type_v2", "a tensor subclass or a tensor with Python attributes"},
    {"torch", "QInt8Storage", "a tensor in PyTorch's quantized form"},
    {"torch", "QUInt8Storage", "a tensor in PyTorch's quantized form"},
    {"torch", "QInt32Storage", "a tensor in PyTorch's quantized form"},
    {"torch", "QUInt4x2Storage", "a tensor in PyTorch's quantized form"},
    {"torch", "QUInt2x4Storage", "a tensor in PyTorch's quantized form"},
    {"torch", "complex32", "the element type complex32"},
    {"torch", "float4_e2m1fn_x2", "the element type float4_e2m1fn_x2"},
};

static bool same_name(const char *module, const char *name, const char *m, size_t n_m, const char *s,
                      size_t n_s)
{
    return strlen(module) == n_m && memcmp(module, m, n_m) == 0 && strlen(name) == n_s &&
           memcmp(name, s, n_s) == 0;
}

const struct pickle_global *pickle_find_global(const char *module, size_t n_module, const char *name,
                                               size_t n_name, const char **reason)
{
    *reason = NULL;
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (same_name(globals[i].module, globals[i].name, module, n_module, name, n_name)) return &globals[i];
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (same_name(refused[i].module, refused[i].name, module, n_module, name, n_name))
            *reason = refused[i].what;
    return NULL;
}

bool pickle_knows(const char *module, const char *name)
{
    const char *reason;
    return pickle_find_global(module, strlen(module), name, strlen(name), &reason) != NULL;
}

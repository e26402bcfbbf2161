#include "core/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum status grow(void **items, size_t count, size_t *cap, size_t size, struct error *err)
{
    if (count < *cap) return STATUS_OK;
    size_t want = *cap ? 2 * *cap : 64;
    void *p = realloc(*items, want * size);
    if (!p) return error_nomem(err, want * size);
    *items = p;
    *cap = want;
    return STATUS_OK;
}

/* The shape of sources that follow each other along the outermost dimension. */
static enum status join_sources(struct plan_tensor *t, struct error *err)
{
    const struct tensor *a = t->sources[0].t->t;
    t->from = a->dtype;
    t->n_dims = a->n_dims;
    memcpy(t->shape, a->shape, sizeof t->shape);
    for (size_t i = 1; i < t->n_sources; i++) {
        const struct tensor *b = t->sources[i].t->t;
        size_t inner = a->n_dims > 0 ? (size_t)(a->n_dims - 1) * sizeof *a->shape : 0;
        if (b->dtype != a->dtype || b->n_dims != a->n_dims || a->n_dims == 0 ||
            memcmp(a->shape + 1, b->shape + 1, inner) != 0)
            return error_at(err, STATUS_MISMATCH, t->sources[i].t->container->file.path, b->name,
                            "does not fit behind '%s': types and inner dimensions must be equal", a->name);
        if (t->stacked && b->shape[0] != a->shape[0])
            return error_at(err, STATUS_MISMATCH, t->sources[i].t->container->file.path, b->name,
                            "does not fit beside '%s': shapes must be equal", a->name);
        if (b->shape[0] > INT64_MAX - t->shape[0])
            return error_at(err, STATUS_RANGE, "", t->name, "its sources together have too many rows");
        t->shape[0] += b->shape[0];
    }
    if (t->stacked && t->n_dims < TENSOR_DIMS_MAX) {
        memmove(t->shape + 1, a->shape, (size_t)a->n_dims * sizeof *a->shape);
        t->shape[0] = (int64_t)t->n_sources;
        t->n_dims++;
    }
    return STATUS_OK;
}

static const char *source_path(const struct plan_tensor *t)
{
    return t->n_sources > 0 ? t->sources[0].t->container->file.path : "";
}

static enum status copy_inputs(struct plan *p, struct plan_tensor *t, const struct ckpt_tensor *source,
                               struct error *err)
{
    struct plan_source one = {.t = source};
    if (source) {
        t->sources = &one;
        t->n_sources = 1;
    }
    t->name = arena_strndup(&p->mem, t->name, strlen(t->name));
    struct plan_source *sources = arena_array(&p->mem, t->n_sources + 1, sizeof *sources);
    if (!t->name || !sources) return error_nomem(err, sizeof *sources);
    for (size_t i = 0; i < t->n_sources; i++) sources[i].t = t->sources[i].t;
    t->sources = sources;
    if (t->n_sources == 0) {
        t->from = t->to;
        return STATUS_OK;
    }
    t->data = NULL;
    return join_sources(t, err);
}

static enum status copy_data(struct plan *p, struct plan_tensor *t, uint64_t n_bytes, struct error *err)
{
    void *data = n_bytes <= SIZE_MAX ? arena_alloc(&p->mem, n_bytes ? (size_t)n_bytes : 1) : NULL;
    if (!data) return error_nomem(err, (size_t)n_bytes);
    if (n_bytes > 0) memcpy(data, t->data, (size_t)n_bytes);
    t->data = data;
    return STATUS_OK;
}

/* Names the tensor (the source's name where there is one) in an error that came from a part that does not know it. */
static enum status name_error(struct error *err, const struct plan_tensor *t)
{
    struct error cause = *err;
    return error_at(err, cause.status, source_path(t), t->n_sources > 0 ? t->sources[0].t->t->name : t->name,
                    "%s", cause.text);
}

/* How many bytes it takes; GGUF's writer has a list of its own. */
static enum status add_place(struct plan *p, struct plan_tensor *t, struct error *err)
{
    if (p->format == PLAN_GGUF) {
        TRY(gguf_add_tensor(&p->out, t->name, t->to, t->spec.n_dims, t->spec.shape, err));
        t->place.size_bytes = p->out.tensors[p->out.n_tensors - 1].size_bytes;
        return STATUS_OK;
    }
    struct tensor sized = {.name = t->name, .dtype = t->to, .n_dims = t->spec.n_dims};
    memcpy(sized.shape, t->spec.shape, sizeof sized.shape);
    TRY(tensor_set_size(&sized, "", err));
    t->place.size_bytes = t->place.padded_bytes = sized.size_bytes;
    return STATUS_OK;
}

/* A row of blocks is cut by transposing it; numbers are not. */
static bool needs_decoding(const struct plan_tensor *t)
{
    const struct dtype_info *from = dtype_info(t->from);
    return t->transform == TRANSFORM_TRANSPOSE && from->block_len > 1 && from->decode_f32;
}

enum status plan_add(struct plan *p, const struct plan_tensor *tensor, const struct ckpt_tensor *source,
                     struct error *err)
{
    struct plan_tensor t = *tensor;
    TRY(copy_inputs(p, &t, source, err));
    if (t.wanted == DTYPE_F32 || t.wanted == DTYPE_COUNT) t.wanted = t.to; /* F32 is 0: left out */
    t.audit = (struct cast_audit)CAST_AUDIT_INIT;
    t.order = p->n_tensors;
    t.decoded = needs_decoding(&t);
    if (transform_init(&t.spec, t.transform, t.decoded ? DTYPE_F32 : t.from, t.n_dims, t.shape, &t.args, err) != STATUS_OK)
        return name_error(err, &t);
    if (t.from != t.to) {
        const struct dtype_info *from = dtype_info(t.from), *to = dtype_info(t.to);
        bool known = from->is_float || from->decode_f32 != NULL;
        if (!known || !(to->is_float || dtype_can_encode(t.to, false)))
            return error_at(err, STATUS_UNSUPPORTED, source_path(&t), t.name, "cannot turn %s into %s",
                            from->name, to->name);
    }
    if (t.scales.t && (t.n_sources != 1 || t.n_dims != 2 || t.transform == TRANSFORM_TRANSPOSE))
        return error_at(err, STATUS_UNSUPPORTED, source_path(&t), t.name,
                        "scales of a tensor that is no matrix, or is transposed or put together");
    if (add_place(p, &t, err) != STATUS_OK) return name_error(err, &t);
    if (t.n_sources == 0) TRY(copy_data(p, &t, t.place.size_bytes, err));
    TRY(grow((void **)&p->tensors, p->n_tensors, &p->cap_tensors, sizeof *p->tensors, err));
    p->tensors[p->n_tensors++] = t;
    return STATUS_OK;
}

enum status plan_drop(struct plan *p, const struct ckpt_tensor *source, const char *why, struct error *err)
{
    TRY(grow((void **)&p->dropped, p->n_dropped, &p->cap_dropped, sizeof *p->dropped, err));
    p->dropped[p->n_dropped++] = (struct plan_dropped){source, why};
    return STATUS_OK;
}

enum status plan_rebuild(struct plan *p, struct error *err)
{
    p->out.n_tensors = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        TRY(gguf_add_tensor(&p->out, t->name, t->to, t->spec.n_dims, t->spec.shape, err));
    }
    return STATUS_OK;
}

enum status plan_layout(struct plan *p, struct error *err)
{
    if (p->n_tensors == 0) return error_set(err, STATUS_NOTFOUND, "there is no tensor to write");
    TRY(gguf_layout(&p->out, err));
    p->size_bytes = p->out.size_bytes;
    for (size_t i = 0; i < p->n_tensors; i++) {
        struct plan_tensor *t = &p->tensors[i];
        const struct gguf_out_tensor *out = &p->out.tensors[i];
        t->name = out->name;
        t->place = (struct plan_place){out->off_file, out->size_bytes, out->padded_bytes};
    }
    return plan_count_sources(p, err);
}

enum status plan_count_sources(struct plan *p, struct error *err)
{
    p->source_bytes = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        uint64_t n_bytes = transform_bytes(&t->spec, t->spec.n_elements);
        if (!size_add(p->source_bytes, n_bytes, &p->source_bytes))
            return error_at(err, STATUS_RANGE, source_path(t), t->name, "the sources pass 2^64 bytes");
    }
    return STATUS_OK;
}

void plan_clear(struct plan *p)
{
    gguf_writer_clear(&p->out);
    for (size_t i = 0; i < p->n_parts; i++) buf_clear(&p->parts[i].header);
    free(p->parts);
    free(p->tensors);
    free(p->dropped);
    arena_clear(&p->mem);
    *p = (struct plan){0};
}

size_t plan_tensor_at(const struct plan *p, uint64_t off)
{
    size_t low = 0, high = p->n_tensors;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (p->tensors[middle].place.off_file <= off)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t plan_string_offset(const struct plan *p, const char *key)
{
    uint64_t off = 4 + 4 + 8 + 8; /* magic, version, counts */
    for (size_t i = 0; i < p->out.n_kvs; i++) {
        const struct kv *kv = &p->out.kvs[i];
        if (strcmp(kv->key, key) == 0) return kv->type == KV_STRING ? off + 8 + strlen(key) + 4 + 8 : 0;
        off += gguf_kv_bytes(kv);
    }
    return 0;
}

int64_t plan_fallback_cost(const struct plan *p, size_t i)
{
    const struct plan_tensor *t = &p->tensors[i];
    const struct dtype_info *wanted = dtype_info(t->wanted);
    double ideal = (double)t->spec.n_elements / wanted->block_len * wanted->block_bytes;
    return (int64_t)t->place.size_bytes - (int64_t)ideal;
}

enum dtype plan_main_type(const struct plan *p)
{
    uint64_t n[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < p->n_tensors; i++)
        if (p->tensors[i].spec.n_dims >= 2) n[p->tensors[i].to] += (uint64_t)p->tensors[i].spec.n_elements;
    int best = DTYPE_F32;
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (n[t] > n[best]) best = t;
    return (enum dtype)best;
}

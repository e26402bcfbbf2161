/* A plan as text and as JSON. */
#include "base/progress.h"
#include "core/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 60, ITEMS_MAX = 4 }; /* of a string, of an array: the rest is counted */

const char *plan_source_type_name(enum dtype t)
{
    const struct dtype_info *info = dtype_info(t);
    if (!info) return "?";
    return info->st_name ? info->st_name : info->ggml_name ? info->ggml_name : info->name;
}

/* Up to TEXT_MAX bytes of a string, escaped, in quotes. */
static void print_string(struct buf *b, const struct kv_string *s)
{
    char cut[TEXT_MAX + 1], escaped[4 * TEXT_MAX + 1];
    size_t n = s->len < TEXT_MAX ? (size_t)s->len : TEXT_MAX;
    while (n > 0 && n < s->len && ((unsigned char)s->s[n] & 0xc0) == 0x80) n--; /* not inside a character */
    memcpy(cut, s->s, n);
    cut[n] = 0;
    text_escape(cut, escaped, sizeof escaped);
    buf_printf(b, "\"%s\"", escaped);
    if (n < s->len) buf_printf(b, "... %" PRIu64 " bytes", s->len);
}

/* Element i of an array as a value of its own. */
static struct kv array_item(const struct kv *kv, uint64_t i)
{
    struct kv item = {.key = kv->key, .type = kv->v.array.type};
    const char *data = kv->v.array.data;
    switch (item.type) {
    case KV_STRING:
        item.v.str = ((const struct kv_string *)kv->v.array.data)[i];
        return item;
    case KV_F32: {
        float f;
        memcpy(&f, data + 4 * i, 4);
        item.v.f = (double)f;
        return item;
    }
    case KV_F64:
        memcpy(&item.v.f, data + 8 * i, 8);
        return item;
    default: { /* integers, little-endian in memory; signed ones are widened with their sign */
        size_t n = kv_type_size(item.type);
        memcpy(&item.v.u, data + n * i, n);
        bool is_signed = item.type == KV_I8 || item.type == KV_I16 || item.type == KV_I32;
        if (is_signed && (item.v.u >> (8 * n - 1) & 1)) item.v.u |= ~(uint64_t)0 << (8 * n);
        return item;
    }
    }
}

static void print_value(struct buf *b, const struct kv *kv)
{
    switch (kv->type) {
    case KV_STRING:
        print_string(b, &kv->v.str);
        break;
    case KV_BOOL:
        buf_puts(b, kv->v.u ? "true" : "false");
        break;
    case KV_F32:
        buf_printf(b, "%.9g", kv->v.f);
        break;
    case KV_F64:
        buf_printf(b, "%.17g", kv->v.f);
        break;
    case KV_I8:
    case KV_I16:
    case KV_I32:
    case KV_I64:
        buf_printf(b, "%" PRId64, kv->v.i);
        break;
    case KV_ARRAY:
        for (uint64_t i = 0; i < kv->v.array.n && i < ITEMS_MAX; i++) {
            struct kv item = array_item(kv, i);
            if (i > 0) buf_puts(b, ", ");
            print_value(b, &item);
        }
        if (kv->v.array.n > ITEMS_MAX) buf_puts(b, ", ...");
        break;
    default:
        buf_printf(b, "%" PRIu64, kv->v.u);
    }
}

static void print_key(struct buf *b, const struct kv *kv)
{
    char key[256], type[64];
    text_escape(kv->key, key, sizeof key);
    if (kv->type == KV_ARRAY)
        snprintf(type, sizeof type, "%s[%" PRIu64 "]", kv_type_name(kv->v.array.type), kv->v.array.n);
    else
        snprintf(type, sizeof type, "%s", kv_type_name(kv->type));
    buf_printf(b, "  %-44s %-15s ", key, type);
    print_value(b, kv);
    buf_puts(b, "\n");
}

static void print_shape(char *dst, size_t size, int n_dims, const int64_t *shape)
{
    size_t n = 0;
    dst[0] = 0;
    for (int d = 0; d < n_dims && n < size; d++)
        n += (size_t)snprintf(dst + n, size - n, "%s%" PRId64, d ? " x " : "", shape[d]);
    if (n_dims == 0) snprintf(dst, size, "scalar");
}

static void print_tensor(struct buf *b, const struct plan *p, size_t i)
{
    const struct plan_tensor *t = &p->tensors[i];
    char shape[192], name[256], source[512] = "generated";
    print_shape(shape, sizeof shape, t->spec.n_dims, t->spec.shape);
    text_escape(t->name, name, sizeof name);
    if (t->n_sources > 0) text_escape(t->sources[0].t->t->name, source, sizeof source);
    buf_printf(b, "  %-34s %-5s %-17s %12" PRIu64 "  %s, %s", name, dtype_info(t->to)->ggml_name, shape,
               t->place.size_bytes, plan_source_type_name(t->from), source);
    if (t->n_sources > 1) buf_printf(b, " and %zu more", t->n_sources - 1);
    if (t->transform != TRANSFORM_NONE) buf_printf(b, ", %s", transform_name(t->transform));
    if (t->args.heads > 0) buf_printf(b, " of %" PRId64 " heads", t->args.heads);
    if (t->args.groups > 0) buf_printf(b, " in %" PRId64 " groups", t->args.groups);
    if (t->args.rotated > 0) buf_printf(b, ", %" PRId64 " rotated", t->args.rotated);
    if (t->scales.t)
        buf_printf(b, ", times scales of %" PRId64 " x %" PRId64, t->scales.block_rows, t->scales.block_cols);
    if (t->scaled_rows > 0) buf_printf(b, ", first %" PRId64 " rows x %.17g", t->scaled_rows, t->scale);
    buf_printf(b, " (%s", t->why);
    if (t->wanted != t->to) {
        int64_t cost = plan_fallback_cost(p, i);
        buf_printf(b, "; rows are no multiple of %u for %s: %" PRId64 " bytes %s", dtype_info(t->wanted)->block_len, dtype_info(t->wanted)->ggml_name,
                   cost < 0 ? -cost : cost, cost < 0 ? "less" : "more");
    }
    buf_puts(b, ")\n");
}

void plan_print(const struct plan *p, struct buf *b)
{
    char size[32];
    buf_printf(b, "metadata (%zu keys)\n", p->out.n_kvs);
    for (size_t i = 0; i < p->out.n_kvs; i++) print_key(b, &p->out.kvs[i]);
    buf_printf(b, "tensors (%zu)\n", p->n_tensors);
    for (size_t i = 0; i < p->n_tensors; i++) print_tensor(b, p, i);
    if (p->n_dropped > 0) buf_printf(b, "left out (%zu)\n", p->n_dropped);
    for (size_t i = 0; i < p->n_dropped; i++) {
        char name[512];
        text_escape(p->dropped[i].t->t->name, name, sizeof name);
        buf_printf(b, "  %s (%s)\n", name, p->dropped[i].why);
    }
    uint64_t n_data = 0;
    for (size_t i = 0; i < p->n_tensors; i++) n_data += p->tensors[i].place.padded_bytes;
    if (p->n_parts > 0) buf_printf(b, "files (%zu)\n", p->n_parts);
    for (size_t i = 0; i < p->n_parts; i++)
        buf_printf(b, "  %-44s %12" PRIu64 " bytes, %zu tensors\n", p->parts[i].name, p->parts[i].size_bytes, p->parts[i].n_tensors);
    buf_printf(b, "total %" PRIu64 " bytes (%s): %s %" PRIu64 ", tensors %" PRIu64 "\n", p->size_bytes, format_bytes(size, p->size_bytes),
               p->n_parts > 0 ? "headers and other files" : "header", p->size_bytes - n_data, n_data);
}

/* --- JSON --- */

static void json_value(struct jwriter *w, const char *key, const struct kv *kv)
{
    switch (kv->type) {
    case KV_STRING:
        jw_string(w, key, kv->v.str.s);
        break;
    case KV_BOOL:
        jw_bool(w, key, kv->v.u != 0);
        break;
    case KV_F32:
    case KV_F64:
        jw_double(w, key, kv->v.f);
        break;
    case KV_I8:
    case KV_I16:
    case KV_I32:
    case KV_I64:
        jw_int(w, key, kv->v.i);
        break;
    case KV_ARRAY:
        jw_begin_array(w, key);
        for (uint64_t i = 0; i < kv->v.array.n; i++) {
            struct kv item = array_item(kv, i);
            json_value(w, NULL, &item);
        }
        jw_end_array(w);
        break;
    default:
        jw_uint(w, key, kv->v.u);
    }
}

static void json_shape(struct jwriter *w, int n_dims, const int64_t *shape)
{
    jw_begin_array(w, "shape");
    for (int d = 0; d < n_dims; d++) jw_int(w, NULL, shape[d]);
    jw_end_array(w);
}

static void json_source(struct jwriter *w, const struct tensor *t)
{
    jw_begin_object(w, NULL);
    jw_string(w, "name", t->name);
    jw_string(w, "dtype", plan_source_type_name(t->dtype));
    json_shape(w, t->n_dims, t->shape);
    jw_end_object(w);
}

void plan_put_transform(struct jwriter *w, const struct plan_tensor *t)
{
    jw_string(w, "transform", transform_name(t->transform));
    if (t->args.heads > 0) jw_int(w, "heads", t->args.heads);
    if (t->args.groups > 0) jw_int(w, "groups", t->args.groups);
    if (t->args.rotated > 0) jw_int(w, "rotated", t->args.rotated);
    if (t->scaled_rows > 0) {
        jw_double(w, "scale", t->scale);
        jw_int(w, "scaled_rows", t->scaled_rows);
    }
    if (t->scales.t) {
        jw_begin_array(w, "block");
        jw_int(w, NULL, t->scales.block_rows);
        jw_int(w, NULL, t->scales.block_cols);
        jw_end_array(w);
    }
}

static void json_tensor(struct jwriter *w, const struct plan *p, size_t i)
{
    const struct plan_tensor *t = &p->tensors[i];
    jw_begin_object(w, NULL);
    jw_string(w, "name", t->name);
    jw_string(w, "dtype", dtype_info(t->to)->ggml_name);
    json_shape(w, t->spec.n_dims, t->spec.shape);
    jw_uint(w, "size_bytes", t->place.size_bytes);
    jw_uint(w, "offset", t->place.off_file);
    plan_put_transform(w, t);
    jw_string(w, "rule", t->why);
    if (t->wanted != t->to) {
        jw_string(w, "fallback_from", dtype_info(t->wanted)->ggml_name);
        jw_int(w, "fallback_cost_bytes", plan_fallback_cost(p, i));
    }
    if (t->weights) jw_bool(w, "imatrix", true);
    jw_begin_array(w, "sources");
    for (size_t k = 0; k < t->n_sources; k++) json_source(w, t->sources[k].t->t);
    if (t->scales.t) json_source(w, t->scales.t->t);
    jw_end_array(w);
    jw_end_object(w);
}

void plan_print_json(const struct plan *p, struct jwriter *w)
{
    jw_begin_object(w, "plan");
    jw_uint(w, "header_bytes", p->out.header.len);
    jw_begin_array(w, "metadata");
    for (size_t i = 0; i < p->out.n_kvs; i++) {
        const struct kv *kv = &p->out.kvs[i];
        jw_begin_object(w, NULL);
        jw_string(w, "key", kv->key);
        jw_string(w, "type", kv_type_name(kv->type == KV_ARRAY ? kv->v.array.type : kv->type));
        if (kv->type == KV_ARRAY) jw_uint(w, "count", kv->v.array.n);
        json_value(w, "value", kv);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_begin_array(w, "tensors");
    for (size_t i = 0; i < p->n_tensors; i++) json_tensor(w, p, i);
    jw_end_array(w);
    jw_begin_array(w, "dropped");
    for (size_t i = 0; i < p->n_dropped; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "name", p->dropped[i].t->t->name);
        jw_string(w, "reason", p->dropped[i].why);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

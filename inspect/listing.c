#include "inspect/listing.h"

#include "inspect/layer_names.h"
#include "inspect/stats_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAY_SHOWN = 8, STRING_SHOWN = 120 };

/* --- tensors --- */

struct measured {
    struct tensor_stats stats;
    char sha256[SHA256_HEX];
};

static enum status measure(const struct ckpt_tensor *t, const struct listing *o, struct measured *m,
                           struct error *err)
{
    memset(m, 0, sizeof *m);
    if (o->hash) {
        uint8_t digest[SHA256_BYTES];
        TRY(scan_sha256(t, digest, o->progress, err));
        sha256_hex(digest, m->sha256);
    }
    if (o->stats) TRY(stats_tensor(t, o->workers, &m->stats, o->progress, err));
    return STATUS_OK;
}

static void format_shape(const struct tensor *t, char dst[160])
{
    size_t n = 0;
    dst[0] = '\0';
    for (int i = 0; i < t->n_dims; i++)
        n += (size_t)snprintf(dst + n, 160 - n, "%s%" PRId64, i ? " x " : "", t->shape[i]);
    if (t->n_dims == 0) snprintf(dst, 160, "scalar");
}

/* One line of the list: a tensor, or the layers that look alike. */
struct row {
    const struct ckpt_tensor *t;
    struct layer_group group;
};

static enum status add_row(struct row *rows, size_t *n_rows, struct strmap *groups, struct arena *a,
                           const struct ckpt_tensor *t, bool all, struct error *err)
{
    size_t index;
    const char *pattern = NULL;
    int64_t layer = all ? -1 : layer_split(t->t->name, a, &pattern);
    if (layer >= 0) {
        char shape[160];
        format_shape(t->t, shape);
        const char *key = arena_printf(a, "%s %d %s", pattern ? pattern : "", (int)t->t->dtype, shape);
        if (!pattern || !key) return error_nomem(err, 0);
        if (strmap_find(groups, key, &index)) {
            layer_group_add(&rows[index].group, layer);
            return STATUS_OK;
        }
        TRY(strmap_add(groups, key, *n_rows, NULL, err));
    }
    rows[(*n_rows)++] = (struct row){t, {t->t->name, pattern, layer, layer, 1}};
    return STATUS_OK;
}

static enum status print_rows(const struct subject *s, const struct listing *o, const struct row *rows,
                              size_t n, struct role_stats *roles, struct buf *out, struct error *err)
{
    char name[320], shape[160];
    int width = 6;
    for (size_t i = 0; i < n; i++) {
        layer_group_name(&rows[i].group, name);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    buf_printf(out, "%-*s %5s %-8s %-20s %14s", width, "tensor", "", "type", "shape", "bytes");
    if (o->stats) stats_text_head(out);
    buf_puts(out, o->hash ? "  sha256\n" : "\n");
    for (size_t i = 0; i < n; i++) {
        char times[24] = "";
        struct measured m;
        TRY(measure(rows[i].t, o, &m, err));
        layer_group_name(&rows[i].group, name);
        format_shape(rows[i].t->t, shape);
        if (rows[i].group.count > 1) snprintf(times, sizeof times, "x%zu", rows[i].group.count);
        buf_printf(out, "%-*s %5s %-8s %-20s %14" PRIu64, width, name, times,
                   subject_dtype_name(s, rows[i].t->t->dtype), shape, rows[i].t->t->size_bytes);
        if (o->stats) stats_text(&m.stats, out);
        if (o->stats) role_stats_add(roles, s, rows[i].t, &m.stats);
        if (o->hash) buf_printf(out, "  %s", m.sha256);
        buf_puts(out, "\n");
    }
    return STATUS_OK;
}

enum status listing_tensors_text(const struct subject *s, const struct listing *o, struct buf *out,
                                 struct error *err)
{
    size_t n, n_rows = 0;
    const struct ckpt_tensor *tensors = subject_tensors(s, &n);
    struct strmap groups = {0};
    struct arena a = {0};
    struct role_stats roles = {0};
    struct row *rows = arena_array(&a, n, sizeof *rows);
    enum status st = rows || n == 0 ? STATUS_OK : error_nomem(err, n * sizeof *rows);
    if (st == STATUS_OK) st = role_stats_begin(&roles, s, err);
    for (size_t i = 0; st == STATUS_OK && i < n; i++)
        st = add_row(rows, &n_rows, &groups, &a, &tensors[i], o->all || o->stats || o->hash, err);
    if (st == STATUS_OK) st = print_rows(s, o, rows, n_rows, &roles, out, err);
    if (st == STATUS_OK && o->stats) role_stats_text(&roles, out);
    role_stats_clear(&roles);
    strmap_clear(&groups);
    arena_clear(&a);
    return st;
}

static void tensor_json(const struct subject *s, const struct ckpt_tensor *ct, const struct listing *o,
                        const struct measured *m, struct jwriter *w)
{
    const struct tensor *t = ct->t;
    jw_begin_object(w, NULL);
    jw_string(w, "name", t->name);
    jw_string(w, "dtype", subject_dtype_name(s, t->dtype));
    jw_begin_array(w, "shape");
    for (int k = 0; k < t->n_dims; k++) jw_int(w, NULL, t->shape[k]);
    jw_end_array(w);
    jw_uint(w, "size_bytes", t->size_bytes);
    if (o->stats) stats_json(&m->stats, w);
    if (o->hash) jw_string(w, "sha256", m->sha256);
    jw_end_object(w);
}

enum status listing_tensors_json(const struct subject *s, const struct listing *o, struct jwriter *w,
                                 struct error *err)
{
    size_t n;
    const struct ckpt_tensor *tensors = subject_tensors(s, &n);
    struct role_stats roles;
    enum status st = role_stats_begin(&roles, s, err);
    jw_begin_array(w, "tensors");
    for (size_t i = 0; st == STATUS_OK && i < n; i++) {
        struct measured m;
        st = measure(&tensors[i], o, &m, err);
        if (st == STATUS_OK) tensor_json(s, &tensors[i], o, &m, w);
        if (st == STATUS_OK && o->stats) role_stats_add(&roles, s, &tensors[i], &m.stats);
    }
    jw_end_array(w);
    if (st == STATUS_OK && o->stats) role_stats_json(&roles, w);
    role_stats_clear(&roles);
    return st;
}

/* RFC 4180: quotes around what holds a comma, a quote or a line break; quotes are doubled. */
static void csv_text(const char *s, struct buf *out)
{
    if (!strpbrk(s, ",\"\r\n")) {
        buf_puts(out, s);
        return;
    }
    buf_puts(out, "\"");
    for (; *s; s++) buf_printf(out, *s == '"' ? "\"%c" : "%c", *s);
    buf_puts(out, "\"");
}

enum status listing_tensors_csv(const struct subject *s, const struct listing *o, struct buf *out,
                                struct error *err)
{
    size_t n;
    const struct ckpt_tensor *tensors = subject_tensors(s, &n);
    buf_puts(out, "name,dtype,shape,size_bytes");
    if (o->stats) stats_csv_head(out);
    buf_puts(out, o->hash ? ",sha256\n" : "\n");
    for (size_t i = 0; i < n; i++) {
        const struct tensor *t = tensors[i].t;
        struct measured m;
        TRY(measure(&tensors[i], o, &m, err));
        csv_text(t->name, out);
        buf_printf(out, ",%s,", subject_dtype_name(s, t->dtype));
        for (int k = 0; k < t->n_dims; k++) buf_printf(out, "%s%" PRId64, k ? "x" : "", t->shape[k]);
        buf_printf(out, ",%" PRIu64, t->size_bytes);
        if (o->stats) stats_csv(&m.stats, out);
        if (o->hash) buf_printf(out, ",%s", m.sha256);
        buf_puts(out, "\n");
    }
    return STATUS_OK;
}

/* --- metadata --- */

/* Element i of an array as a scalar of its own. */
static struct kv array_element(const struct kv *kv, uint64_t i)
{
    const void *d = kv->v.array.data;
    struct kv e = {.key = kv->key, .type = kv->v.array.type};
    switch (e.type) {
    case KV_U8:
    case KV_BOOL:
        e.v.u = ((const uint8_t *)d)[i];
        break;
    case KV_I8:
        e.v.i = ((const int8_t *)d)[i];
        break;
    case KV_U16:
        e.v.u = ((const uint16_t *)d)[i];
        break;
    case KV_I16:
        e.v.i = ((const int16_t *)d)[i];
        break;
    case KV_U32:
        e.v.u = ((const uint32_t *)d)[i];
        break;
    case KV_I32:
        e.v.i = ((const int32_t *)d)[i];
        break;
    case KV_U64:
        e.v.u = ((const uint64_t *)d)[i];
        break;
    case KV_I64:
        e.v.i = ((const int64_t *)d)[i];
        break;
    case KV_F32:
        e.v.f = (double)((const float *)d)[i];
        break;
    case KV_F64:
        e.v.f = ((const double *)d)[i];
        break;
    case KV_STRING:
        e.v.str = ((const struct kv_string *)d)[i];
        break;
    case KV_ARRAY:
    case KV_TYPE_COUNT:
        break;
    }
    return e;
}

static void string_text(const struct kv_string *s, bool whole, struct buf *out)
{
    size_t shown = whole || s->len <= STRING_SHOWN ? (size_t)s->len : STRING_SHOWN;
    buf_puts(out, "\"");
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)s->s[i];
        if (c == '\n')
            buf_puts(out, "\\n");
        else if (c < 32 || c == 127)
            buf_printf(out, "\\x%02X", c);
        else
            buf_append(out, &s->s[i], 1);
    }
    buf_puts(out, "\"");
    if (shown < s->len) buf_printf(out, " ... %" PRIu64 " bytes", s->len);
}

void listing_value_text(const struct kv *kv, bool whole, struct buf *out)
{
    switch (kv->type) {
    case KV_U8:
    case KV_U16:
    case KV_U32:
    case KV_U64:
        buf_printf(out, "%" PRIu64, kv->v.u);
        return;
    case KV_I8:
    case KV_I16:
    case KV_I32:
    case KV_I64:
        buf_printf(out, "%" PRId64, kv->v.i);
        return;
    case KV_F32:
        buf_printf(out, "%.9g", kv->v.f);
        return;
    case KV_F64:
        buf_printf(out, "%.17g", kv->v.f);
        return;
    case KV_BOOL:
        buf_puts(out, kv->v.u ? "true" : "false");
        return;
    case KV_STRING:
        string_text(&kv->v.str, whole, out);
        return;
    case KV_ARRAY: {
        uint64_t shown = whole || kv->v.array.n <= ARRAY_SHOWN ? kv->v.array.n : ARRAY_SHOWN;
        buf_puts(out, "[");
        for (uint64_t i = 0; i < shown; i++) {
            struct kv e = array_element(kv, i);
            if (i) buf_puts(out, ", ");
            listing_value_text(&e, whole, out);
        }
        buf_puts(out, "]");
        if (shown < kv->v.array.n)
            buf_printf(out, " ... %" PRIu64 " values (--all shows them)", kv->v.array.n);
        return;
    }
    case KV_TYPE_COUNT:
        return;
    }
}

void listing_type_text(const struct kv *kv, char dst[32])
{
    if (kv->type == KV_ARRAY)
        snprintf(dst, 32, "%s[%" PRIu64 "]", kv_type_name(kv->v.array.type), kv->v.array.n);
    else
        snprintf(dst, 32, "%s", kv_type_name(kv->type));
}

void listing_metadata_text(const struct subject *s, const struct listing *o, struct buf *out)
{
    for (size_t f = 0; f < s->ckpt->n_files; f++) {
        const struct container *c = s->ckpt->files[f];
        if (s->ckpt->n_files > 1 && c->n_kvs > 0) buf_printf(out, "# %s\n", path_base(c->file.path));
        for (size_t i = 0; i < c->n_kvs; i++) {
            char key[256], type[32];
            text_escape(c->kvs[i].key, key, sizeof key);
            listing_type_text(&c->kvs[i], type);
            buf_printf(out, "%-42s %-14s ", key, type);
            listing_value_text(&c->kvs[i], o->all, out);
            buf_puts(out, "\n");
        }
    }
}

static void value_json(const struct kv *kv, const char *key, bool whole, struct jwriter *w)
{
    switch (kv->type) {
    case KV_U8:
    case KV_U16:
    case KV_U32:
    case KV_U64:
        jw_uint(w, key, kv->v.u);
        return;
    case KV_I8:
    case KV_I16:
    case KV_I32:
    case KV_I64:
        jw_int(w, key, kv->v.i);
        return;
    case KV_F32:
    case KV_F64:
        jw_double(w, key, kv->v.f);
        return;
    case KV_BOOL:
        jw_bool(w, key, kv->v.u != 0);
        return;
    case KV_STRING:
        jw_string(w, key, kv->v.str.s);
        return;
    case KV_ARRAY: {
        uint64_t shown = whole || kv->v.array.n <= ARRAY_SHOWN ? kv->v.array.n : ARRAY_SHOWN;
        jw_begin_array(w, key);
        for (uint64_t i = 0; i < shown; i++) {
            struct kv e = array_element(kv, i);
            value_json(&e, NULL, whole, w);
        }
        jw_end_array(w);
        return;
    }
    case KV_TYPE_COUNT:
        return;
    }
}

void listing_metadata_json(const struct subject *s, const struct listing *o, struct jwriter *w)
{
    jw_begin_array(w, "metadata");
    for (size_t f = 0; f < s->ckpt->n_files; f++)
        for (size_t i = 0; i < s->ckpt->files[f]->n_kvs; i++) {
            const struct kv *kv = &s->ckpt->files[f]->kvs[i];
            char type[32];
            listing_type_text(kv, type);
            jw_begin_object(w, NULL);
            jw_string(w, "key", kv->key);
            jw_string(w, "type", type);
            if (kv->type == KV_ARRAY) jw_uint(w, "count", kv->v.array.n);
            value_json(kv, "value", o->all, w);
            jw_end_object(w);
        }
    jw_end_array(w);
}

void listing_config_text(const struct subject *s, struct buf *out)
{
    const struct container *g = ckpt_gguf(s->ckpt);
    if (s->config)
        for (const struct jvalue *v = json_first(json_root(s->config)); v; v = json_next(v)) {
            char key[256];
            text_escape(json_key(v), key, sizeof key);
            buf_printf(out, "%-42s ", key);
            json_print(v, out);
            buf_puts(out, "\n");
        }
    size_t n_prefix = s->arch ? strlen(s->arch->gguf_arch) : 0;
    for (size_t i = 0; g && s->arch && i < g->n_kvs; i++) {
        const char *key = g->kvs[i].key;
        if (strncmp(key, s->arch->gguf_arch, n_prefix) != 0 || key[n_prefix] != '.') continue;
        buf_printf(out, "%-42s ", key + n_prefix + 1);
        listing_value_text(&g->kvs[i], false, out);
        buf_puts(out, "\n");
    }
}

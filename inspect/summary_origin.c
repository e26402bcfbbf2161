#include "inspect/summary_parts.h"

#include "base/digest.h"
#include "core/recipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char file_prefix[] = "lathe.receipt.file.";

/* general.file_type as llama-quantize's word; NULL if there is none or it says only that tensors are as they are. */
static const char *recipe_name(const struct container *g, int64_t *file_type)
{
    *file_type = -1;
    kv_get_int(container_kv(g, "general.file_type"), file_type);
    for (const struct recipe *r = recipe_list; r->name; r++)
        if (!r->pure && r->base != DTYPE_COUNT && (int64_t)r->file_type == *file_type) return r->name;
    return NULL;
}

/* The importance matrix; `file` NULL: none. */
struct importance {
    const char *file, *dataset, *sha256;
    int64_t n_entries, n_chunks;
};
static struct importance importance(const struct container *g)
{
    struct importance im = {kv_get_string(container_kv(g, "quantize.imatrix.file")), kv_get_string(container_kv(g, "quantize.imatrix.dataset")),
                            kv_get_string(container_kv(g, "lathe.quantize.imatrix.sha256")), -1, -1};
    kv_get_int(container_kv(g, "quantize.imatrix.entries_count"), &im.n_entries);
    kv_get_int(container_kv(g, "quantize.imatrix.chunks_count"), &im.n_chunks);
    return im;
}

static void quantized_text(const struct container *g, struct buf *out)
{
    int64_t type;
    const char *name = recipe_name(g, &type);
    struct importance im = importance(g);
    if (type < 0 && !im.file) return;
    buf_printf(out, "  recipe      %s", name ? name : "unknown");
    if (type >= 0) buf_printf(out, " (general.file_type %" PRId64 ")", type);
    if (im.file) {
        buf_puts(out, ", importance matrix ");
        buf_escape(out, im.file);
        if (im.dataset) buf_puts(out, " of ");
        if (im.dataset) buf_escape(out, im.dataset);
        if (im.n_entries >= 0) buf_printf(out, ", %" PRId64 " entries", im.n_entries);
        if (im.n_chunks >= 0) buf_printf(out, ", %" PRId64 " chunks", im.n_chunks);
        if (im.sha256) buf_puts(out, ", sha256 ");
        if (im.sha256) buf_escape(out, im.sha256);
    }
    if (container_kv(g, "lathe.quantize.damage")) buf_puts(out, "; damage recorded by tensor");
    buf_puts(out, "\n");
}

/* ---- the receipt ---- */

static const char *receipt_level(const struct container *g)
{
    return kv_get_string(container_kv(g, "lathe.receipt.level"));
}

static uint64_t n_digests(const struct container *g)
{
    const struct kv *kv = container_kv(g, "lathe.receipt.sha256");
    return kv && kv->type == KV_STRING ? kv->v.str.len / (SHA256_HEX - 1) : 0;
}

static const char *receipt_file(const struct kv *kv)
{
    size_t n = sizeof file_prefix - 1;
    return strncmp(kv->key, file_prefix, n) == 0 ? kv->key + n : NULL;
}

static void receipt_text(const struct container *g, struct buf *out)
{
    size_t n = 0;
    buf_puts(out, "  receipt     ");
    buf_escape(out, receipt_level(g));
    buf_printf(out, ": SHA-256 of %" PRIu64 " source tensors", n_digests(g));
    for (size_t i = 0; i < g->n_kvs; i++) {
        const char *name = receipt_file(&g->kvs[i]);
        if (!name) continue;
        buf_puts(out, n++ ? ", " : "; files ");
        buf_escape(out, name);
    }
    buf_puts(out, "\n");
}

void summary_origin_text(const struct subject *s, struct buf *out)
{
    const struct container *g = ckpt_gguf(s->ckpt);
    if (!g) return;
    quantized_text(g, out);
    if (receipt_level(g)) receipt_text(g, out);
}

void summary_origin_json(const struct subject *s, struct jwriter *w)
{
    const struct container *g = ckpt_gguf(s->ckpt);
    jw_string(w, "receipt", g ? receipt_level(g) : NULL);
    if (!g) return;
    if (receipt_level(g)) {
        jw_uint(w, "receipt_digests", n_digests(g));
        jw_begin_array(w, "receipt_files");
        for (size_t i = 0; i < g->n_kvs; i++)
            if (receipt_file(&g->kvs[i])) jw_string(w, NULL, receipt_file(&g->kvs[i]));
        jw_end_array(w);
    }
    int64_t type;
    const char *name = recipe_name(g, &type);
    if (type >= 0) jw_int(w, "file_type", type);
    if (type >= 0) jw_string(w, "recipe", name);
    struct importance im = importance(g);
    if (!im.file) return;
    jw_begin_object(w, "imatrix");
    jw_string(w, "file", im.file);
    jw_string(w, "dataset", im.dataset);
    jw_string(w, "sha256", im.sha256);
    if (im.n_entries >= 0) jw_int(w, "entries", im.n_entries);
    if (im.n_chunks >= 0) jw_int(w, "chunks", im.n_chunks);
    jw_end_object(w);
}

#include "inspect/summary.h"

#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- how the weights are stored --- */

struct type_use {
    enum dtype dtype;
    size_t n_tensors;
    uint64_t size_bytes;
};

static int by_size_descending(const void *a, const void *b)
{
    const struct type_use *x = a, *y = b;
    if (x->size_bytes != y->size_bytes) return x->size_bytes < y->size_bytes ? 1 : -1;
    return (x->dtype > y->dtype) - (x->dtype < y->dtype);
}

static size_t count_types(const struct subject *s, struct type_use use[DTYPE_COUNT])
{
    struct type_use all[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < s->ckpt->n_tensors; i++) {
        const struct tensor *t = s->ckpt->tensors[i].t;
        all[t->dtype].n_tensors++;
        all[t->dtype].size_bytes += t->size_bytes;
    }
    size_t n = 0;
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (all[t].n_tensors > 0) {
            use[n] = all[t];
            use[n++].dtype = (enum dtype)t;
        }
    qsort(use, n, sizeof *use, by_size_descending);
    return n;
}

static double bits_per_weight(const struct subject *s)
{
    return s->n_elements > 0 ? 8.0 * (double)s->weight_bytes / (double)s->n_elements : 0;
}

/* 134.5 M, 8.03 B */
static void format_count(char dst[32], int64_t n)
{
    static const struct {
        double unit;
        const char *suffix;
    } units[] = {{1e9, " B"}, {1e6, " M"}, {1e3, " K"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if ((double)n >= units[i].unit) {
            snprintf(dst, 32, "%.4g%s", (double)n / units[i].unit, units[i].suffix);
            return;
        }
    snprintf(dst, 32, "%" PRId64, n);
}

/* --- tokenizer --- */

static const char *const tokenizer_files[] = {
    "tokenizer.json",        "tokenizer.model",         "vocab.json",        "merges.txt",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"};

struct tokenizer_view {
    const char *model, *pre;
    int64_t n_tokens, bos, eos; /* ids: -1 if not given */
    int64_t template_bytes;     /* -1: none */
};

static bool view_tokenizer(const struct subject *s, struct tokenizer_view *v)
{
    const struct container *g = ckpt_gguf(s->ckpt);
    if (!g) return false;
    *v = (struct tokenizer_view){.bos = -1, .eos = -1, .template_bytes = -1};
    v->model = kv_get_string(container_kv(g, "tokenizer.ggml.model"));
    if (!v->model) return false;
    v->pre = kv_get_string(container_kv(g, "tokenizer.ggml.pre"));
    const struct kv *tokens = container_kv(g, "tokenizer.ggml.tokens"),
                    *chat = container_kv(g, "tokenizer.chat_template");
    if (tokens && tokens->type == KV_ARRAY) v->n_tokens = (int64_t)tokens->v.array.n;
    if (chat && chat->type == KV_STRING) v->template_bytes = (int64_t)chat->v.str.len;
    kv_get_int(container_kv(g, "tokenizer.ggml.bos_token_id"), &v->bos);
    kv_get_int(container_kv(g, "tokenizer.ggml.eos_token_id"), &v->eos);
    return true;
}

static bool has_file(const struct subject *s, const char *name)
{
    struct arena a = {0};
    bool model = strcmp(name, "tokenizer.model") == 0;
    const char *path = path_join(&a, model ? s->ckpt->tokenizer_dir : s->ckpt->dir, name);
    bool there = path && file_exists(path);
    arena_clear(&a);
    return there;
}

static void tokenizer_text(const struct subject *s, struct buf *out)
{
    struct tokenizer_view v;
    buf_puts(out, "  tokenizer   ");
    if (view_tokenizer(s, &v)) {
        buf_printf(out, "%s, pre %s, %" PRId64 " tokens", v.model, v.pre ? v.pre : "not given", v.n_tokens);
        if (v.bos >= 0) buf_printf(out, ", bos %" PRId64, v.bos);
        if (v.eos >= 0) buf_printf(out, ", eos %" PRId64, v.eos);
        if (v.template_bytes >= 0)
            buf_printf(out, "; chat template of %" PRId64 " bytes\n", v.template_bytes);
        else
            buf_puts(out, "; no chat template\n");
        return;
    }
    size_t n = 0;
    if (!ckpt_gguf(s->ckpt))
        for (size_t i = 0; i < sizeof tokenizer_files / sizeof *tokenizer_files; i++)
            if (has_file(s, tokenizer_files[i])) buf_printf(out, "%s%s", n++ ? ", " : "", tokenizer_files[i]);
    buf_puts(out, n ? "\n" : "none\n");
}

static void tokenizer_json(const struct subject *s, struct jwriter *w)
{
    struct tokenizer_view v;
    if (view_tokenizer(s, &v)) {
        jw_begin_object(w, "tokenizer");
        jw_string(w, "model", v.model);
        jw_string(w, "pre", v.pre);
        jw_int(w, "tokens", v.n_tokens);
        if (v.bos >= 0) jw_int(w, "bos", v.bos);
        if (v.eos >= 0) jw_int(w, "eos", v.eos);
        if (v.template_bytes >= 0) jw_int(w, "chat_template_bytes", v.template_bytes);
        jw_end_object(w);
        return;
    }
    jw_begin_array(w, "tokenizer_files");
    if (!ckpt_gguf(s->ckpt))
        for (size_t i = 0; i < sizeof tokenizer_files / sizeof *tokenizer_files; i++)
            if (has_file(s, tokenizer_files[i])) jw_string(w, NULL, tokenizer_files[i]);
    jw_end_array(w);
}

/* --- the model --- */

static void rope_text(const struct rope *r, struct buf *out)
{
    if (r->type == ROPE_NONE) {
        buf_puts(out, "learned positions, no rotary embedding\n");
        return;
    }
    buf_printf(out, "rope %s, base %g, %" PRId64 " dimensions", rope_type_name(r->type), r->theta, r->dim);
    if (r->factor != 1) buf_printf(out, ", factor %g", r->factor);
    if (r->n_ctx_orig > 0) buf_printf(out, ", original context %" PRId64, rope_original_context(r));
    buf_puts(out, "\n");
}

static const char *tied_text(const struct model *m)
{
    if (!m->hp.tied) return "output matrix of its own";
    return m->tie_dropped ? "tied (a second, equal copy is stored)" : "tied";
}

static int64_t count_local(const struct hparams *h)
{
    int64_t n = 0;
    for (int64_t i = 0; i < h->n_layer; i++) n += hparams_window(h, i) > 0;
    return n;
}

/* What is not as in most models. */
static void attention_text(const struct hparams *h, struct buf *out)
{
    int64_t n_local = count_local(h);
    if (n_local > 0) buf_printf(out, ", window %" PRId64, h->window);
    if (n_local > 0 && n_local < h->n_layer)
        buf_printf(out, " in %" PRId64 " of %" PRId64 " layers", n_local, h->n_layer);
    if (h->attn_scale == 1) buf_puts(out, ", scores not scaled");
    if (h->attn_scale > 0 && h->attn_scale != 1) buf_printf(out, ", scores times %g", h->attn_scale);
    if (h->attn_scale_by_layer) buf_puts(out, ", divided by the layer's number");
    if (h->parallel) buf_puts(out, ", beside the feed-forward layer");
}

static void model_text(const struct model *m, struct buf *out)
{
    const struct hparams *h = &m->hp;
    buf_printf(out,
               "  layers      %" PRId64 ", width %" PRId64 ", feed-forward %" PRId64
               " (%s), vocabulary %" PRId64 "\n",
               h->n_layer, h->n_embd, h->n_ff, activation_name(h->activation), h->n_vocab);
    buf_printf(out, "  attention   %" PRId64 " heads of %" PRId64, h->n_head, h->head_dim);
    if (h->n_head_kv != h->n_head) buf_printf(out, ", %" PRId64 " key/value heads", h->n_head_kv);
    if (h->attn_bias) buf_puts(out, ", with biases");
    attention_text(h, out);
    buf_printf(out, "\n  context     %" PRId64 "; ", h->n_ctx);
    rope_text(&h->rope, out);
    buf_printf(out, "  embeddings  %s\n", tied_text(m));
}

static void model_json(const struct model *m, struct jwriter *w)
{
    const struct hparams *h = &m->hp;
    jw_begin_object(w, "hparams");
    jw_int(w, "n_layer", h->n_layer);
    jw_int(w, "n_embd", h->n_embd);
    jw_int(w, "n_ff", h->n_ff);
    jw_int(w, "n_head", h->n_head);
    jw_int(w, "n_head_kv", h->n_head_kv);
    jw_int(w, "head_dim", h->head_dim);
    jw_int(w, "n_vocab", h->n_vocab);
    jw_int(w, "n_ctx", h->n_ctx);
    jw_double(w, "norm_eps", h->norm_eps);
    jw_string(w, "activation", activation_name(h->activation));
    jw_bool(w, "tied_embeddings", h->tied);
    jw_bool(w, "parallel", h->parallel);
    jw_int(w, "window", count_local(h) > 0 ? h->window : 0);
    jw_int(w, "local_layers", count_local(h));
    jw_end_object(w);
    if (h->rope.type == ROPE_NONE) {
        jw_null(w, "rope");
        return;
    }
    jw_begin_object(w, "rope");
    jw_string(w, "type", rope_type_name(h->rope.type));
    jw_int(w, "dim", h->rope.dim);
    jw_double(w, "theta", h->rope.theta);
    jw_double(w, "factor", h->rope.factor);
    if (h->rope.n_ctx_orig > 0) jw_int(w, "original_context", rope_original_context(&h->rope));
    jw_end_object(w);
}

static const char *receipt_level(const struct subject *s)
{
    const struct container *g = ckpt_gguf(s->ckpt);
    return g ? kv_get_string(container_kv(g, "lathe.receipt.level")) : NULL;
}

void summary_text(const struct subject *s, struct buf *out)
{
    char size[32], count[32], name[256];
    text_escape(s->path, name, sizeof name);
    buf_printf(out, "%s: %s (%s%s%s)\n", name, s->arch ? s->arch->family : "no known model family",
               s->ckpt->format, s->why ? "; recognised by " : "", s->why ? s->why : "");
    if (s->model && s->model->name) {
        text_escape(s->model->name, name, sizeof name);
        buf_printf(out, "  name        %s\n", name);
    }
    format_count(count, s->n_elements);
    buf_printf(out, "  size        %s in %zu %s: %zu tensors, %s weights, %.2f bits per weight\n",
               format_bytes(size, s->size_bytes), s->ckpt->n_files, s->ckpt->n_files == 1 ? "file" : "files",
               s->ckpt->n_tensors, count, bits_per_weight(s));
    struct type_use use[DTYPE_COUNT];
    size_t n = count_types(s, use);
    buf_puts(out, "  types       ");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s in %zu (%s)", i ? ", " : "", subject_dtype_name(s, use[i].dtype),
                   use[i].n_tensors, format_bytes(size, use[i].size_bytes));
    buf_puts(out, "\n");
    if (s->model) model_text(s->model, out);
    if (s->arch) tokenizer_text(s, out);
    if (receipt_level(s)) buf_printf(out, "  receipt     %s\n", receipt_level(s));
    if (s->model_error.text[0]) {
        char line[1200];
        error_format(&s->model_error, "incomplete", line, sizeof line);
        buf_printf(out, "  %s\n", line);
    }
    for (size_t i = 0; i < s->warnings.count; i++) {
        char text[1024];
        text_escape(s->warnings.items[i].text, text, sizeof text);
        buf_printf(out, "  note        %s (%s)\n", text, s->warnings.items[i].code);
    }
    for (size_t i = 0; i < s->ckpt->notes.count; i++) {
        char text[1024];
        text_escape(s->ckpt->notes.items[i], text, sizeof text);
        buf_printf(out, "  note        %s\n", text);
    }
}

void summary_json(const struct subject *s, struct jwriter *w)
{
    jw_string(w, "path", s->path);
    jw_string(w, "container", s->ckpt->format);
    jw_string(w, "family", s->arch ? s->arch->family : NULL);
    jw_string(w, "recognised_by", s->why);
    jw_string(w, "name", s->model ? s->model->name : NULL);
    jw_uint(w, "files", s->ckpt->n_files);
    jw_uint(w, "size_bytes", s->size_bytes);
    jw_uint(w, "n_tensors", s->ckpt->n_tensors);
    jw_int(w, "n_weights", s->n_elements);
    jw_double(w, "bits_per_weight", bits_per_weight(s));
    struct type_use use[DTYPE_COUNT];
    size_t n = count_types(s, use);
    jw_begin_array(w, "types");
    for (size_t i = 0; i < n; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "dtype", subject_dtype_name(s, use[i].dtype));
        jw_uint(w, "tensors", use[i].n_tensors);
        jw_uint(w, "size_bytes", use[i].size_bytes);
        jw_end_object(w);
    }
    jw_end_array(w);
    if (s->model) model_json(s->model, w);
    if (s->arch) tokenizer_json(s, w);
    jw_string(w, "receipt", receipt_level(s));
    jw_string(w, "incomplete", s->model_error.text[0] ? s->model_error.text : NULL);
    jw_begin_array(w, "warnings");
    for (size_t i = 0; i < s->warnings.count; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "code", s->warnings.items[i].code);
        jw_string(w, "text", s->warnings.items[i].text);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_begin_array(w, "notes");
    for (size_t i = 0; i < s->ckpt->notes.count; i++) jw_string(w, NULL, s->ckpt->notes.items[i]);
    jw_end_array(w);
}

#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TOKENIZER_CONFIG_MAX = 16 << 20 };

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

/* What tokenizer_config.json says; the vocabulary itself is megabytes, which a look at headers does not read. */
struct folder_view {
    char class[80];         /* "": not given */
    int64_t template_bytes; /* -1: none */
};

static int64_t template_bytes(const struct jvalue *v)
{
    const char *text = json_string(v);
    if (text) return (int64_t)strlen(text);
    int64_t n = -1; /* several, with names */
    for (const struct jvalue *e = json_first(v); e; e = json_next(e)) {
        text = json_string(json_get(e, "template"));
        if (text) n = (n < 0 ? 0 : n) + (int64_t)strlen(text);
    }
    return n;
}

static int64_t file_bytes(const char *path)
{
    struct error ignored;
    struct file f;
    if (!path || !file_exists(path) || file_open(&f, path, &ignored) != STATUS_OK) return -1;
    int64_t n = (int64_t)f.size_bytes;
    file_close(&f);
    return n;
}

static void view_folder(const struct subject *s, struct folder_view *v)
{
    struct arena a = {0};
    struct error ignored;
    struct json *doc = NULL;
    *v = (struct folder_view){.template_bytes = -1};
    const char *path = path_join(&a, s->ckpt->dir, "tokenizer_config.json");
    if (path && file_exists(path) && json_load(&doc, path, TOKENIZER_CONFIG_MAX, &ignored) == STATUS_OK) {
        const char *class = json_string(json_get(json_root(doc), "tokenizer_class"));
        if (class) text_escape(class, v->class, sizeof v->class);
        v->template_bytes = template_bytes(json_get(json_root(doc), "chat_template"));
        json_free(doc);
    }
    int64_t of_file = file_bytes(path_join(&a, s->ckpt->dir, "chat_template.jinja"));
    if (of_file >= 0) v->template_bytes = of_file;
    arena_clear(&a);
}

static void template_text(int64_t n, struct buf *out)
{
    if (n >= 0)
        buf_printf(out, "; chat template of %" PRId64 " bytes", n);
    else
        buf_puts(out, "; no chat template");
}

static void gguf_text(const struct tokenizer_view *v, struct buf *out)
{
    char model[80], pre[80];
    text_escape(v->model, model, sizeof model);
    text_escape(v->pre ? v->pre : "not given", pre, sizeof pre);
    buf_printf(out, "%s, pre %s, %" PRId64 " tokens", model, pre, v->n_tokens);
    if (v->bos >= 0) buf_printf(out, ", bos %" PRId64, v->bos);
    if (v->eos >= 0) buf_printf(out, ", eos %" PRId64, v->eos);
    template_text(v->template_bytes, out);
}

static void folder_text(const struct subject *s, struct buf *out)
{
    struct folder_view v;
    size_t n = 0;
    view_folder(s, &v);
    for (size_t i = 0; i < sizeof tokenizer_files / sizeof *tokenizer_files; i++)
        if (has_file(s, tokenizer_files[i])) {
            if (n == 0 && v.class[0]) buf_printf(out, "%s: ", v.class);
            buf_printf(out, "%s%s", n++ ? ", " : "", tokenizer_files[i]);
        }
    if (n)
        template_text(v.template_bytes, out);
    else
        buf_puts(out, "none");
}

void summary_tokenizer_text(const struct subject *s, struct buf *out)
{
    struct tokenizer_view v;
    buf_puts(out, "  tokenizer   ");
    if (view_tokenizer(s, &v))
        gguf_text(&v, out);
    else if (ckpt_gguf(s->ckpt))
        buf_puts(out, "none");
    else
        folder_text(s, out);
    buf_puts(out, "\n");
}

void summary_tokenizer_short(const struct subject *s, struct buf *out)
{
    struct tokenizer_view v;
    char text[80];
    if (view_tokenizer(s, &v)) {
        text_escape(v.pre ? v.pre : v.model, text, sizeof text);
        buf_printf(out, "%s %" PRId64, text, v.n_tokens);
        return;
    }
    size_t i = 0, n = sizeof tokenizer_files / sizeof *tokenizer_files;
    while (i < n && (ckpt_gguf(s->ckpt) || !has_file(s, tokenizer_files[i]))) i++;
    buf_puts(out, i < n ? tokenizer_files[i] : "none");
}

static void folder_json(const struct subject *s, struct jwriter *w)
{
    struct folder_view v;
    view_folder(s, &v);
    jw_string(w, "tokenizer_class", v.class[0] ? v.class : NULL);
    if (v.template_bytes >= 0) jw_int(w, "chat_template_bytes", v.template_bytes);
}

void summary_tokenizer_json(const struct subject *s, struct jwriter *w)
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
    if (!ckpt_gguf(s->ckpt)) folder_json(s, w);
}

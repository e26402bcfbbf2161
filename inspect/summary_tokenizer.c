#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static void folder_text(const struct tokenizer_files *t, struct buf *out)
{
    size_t n = 0;
    for (int i = 0; i < TOKENIZER_FILES; i++)
        if (t->there[i]) {
            if (n == 0 && t->class[0]) buf_printf(out, "%s: ", t->class);
            buf_printf(out, "%s%s", n++ ? ", " : "", tokenizer_file_names[i]);
        }
    if (n)
        template_text(t->template_bytes, out);
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
        folder_text(&s->tokenizer_files, out);
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
    int i = 0;
    while (i < TOKENIZER_FILES && !s->tokenizer_files.there[i]) i++;
    buf_puts(out, i < TOKENIZER_FILES ? tokenizer_file_names[i] : "none");
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
    const struct tokenizer_files *t = &s->tokenizer_files;
    jw_begin_array(w, "tokenizer_files");
    for (int i = 0; i < TOKENIZER_FILES; i++)
        if (t->there[i]) jw_string(w, NULL, tokenizer_file_names[i]);
    jw_end_array(w);
    if (ckpt_gguf(s->ckpt)) return;
    jw_string(w, "tokenizer_class", t->class[0] ? t->class : NULL);
    if (t->template_bytes >= 0) jw_int(w, "chat_template_bytes", t->template_bytes);
}

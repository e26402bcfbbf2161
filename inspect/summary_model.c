#include "inspect/summary_parts.h"

#include "inspect/rope_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

void summary_model_text(const struct model *m, struct buf *out)
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
    rope_words(h, out);
    buf_printf(out, "\n  embeddings  %s\n", tied_text(m));
}

void summary_model_json(const struct model *m, struct jwriter *w)
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
    struct buf words = {0};
    rope_words(h, &words);
    jw_string(w, "words", words.data);
    w->out->failed |= words.failed;
    buf_clear(&words);
    jw_end_object(w);
}

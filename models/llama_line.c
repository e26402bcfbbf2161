#include "models/llama_line.h"
#include "models/config_write.h"

#include <string.h>

bool llama_line_attn_bias(const struct hparams *hp)
{
    return hp->attn_bias;
}

bool llama_line_mlp_bias(const struct hparams *hp)
{
    return hp->mlp_bias;
}

enum status llama_line_derive(struct hparams *hp, struct error *err)
{
    if (hp->n_head_kv == 0) hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv != 0)
        return error_set(err, STATUS_MISMATCH,
                         "number of heads %lld is no multiple of the number of key/value heads %lld",
                         (long long)hp->n_head, (long long)hp->n_head_kv);
    if (hp->head_dim == 0) {
        if (hp->n_embd % hp->n_head != 0)
            return error_set(err, STATUS_MISMATCH, "width %lld is no multiple of the number of heads %lld",
                             (long long)hp->n_embd, (long long)hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
    }
    if (hp->rope.dim == 0) hp->rope.dim = hp->head_dim;
    if (hp->rope.dim != hp->head_dim)
        return error_set(err, STATUS_UNSUPPORTED,
                         "expected all %lld elements of a head to be rotated, found %lld",
                         (long long)hp->head_dim, (long long)hp->rope.dim);
    /* no runtime reads an activation for these architectures */
    if (hp->activation != ACTIVATION_SILU)
        return error_set(err, STATUS_UNSUPPORTED, "hidden_act: expected silu, found %s",
                         activation_name(hp->activation));
    return STATUS_OK;
}

/* --- windows by layer --- */

enum { WINDOW_DEFAULT = 4096, FIRST_DEFAULT = 28 }; /* of Qwen2Config and Qwen3Config */

static enum status read_count(struct config_reader *r, const char *key, int64_t least, int64_t usual, int64_t *n,
                              struct error *err)
{
    const struct jvalue *v = config_member(r, key);
    *n = v ? 0 : usual;
    if (!v || json_is(v, JTYPE_NULL)) return STATUS_OK;
    TRY(json_int(r->doc, v, n, err));
    if (*n >= least && *n <= INT32_MAX) return STATUS_OK;
    return config_error(r, err, STATUS_RANGE, key, "expected an integer from %lld to %d, found %lld",
                        (long long)least, INT32_MAX, (long long)*n);
}

static enum status read_switch(struct config_reader *r, const char *key, bool *on, struct error *err)
{
    const struct jvalue *v = config_take(r, key);
    char text[80];
    *on = json_is_true(v);
    if (!v || json_is(v, JTYPE_BOOL)) return STATUS_OK;
    return config_error(r, err, STATUS_FORMAT, key, "expected true or false, found %s", config_show(v, text));
}

/* The list, or what transformers makes where there is none: layers from `first` on. */
static enum status read_types(struct config_reader *r, int64_t first, bool *local, struct error *err)
{
    static const char key[] = "layer_types";
    const struct jvalue *list = config_take(r, key);
    int64_t n = r->hp->n_layer, i = 0;
    char text[80];
    if (!list)
        for (; i < n; i++) local[i] = r->hp->window > 0 && i >= first;
    if (!list) return STATUS_OK;
    if (!json_is(list, JTYPE_ARRAY) || json_count(list) != (size_t)n)
        return config_error(r, err, STATUS_MISMATCH, key, "expected a list with a word for each of %lld layers, found %s",
                            (long long)n, config_show(list, text));
    for (const struct jvalue *v = json_first(list); v; v = json_next(v), i++) {
        const char *word = json_string(v);
        local[i] = word && strcmp(word, "sliding_attention") == 0;
        if (!local[i] && !(word && strcmp(word, "full_attention") == 0))
            return config_error(r, err, STATUS_UNSUPPORTED, key,
                                "layer %lld: expected full_attention or sliding_attention, found %s", (long long)i,
                                config_show(v, text));
        if (local[i] && r->hp->window == 0)
            return config_error(r, err, STATUS_MISMATCH, key,
                                "layer %lld is sliding_attention, but use_sliding_window and sliding_window give no "
                                "window",
                                (long long)i);
    }
    return STATUS_OK;
}

enum status llama_line_read_layers(struct config_reader *r, struct error *err)
{
    struct hparams *hp = r->hp;
    bool on;
    int64_t first, n_local = 0;
    TRY(read_switch(r, "use_sliding_window", &on, err));
    TRY(read_count(r, "sliding_window", 1, WINDOW_DEFAULT, &hp->window, err));
    TRY(read_count(r, "max_window_layers", 0, FIRST_DEFAULT, &first, err));
    if (!on) hp->window = 0;
    bool *local = arena_array(r->mem, (uint64_t)hp->n_layer, sizeof *local);
    if (!local) return error_nomem(err, (size_t)hp->n_layer);
    TRY(read_types(r, first, local, err));
    for (int64_t i = 0; i < hp->n_layer; i++) n_local += local[i];
    if (n_local == 0) hp->window = 0;
    if (n_local > 0 && n_local < hp->n_layer) hp->local = local;
    return STATUS_OK;
}

void llama_line_write_layers(struct config_writer *c)
{
    const struct hparams *hp = c->hp;
    config_put_bool(c, "use_sliding_window", hp->window > 0);
    if (hp->window == 0 || !config_put_key(c, "layer_types")) return;
    jw_begin_array(&c->w, "layer_types");
    for (int64_t i = 0; i < hp->n_layer; i++) jw_string(&c->w, NULL, hparams_window(hp, i) > 0 ? "sliding_attention" : "full_attention");
    jw_end_array(&c->w);
    config_put_int(c, "sliding_window", hp->window);
    config_put_int(c, "max_window_layers", 0);
}

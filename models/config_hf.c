/* config.json: each key is used, fixed to one value, ignored for a reason, or reported. Nothing in it is followed: auto_map and its
 * like name code, and code is none of our business. */
#include "models/bind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys of transformers' PretrainedConfig that say nothing about the weights' arithmetic, in files of any family. */
static const struct config_ignored common_ignored[] = {
    {"architectures", "read when the family is recognised"},
    {"model_type", "read when the family is recognised"},
    {"quantization_config", "read before: models/config_quant.h"},
    {"compression_config", "read before: models/config_quant.h"},
    {"_name_or_path", "where the files once were; at most a name for people"},
    {"name_or_path", "where the files once were"},
    {"_commit_hash", "where the files once were"},
    {"_attn_implementation*", "choice of code, same arithmetic"},
    {"attn_implementation", "choice of code, same arithmetic"},
    {"auto_map", "names Python code, which is never followed"},
    {"custom_pipelines", "names Python code, which is never followed"},
    {"transformers_version", "who wrote the file"},
    {"transformers.js_config", "for another runtime"},
    {"torch_dtype", "the tensors' own headers count"},
    {"dtype", "the tensors' own headers count"},
    {"torchscript", "choice of code, same arithmetic"},
    {"tf_legacy_loss", "for training"},
    {"use_bfloat16", "the tensors' own headers count"},
    {"use_cache", "choice of code, same arithmetic"},
    {"initializer_range", "for training"},
    {"initializer_factor", "for training"},
    {"gradient_checkpointing", "for training"},
    {"attention_dropout", "dropout is for training"},
    {"hidden_dropout*", "dropout is for training"},
    {"task_specific_params", "defaults of other tasks"},
    {"finetuning_task", "describes the head of another task"},
    {"problem_type", "describes the head of another task"},
    {"num_labels", "describes the head of another task"},
    {"_num_labels", "describes the head of another task"},
    {"id2label", "describes the head of another task"},
    {"label2id", "describes the head of another task"},
    {"classifier_dropout", "describes the head of another task"},
    {"unsloth_*", "marks of a training tool"},
    {"pad_token_id", "the tokenizer's files count"},
    {"unk_token_id", "the tokenizer's files count"},
    {"sep_token_id", "the tokenizer's files count"},
    {"cls_token_id", "the tokenizer's files count"},
    {"mask_token_id", "the tokenizer's files count"},
    {"decoder_start_token_id", "for encoder-decoder models"},
    {"is_decoder", "every family here is a decoder"},
    {"tokenizer_class", "the tokenizer's files count"},
    {"prefix", "a prompt of the text generation pipeline"},
    {"output_attentions", "what a call returns"},
    {"output_hidden_states", "what a call returns"},
    {"output_past", "what a call returns"},
    {"output_scores", "what a call returns"},
    {"return_dict", "what a call returns"},
    {"return_dict_in_generate", "what a call returns"},
    {"chunk_size_feed_forward", "choice of code, same arithmetic"},
    /* generation, before it moved to generation_config.json */
    {"do_sample", "generation"},
    {"max_length", "generation"},
    {"max_new_tokens", "generation"},
    {"min_length", "generation"},
    {"temperature", "generation"},
    {"top_k", "generation"},
    {"top_p", "generation"},
    {"typical_p", "generation"},
    {"num_beams", "generation"},
    {"num_beam_groups", "generation"},
    {"num_return_sequences", "generation"},
    {"diversity_penalty", "generation"},
    {"repetition_penalty", "generation"},
    {"encoder_no_repeat_ngram_size", "generation"},
    {"no_repeat_ngram_size", "generation"},
    {"length_penalty", "generation"},
    {"early_stopping", "generation"},
    {"bad_words_ids", "generation"},
    {"begin_suppress_tokens", "generation"},
    {"suppress_tokens", "generation"},
    {"exponential_decay_length_penalty", "generation"},
    {"forced_bos_token_id", "generation"},
    {"forced_eos_token_id", "generation"},
    {"remove_invalid_values", "generation"},
    {0},
};

static const struct config_fixed common_fixed[] = {
    {"is_encoder_decoder", "false", "only decoders are supported"},
    {"cross_attention_hidden_size", NULL, "only decoders are supported"},
    {"pruned_heads", "{}", "pruned heads are not supported"},
    {0},
};

/* `pattern` may have one '*', first or last. */
static bool key_matches(const char *pattern, const char *key)
{
    size_t n = strlen(pattern), n_key = strlen(key);
    if (pattern[0] == '*') return n_key >= n - 1 && strcmp(key + n_key - (n - 1), pattern + 1) == 0;
    if (n > 0 && pattern[n - 1] == '*') return strncmp(key, pattern, n - 1) == 0;
    return strcmp(pattern, key) == 0;
}

static bool list_ignores(const struct config_ignored *list, const char *key)
{
    for (; list && list->key; list++)
        if (key_matches(list->key, key)) return true;
    return false;
}

bool config_is_ignored(const struct arch *arch, const char *key)
{
    return list_ignores(arch->ignored, key) || list_ignores(common_ignored, key);
}

const char *config_show(const struct jvalue *v, char dst[80])
{
    struct buf b = {0};
    json_print(v, &b);
    snprintf(dst, 80, b.len > 76 ? "%.76s..." : "%.79s", b.data && !b.failed ? b.data : "?");
    buf_clear(&b);
    return dst;
}

static bool number_value(const struct jvalue *v, double *x)
{
    struct buf b = {0};
    json_print(v, &b);
    if (json_is(v, JTYPE_NUMBER) && b.data) *x = strtod(b.data, NULL);
    buf_clear(&b);
    return json_is(v, JTYPE_NUMBER);
}

bool config_same(const struct jvalue *a, const struct jvalue *b)
{
    double m, n;
    if (number_value(a, &m) && number_value(b, &n)) return m == n;
    struct buf x = {0}, y = {0};
    json_print(a, &x);
    json_print(b, &y);
    bool same = !x.failed && !y.failed && x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    buf_clear(&x);
    buf_clear(&y);
    return same;
}

enum status config_error(const struct config_reader *r, struct error *err, enum status s, const char *key,
                         const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return error_at(err, s, json_path(r->doc), NULL, "'%s': %s", key, text);
}

const struct jvalue *config_member(struct config_reader *r, const char *key)
{
    size_t i;
    if (!strmap_find(&r->by_key, key, &i)) return NULL;
    r->used[i] = true;
    return r->members[i];
}

const struct jvalue *config_take(struct config_reader *r, const char *key)
{
    const struct jvalue *v = config_member(r, key);
    return json_is(v, JTYPE_NULL) ? NULL : v;
}

static enum status reader_open(struct config_reader *r, struct error *err)
{
    const struct jvalue *root = json_root(r->doc);
    if (!json_is(root, JTYPE_OBJECT))
        return error_at(err, STATUS_FORMAT, json_path(r->doc), NULL,
                        "expected an object of configuration keys");
    r->n_members = json_count(root);
    void *p;
    TRY(mem_alloc(&p, r->n_members, sizeof *r->members, err));
    r->members = p;
    TRY(mem_alloc(&p, r->n_members, sizeof *r->used, err));
    r->used = p;
    size_t i = 0;
    for (const struct jvalue *v = json_first(root); v && i < r->n_members; v = json_next(v), i++) {
        r->members[i] = v;
        TRY(strmap_add(&r->by_key, json_key(v), i, NULL, err));
    }
    return STATUS_OK;
}

static void reader_close(struct config_reader *r)
{
    free(r->members);
    free(r->used);
    strmap_clear(&r->by_key);
}

/* The first present alternative of "a|b|c" and its name. All of them count as used; another value in a later one is worth a remark. */
static const struct jvalue *take_alternatives(struct config_reader *r, const char *alternatives,
                                              char name[64])
{
    const struct jvalue *found = NULL;
    char found_text[80], text[80], key[64];
    for (const char *s = alternatives; *s;) {
        size_t n = strcspn(s, "|");
        snprintf(key, sizeof key, "%.*s", (int)n, s);
        s += n + (s[n] == '|');
        const struct jvalue *v = config_take(r, key);
        if (v && !found) {
            found = v;
            memcpy(name, key, sizeof key);
        } else if (v && !config_same(v, found)) {
            warnings_add(r->warn, "config-keys-differ",
                         "config keys '%s' = %s and '%s' = %s mean the same: the first is used", name,
                         config_show(found, found_text), key, config_show(v, text));
        }
    }
    if (!found) snprintf(name, 64, "%.*s", (int)strcspn(alternatives, "|"), alternatives);
    return found;
}

static enum status read_id(struct config_reader *r, const char *key, const struct jvalue *v, int64_t *id,
                           struct error *err)
{
    TRY(json_int(r->doc, v, id, err));
    if (*id >= 0 && *id <= INT32_MAX) return STATUS_OK;
    return config_error(r, err, STATUS_RANGE, key, "expected a token id, found %lld", (long long)*id);
}

static enum status read_value(struct config_reader *r, const struct config_key *k, const char *key,
                              const struct jvalue *v, struct error *err)
{
    void *field = (char *)r->hp + k->off;
    char text[80];
    switch (k->type) {
    case CONFIG_INT:
    case CONFIG_INT_OR_NULL: {
        int64_t n;
        TRY(json_int(r->doc, v, &n, err));
        if (n < 1 || n > INT32_MAX)
            return config_error(r, err, STATUS_RANGE, key, "expected an integer from 1 to %d, found %lld",
                                INT32_MAX, (long long)n);
        *(int64_t *)field = n;
        return STATUS_OK;
    }
    case CONFIG_REAL: {
        double x;
        TRY(json_double(r->doc, v, &x, err));
        if (!isfinite(x) || x < 0)
            return config_error(r, err, STATUS_RANGE, key, "expected a number of at least 0, found %g", x);
        *(double *)field = x;
        return STATUS_OK;
    }
    case CONFIG_LAYERS: /* rows without a key */
        return STATUS_OK;
    case CONFIG_BOOL:
        if (!json_is(v, JTYPE_BOOL))
            return config_error(r, err, STATUS_FORMAT, key, "expected true or false, found %s",
                                config_show(v, text));
        *(bool *)field = json_is_true(v);
        return STATUS_OK;
    case CONFIG_ID:
        return read_id(r, key, v, field, err);
    case CONFIG_ACTIVATION: {
        const char *name = json_string(v);
        if (!name)
            return config_error(r, err, STATUS_FORMAT, key, "expected an activation's name, found %s",
                                config_show(v, text));
        enum activation a = activation_from_name(name);
        if (a == ACTIVATION_COUNT)
            return config_error(r, err, STATUS_UNSUPPORTED, key, "unknown activation '%s'", name);
        *(enum activation *)field = a;
        return STATUS_OK;
    }
    }
    return STATUS_OK;
}

static void set_fallback(struct hparams *hp, const struct config_key *k)
{
    void *field = (char *)hp + k->off;
    if (k->type == CONFIG_ID) *(int64_t *)field = -1;
    if (isnan(k->fallback)) return;
    switch (k->type) {
    case CONFIG_INT:
    case CONFIG_INT_OR_NULL:
        *(int64_t *)field = (int64_t)k->fallback;
        break;
    case CONFIG_ID:
        break;
    case CONFIG_REAL:
        *(double *)field = k->fallback;
        break;
    case CONFIG_LAYERS:
        break;
    case CONFIG_BOOL:
        *(bool *)field = k->fallback != 0;
        break;
    case CONFIG_ACTIVATION:
        *(enum activation *)field = (enum activation)k->fallback;
        break;
    }
}

/* A field whose value an absent key of config.json means is another than an absent key of a GGUF means has a row for each. */
static bool has_config_row(const struct arch *arch, size_t off)
{
    for (const struct config_key *k = arch->keys; k->hf || k->gguf; k++)
        if (k->hf && k->off == off) return true;
    return false;
}

static enum status read_keys(struct config_reader *r, struct error *err)
{
    for (const struct config_key *k = r->arch->keys; k->hf || k->gguf; k++) {
        char key[64];
        if (!k->hf) {
            if (!has_config_row(r->arch, k->off)) set_fallback(r->hp, k);
            continue;
        }
        const struct jvalue *v = take_alternatives(r, k->hf, key);
        if (v)
            TRY(read_value(r, k, key, v, err));
        else if (k->required && isnan(k->fallback))
            return config_error(r, err, STATUS_NOTFOUND, key, "expected in the config, not found");
        else if (k->type != CONFIG_INT_OR_NULL || !config_member(r, key))
            set_fallback(r->hp, k);
    }
    return STATUS_OK;
}

static bool has_value(const struct jvalue *v, const char *text)
{
    double x;
    char shown[80];
    char *end;
    double wanted = strtod(text, &end);
    if (end > text) return number_value(v, &x) && x == wanted;
    return strcmp(config_show(v, shown), text) == 0;
}

static enum status check_fixed(struct config_reader *r, const struct config_fixed *f, struct error *err)
{
    for (; f && f->key; f++) {
        const struct jvalue *v = config_take(r, f->key);
        char text[80];
        if (!v || (f->value && has_value(v, f->value))) continue;
        return config_error(r, err, STATUS_UNSUPPORTED, f->key, "expected %s, found %s: %s",
                            f->value ? f->value : "null", config_show(v, text), f->why);
    }
    return STATUS_OK;
}

/* An id, or a list of ids of which the first counts. */
static enum status read_token_id(struct config_reader *r, const char *key, int64_t *id, struct error *err)
{
    *id = -1;
    const struct jvalue *v = config_take(r, key);
    if (json_is(v, JTYPE_ARRAY)) v = json_first(v);
    if (!v) return STATUS_OK;
    TRY(json_int(r->doc, v, id, err));
    if (*id < -1 || *id > INT32_MAX)
        return config_error(r, err, STATUS_RANGE, key, "expected a token id, found %lld", (long long)*id);
    return STATUS_OK;
}

static enum status read_tie(struct config_reader *r, enum tie *tie, struct error *err)
{
    const struct jvalue *v = config_take(r, "tie_word_embeddings");
    char text[80];
    if (v && !json_is(v, JTYPE_BOOL))
        return config_error(r, err, STATUS_FORMAT, "tie_word_embeddings", "expected true or false, found %s",
                            config_show(v, text));
    *tie = (v ? json_is_true(v) : r->arch->tied_by_default) ? TIE_YES : v ? TIE_NO : TIE_UNSAID;
    return STATUS_OK;
}

static void report_unused(struct config_reader *r)
{
    for (size_t i = 0; i < r->n_members; i++) {
        char text[80];
        if (r->used[i] || json_is(r->members[i], JTYPE_NULL) ||
            config_is_ignored(r->arch, json_key(r->members[i])))
            continue;
        warnings_add(r->warn, "config-key-unused", "config key '%s' = %s is not used",
                     json_key(r->members[i]), config_show(r->members[i], text));
    }
}

static enum status read_all(struct config_reader *r, enum tie *tie, struct error *err)
{
    TRY(reader_open(r, err));
    TRY(check_fixed(r, common_fixed, err));
    TRY(check_fixed(r, r->arch->fixed, err));
    TRY(read_keys(r, err));
    TRY(read_tie(r, tie, err));
    TRY(read_token_id(r, "bos_token_id", &r->hp->bos_id, err));
    TRY(read_token_id(r, "eos_token_id", &r->hp->eos_id, err));
    if (r->arch->uses_rope) TRY(config_rope_read_hf(r, err));
    if (r->arch->read_config) TRY(r->arch->read_config(r, err));
    enum status st = r->arch->derive(r->hp, err);
    if (st == STATUS_OK) st = rope_check(&r->hp->rope, err);
    if (st != STATUS_OK && !err->path[0]) snprintf(err->path, sizeof err->path, "%s", json_path(r->doc));
    TRY(st);
    report_unused(r);
    return STATUS_OK;
}

enum status config_read_hf(const struct arch *arch, const struct json *doc, const struct checkpoint *ckpt,
                           struct hparams *hp, enum tie *tie, struct arena *mem, struct warnings *warn,
                           struct error *err)
{
    *hp = (struct hparams){0};
    struct config_reader r = {.arch = arch, .doc = doc, .ckpt = ckpt, .hp = hp, .mem = mem, .warn = warn};
    r.wrapper = "";
    const char *prefix = ckpt ? bind_prefix(ckpt, arch, &r.wrapper) : NULL;
    r.prefix = prefix ? prefix : arch->prefixes[0];
    enum status st = read_all(&r, tie, err);
    reader_close(&r);
    return st;
}

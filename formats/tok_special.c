/* Added tokens, special ids and switches from the small files beside the vocabulary. */
#include "base/file.h"
#include "formats/tok_build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- added tokens --- */

static enum status read_decoder(struct tok_build *b, struct error *err)
{
    const char *path = json_path(b->config);
    for (const struct jvalue *e = json_first(json_get(json_root(b->config), "added_tokens_decoder")); e;
         e = json_next(e)) {
        const char *text = json_string(json_get(e, "content"));
        struct added_token a = {.id = tok_decimal(json_key(e)),
                                .special = json_is_true(json_get(e, "special")),
                                .normalized = json_is_true(json_get(e, "normalized")),
                                .lstrip = json_is_true(json_get(e, "lstrip")),
                                .rstrip = json_is_true(json_get(e, "rstrip")),
                                .single_word = json_is_true(json_get(e, "single_word"))};
        if (!text || a.id < 0)
            return error_at(err, STATUS_FORMAT, path, NULL,
                            "added_tokens_decoder: entry '%.40s', expected an id with a string as content",
                            json_key(e));
        a.text = tok_text(b, text, strlen(text));
        TRY(tok_add(b, &a, path, err));
    }
    return STATUS_OK;
}

static enum status read_added_file(struct tok_build *b, struct error *err)
{
    for (const struct jvalue *e = json_first(json_root(b->added_tokens)); e; e = json_next(e)) {
        struct added_token a = {.text = tok_text(b, json_key(e), strlen(json_key(e)))};
        TRY(json_int(b->added_tokens, e, &a.id, err));
        TRY(tok_add(b, &a, json_path(b->added_tokens), err));
    }
    return STATUS_OK;
}

enum status tok_read_added(struct tok_build *b, struct error *err)
{
    if (b->config) TRY(read_decoder(b, err));
    if (!b->added_tokens) return STATUS_OK;
    if (!json_is(json_root(b->added_tokens), JTYPE_OBJECT))
        return error_at(err, STATUS_FORMAT, json_path(b->added_tokens), NULL,
                        "expected an object of texts and ids");
    return read_added_file(b, err);
}

/* --- names of special tokens --- */

enum { N_NAMED = SPECIAL_GMASK + 1 }; /* those that Hugging Face has a "<name>_token" for */

/* A token is given as its text or as an object with it. */
static const char *token_content(const struct jvalue *v)
{
    const char *text = json_string(v);
    return text ? text : json_string(json_get(v, "content"));
}

static const struct jvalue *doc_get(const struct json *doc, const char *key)
{
    return doc ? json_get(json_root(doc), key) : NULL;
}

static const char *named_text(const struct tok_build *b, enum special_token s)
{
    char key[32];
    snprintf(key, sizeof key, "%s_token", tokenizer_special_name(s));
    const char *text = token_content(doc_get(b->config, key));
    return text ? text : token_content(doc_get(b->special_map, key));
}

static int64_t id_of(const struct tok_build *b, const char *text)
{
    size_t id;
    return text && strmap_find(&b->by_text, text, &id) ? (int64_t)id : -1;
}

/* A token that a file names as special is found in the text, and kept out of it, like one of the added
 * tokens. */
static enum status mark(struct tok_build *b, const char *text, struct error *err)
{
    int64_t id = id_of(b, text);
    if (id < 0 || (b->types[id] != TOKEN_NORMAL && b->types[id] != TOKEN_USER_DEFINED)) return STATUS_OK;
    struct added_token a = {.id = id, .text = b->tokens[id], .special = true};
    return tok_add(b, &a, b->dir, err);
}

static enum status mark_list(struct tok_build *b, const struct jvalue *list, struct error *err)
{
    for (const struct jvalue *e = json_first(list); e; e = json_next(e)) TRY(mark(b, token_content(e), err));
    return STATUS_OK;
}

static enum status mark_gpt2_default(struct tok_build *b, struct error *err)
{
    if (b->t->kind != TOKENIZER_BPE || b->from_tokenizer_json) return STATUS_OK;
    return mark(b, "<|endoftext|>", err); /* special in GPT-2's tokenizer class whatever the files say */
}

enum status tok_mark_special(struct tok_build *b, struct error *err)
{
    TRY(mark_gpt2_default(b, err));
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (int s = 0; s < N_NAMED; s++) {
        TRY(mark(b, named_text(b, (enum special_token)s), err));
        TRY(mark(b, tok_glm_text(b, (enum special_token)s), err));
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        TRY(mark_list(b, doc_get(b->config, lists[i]), err));
        TRY(mark_list(b, doc_get(b->special_map, lists[i]), err));
    }
    return STATUS_OK;
}

/* --- ids --- */

/* "<name>_token_id" of a model's config: a number, or a list whose first entry counts. -1 if absent or no id
 * here. */
static int64_t config_id(const struct tok_build *b, const struct json *doc, enum special_token s)
{
    char key[32];
    struct error ignored;
    int64_t id;
    snprintf(key, sizeof key, "%s_token_id", tokenizer_special_name(s));
    const struct jvalue *v = doc_get(doc, key);
    if (json_is(v, JTYPE_ARRAY)) v = json_first(v);
    if (!json_is(v, JTYPE_NUMBER) || json_int(doc, v, &id, &ignored) != STATUS_OK) return -1;
    if (id >= b->n_rows)
        warnings_add(b->warnings, "tokenizer-special-range",
                     "%s: %s is %" PRId64 ", beyond the %" PRId64 " rows of the vocabulary",
                     path_base(json_path(doc)), key, id, b->n_rows);
    return id < 0 || id >= b->n_rows ? -1 : id;
}

static void resolve_id(struct tok_build *b, enum special_token s, const char *text)
{
    int64_t id = id_of(b, text);
    if (text && id < 0)
        warnings_add(b->warnings, "tokenizer-special-missing",
                     "the %s token '%.60s' is not in the vocabulary", tokenizer_special_name(s), text);
    if (id < 0) id = config_id(b, b->model_config, s);
    if (id < 0) id = config_id(b, b->generation, s);
    if (id < 0 && b->default_ids[s] >= 0 && b->default_ids[s] < b->n_rows) id = b->default_ids[s];
    b->t->special[s] = id;
}

/* --- switches --- */

static enum said said_of(const struct jvalue *v)
{
    if (!json_is(v, JTYPE_BOOL)) return SAID_NOTHING;
    return json_is_true(v) ? SAID_YES : SAID_NO;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* What the template of tokenizer.json puts around a text. Where it ends with another token than eos_token
 * says, that one ends the text, and eos_token ends a turn. */
static void apply_template(struct tok_build *b, const char *texts[SPECIAL_COUNT])
{
    struct tokenizer *t = b->t;
    const char *first = b->template_first, *last = b->template_last;
    if (!b->has_template) return;
    if (first && !texts[SPECIAL_BOS]) texts[SPECIAL_BOS] = first;
    t->add_bos = same(first, texts[SPECIAL_BOS]) || same(first, texts[SPECIAL_CLS]) ? SAID_YES : SAID_NO;
    if (!last) return;
    if (texts[SPECIAL_EOS] && !same(last, texts[SPECIAL_EOS])) texts[SPECIAL_EOT] = texts[SPECIAL_EOS];
    texts[SPECIAL_EOS] = last;
    t->add_eos = SAID_YES;
}

static void read_switches(struct tok_build *b)
{
    struct tokenizer *t = b->t;
    const struct {
        const char *key;
        enum said *dst;
    } keys[] = {{"add_bos_token", &t->add_bos},
                {"add_eos_token", &t->add_eos},
                {"add_sep_token", &t->add_sep},
                {"add_prefix_space", &t->add_space_prefix}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        enum said s = said_of(doc_get(b->config, keys[i].key));
        if (s != SAID_NOTHING) *keys[i].dst = s;
    }
    bool spm = t->kind == TOKENIZER_SPM, pieces = spm || t->kind == TOKENIZER_UNIGRAM;
    if (t->add_bos == SAID_NOTHING) t->add_bos = spm ? SAID_YES : SAID_NO;
    if (t->add_bos == SAID_YES && t->special[SPECIAL_BOS] < 0) t->add_bos = SAID_NO;
    if (t->add_eos == SAID_YES && t->special[SPECIAL_EOS] < 0) t->add_eos = SAID_NO;
    if (t->add_space_prefix == SAID_NOTHING && pieces != b->prefix_space)
        t->add_space_prefix = b->prefix_space ? SAID_YES : SAID_NO;
    if (!pieces && t->add_space_prefix == SAID_YES)
        warnings_add(
            b->warnings, "tokenizer-prefix-space",
            "the tokenizer puts a space before the text, which llama.cpp does not do for byte-level BPE");
}

/* Fill-in-the-middle tokens of Code Llama, which its files name nowhere else. */
static void find_infill(struct tok_build *b)
{
    static const struct {
        enum special_token special;
        const char *text;
    } infill[] = {{SPECIAL_PREFIX, "\u2581<PRE>"},
                  {SPECIAL_SUFFIX, "\u2581<SUF>"},
                  {SPECIAL_MIDDLE, "\u2581<MID>"},
                  {SPECIAL_EOT, "\u2581<EOT>"}};
    int64_t ids[4];
    for (size_t i = 0; i < 4; i++)
        if ((ids[i] = id_of(b, infill[i].text)) < 0) return;
    for (size_t i = 0; i < 4; i++)
        if (b->t->special[infill[i].special] < 0) b->t->special[infill[i].special] = ids[i];
}

/* A tokenizer.json without a post-processor puts nothing around a text, unless a switch says so; runtimes may. */
static void settle_surroundings(struct tok_build *b)
{
    bool from_json = b->has_json_blocks && !b->t->blocks[BLOCK_POST_PROCESSOR];
    if (from_json && said_of(doc_get(b->config, "add_bos_token")) != SAID_YES)
        b->t->blocks[BLOCK_POST_PROCESSOR] = "{\"type\":\"Sequence\",\"processors\":[]}";
}

void tok_read_special(struct tok_build *b)
{
    const char *texts[SPECIAL_COUNT] = {NULL};
    for (int s = 0; s < N_NAMED; s++) texts[s] = named_text(b, (enum special_token)s);
    if (b->from_tokenizer_json && b->config) { /* models of BERT's kind name them so */
        if (!texts[SPECIAL_BOS]) texts[SPECIAL_BOS] = texts[SPECIAL_CLS];
        if (!texts[SPECIAL_EOS]) texts[SPECIAL_EOS] = texts[SPECIAL_SEP];
    }
    apply_template(b, texts);
    if (b->t->kind == TOKENIZER_BPE && !b->from_tokenizer_json && id_of(b, "<|endoftext|>") >= 0) {
        /* GPT-2's tokenizer class has these by default. */
        static const enum special_token defaults[] = {SPECIAL_BOS, SPECIAL_EOS, SPECIAL_UNK};
        for (size_t i = 0; i < 3; i++)
            if (!texts[defaults[i]]) texts[defaults[i]] = "<|endoftext|>";
    }
    if (!texts[SPECIAL_UNK]) texts[SPECIAL_UNK] = b->unk_text;
    for (int s = 0; s < SPECIAL_COUNT; s++)
        if (!texts[s]) texts[s] = tok_glm_text(b, (enum special_token)s);
    for (int s = 0; s < SPECIAL_COUNT; s++) resolve_id(b, (enum special_token)s, texts[s]);
    if (b->t->kind == TOKENIZER_SPM) find_infill(b);
    read_switches(b);
    settle_surroundings(b);
    tok_glm_around(b);
}

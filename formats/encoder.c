#include "formats/encoder.h"

#include "base/utf8.h"
#include "formats/tok_added.h"
#include "formats/tok_decode.h"
#include "formats/tok_model.h"
#include "formats/tok_normalize.h"
#include "formats/tok_split.h"
#include "formats/tok_unicode.h"

#include <stdlib.h>
#include <string.h>

struct encoder {
    const struct tokenizer *t;
    struct json *blocks[BLOCK_COUNT];
    struct normalizer *normalizer;
    struct splitter *splitter;
    struct word_model *model;
    struct decoder *decoder;
    struct added_finder raw, normalized; /* looked for before and after the normalizer */
    struct id_list prefix, suffix;       /* around a text, with ENCODE_SPECIAL */
    bool takes_bytes;                    /* the model wants text as it is, valid or not */
    bool *special;                       /* by id */
    struct buf repaired;
};

/* --- parts --- */

static enum status parse_blocks(struct encoder *e, struct error *err)
{
    for (int i = 0; i < BLOCK_COUNT; i++) {
        const char *text = e->t->blocks[i];
        if (text) TRY(json_parse(&e->blocks[i], text, strlen(text), tokenizer_block_name((enum token_block)i), err));
    }
    return STATUS_OK;
}

static const struct jvalue *block(const struct encoder *e, enum token_block b)
{
    return e->blocks[b] ? json_root(e->blocks[b]) : NULL;
}

static enum status make_model(struct encoder *e, struct error *err)
{
    static const struct {
        const char *type;
        word_model_new_fn *new;
    } models[] = {{"BPE", merge_model_new}, {"Unigram", unigram_model_new}, {"SentencePiece", piece_model_new}};
    const char *type = json_string(json_get(block(e, BLOCK_MODEL), "type"));
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (type && strcmp(type, models[i].type) == 0)
            return models[i].new(&e->model, e->t, block(e, BLOCK_MODEL), splitter_is_byte_level(e->splitter), err);
    return error_set(err, STATUS_UNSUPPORTED, "tokenizer: model '%.60s' cannot encode text here",
                     type ? type : e->t->model ? e->t->model : "(none)");
}

static enum status add_token(struct encoder *e, size_t index, struct error *err)
{
    const struct added_token *a = &e->t->added[index];
    const char *s = a->text.s;
    size_t n = a->text.len;
    if (a->special) e->special[a->id] = true;
    if (a->normalized && utf8_check(s, n) == n) TRY(normalizer_run(e->normalizer, &s, &n, err));
    if (n == 0) return STATUS_OK;
    if (n > LIMIT_TOKENIZER_PIECE)
        return error_set(err, STATUS_RANGE, "tokenizer: an added token of %zu bytes, expected at most %d", n,
                         LIMIT_TOKENIZER_PIECE);
    return added_put(a->normalized ? &e->normalized : &e->raw, s, n, (int32_t)index) ? STATUS_OK
                                                                                   : error_nomem(err, n);
}

static enum status add_tokens(struct encoder *e, struct error *err)
{
    if (!added_init(&e->raw, e->t) || !added_init(&e->normalized, e->t)) return error_nomem(err, 1);
    e->special = calloc(e->t->n_tokens + 1, sizeof *e->special);
    if (!e->special) return error_nomem(err, e->t->n_tokens);
    for (size_t i = 0; i < e->t->n_added; i++) TRY(add_token(e, i, err));
    for (size_t i = 0; e->t->types && i < e->t->n_tokens; i++)
        if (e->t->types[i] == TOKEN_CONTROL) e->special[i] = true;
    return STATUS_OK;
}

/* --- what goes around a text --- */

static int32_t id_of_text(const struct tokenizer *t, const char *text)
{
    for (size_t i = 0; text && i < t->n_added; i++)
        if (strcmp(t->added[i].text.s, text) == 0) return (int32_t)t->added[i].id;
    for (size_t i = 0; text && i < t->n_tokens; i++)
        if (strcmp(t->tokens[i].s, text) == 0) return (int32_t)i;
    return -1;
}

static void add_special(struct encoder *e, struct id_list *to, const struct jvalue *known, const char *text)
{
    const struct jvalue *ids = text ? json_get(json_get(known, text), "ids") : NULL;
    for (const struct jvalue *v = json_first(ids); v; v = json_next(v)) {
        double id;
        struct error ignored;
        if (json_double(NULL, v, &id, &ignored) == STATUS_OK && id >= 0 && id < (double)e->t->n_tokens)
            id_list_add(to, (int32_t)id);
    }
    int32_t id = ids ? -1 : id_of_text(e->t, text);
    if (id >= 0) id_list_add(to, id);
}

/* ["text", id] */
static void add_pair(struct encoder *e, struct id_list *to, const struct jvalue *pair)
{
    double id = -1;
    struct error ignored;
    const struct jvalue *v = json_first(pair);
    v = v ? json_next(v) : NULL;
    if (json_is(v, JTYPE_NUMBER)) (void)json_double(NULL, v, &id, &ignored);
    if (id >= 0 && id < (double)e->t->n_tokens) id_list_add(to, (int32_t)id);
}

static enum status read_post(struct encoder *e, const struct jvalue *v, int depth, struct error *err)
{
    const char *type = json_string(json_get(v, "type"));
    if (!type) return STATUS_OK;
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        for (const struct jvalue *p = json_first(json_get(v, "processors")); p; p = json_next(p))
            TRY(read_post(e, p, depth + 1, err));
    } else if (strcmp(type, "TemplateProcessing") == 0) {
        struct id_list *to = &e->prefix;
        for (const struct jvalue *p = json_first(json_get(v, "single")); p; p = json_next(p)) {
            if (json_get(p, "Sequence")) to = &e->suffix;
            add_special(e, to, json_get(v, "special_tokens"), json_string(json_get(json_get(p, "SpecialToken"), "id")));
        }
    } else if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0) {
        add_pair(e, &e->prefix, json_get(v, "cls"));
        add_pair(e, &e->suffix, json_get(v, "sep"));
    } else if (strcmp(type, "ByteLevel") != 0) {
        return error_set(err, STATUS_UNSUPPORTED, "post-processor: kind '%.60s' is not known here", type);
    }
    return STATUS_OK;
}

static enum status read_surroundings(struct encoder *e, struct error *err)
{
    const struct tokenizer *t = e->t;
    if (t->n_before > 0 || t->n_after > 0) {
        for (size_t i = 0; i < t->n_before; i++) id_list_add(&e->prefix, t->before[i]);
        for (size_t i = 0; i < t->n_after; i++) id_list_add(&e->suffix, t->after[i]);
    } else if (block(e, BLOCK_POST_PROCESSOR)) {
        TRY(read_post(e, block(e, BLOCK_POST_PROCESSOR), 0, err));
    } else {
        if (t->add_bos == SAID_YES && t->special[SPECIAL_BOS] >= 0)
            id_list_add(&e->prefix, (int32_t)t->special[SPECIAL_BOS]);
        if (t->add_eos == SAID_YES && t->special[SPECIAL_EOS] >= 0)
            id_list_add(&e->suffix, (int32_t)t->special[SPECIAL_EOS]);
    }
    return e->prefix.failed || e->suffix.failed ? error_nomem(err, 1) : STATUS_OK;
}

/* --- making one --- */

static enum status make(struct encoder *e, struct error *err)
{
    if (e->t->kind == TOKENIZER_NONE) return error_set(err, STATUS_NOTFOUND, "no tokenizer beside the weights");
    if (e->t->n_tokens > INT32_MAX) return error_set(err, STATUS_RANGE, "tokenizer: %zu tokens", e->t->n_tokens);
    TRY(parse_blocks(e, err));
    TRY(normalizer_new(&e->normalizer, block(e, BLOCK_NORMALIZER), err));
    TRY(splitter_new(&e->splitter, block(e, BLOCK_PRE_TOKENIZER), err));
    TRY(make_model(e, err));
    TRY(decoder_new(&e->decoder, e->t, block(e, BLOCK_DECODER), err));
    TRY(add_tokens(e, err));
    e->takes_bytes =
        e->model->repairs_bytes && !block(e, BLOCK_NORMALIZER) && !block(e, BLOCK_PRE_TOKENIZER);
    return read_surroundings(e, err);
}

enum status encoder_new(struct encoder **out, const struct tokenizer *t, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct encoder), err));
    struct encoder *e = mem;
    e->t = t;
    enum status st = make(e, err);
    if (st != STATUS_OK) {
        encoder_free(e);
        return st;
    }
    *out = e;
    return STATUS_OK;
}

void encoder_free(struct encoder *e)
{
    if (!e) return;
    for (int i = 0; i < BLOCK_COUNT; i++) json_free(e->blocks[i]);
    normalizer_free(e->normalizer);
    splitter_free(e->splitter);
    if (e->model) e->model->free(e->model);
    decoder_free(e->decoder);
    added_clear(&e->raw);
    added_clear(&e->normalized);
    id_list_clear(&e->prefix);
    id_list_clear(&e->suffix);
    free(e->special);
    buf_clear(&e->repaired);
    free(e);
}

/* --- encoding --- */

struct encoding {
    struct encoder *e;
    struct id_list *out;
    bool plain;
};

static enum status put_word(void *arg, const char *s, size_t n, struct error *err)
{
    const struct encoding *g = arg;
    return g->e->model->encode(g->e->model, s, n, g->out, err);
}

/* Text between added tokens that are found in it as it is: normalized, searched again, cut, encoded. */
static enum status put_text(struct encoding *g, const char *s, size_t n, bool at_start, struct error *err)
{
    struct encoder *e = g->e;
    struct added_walk walk = {0};
    struct added_span span;
    TRY(normalizer_run(e->normalizer, &s, &n, err));
    while (added_next(&e->normalized, &walk, s, n, g->plain, &span)) {
        if (span.added >= 0)
            id_list_add(g->out, (int32_t)e->t->added[span.added].id);
        else
            TRY(splitter_run(e->splitter, s + span.start, span.end - span.start, at_start && span.start == 0,
                             put_word, g, err));
    }
    return STATUS_OK;
}

static enum status put_all(struct encoding *g, const char *s, size_t n, struct error *err)
{
    struct encoder *e = g->e;
    struct added_walk walk = {0};
    struct added_span span;
    while (added_next(&e->raw, &walk, s, n, g->plain, &span)) {
        if (span.added >= 0)
            id_list_add(g->out, (int32_t)e->t->added[span.added].id);
        else
            TRY(put_text(g, s + span.start, span.end - span.start, span.start == 0, err));
    }
    return STATUS_OK;
}

static void add_ids(struct id_list *to, const struct id_list *from)
{
    for (size_t i = 0; i < from->n; i++) id_list_add(to, from->ids[i]);
}

enum status encoder_encode(struct encoder *e, const char *text, size_t n, unsigned flags, struct id_list *out,
                           struct error *err)
{
    struct encoding g = {e, out, flags & ENCODE_PLAIN};
    if (!e->takes_bytes && utf8_check(text, n) != n) {
        e->repaired.len = 0;
        unicode_repair(text, n, e->model->repairs_bytes, &e->repaired);
        TRY(buf_check(&e->repaired, err));
        text = e->repaired.data;
        n = e->repaired.len;
    }
    if (flags & ENCODE_SPECIAL) add_ids(out, &e->prefix);
    TRY(put_all(&g, text, n, err));
    if (flags & ENCODE_SPECIAL) add_ids(out, &e->suffix);
    return out->failed ? error_nomem(err, out->n) : STATUS_OK;
}

enum status encoder_decode(struct encoder *e, const int32_t *ids, size_t n, unsigned flags, struct buf *out,
                           struct error *err)
{
    struct id_list kept = {0};
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= e->t->n_tokens) {
            id_list_clear(&kept);
            return error_set(err, STATUS_RANGE, "token %zu: expected an id from 0 to %zu, found %d", i,
                             e->t->n_tokens - 1, (int)ids[i]);
        }
        if (!(flags & DECODE_SKIP_SPECIAL) || !e->special[ids[i]]) id_list_add(&kept, ids[i]);
    }
    enum status st = kept.failed ? error_nomem(err, n) : decoder_run(e->decoder, kept.ids, kept.n, out, err);
    id_list_clear(&kept);
    return st;
}

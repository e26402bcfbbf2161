/* Unigram models of tokenizer.json: the vocabulary is a list of [piece, score]. */
#include "base/base64.h"
#include "formats/tok_blocks.h"
#include "formats/tok_bytes.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static enum status read_entry(struct tok_build *b, const struct json *doc, const struct jvalue *v, int64_t id,
                              const struct jvalue *model, struct error *err)
{
    const char *text = json_string(json_first(v));
    double score = 0;
    int64_t unk = -1;
    if (json_count(v) != 2 || !text)
        return error_at(err, STATUS_FORMAT, json_path(doc), NULL, "model.vocab[%" PRId64 "]: expected [piece, score]", id);
    TRY(json_double(doc, json_next(json_first(v)), &score, err));
    if (!isfinite((float)score))
        return error_at(err, STATUS_FORMAT, json_path(doc), NULL, "model.vocab[%" PRId64 "]: score is not finite", id);
    if (json_is(json_get(model, "unk_id"), JTYPE_NUMBER)) TRY(json_int(doc, json_get(model, "unk_id"), &unk, err));
    bool byte = json_is_true(json_get(model, "byte_fallback")) && byte_token_value(text, strlen(text)) >= 0;
    enum token_type type = id == unk ? TOKEN_UNKNOWN : byte ? TOKEN_BYTE : TOKEN_NORMAL;
    if (id == unk) b->default_ids[SPECIAL_UNK] = unk;
    return tok_set(b, id, tok_text(b, text, strlen(text)), type, (float)score, json_path(doc), err);
}

/* The table of a Precompiled normalizer, for llama.cpp's key */
static enum status read_table(struct tok_build *b, const struct jvalue *v, struct error *err)
{
    const char *type = json_string(json_get(v, "type"));
    for (const struct jvalue *e = json_first(json_get(v, "normalizers")); e; e = json_next(e))
        TRY(read_table(b, e, err));
    const char *text = json_string(json_get(v, "precompiled_charsmap"));
    if (!type || strcmp(type, "Precompiled") != 0 || !text) return STATUS_OK;
    struct buf bytes = {0};
    bool good = base64_decode(&bytes, text, strlen(text));
    char *copy = good && bytes.len > 0 ? arena_strndup(&b->t->mem, bytes.data, bytes.len) : NULL;
    b->t->charsmap = (const unsigned char *)copy;
    b->t->charsmap_size = copy ? bytes.len : 0;
    bool failed = bytes.failed || (good && bytes.len > 0 && !copy);
    buf_clear(&bytes);
    return failed ? error_nomem(err, 1) : STATUS_OK;
}

enum status tok_read_unigram(struct tok_build *b, const struct json *doc, struct error *err)
{
    const struct jvalue *root = json_root(doc), *model = json_get(root, "model"), *vocab = json_get(model, "vocab");
    if (!json_is(vocab, JTYPE_ARRAY))
        return error_at(err, STATUS_FORMAT, json_path(doc), NULL, "model.vocab: expected a list of [piece, score]");
    int64_t n = (int64_t)json_count(vocab), max_id = n - 1, id = 0;
    size_t n_entries = (size_t)n;
    const struct jvalue *unk = json_get(model, "unk_id");
    if (json_is(unk, JTYPE_NUMBER)) {
        TRY(json_int(doc, unk, &id, err));
        if (id < 0 || id >= n)
            return error_at(err, STATUS_FORMAT, json_path(doc), NULL, "model.unk_id: %" PRId64 ", expected an id of its %" PRId64 " pieces", id, n);
        id = 0;
    }
    TRY(tok_max_id(doc, json_get(root, "added_tokens"), &max_id, &n_entries, err));
    TRY(tok_rows(b, max_id, n_entries, json_path(doc), err));
    for (const struct jvalue *e = json_first(vocab); e; e = json_next(e)) TRY(read_entry(b, doc, e, id++, model, err));
    b->n_pieces = n;
    b->t->model = "t5";
    b->t->pre = "default";
    b->t->pre_exact = true;
    return read_table(b, json_get(root, "normalizer"), err);
}

/* The files beside the weights: the source's own from a full receipt, else made from the metadata. */
#include "core/restore_build.h"
#include "core/parts.h"

#include "base/json.h"
#include "base/limits.h"
#include "formats/tok_write.h"
#include "models/config_write.h"

#include <string.h>

/* Weights that come back as products are not quantized any more. */
static enum status without_quantization(const char *text, size_t n, struct buf *out, struct error *err)
{
    static const char *const gone[] = {"quantization_config", "compression_config", "quantization_bit"};
    struct json *doc;
    struct buf value = {0};
    struct jwriter w = {.out = out, .pretty = true};
    TRY(json_parse(&doc, text, n, "config.json", err));
    jw_begin_object(&w, NULL);
    for (const struct jvalue *v = json_first(json_root(doc)); v; v = json_next(v)) {
        bool keep = true;
        for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) keep = keep && strcmp(json_key(v), gone[i]) != 0;
        value.len = 0;
        if (keep) json_print(v, &value);
        if (keep) jw_raw_buf(&w, json_key(v), &value);
    }
    jw_end_object(&w);
    buf_puts(out, "\n");
    json_free(doc);
    enum status st = buf_check(&value, err);
    buf_clear(&value);
    return st == STATUS_OK ? buf_check(out, err) : st;
}

static enum status add_file(struct restore *r, const char *name, const struct buf *content, struct error *err)
{
    struct buf edited = {0};
    bool edit = r->n_products > 0 && strcmp(name, "config.json") == 0 && content->len <= LIMIT_CONFIG_EDITED;
    if (!edit) return parts_add_file(r->plan, name, content->data ? content->data : "", content->len, err);
    enum status st = without_quantization(content->data, content->len, &edited, err);
    if (st == STATUS_OK) st = parts_add_file(r->plan, name, edited.data, edited.len, err);
    buf_clear(&edited);
    return st;
}

static enum status files_of_receipt(struct restore *r, struct error *err)
{
    const char *name = "";
    for (size_t i = 0; name; i++) {
        struct buf content = {0};
        enum status st = receipt_read_file(r->receipt, i, &name, &content, err);
        if (st == STATUS_OK && name) st = add_file(r, name, &content, err);
        buf_clear(&content);
        TRY(st);
    }
    return STATUS_OK;
}

/* --- from the metadata --- */

static enum status add_text(struct restore *r, const char *name, struct buf *text, enum status st, struct error *err)
{
    if (st == STATUS_OK) st = buf_check(text, err);
    if (st == STATUS_OK) st = parts_add_file(r->plan, name, text->data ? text->data : "", text->len, err);
    buf_clear(text);
    return st;
}

static enum status add_config(struct restore *r, struct error *err)
{
    struct buf text = {0};
    enum status st = config_write_hf(r->m, r->arch, r->main, &text, err);
    return add_text(r, "config.json", &text, st, err);
}

static enum status add_tokenizer(struct restore *r, const struct tokenizer *t, struct error *err)
{
    struct buf json = {0}, config = {0}, generation = {0};
    const char *why;
    if (t->kind == TOKENIZER_NONE) return STATUS_OK;
    enum status st = tokenizer_write_json(t, &json, &why, err);
    if (st == STATUS_OK && why) {
        warnings_add(r->warn, "tokenizer-not-rebuilt", "no tokenizer.json is written: %s", why);
        buf_clear(&json);
        return STATUS_OK;
    }
    TRY(add_text(r, "tokenizer.json", &json, st, err));
    st = tokenizer_write_config(t, r->m->hp.n_ctx, &config, err);
    TRY(add_text(r, "tokenizer_config.json", &config, st, err));
    st = tokenizer_write_generation(t, &generation, err);
    return add_text(r, "generation_config.json", &generation, st, err);
}

static enum status files_of_metadata(struct restore *r, struct error *err)
{
    struct tokenizer *t;
    TRY(add_config(r, err));
    TRY(tokenizer_from_gguf(&t, ckpt_gguf(r->m->ckpt), err));
    enum status st = add_tokenizer(r, t, err);
    tokenizer_free(t);
    warnings_note(r->warn, "files-rebuilt", "configuration and tokenizer files are made from the metadata%s",
                  r->opt->rebuild ? "" : ", since there is no full receipt");
    return st;
}

enum status restore_files(struct restore *r, struct error *err)
{
    if (r->receipt && r->receipt->full) return files_of_receipt(r, err);
    return files_of_metadata(r, err);
}

/* The files beside the weights: the source's own from a full receipt, else made from the metadata. */
#include "core/restore_build.h"
#include "core/parts.h"

#include "base/json.h"

#include <string.h>

enum { CONFIG_BYTES_MAX = 16 << 20 };

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
        if (keep) jw_raw(&w, json_key(v), value.data ? value.data : "null");
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
    bool edit = r->n_products > 0 && strcmp(name, "config.json") == 0 && content->len <= CONFIG_BYTES_MAX;
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

enum status restore_files(struct restore *r, struct error *err)
{
    if (r->receipt && r->receipt->full) return files_of_receipt(r, err);
    return error_set(err, STATUS_UNSUPPORTED, "no full receipt");
}

#include "inspect/tokens.h"

#include "base/file.h"
#include "formats/encoder.h"
#include "formats/tok_unicode.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 30 };

/* One request on its way */
struct coding {
    const struct tokens_request *r;
    struct text_coder coder;
    struct buf *out;
    struct jwriter *w; /* NULL: text */
};

static unsigned encode_flags(const struct tokens_request *r)
{
    return (r->add_special ? ENCODE_SPECIAL : 0u) | (r->no_special ? ENCODE_PLAIN : 0u);
}

/* What a token stands for, in quotes; bytes that are no characters as \xNN */
static void put_piece(const struct tokenizer *t, int32_t id, struct buf *out)
{
    struct buf bytes = {0};
    char shown[1024];
    tokenizer_token_text(t, id, &bytes);
    text_escape(bytes.data ? bytes.data : "", shown, sizeof shown);
    buf_printf(out, "%8d  \"%s\"\n", (int)id, shown);
    buf_clear(&bytes);
}

static void put_ids_json(struct jwriter *w, const char *key, const struct id_list *ids)
{
    jw_begin_array(w, key);
    for (size_t i = 0; i < ids->n; i++) jw_int(w, NULL, ids->ids[i]);
    jw_end_array(w);
}

static void put_pieces_json(struct jwriter *w, const struct tokenizer *t, const struct id_list *ids)
{
    struct buf bytes = {0};
    jw_begin_array(w, "pieces");
    for (size_t i = 0; i < ids->n; i++) {
        bytes.len = 0;
        tokenizer_token_text(t, ids->ids[i], &bytes);
        jw_string_n(w, NULL, bytes.data ? bytes.data : "", bytes.len);
    }
    jw_end_array(w);
    buf_clear(&bytes);
}

static enum status tokenize_text(struct coding *c, struct error *err)
{
    struct id_list ids = {0};
    const char *text = c->r->text;
    enum status st = encoder_encode(c->coder.encoder, text, strlen(text), encode_flags(c->r), &ids, err);
    if (st == STATUS_OK && c->w) {
        put_ids_json(c->w, "ids", &ids);
        put_pieces_json(c->w, c->coder.tokenizer, &ids);
    }
    for (size_t i = 0; st == STATUS_OK && !c->w && i < ids.n; i++) put_piece(c->coder.tokenizer, ids.ids[i], c->out);
    id_list_clear(&ids);
    return st;
}

static void put_ids_line(struct buf *out, const struct id_list *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        char digits[16]; /* by hand: files have millions of ids */
        size_t at = sizeof digits;
        for (int32_t v = ids->ids[i]; at == sizeof digits || v > 0; v /= 10) digits[--at] = (char)('0' + v % 10);
        if (i > 0) buf_append(out, " ", 1);
        buf_append(out, digits + at, sizeof digits - at);
    }
    buf_append(out, "\n", 1);
}

/* Lines without their ends; a last one without an end counts, an empty rest does not. */
static enum status tokenize_lines(struct coding *c, const struct buf *text, struct error *err)
{
    struct id_list ids = {0};
    enum status st = STATUS_OK;
    if (c->w) jw_begin_array(c->w, "lines");
    for (size_t at = 0; at < text->len && st == STATUS_OK;) {
        const char *s = text->data + at, *end = memchr(s, '\n', text->len - at);
        size_t n = end ? (size_t)(end - s) : text->len - at;
        at += n + 1;
        ids.n = 0;
        st = encoder_encode(c->coder.encoder, s, n, encode_flags(c->r), &ids, err);
        if (st != STATUS_OK) break;
        if (c->w)
            put_ids_json(c->w, NULL, &ids);
        else
            put_ids_line(c->out, &ids);
    }
    if (c->w) jw_end_array(c->w);
    id_list_clear(&ids);
    return st;
}

static enum status tokenize_file(struct coding *c, struct error *err)
{
    struct buf text = {0};
    TRY(file_read_all(&text, c->r->file, TEXT_BYTES_MAX, err));
    enum status st = text.len > 0 ? tokenize_lines(c, &text, err) : STATUS_OK;
    buf_clear(&text);
    return st;
}

/* Numbers of decimal digits, with anything between them but letters and signs */
static enum status parse_ids(const char *s, struct id_list *ids, struct error *err)
{
    while (*s) {
        size_t digits = strspn(s, "0123456789");
        int64_t v = 0;
        for (size_t i = 0; i < digits && v <= INT32_MAX; i++) v = 10 * v + (s[i] - '0');
        if (digits > 0 && v <= INT32_MAX) id_list_add(ids, (int32_t)v);
        if (digits == 0 && strspn(s, " ,;\t\r\n[]") == 0)
            return error_set(err, STATUS_USAGE, "--detokenize: expected ids, found '%.20s'", s);
        if (v > INT32_MAX) return error_set(err, STATUS_USAGE, "--detokenize: '%.20s' is no id", s);
        s += digits > 0 ? digits : 1;
    }
    return ids->failed ? error_nomem(err, ids->n) : STATUS_OK;
}

static enum status detokenize(struct coding *c, struct error *err)
{
    struct id_list ids = {0};
    struct buf text = {0};
    enum status st = parse_ids(c->r->ids, &ids, err);
    unsigned flags = c->r->no_special ? DECODE_SKIP_SPECIAL : 0;
    if (st == STATUS_OK) st = encoder_decode(c->coder.encoder, ids.ids, ids.n, flags, &text, err);
    if (st == STATUS_OK && c->w) {
        struct buf valid = {0};
        unicode_repair(text.data ? text.data : "", text.len, false, &valid);
        st = buf_check(&valid, err);
        if (st == STATUS_OK) jw_string_n(c->w, "text", valid.data ? valid.data : "", valid.len);
        buf_clear(&valid);
    } else if (st == STATUS_OK) {
        buf_append(c->out, text.data ? text.data : "", text.len);
        buf_append(c->out, "\n", 1);
    }
    id_list_clear(&ids);
    buf_clear(&text);
    return st;
}

enum status tokens_run(const char *path, const struct tokens_request *r, struct buf *out, struct jwriter *w,
                       struct error *err)
{
    struct coding c = {.r = r, .out = out, .w = w};
    TRY(text_coder_open(&c.coder, path, err));
    if (w) {
        jw_begin_object(w, NULL);
        jw_string(w, "tokenizer", tokenizer_kind_name(c.coder.tokenizer->kind));
    }
    enum status st = r->text ? tokenize_text(&c, err) : r->file ? tokenize_file(&c, err) : detokenize(&c, err);
    if (w) jw_end_object(w);
    text_coder_close(&c.coder);
    return st;
}

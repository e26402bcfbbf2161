#include "core/token_labels.h"

#include "base/utf8.h"
#include "formats/encoder.h"
#include "formats/tok_unicode.h"

#include <string.h>

#define OPEN_BOX      "\u2423"
#define DOTTED_CIRCLE "\u25cc"

static const struct spelling {
    uint32_t code;
    const char *text;
} spellings[] = {{' ', OPEN_BOX}, {'\n', "\\n"}, {'\t', "\\t"}, {'\r', "\\r"}, {'\\', "\\\\"}};

static const char *spelled(uint32_t code)
{
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (spellings[i].code == code) return spellings[i].text;
    return NULL;
}

/* Characters that take no room, move a cursor or turn the direction of text; unassigned ones */
static bool is_invisible(uint32_t code)
{
    unsigned c = uclass_of(code);
    return c == 0 || (c & (UCLASS_OTHER | UCLASS_SPACE)) || code == 0xFFFD;
}

static void put_character(const char *s, size_t len, uint32_t code, bool first, struct buf *out)
{
    const char *text = spelled(code);
    if (text) {
        buf_puts(out, text);
    } else if (is_invisible(code)) {
        buf_printf(out, code > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)code);
    } else {
        if (first && (uclass_of(code) & UCLASS_MARK)) buf_puts(out, DOTTED_CIRCLE);
        buf_append(out, s, len);
    }
}

static void put_text(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t code;
        len = utf8_decode(s + i, n - i, &code);
        if (len > 0) {
            put_character(s + i, len, code, i == 0, out);
            continue;
        }
        len = 1;
        buf_printf(out, "\\x%02x", (unsigned char)s[i]);
    }
}

void token_label_put(const struct tokenizer *t, int64_t id, struct buf *out)
{
    struct buf bytes = {0};
    if (t) tokenizer_token_text(t, id, &bytes);
    if (bytes.len > 0)
        put_text(bytes.data, bytes.len, out);
    else
        buf_printf(out, "#%lld", (long long)id);
    buf_clear(&bytes);
}

enum status token_labels_from(struct token_labels *l, const struct tokenizer *t, const int32_t *ids,
                              int64_t n, struct error *err)
{
    struct buf text = {0};
    *l = (struct token_labels){.n = n, .has_tokenizer = t != NULL};
    l->texts = arena_array(&l->mem, (uint64_t)n, sizeof *l->texts);
    bool failed = !l->texts;
    for (int64_t i = 0; !failed && i < n; i++) {
        text.len = 0;
        token_label_put(t, ids[i], &text);
        l->texts[i] = text.failed ? NULL : arena_strndup(&l->mem, text.data, text.len);
        failed = !l->texts[i];
    }
    buf_clear(&text);
    if (!failed) return STATUS_OK;
    token_labels_clear(l);
    return error_nomem(err, (size_t)n * sizeof *l->texts);
}

enum status token_labels_make(struct token_labels *l, const char *const *paths, int n_paths,
                              const int32_t *ids, int64_t n, struct error *err)
{
    struct text_coder coder = {0};
    enum status st = STATUS_NOTFOUND;
    *l = (struct token_labels){0};
    for (int i = 0; i < n_paths && st == STATUS_NOTFOUND; i++) st = text_coder_open(&coder, paths[i], err);
    if (st == STATUS_OK || st == STATUS_NOTFOUND)
        st = token_labels_from(l, st == STATUS_OK ? coder.tokenizer : NULL, ids, n, err);
    text_coder_close(&coder);
    return st;
}

void token_labels_clear(struct token_labels *l)
{
    arena_clear(&l->mem);
    *l = (struct token_labels){0};
}

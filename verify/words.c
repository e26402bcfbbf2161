#include "verify/words.h"

#include "core/token_labels.h"

#include <stdio.h>

void words_open(struct words *w, const char *const *paths, int n_paths)
{
    struct error ignored;
    *w = (struct words){0};
    for (int i = 0; i < n_paths && !w->coder.tokenizer; i++) text_coder_find(&w->coder, paths[i], &ignored);
}

void words_close(struct words *w)
{
    text_coder_close(&w->coder);
}

bool words_bytes(const struct words *w, int64_t id, struct buf *out)
{
    size_t before = out->len;
    if (w->coder.tokenizer) tokenizer_token_text(w->coder.tokenizer, id, out);
    return out->len > before;
}

/* Bytes of s, at most max, that end with a whole character */
static size_t whole_characters(const struct buf *s, size_t max)
{
    if (s->len <= max) return s->len;
    while (max > 0 && ((unsigned char)s->data[max] & 0xC0) == 0x80) max--;
    return max;
}

void words_quote(const struct words *w, int64_t id, size_t max_bytes, char *dst, size_t dst_size)
{
    struct buf label = {0}, bytes = {0};
    bool known = words_bytes(w, id, &bytes);
    token_label_put(w->coder.tokenizer, id, &label);
    size_t n = label.failed ? 0 : whole_characters(&label, max_bytes);
    snprintf(dst, dst_size, known ? "\"%.*s%s\"" : "%.*s%s", (int)n, label.data ? label.data : "", n < label.len ? "\u2026" : "");
    buf_clear(&label);
    buf_clear(&bytes);
}

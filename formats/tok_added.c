#include "formats/tok_added.h"

#include "base/utf8.h"
#include "formats/tok_unicode.h"

#include <string.h>

bool added_init(struct added_finder *f, const struct tokenizer *t)
{
    *f = (struct added_finder){.t = t};
    return trie_init(&f->texts);
}

bool added_put(struct added_finder *f, const char *s, size_t n, int32_t added)
{
    f->count++;
    return trie_add(&f->texts, s, n, added);
}

void added_clear(struct added_finder *f)
{
    trie_clear(&f->texts);
}

static unsigned class_at(const char *s, size_t n)
{
    uint32_t code;
    return n > 0 && utf8_decode(s, n, &code) > 0 ? uclass_of(code) : 0;
}

/* Start of the character that ends at `end` > 0 */
static size_t last_start(const char *s, size_t end)
{
    size_t i = end - 1;
    while (i > 0 && end - i < 4 && ((unsigned char)s[i] & 0xC0) == 0x80) i--;
    return i;
}

static unsigned class_before(const char *s, size_t end)
{
    if (end == 0) return 0;
    size_t i = last_start(s, end);
    return class_at(s + i, end - i);
}

static bool stands_alone(const char *s, size_t n, size_t start, size_t end)
{
    return !(class_before(s, start) & UCLASS_WORD) && !(class_at(s + end, n - end) & UCLASS_WORD);
}

static size_t skip_left(const char *s, size_t start, size_t least)
{
    while (start > least && (class_before(s, start) & UCLASS_SPACE)) start = last_start(s, start);
    return start > least ? start : least;
}

static size_t skip_right(const char *s, size_t n, size_t end)
{
    while (end < n && (class_at(s + end, n - end) & UCLASS_SPACE)) end += utf8_decode(s + end, n - end, NULL);
    return end;
}

/* The next token at or after w->at; w->at moves behind its text. */
static bool find_token(const struct added_finder *f, struct added_walk *w, const char *s, size_t n, bool plain)
{
    while (w->at < n) {
        int32_t index = -1;
        size_t len = f->texts.roots[(unsigned char)s[w->at]] ? trie_longest(&f->texts, s + w->at, n - w->at, &index) : 0;
        size_t start = w->at, end = start + len;
        w->at += len > 0 ? len : 1;
        if (len == 0) continue;
        const struct added_token *a = &f->t->added[index];
        if (plain && a->special) continue;
        if (a->single_word && !stands_alone(s, n, start, end)) continue;
        if (a->lstrip) start = skip_left(s, start, w->text_start);
        if (a->rstrip) end = skip_right(s, n, end);
        if (start < w->text_start) start = w->text_start; /* its beginning went with the token before */
        w->token = (struct added_span){start, end, index};
        if (w->at < end) w->at = end;
        return true;
    }
    return false;
}

bool added_next(const struct added_finder *f, struct added_walk *w, const char *s, size_t n, bool plain,
                struct added_span *out)
{
    if (w->has_token) {
        *out = w->token;
        w->has_token = false;
        return true;
    }
    if (f->count > 0 && find_token(f, w, s, n, plain)) {
        size_t text_start = w->text_start;
        w->text_start = w->token.end;
        *out = w->token;
        if (w->token.start > text_start) {
            *out = (struct added_span){text_start, w->token.start, -1};
            w->has_token = true;
        }
        return true;
    }
    *out = (struct added_span){w->text_start, n, -1};
    w->text_start = w->at = n;
    return out->start < out->end;
}

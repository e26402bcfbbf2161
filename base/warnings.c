#include "base/warnings.h"

#include <stdio.h>
#include <string.h>

/* The array grows inside the arena: the outgrown copies stay until the end, which doubles the few bytes a
 * list of warnings takes. */
static bool warnings_grow(struct warnings *w)
{
    if (w->count < w->cap) return true;
    size_t cap = w->cap ? 2 * w->cap : 16;
    struct warning *items = arena_array(&w->mem, cap, sizeof *items);
    if (!items) return false;
    if (w->count > 0) memcpy(items, w->items, w->count * sizeof *items);
    w->items = items;
    w->cap = cap;
    return true;
}

__attribute__((format(printf, 4, 0))) static void append(struct warnings *w, bool note, const char *code,
                                                         const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *text = n < 0 ? NULL : arena_alloc(&w->mem, (size_t)n + 1);
    if (!text || !warnings_grow(w)) {
        w->failed = true;
        return;
    }
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    w->items[w->count++] = (struct warning){code, text, note};
}

void warnings_add(struct warnings *w, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    append(w, false, code, fmt, ap);
    va_end(ap);
}

void warnings_note(struct warnings *w, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    append(w, true, code, fmt, ap);
    va_end(ap);
}

enum status warnings_check(const struct warnings *w, struct error *err)
{
    return w->failed ? error_nomem(err, sizeof *w->items) : STATUS_OK;
}

bool warnings_has(const struct warnings *w, const char *code)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->items[i].code, code) == 0) return true;
    return false;
}

void warnings_clear(struct warnings *w)
{
    arena_clear(&w->mem);
    *w = (struct warnings){0};
}

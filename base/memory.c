#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool size_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t v;
    if (__builtin_mul_overflow(a, b, &v)) return false;
    *out = v;
    return true;
}

bool size_add(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t v;
    if (__builtin_add_overflow(a, b, &v)) return false;
    *out = v;
    return true;
}

bool size_align(uint64_t a, uint64_t align, uint64_t *out)
{
    uint64_t v;
    if (align == 0 || (align & (align - 1)) != 0 || !size_add(a, align - 1, &v)) return false;
    *out = v & ~(align - 1);
    return true;
}

enum status mem_alloc(void **out, uint64_t n, size_t size, struct error *err)
{
    uint64_t bytes;
    *out = NULL;
    if (!size_mul(n, size, &bytes) || bytes > PTRDIFF_MAX) return error_nomem(err, SIZE_MAX);
    *out = calloc(1, bytes ? (size_t)bytes : 1);
    return *out ? STATUS_OK : error_nomem(err, (size_t)bytes);
}

enum status mem_alloc_pages(void **out, uint64_t bytes, struct error *err)
{
    enum { LINE = 64, LARGE_PAGE = 2 << 20 };
    bool is_large = bytes >= LARGE_PAGE;
    uint64_t size;
    *out = NULL;
    if (!size_align(bytes ? bytes : 1, LINE, &size) || size > PTRDIFF_MAX) return error_nomem(err, SIZE_MAX);
    if (posix_memalign(out, is_large ? LARGE_PAGE : LINE, (size_t)size) != 0) {
        *out = NULL;
        return error_nomem(err, (size_t)bytes);
    }
#ifdef MADV_HUGEPAGE
    if (is_large) madvise(*out, (size_t)size, MADV_HUGEPAGE); /* refused: small pages serve as well */
#endif
    return STATUS_OK;
}

/* Room for n more bytes and the closing 0. */
static bool buf_reserve(struct buf *b, size_t n)
{
    if (b->failed) return false;
    if (n < b->cap - b->len) return true;
    uint64_t need, cap = b->cap + b->cap / 2;
    if (!size_add(b->len, n, &need) || need >= PTRDIFF_MAX) goto fail;
    if (cap < need + 1) cap = need + 1;
    if (cap < 64) cap = 64;
    char *data = realloc(b->data, (size_t)cap);
    if (!data) goto fail;
    b->data = data;
    b->cap = (size_t)cap;
    return true;
fail:
    b->failed = true;
    return false;
}

char *buf_extend(struct buf *b, size_t n)
{
    if (!buf_reserve(b, n)) return NULL;
    char *start = b->data + b->len;
    memset(start, 0, n + 1);
    b->len += n;
    return start;
}

void buf_append(struct buf *b, const void *src, size_t n)
{
    if (!buf_reserve(b, n)) return;
    if (n > 0) memcpy(b->data + b->len, src, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_escape(struct buf *b, const char *text)
{
    char line[1024];
    text_escape(text, line, sizeof line);
    buf_puts(b, line);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->failed ? 0 : b->cap - b->len;
    int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, args);
    if (n < 0) {
        b->failed = true;
    } else if (!b->failed && (size_t)n >= room && buf_reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    }
    if (!b->failed) b->len += (size_t)n;
    va_end(again);
    va_end(args);
}

enum status buf_check(const struct buf *b, struct error *err)
{
    return b->failed ? error_nomem(err, b->len) : STATUS_OK;
}

void buf_clear(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

enum { ARENA_ALIGN = 16, ARENA_FIRST = 1024, ARENA_LARGEST = 256 * 1024 };

struct arena_block {
    struct arena_block *prev;
    size_t size, used;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

static struct arena_block *arena_block_new(size_t n)
{
    if (n > PTRDIFF_MAX - sizeof(struct arena_block)) return NULL;
    struct arena_block *b = calloc(1, sizeof *b + n);
    if (b) b->size = n;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    uint64_t want;
    if (!size_align(n ? n : 1, ARENA_ALIGN, &want) || want > SIZE_MAX) return NULL;
    struct arena_block *last = a->last;
    if (!last || last->size - last->used < want) {
        size_t next = !last ? ARENA_FIRST : last->size < ARENA_LARGEST / 2 ? last->size * 2 : ARENA_LARGEST;
        bool alone = want > next / 4;
        struct arena_block *b = arena_block_new(alone ? (size_t)want : next);
        if (!b) return NULL;
        if (alone && last) { /* a large piece goes behind the block in use, whose rest stays useful */
            b->prev = last->prev;
            last->prev = b;
        } else {
            b->prev = last;
            a->last = b;
        }
        last = b;
    }
    void *p = last->data + last->used;
    last->used += (size_t)want;
    return p;
}

void *arena_array(struct arena *a, uint64_t n, size_t size)
{
    uint64_t bytes;
    if (!size_mul(n, size, &bytes) || bytes > PTRDIFF_MAX) return NULL;
    return arena_alloc(a, (size_t)bytes);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *p = n < PTRDIFF_MAX ? arena_alloc(a, n + 1) : NULL;
    if (p && n > 0) memcpy(p, s, n);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

void arena_clear(struct arena *a)
{
    while (a->last) {
        struct arena_block *prev = a->last->prev;
        free(a->last);
        a->last = prev;
    }
}

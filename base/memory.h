/* Checked sizes, growing buffers, and arenas.
 *
 *     uint64_t bytes;
 *     if (!size_mul(rows, row_bytes, &bytes)) return error_at(err, STATUS_RANGE, ...);
 *     struct arena a = {0};
 *     char *s = arena_strndup(&a, name, n);    NULL when memory ran out
 *     arena_clear(&a);                         frees all of it
 *
 * Sizes that come from a file are multiplied and added with size_mul and size_add only.
 */
#ifndef LATHE_MEMORY_H
#define LATHE_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* *out = a * b (a + b); false, *out untouched, when it does not fit 64 bits. */
bool size_mul(uint64_t a, uint64_t b, uint64_t *out);
bool size_add(uint64_t a, uint64_t b, uint64_t *out);
/* *out = a rounded up to a multiple of align (a power of two); false when it does not fit. */
bool size_align(uint64_t a, uint64_t align, uint64_t *out);

/* Zeroed memory for n objects of `size` bytes, into *out; free() releases it. n = 0 gives a pointer that may
 * be freed. */
enum status mem_alloc(void **out, uint64_t n, size_t size, struct error *err);
/* Memory for large arrays of numbers, not zeroed, aligned to 64 bytes; from some MiB on in large pages where the system has them: the first touch
 * of a page costs a fault, and small ones cost hundreds for a MiB. Released with free. */
enum status mem_alloc_pages(void **out, uint64_t bytes, struct error *err);

/* Bytes that grow. Start from {0}. After a failed append `failed` is set and later appends do nothing: check
 * once at the end. */
struct buf {
    char *data; /* terminated by a 0 byte that `len` does not count, once anything was appended */
    size_t len, cap;
    bool failed;
};
void buf_append(struct buf *b, const void *src, size_t n);
void buf_puts(struct buf *b, const char *s);
/* text_escape; cut after 1023 bytes. */
void buf_escape(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends n zero bytes and returns where they begin, to be filled in; NULL when memory ran out. */
char *buf_extend(struct buf *b, size_t n);
/* STATUS_NOMEM if an append failed. */
enum status buf_check(const struct buf *b, struct error *err);
void buf_clear(struct buf *b);

/* Memory that is given back all at once. Start from {0}. Pieces are zeroed and aligned to 16 bytes. NULL when
 * memory ran out. */
struct arena {
    struct arena_block *last;
};
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, uint64_t n, size_t size); /* checked n * size */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_clear(struct arena *a);

/* String → index map for names that a file chose (seeded hash, so that no file can make it slow). Start from
 * {0}. Keys are not copied: they must outlive the map. */
struct strmap {
    struct strmap_slot *slots;
    size_t cap, count;
};
/* Adds key → value. *existing (may be NULL) gets the old value and STATUS_EXISTS is returned (err filled) if
 * the key is present. */
enum status strmap_add(struct strmap *m, const char *key, size_t value, size_t *existing, struct error *err);
/* true and *value when present */
bool strmap_find(const struct strmap *m, const char *key, size_t *value);
bool strmap_find_n(const struct strmap *m, const char *key, size_t key_len, size_t *value);
void strmap_clear(struct strmap *m);

#endif

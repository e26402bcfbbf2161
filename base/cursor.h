/* Reading little-endian fields from bytes in memory without ever leaving them.
 *
 *     struct cursor c = {.data = p, .size = n};
 *     uint32_t version = cursor_u32(&c);
 *     if (c.failed) ...                          one check after a group of reads
 *
 * After a read that would pass the end, `failed` is set, the position stays, and every later read gives 0 or
 * NULL.
 */
#ifndef LATHE_CURSOR_H
#define LATHE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const unsigned char *data;
    size_t size, pos;
    bool failed;
};
size_t cursor_left(const struct cursor *c);
/* The next n bytes, or NULL. */
const unsigned char *cursor_take(struct cursor *c, uint64_t n);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
float cursor_f32(struct cursor *c);
double cursor_f64(struct cursor *c);

/* Stores and loads of single little-endian numbers at any alignment. */
void le_put16(void *dst, uint16_t v);
void le_put32(void *dst, uint32_t v);
void le_put64(void *dst, uint64_t v);
uint16_t le_get16(const void *src);
uint32_t le_get32(const void *src);
uint64_t le_get64(const void *src);

#endif

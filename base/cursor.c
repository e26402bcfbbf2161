#include "base/cursor.h"

#include <string.h>

size_t cursor_left(const struct cursor *c)
{
    return c->failed ? 0 : c->size - c->pos;
}

const unsigned char *cursor_take(struct cursor *c, uint64_t n)
{
    if (c->failed || n > c->size - c->pos) {
        c->failed = true;
        return NULL;
    }
    const unsigned char *p = c->data + c->pos;
    c->pos += (size_t)n;
    return p;
}

uint8_t cursor_u8(struct cursor *c)
{
    const unsigned char *p = cursor_take(c, 1);
    return p ? *p : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
    const unsigned char *p = cursor_take(c, 2);
    return p ? le_get16(p) : 0;
}

uint32_t cursor_u32(struct cursor *c)
{
    const unsigned char *p = cursor_take(c, 4);
    return p ? le_get32(p) : 0;
}

uint64_t cursor_u64(struct cursor *c)
{
    const unsigned char *p = cursor_take(c, 8);
    return p ? le_get64(p) : 0;
}

float cursor_f32(struct cursor *c)
{
    uint32_t bits = cursor_u32(c);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

double cursor_f64(struct cursor *c)
{
    uint64_t bits = cursor_u64(c);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Byte by byte, whatever the machine's order; compilers turn these into single moves. */
void le_put16(void *dst, uint16_t v)
{
    unsigned char *p = dst;
    p[0] = (unsigned char)(v & 0xff);
    p[1] = (unsigned char)(v >> 8);
}

void le_put32(void *dst, uint32_t v)
{
    unsigned char *p = dst;
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> 8 * i & 0xff);
}

void le_put64(void *dst, uint64_t v)
{
    unsigned char *p = dst;
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> 8 * i & 0xff);
}

uint16_t le_get16(const void *src)
{
    const unsigned char *p = src;
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t le_get32(const void *src)
{
    const unsigned char *p = src;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v |= (uint32_t)p[i] << 8 * i;
    return v;
}

uint64_t le_get64(const void *src)
{
    const unsigned char *p = src;
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

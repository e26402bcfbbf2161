#include "tests/hostile/pack.h"

#include "base/cursor.h"
#include "base/digest.h"
#include "core/receipt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { RECORDS_MAX = 16, LOCAL_BYTES = 30, CENTRAL_BYTES = 46 };

struct record {
    char name[80];
    size_t n_name, local, data, central, packed, size;
    uint32_t crc;
    unsigned method;
};
struct packer {
    const char *all, *at; /* the text */
    struct buf *out;
    size_t write_at; /* SIZE_MAX: at the end */
    struct record records[RECORDS_MAX];
    size_t n_records, off_end;
};

static void wrong(const struct packer *p, const char *what)
{
    fprintf(stderr, "pack: %s at character %zu of: %.300s\n", what, (size_t)(p->at - p->all), p->all);
    exit(99);
}

static void put(struct packer *p, const void *src, size_t n)
{
    if (p->write_at == SIZE_MAX) {
        buf_append(p->out, src, n);
        return;
    }
    if (n > p->out->len - p->write_at) wrong(p, "bytes beyond the end");
    memcpy(p->out->data + p->write_at, src, n);
    p->write_at += n;
}

static void put_uint(struct packer *p, uint64_t v, size_t n)
{
    unsigned char raw[8];
    le_put64(raw, v);
    put(p, raw, n);
}

static void put_varint(struct packer *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) put_uint(p, (v & 0x7f) | 0x80, 1);
    put_uint(p, v, 1);
}

static void skip_space(struct packer *p)
{
    while (isspace((unsigned char)*p->at)) p->at++;
}

static bool take(struct packer *p, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

static uint64_t number(struct packer *p)
{
    char *end;
    bool negative = take(p, "-");
    if (!isdigit((unsigned char)*p->at)) wrong(p, "expected a number");
    uint64_t v = strtoull(p->at, &end, 0);
    p->at = end;
    if (take(p, "^")) {
        v = UINT64_C(1) << (strtoull(p->at, &end, 10) & 63);
        if (strtoull(p->at, &end, 10) == 64) v = 0;
        p->at = end;
        bool minus = take(p, "-");
        if (minus || take(p, "+")) {
            uint64_t d = strtoull(p->at, &end, 10);
            p->at = end;
            v = minus ? v - d : v + d;
        }
    }
    return negative ? 0 - v : v;
}

static unsigned hex_digit(struct packer *p)
{
    static const char digits[] = "0123456789abcdef";
    const char *d = *p->at ? strchr(digits, *p->at) : NULL;
    if (!d) wrong(p, "expected a hexadecimal digit");
    p->at++;
    return (unsigned)(d - digits);
}

static unsigned char hex_byte(struct packer *p)
{
    unsigned high = hex_digit(p);
    return (unsigned char)(high << 4 | hex_digit(p));
}

/* After the opening quote. */
static void quoted(struct packer *p)
{
    while (*p->at != '\'') {
        char c = *p->at++;
        if (c == 0) wrong(p, "no closing quote");
        if (c == '\\') {
            c = *p->at++;
            if (c == 'x')
                c = (char)hex_byte(p);
            else
                c = c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c;
        } else if (c == '`') {
            c = '"';
        }
        put(p, &c, 1);
    }
    p->at++;
}

static void sequence(struct packer *p, char end);

/* What is inside the parentheses, as bytes of their own. */
static struct buf inside(struct packer *p)
{
    struct buf b = {0}, *out = p->out;
    size_t write_at = p->write_at;
    p->out = &b;
    p->write_at = SIZE_MAX;
    sequence(p, ')');
    p->out = out;
    p->write_at = write_at;
    if (!b.data) buf_puts(&b, "");
    return b;
}

static void deflated(struct buf *b)
{
    uLong cap = compressBound(b->len) + 64;
    struct buf out = {0};
    z_stream z = {0};
    if (!buf_extend(&out, cap) || deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) exit(99);
    z.next_in = (Bytef *)b->data;
    z.avail_in = (uInt)b->len;
    z.next_out = (Bytef *)out.data;
    z.avail_out = (uInt)cap;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) exit(99);
    out.len = z.total_out;
    deflateEnd(&z);
    buf_clear(b);
    *b = out;
}

/* Fields that local record and directory share. */
static void put_shared(struct packer *p, const struct record *r)
{
    put_uint(p, 0x0800, 2);
    put_uint(p, r->method, 2);
    put_uint(p, 0, 4); /* time */
    put_uint(p, r->crc, 4);
    put_uint(p, r->packed, 4);
    put_uint(p, r->size, 4);
    put_uint(p, r->n_name, 2);
    put_uint(p, 0, 2); /* extra */
}

/* After the opening parenthesis. */
static void record(struct packer *p, bool compressed)
{
    if (p->n_records == RECORDS_MAX) wrong(p, "too many records");
    struct record *r = &p->records[p->n_records++];
    struct buf name = {0}, *out = p->out;
    skip_space(p);
    if (!take(p, "'")) wrong(p, "expected the name of a record");
    p->out = &name;
    quoted(p);
    p->out = out;
    if (name.len > sizeof r->name) wrong(p, "a long name");
    r->n_name = name.len;
    if (name.len) memcpy(r->name, name.data, name.len);
    struct buf data = inside(p);
    r->size = data.len;
    r->crc = crc32_update(0, data.data, data.len);
    r->method = compressed ? 8 : 0;
    if (compressed) deflated(&data);
    r->packed = data.len;
    r->local = p->out->len;
    put(p, "PK\3\4\x14\0", 6);
    put_shared(p, r);
    put(p, r->name, r->n_name);
    r->data = p->out->len;
    put(p, data.data, data.len);
    buf_clear(&name);
    buf_clear(&data);
}

static void zip_end(struct packer *p)
{
    size_t dir = p->out->len;
    for (size_t i = 0; i < p->n_records; i++) {
        struct record *r = &p->records[i];
        r->central = p->out->len;
        put(p, "PK\1\2\x14\0\x14\0", 8);
        put_shared(p, r);
        put(p, "\0\0\0\0\0\0\0\0\0\0", 10); /* comment, disk, attributes */
        put_uint(p, r->local, 4);
        put(p, r->name, r->n_name);
    }
    p->off_end = p->out->len;
    put(p, "PK\5\6\0\0\0\0", 8);
    put_uint(p, p->n_records, 2);
    put_uint(p, p->n_records, 2);
    put_uint(p, p->off_end - dir, 4);
    put_uint(p, dir, 4);
    put_uint(p, 0, 2);
}

static void move(struct packer *p)
{
    if (take(p, "end")) {
        p->write_at = SIZE_MAX;
        return;
    }
    size_t base = 0;
    if (take(p, "e")) {
        base = p->off_end;
    } else if (strchr("lcd", *p->at)) {
        char which = *p->at++;
        uint64_t i = number(p);
        if (i >= p->n_records) wrong(p, "no such record");
        const struct record *r = &p->records[i];
        base = which == 'l' ? r->local : which == 'd' ? r->data : r->central;
    } else {
        base = number(p);
    }
    if (take(p, "+")) base += number(p);
    if (base > p->out->len) wrong(p, "a place beyond the end");
    p->write_at = base;
}

static void prefixed(struct packer *p, char kind)
{
    struct buf b = inside(p);
    if (kind == 'w')
        put_varint(p, b.len);
    else if (kind != 'z')
        put_uint(p, b.len, kind == 'n' ? 8 : kind == 'u' ? 4 : 2);
    if (kind == 'z') {
        struct buf packed = {0};
        struct error err;
        if (receipt_pack(&packed, b.data, b.len, &err) != STATUS_OK) wrong(p, err.text);
        put(p, packed.data, packed.len);
        buf_clear(&packed);
    } else {
        put(p, b.data, b.len);
    }
    buf_clear(&b);
}

static void padding(struct packer *p)
{
    size_t align = number(p);
    while (p->out->len % align != 0) put(p, "", 1);
}

static void atom(struct packer *p);

/* N: a width, or how often the next atom comes. */
static void counted(struct packer *p)
{
    uint64_t n = number(p);
    if (take(p, ":")) {
        if (n != 1 && n != 2 && n != 4 && n != 8) wrong(p, "a width other than 1, 2, 4, 8");
        put_uint(p, number(p), n);
        return;
    }
    if (!take(p, "*")) wrong(p, "expected : or *");
    const char *again = p->at;
    if (n == 0) { /* parsed once, kept never */
        struct buf nothing = {0}, *out = p->out;
        p->out = &nothing;
        atom(p);
        p->out = out;
        buf_clear(&nothing);
    }
    for (uint64_t i = 0; i < n; i++) {
        p->at = again;
        atom(p);
    }
}

static void atom(struct packer *p)
{
    if (take(p, "'"))
        quoted(p);
    else if (take(p, "v:"))
        put_varint(p, number(p));
    else if (take(p, "pad:"))
        padding(p);
    else if (take(p, "cut:")) {
        size_t n = number(p);
        if (n > p->out->len) wrong(p, "nothing left to cut");
        p->out->len -= n;
    } else if (take(p, "@"))
        move(p);
    else if (take(p, "entry("))
        record(p, false);
    else if (take(p, "deflate("))
        record(p, true);
    else if (take(p, "zipend"))
        zip_end(p);
    else if (*p->at && strchr("nuhwz", *p->at) && p->at[1] == '(') {
        char kind = *p->at;
        p->at += 2;
        prefixed(p, kind);
    } else if (take(p, "x")) {
        do {
            unsigned char byte = hex_byte(p);
            put(p, &byte, 1);
        } while (isxdigit((unsigned char)*p->at));
    } else if (isdigit((unsigned char)*p->at))
        counted(p);
    else
        wrong(p, "unknown atom");
}

static void sequence(struct packer *p, char end)
{
    for (skip_space(p); *p->at != end; skip_space(p)) {
        if (!*p->at) wrong(p, "no closing parenthesis");
        atom(p);
    }
    if (end) p->at++;
}

void pack(struct buf *b, const char *text)
{
    struct packer *p = calloc(1, sizeof *p);
    if (!p) exit(99);
    *p = (struct packer){.all = text, .at = text, .out = b, .write_at = SIZE_MAX};
    sequence(p, 0);
    free(p);
}

#include "formats/zip_directory.h"

#include "base/cursor.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30, /* fixed parts, without name and extra */
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    LOCAL_MAGIC = 0x04034b50,
    CENTRAL_MAGIC = 0x02014b50,
    END_MAGIC = 0x06054b50,
    END64_MAGIC = 0x06064b50,
    LOCATOR_MAGIC = 0x07064b50,
    DESCRIPTOR_MAGIC = 0x08074b50,
    EXTRA_ZIP64 = 1,
    FLAG_LEVEL = 3 << 1, /* how hard deflate tried: no consequence for readers */
    FLAG_DESCRIPTOR = 1 << 3,
    FLAG_UTF8 = 1 << 11,
};

struct reader {
    const struct file *f;
    uint64_t off_dir, dir_bytes, n_entries; /* the central directory */
};

static enum status fail(const struct reader *r, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum status fail(const struct reader *r, struct error *err, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return error_at(err, STATUS_FORMAT, r->f->path, NULL, "zip archive: %s", what);
}

/* ---- 4 and 3: where the directory is ---- */

struct end_record {
    uint64_t disk, dir_disk, n_here, n_total, dir_bytes, off_dir;
};

/* A 32-bit (16-bit) field is either the true value or all ones when a 64-bit record has it. */
static bool agrees(uint64_t narrow, uint64_t all_ones, uint64_t wide)
{
    return narrow == wide || narrow == all_ones;
}

/* The 64-bit end record, if its locator lies right before the end record at off_end. *off_tail: where the directory must end. */
static enum status read_end64(struct reader *r, uint64_t off_end, struct end_record *end, uint64_t *off_tail,
                              struct error *err)
{
    unsigned char b[END64_BYTES];
    *off_tail = off_end;
    if (off_end < LOCATOR_BYTES + END64_BYTES) return STATUS_OK;
    TRY(file_read_at(r->f, off_end - LOCATOR_BYTES, b, LOCATOR_BYTES, err));
    if (le_get32(b) != LOCATOR_MAGIC) return STATUS_OK;
    uint64_t off = le_get64(b + 8);
    if (le_get32(b + 4) != 0 || le_get32(b + 16) != 1) return fail(r, err, "parts on several disks");
    if (off != off_end - LOCATOR_BYTES - END64_BYTES)
        return fail(r, err, "expected its 64-bit end record at offset %llu, found %llu",
                    (unsigned long long)(off_end - LOCATOR_BYTES - END64_BYTES), (unsigned long long)off);
    TRY(file_read_at(r->f, off, b, END64_BYTES, err));
    if (le_get32(b) != END64_MAGIC || le_get64(b + 4) != END64_BYTES - 12)
        return fail(r, err, "its 64-bit end record is damaged");
    struct end_record wide = {le_get32(b + 16), le_get32(b + 20), le_get64(b + 24),
                              le_get64(b + 32), le_get64(b + 40), le_get64(b + 48)};
    if (!agrees(end->disk, UINT16_MAX, wide.disk) || !agrees(end->dir_disk, UINT16_MAX, wide.dir_disk) ||
        !agrees(end->n_here, UINT16_MAX, wide.n_here) || !agrees(end->n_total, UINT16_MAX, wide.n_total) ||
        !agrees(end->dir_bytes, UINT32_MAX, wide.dir_bytes) ||
        !agrees(end->off_dir, UINT32_MAX, wide.off_dir))
        return fail(r, err, "its two end records contradict each other");
    *end = wide;
    *off_tail = off;
    return STATUS_OK;
}

static enum status find_directory(struct reader *r, struct error *err)
{
    unsigned char b[END_BYTES];
    uint64_t off_tail, end_dir;
    if (r->f->size_bytes < END_BYTES) return fail(r, err, "the file is too short");
    uint64_t off_end = r->f->size_bytes - END_BYTES;
    TRY(file_read_at(r->f, off_end, b, END_BYTES, err));
    if (le_get32(b) != END_MAGIC || le_get16(b + 20) != 0)
        return fail(
            r, err,
            "expected the end record as the last %d bytes (the file is cut short, or something follows it)",
            END_BYTES);
    struct end_record end = {le_get16(b + 4),  le_get16(b + 6),  le_get16(b + 8),
                             le_get16(b + 10), le_get32(b + 12), le_get32(b + 16)};
    TRY(read_end64(r, off_end, &end, &off_tail, err));
    if (end.disk != 0 || end.dir_disk != 0 || end.n_here != end.n_total)
        return fail(r, err, "parts on several disks");
    if (!size_add(end.off_dir, end.dir_bytes, &end_dir) || end_dir != off_tail)
        return fail(r, err, "expected its directory to end at offset %llu, found offset %llu and %llu bytes",
                    (unsigned long long)off_tail, (unsigned long long)end.off_dir,
                    (unsigned long long)end.dir_bytes);
    if (end.n_total > end.dir_bytes / CENTRAL_BYTES)
        return fail(r, err, "%llu entries are announced, too many for a directory of %llu bytes",
                    (unsigned long long)end.n_total, (unsigned long long)end.dir_bytes);
    *r = (struct reader){r->f, end.off_dir, end.dir_bytes, end.n_total};
    return STATUS_OK;
}

/* ---- 2: the directory ---- */

/* Replaces those of the n values that are all ones by the 64-bit ones in the extra field, in their fixed order. Other extra fields and
 * bytes after the last value needed are skipped: honest tools pad. */
static bool apply_zip64(const unsigned char *extra, size_t extra_bytes, uint64_t *const *values, int n)
{
    struct cursor c = {.data = extra, .size = extra_bytes};
    bool found = false;
    while (cursor_left(&c) >= 4) {
        uint16_t id = cursor_u16(&c), len = cursor_u16(&c);
        const unsigned char *body = cursor_take(&c, len);
        if (!body) return false;
        if (id != EXTRA_ZIP64) continue;
        if (found) return false;
        found = true;
        struct cursor v = {.data = body, .size = len};
        for (int i = 0; i < n; i++)
            if (*values[i] == UINT32_MAX) *values[i] = cursor_u64(&v);
        if (v.failed) return false;
    }
    for (int i = 0; i < n && !found; i++)
        if (*values[i] == UINT32_MAX) return false;
    return true;
}

static bool name_is_safe(const char *s, size_t n)
{
    if (n == 0 || n > LIMIT_ZIP_NAME || s[0] == '/' || memchr(s, 0, n) || memchr(s, '\\', n)) return false;
    if (utf8_check(s, n) != n || (n > 1 && s[1] == ':')) return false;
    for (size_t i = 0; i < n;) {
        const char *slash = memchr(s + i, '/', n - i);
        size_t len = slash ? (size_t)(slash - (s + i)) : n - i;
        if ((len == 0 && i < n) || (len == 1 && s[i] == '.') || (len == 2 && s[i] == '.' && s[i + 1] == '.'))
            return false;
        i += len + 1;
    }
    return true;
}

static enum status read_central(const struct reader *r, struct cursor *c, struct zip_entry *e,
                                struct arena *mem, struct error *err)
{
    const unsigned char *b = cursor_take(c, CENTRAL_BYTES);
    if (!b || le_get32(b) != CENTRAL_MAGIC) return fail(r, err, "its directory is damaged");
    uint16_t n_name = le_get16(b + 28), n_extra = le_get16(b + 30), n_comment = le_get16(b + 32);
    const char *name = (const char *)cursor_take(c, n_name);
    const unsigned char *extra = cursor_take(c, n_extra);
    if (!cursor_take(c, n_comment)) return fail(r, err, "its directory is damaged");
    if (!name_is_safe(name, n_name))
        return fail(r, err, "an entry has the name '%.*s'", n_name < 64 ? n_name : 64, name);
    *e = (struct zip_entry){.flags = le_get16(b + 8),
                            .method = le_get16(b + 10),
                            .crc = le_get32(b + 16),
                            .packed_bytes = le_get32(b + 20),
                            .size_bytes = le_get32(b + 24),
                            .off_record = le_get32(b + 42)};
    e->name = arena_strndup(mem, name, n_name);
    if (!e->name) return error_nomem(err, n_name);
    unsigned allowed = FLAG_DESCRIPTOR | FLAG_UTF8 | (e->method == ZIP_DEFLATED ? FLAG_LEVEL : 0);
    if (e->flags & ~allowed)
        return fail(r, err, "entry '%s' has the flags 0x%x", e->name, (unsigned)e->flags);
    if (le_get16(b + 34) != 0) return fail(r, err, "entry '%s' is on another disk", e->name);
    uint64_t *const values[] = {&e->size_bytes, &e->packed_bytes, &e->off_record};
    if (!apply_zip64(extra, n_extra, values, 3))
        return fail(r, err, "entry '%s' has a damaged extra field", e->name);
    if (e->method == ZIP_STORED && e->packed_bytes != e->size_bytes)
        return fail(r, err, "entry '%s' is stored, but its two sizes are %llu and %llu", e->name,
                    (unsigned long long)e->packed_bytes, (unsigned long long)e->size_bytes);
    return STATUS_OK;
}

static enum status read_directory(const struct reader *r, struct zip_directory *d, const unsigned char *bytes,
                                  struct arena *mem, struct error *err)
{
    struct cursor c = {.data = bytes, .size = (size_t)r->dir_bytes};
    d->entries = arena_array(mem, r->n_entries, sizeof *d->entries);
    if (!d->entries) return error_nomem(err, (size_t)r->n_entries * sizeof *d->entries);
    d->n_entries = (size_t)r->n_entries;
    for (size_t i = 0; i < d->n_entries; i++) {
        TRY(read_central(r, &c, &d->entries[i], mem, err));
        enum status st = strmap_add(&d->by_name, d->entries[i].name, i, NULL, err);
        if (st == STATUS_EXISTS) return fail(r, err, "two entries have the name '%s'", d->entries[i].name);
        TRY(st);
    }
    return cursor_left(&c) == 0 ? STATUS_OK : fail(r, err, "its directory has more entries than announced");
}

/* ---- 1: the local records ---- */

static enum status disagree(const struct reader *r, const struct zip_entry *e, const char *what,
                            struct error *err)
{
    return fail(r, err, "entry '%s': directory and local record differ in %s", e->name, what);
}

/* CRC and sizes of a local record or descriptor against the directory's. */
static bool same_sums(const struct zip_entry *e, uint32_t crc, uint64_t packed, uint64_t size)
{
    return crc == e->crc && packed == e->packed_bytes && size == e->size_bytes;
}

/* Sizes that do not fit 32 bits are in the local extra field. */
static enum status check_local_sums(const struct reader *r, const struct zip_entry *e, const unsigned char *b,
                                    struct error *err)
{
    uint64_t packed = le_get32(b + 18), size = le_get32(b + 22);
    uint32_t crc = le_get32(b + 14);
    if ((e->flags & FLAG_DESCRIPTOR) && crc == 0 && packed == 0 && size == 0) return STATUS_OK;
    if (packed == UINT32_MAX || size == UINT32_MAX) {
        uint64_t *const values[] = {&size, &packed};
        size_t n_extra = le_get16(b + 28);
        unsigned char *extra = malloc(n_extra + 1);
        if (!extra) return error_nomem(err, n_extra + 1);
        enum status st = file_read_at(r->f, e->off_data - n_extra, extra, n_extra, err);
        bool ok = st == STATUS_OK && apply_zip64(extra, n_extra, values, 2);
        free(extra);
        TRY(st);
        if (!ok) return fail(r, err, "entry '%s' has a damaged extra field", e->name);
        if ((e->flags & FLAG_DESCRIPTOR) && crc == 0 && packed == 0 && size == 0) return STATUS_OK;
    }
    return same_sums(e, crc, packed, size) ? STATUS_OK : disagree(r, e, "CRC or sizes", err);
}

static enum status read_local(const struct reader *r, struct zip_entry *e, unsigned char *b,
                              struct error *err)
{
    size_t n_name = strlen(e->name), n = LOCAL_BYTES + n_name;
    uint64_t end;
    if (e->off_record > r->off_dir || n > r->off_dir - e->off_record)
        return fail(r, err, "entry '%s' begins outside the archive", e->name);
    TRY(file_read_at(r->f, e->off_record, b, n, err));
    if (le_get32(b) != LOCAL_MAGIC) return fail(r, err, "entry '%s' has no local record", e->name);
    if (le_get16(b + 6) != e->flags) return disagree(r, e, "flags", err);
    if (le_get16(b + 8) != e->method) return disagree(r, e, "method", err);
    if (le_get16(b + 26) != n_name || memcmp(b + LOCAL_BYTES, e->name, n_name) != 0)
        return disagree(r, e, "name", err);
    e->off_data = e->off_record + n + le_get16(b + 28);
    if (!size_add(e->off_data, e->packed_bytes, &end) || end > r->off_dir)
        return fail(r, err, "entry '%s' of %llu bytes reaches beyond the archive", e->name,
                    (unsigned long long)e->packed_bytes);
    return check_local_sums(r, e, b, err);
}

/* The bytes between an entry's data and the next record are its descriptor and nothing else. */
static enum status check_gap(const struct reader *r, const struct zip_entry *e, uint64_t next,
                             struct error *err)
{
    uint64_t end = e->off_data + e->packed_bytes;
    unsigned char b[24];
    if (next < end) return fail(r, err, "entry '%s' overlaps the next record", e->name);
    size_t gap = next - end <= sizeof b ? (size_t)(next - end) : sizeof b + 1;
    if (!(e->flags & FLAG_DESCRIPTOR) && gap == 0) return STATUS_OK;
    if (!(e->flags & FLAG_DESCRIPTOR) || (gap != 12 && gap != 16 && gap != 20 && gap != 24))
        return fail(r, err, "%llu bytes after entry '%s' belong to no record",
                    (unsigned long long)(next - end), e->name);
    TRY(file_read_at(r->f, end, b, gap, err));
    bool magic = gap == 16 || gap == 24, wide = gap >= 20;
    const unsigned char *p = magic ? b + 4 : b;
    if ((magic && le_get32(b) != DESCRIPTOR_MAGIC) ||
        !same_sums(e, le_get32(p), wide ? le_get64(p + 4) : le_get32(p + 4),
                   wide ? le_get64(p + 12) : le_get32(p + 8)))
        return disagree(r, e, "its descriptor", err);
    return STATUS_OK;
}

static int by_record(const void *pa, const void *pb)
{
    const struct zip_entry *a = *(struct zip_entry *const *)pa, *b = *(struct zip_entry *const *)pb;
    return a->off_record < b->off_record ? -1 : a->off_record > b->off_record;
}

static enum status check_records(const struct reader *r, struct zip_directory *d, struct zip_entry **order,
                                 unsigned char *scratch, struct error *err)
{
    for (size_t i = 0; i < d->n_entries; i++) {
        order[i] = &d->entries[i];
        TRY(read_local(r, order[i], scratch, err));
    }
    qsort(order, d->n_entries, sizeof *order, by_record);
    uint64_t first = d->n_entries ? order[0]->off_record : r->off_dir;
    if (first != 0)
        return fail(r, err, "its first %llu bytes belong to no record", (unsigned long long)first);
    for (size_t i = 0; i < d->n_entries; i++)
        TRY(check_gap(r, order[i], i + 1 < d->n_entries ? order[i + 1]->off_record : r->off_dir, err));
    return STATUS_OK;
}

enum status zip_directory_read(struct zip_directory *d, const struct file *f, struct arena *mem,
                               struct error *err)
{
    struct reader r = {.f = f};
    void *bytes = NULL, *order = NULL, *scratch = NULL;
    enum status st;
    TRY(find_directory(&r, err));
    TRY_OUT(mem_alloc(&bytes, r.dir_bytes, 1, err));
    TRY_OUT(file_read_at(f, r.off_dir, bytes, (size_t)r.dir_bytes, err));
    TRY_OUT(read_directory(&r, d, bytes, mem, err));
    TRY_OUT(mem_alloc(&order, d->n_entries, sizeof(struct zip_entry *), err));
    TRY_OUT(mem_alloc(&scratch, LOCAL_BYTES + LIMIT_ZIP_NAME, 1, err));
    st = check_records(&r, d, order, scratch, err);
out:
    free(bytes);
    free(order);
    free(scratch);
    return st;
}

void zip_directory_clear(struct zip_directory *d)
{
    strmap_clear(&d->by_name);
    *d = (struct zip_directory){0};
}

/* PyTorch files in zip form (torch.save since 1.6; pytorch_model.bin, consolidated.*.pth, ...).
 *
 *   1. TOP/data.pkl      a pickle: the saved value, with storages by number (pickle.h)
 *   2. TOP/data/NUMBER   bytes of one storage; tensors are views of it: offset, shape, strides
 *   3. TOP/byteorder     "little" or "big"; absent in older files: little
 *   4. TOP/version, ...  of no consequence here; records that no storage names are passed over
 *
 * The archive is proved by zip_directory.h, then opened with libzip too: both must list the same. Records that are small or compressed come
 * from libzip; stored ones, as torch writes them, are read in place. A storage's record must have exactly the size that the pickle gives it,
 * and each view must lie inside.
 *
 * CRCs. Checked before use: of data.pkl, byteorder, compressed records, and storages that no single tensor fills or of at most
 * CHECK_FIRST_BYTES. A larger storage that one tensor fills in row-major order is not read twice: the CRC of what is read is
 * collected piece by piece, in whatever order, and the read that completes it fails if it is wrong. A tensor that was read whole without an
 * error is thus the one that was saved; for a part of a large tensor that is not known.
 *
 * Compressed storages (torch never writes them) are unpacked one at a time, up to LIMIT_ZIP_UNPACK.
 */
#include "base/digest.h"
#include "base/limits.h"
#include "formats/container.h"
#include "formats/torch_view.h"
#include "formats/zip_archive.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHECK_FIRST_BYTES = 1 << 20,
    PIECES_MAX = 64,
};

struct piece {
    uint64_t begin, end;
    uint32_t crc;
};
enum crc_state { CRC_UNKNOWN, CRC_GOOD, CRC_BAD };
struct storage {
    const struct zip_entry *entry;
    bool by_pieces;
    enum crc_state state;
    struct piece *pieces; /* disjoint, ascending; PIECES_MAX; allocated when the first comes */
    int n_pieces;
};
struct torch_zip {
    struct zip_archive archive;
    const char *top;
    bool big_endian;
    struct storage *storages;
    size_t n_storages;
    pthread_mutex_t lock; /* for all that follows, libzip, and the storages' CRC states */
    const struct zip_entry *unpacked_of;
    unsigned char *unpacked;
    struct torch_block block;
};

/* ---- records ---- */

/* Record TOP/rest; NULL if there is none. */
static const struct zip_entry *find_record(const struct torch_zip *z, const char *rest)
{
    char name[256];
    size_t i;
    int n = snprintf(name, sizeof name, "%s/%s", z->top, rest);
    if (n < 0 || (size_t)n >= sizeof name) return NULL;
    return strmap_find(&z->archive.dir.by_name, name, &i) ? &z->archive.dir.entries[i] : NULL;
}

/* ---- opening ---- */

static enum status find_top(const struct container *c, struct torch_zip *z, struct arena *mem,
                            struct error *err)
{
    for (size_t i = 0; i < z->archive.dir.n_entries; i++) {
        const char *name = z->archive.dir.entries[i].name, *slash = strchr(name, '/');
        if (!slash || (z->top && (strlen(z->top) != (size_t)(slash - name) ||
                                  strncmp(name, z->top, strlen(z->top)) != 0)))
            return error_at(
                err, STATUS_FORMAT, c->file.path, NULL,
                "not a PyTorch file: expected all records of the archive in one folder, found '%.100s'",
                name);
        if (!z->top) z->top = arena_strndup(mem, name, (size_t)(slash - name));
        if (!z->top) return error_nomem(err, strlen(name));
        if (strcmp(slash, "/constants.pkl") == 0 || strncmp(slash, "/code/", 6) == 0)
            return error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL,
                            "a TorchScript program: expected a state dict saved with torch.save");
    }
    return STATUS_OK;
}

static enum status read_byteorder(struct torch_zip *z, struct error *err)
{
    const struct zip_entry *e = find_record(z, "byteorder");
    unsigned char *text;
    if (!e) return STATUS_OK;
    TRY(zip_archive_unpack(&z->archive, e, 16, &text, err));
    z->big_endian = e->size_bytes == 3 && memcmp(text, "big", 3) == 0;
    bool little = e->size_bytes == 6 && memcmp(text, "little", 6) == 0;
    free(text);
    if (z->big_endian || little) return STATUS_OK;
    return zip_record_error(&z->archive, e, err, "expected 'little' or 'big'");
}

/* A compressed storage must fit memory, and be no bomb. */
static enum status check_packed(const struct container *c, const struct zip_entry *e, struct error *err)
{
    if (e->method == ZIP_STORED || e->size_bytes <= LIMIT_ZIP_UNPACK_FREE) return STATUS_OK;
    if (e->size_bytes <= LIMIT_ZIP_UNPACK && e->size_bytes / LIMIT_UNPACK_RATIO <= e->packed_bytes)
        return STATUS_OK;
    error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL,
             "record '%s' is compressed and unpacks to %llu bytes, more than is unpacked in memory", e->name,
             (unsigned long long)e->size_bytes);
    return error_hint(err, "load it with torch.load and save it again: torch.save does not compress");
}

static enum status set_storage(const struct container *c, struct torch_zip *z, const struct pickle_storage *s,
                               struct error *err)
{
    char rest[128];
    uint64_t elem = s->dtype == DTYPE_COUNT ? 1 : dtype_info(s->dtype)->block_bytes, bytes;
    snprintf(rest, sizeof rest, "data/%s", s->key);
    const struct zip_entry *e = find_record(z, rest);
    if (!e)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL, "record '%s/%s' is missing", z->top, rest);
    if (!size_mul(s->n_elements, elem, &bytes) || bytes != e->size_bytes)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "record '%s' has %llu bytes, expected %llu elements of %llu", e->name,
                        (unsigned long long)e->size_bytes, (unsigned long long)s->n_elements,
                        (unsigned long long)elem);
    z->storages[s->index].entry = e;
    return check_packed(c, e, err);
}

static enum status set_tensor(const struct container *c, struct torch_zip *z, const struct torch_named *named,
                              struct tensor *t, struct error *err)
{
    struct storage *s = &z->storages[named->tensor->storage->index];
    const struct torch_place place = {s->entry->off_data, s->entry->size_bytes, z->big_endian};
    TRY(torch_view_set(t, named, &place, c->file.path, err));
    if (t->contiguous && !t->swapped && t->size_bytes == place.size_bytes &&
        place.size_bytes > CHECK_FIRST_BYTES && s->entry->method == ZIP_STORED)
        s->by_pieces = true;
    return STATUS_OK;
}

static enum status list_tensors(struct container *c, struct torch_zip *z, const struct pickle *p,
                                size_t n_bytes, struct error *err)
{
    struct torch_named *named;
    size_t n;
    z->n_storages = p->n_storages;
    z->storages = arena_array(&c->mem, p->n_storages, sizeof *z->storages);
    if (!z->storages) return error_nomem(err, p->n_storages * sizeof *z->storages);
    for (size_t i = 0; i < p->n_storages; i++) TRY(set_storage(c, z, p->storages[i], err));
    TRY(torch_list_state(p, n_bytes, c->file.path, &c->mem, &named, &n, err));
    c->tensors = arena_array(&c->mem, n, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, n * sizeof *c->tensors);
    for (size_t i = 0; i < n; i++) TRY(set_tensor(c, z, &named[i], &c->tensors[i], err));
    c->n_tensors = n;
    return STATUS_OK;
}

static enum status read_pickle(struct container *c, struct torch_zip *z, struct error *err)
{
    const struct zip_entry *e = find_record(z, "data.pkl");
    unsigned char *bytes;
    struct pickle p;
    if (!e)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "not a PyTorch file: the archive has no data.pkl");
    TRY(zip_archive_unpack(&z->archive, e, LIMIT_PICKLE, &bytes, err));
    enum status st = pickle_read(&p, bytes, (size_t)e->size_bytes, c->file.path, err);
    if (st == STATUS_OK) {
        st = list_tensors(c, z, &p, (size_t)e->size_bytes, err);
        pickle_clear(&p);
    }
    free(bytes);
    return st;
}

static enum status open_torch_zip(struct container *c, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, 1, sizeof(struct torch_zip), err));
    struct torch_zip *z = c->priv = mem;
    pthread_mutex_init(&z->lock, NULL);
    TRY(zip_archive_open(&z->archive, &c->file, &c->mem, err));
    TRY(find_top(c, z, &c->mem, err));
    TRY(read_byteorder(z, err));
    return read_pickle(c, z, err);
}

static void close_torch_zip(struct container *c)
{
    struct torch_zip *z = c->priv;
    if (!z) return;
    for (size_t i = 0; i < z->n_storages; i++) free(z->storages[i].pieces);
    free(z->unpacked);
    torch_block_clear(&z->block);
    zip_archive_close(&z->archive);
    pthread_mutex_destroy(&z->lock);
    free(z);
    c->priv = NULL;
}

/* ---- CRC of stored records ---- */

static enum status settle(const struct container *c, struct storage *s, uint32_t crc, struct error *err)
{
    if (s->state == CRC_UNKNOWN) s->state = crc == s->entry->crc ? CRC_GOOD : CRC_BAD;
    if (s->state == CRC_GOOD) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "record '%s' is damaged: its CRC is not 0x%08x",
                    s->entry->name, (unsigned)s->entry->crc);
}

/* Reads the record once, unless its CRC is known. The lock is held. */
static enum status check_first(const struct container *c, struct storage *s, struct error *err)
{
    const struct zip_entry *e = s->entry;
    enum { CHUNK = 1 << 20 };
    void *chunk;
    uint32_t crc = 0;
    if (s->state != CRC_UNKNOWN || s->by_pieces || e->method != ZIP_STORED)
        return s->state == CRC_BAD ? settle(c, s, 0, err) : STATUS_OK;
    TRY(mem_alloc(&chunk, e->size_bytes < CHUNK ? e->size_bytes : CHUNK, 1, err));
    enum status st = STATUS_OK;
    for (uint64_t off = 0; off < e->size_bytes && st == STATUS_OK; off += CHUNK) {
        size_t n = e->size_bytes - off < CHUNK ? (size_t)(e->size_bytes - off) : CHUNK;
        st = file_read_at(&c->file, e->off_data + off, chunk, n, err);
        if (st == STATUS_OK) crc = crc32_update(crc, chunk, n);
    }
    free(chunk);
    return st == STATUS_OK ? settle(c, s, crc, err) : st;
}

static void join_pieces(struct storage *s)
{
    int k = 0;
    for (int i = 1; i < s->n_pieces; i++) {
        struct piece *last = &s->pieces[k], *next = &s->pieces[i];
        if (last->end == next->begin) {
            last->crc = crc32_join(last->crc, next->crc, next->end - next->begin);
            last->end = next->end;
        } else {
            s->pieces[++k] = *next;
        }
    }
    s->n_pieces = k + 1;
}

/* Adds what was read. A piece inside a known one says nothing new; one that reaches beyond replaces those it overlaps. When they become
 * too many, the record is read once more as a whole. The lock is held. */
static enum status add_piece(const struct container *c, struct storage *s, struct piece p, struct error *err)
{
    if (s->state != CRC_UNKNOWN) return settle(c, s, 0, err);
    if (!s->pieces) {
        void *mem;
        TRY(mem_alloc(&mem, PIECES_MAX, sizeof *s->pieces, err));
        s->pieces = mem;
    }
    int kept = 0, at = 0;
    for (int i = 0; i < s->n_pieces; i++) {
        const struct piece *old = &s->pieces[i];
        if (old->begin <= p.begin && p.end <= old->end) return STATUS_OK;
        if (old->end <= p.begin || old->begin >= p.end) s->pieces[kept++] = *old;
        if (old->end <= p.begin) at = kept;
    }
    if (kept == PIECES_MAX) {
        s->by_pieces = false;
        return check_first(c, s, err);
    }
    memmove(&s->pieces[at + 1], &s->pieces[at], (size_t)(kept - at) * sizeof p);
    s->pieces[at] = p;
    s->n_pieces = kept + 1;
    join_pieces(s);
    if (s->n_pieces == 1 && s->pieces[0].begin == 0 && s->pieces[0].end == s->entry->size_bytes)
        return settle(c, s, s->pieces[0].crc, err);
    return STATUS_OK;
}

/* ---- reading ---- */

struct source { /* a view's bytes, from its first element */
    const struct container *c;
    struct torch_zip *z;
    const struct zip_entry *entry;
    uint64_t off; /* of the view in the storage */
};

/* Bytes of the storage, unpacking it if it is compressed. The lock is held. */
static enum status read_storage(void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const struct source *s = ctx;
    struct torch_zip *z = s->z;
    if (s->entry->method == ZIP_STORED)
        return file_read_at(&s->c->file, s->entry->off_data + s->off + off, dst, n, err);
    if (z->unpacked_of != s->entry) {
        free(z->unpacked);
        z->unpacked = NULL;
        z->unpacked_of = NULL;
        TRY(zip_archive_unpack(&z->archive, s->entry, LIMIT_ZIP_UNPACK, &z->unpacked, err));
        z->unpacked_of = s->entry;
    }
    memcpy(dst, z->unpacked + s->off + off, n);
    return STATUS_OK;
}

static enum status read_pieces(struct container *c, struct storage *s, const struct tensor *t, uint64_t off,
                               void *dst, size_t n, struct error *err)
{
    struct torch_zip *z = c->priv;
    TRY(file_read_at(&c->file, t->off_file + off, dst, n, err));
    struct piece p = {.begin = t->off_file - s->entry->off_data + off};
    p.end = p.begin + n;
    p.crc = crc32_update(0, dst, n);
    pthread_mutex_lock(&z->lock);
    enum status st = add_piece(c, s, p, err);
    pthread_mutex_unlock(&z->lock);
    return st;
}

static enum status read_torch_zip(struct container *c, const struct tensor *t, uint64_t off, void *dst,
                                  size_t n, struct error *err)
{
    struct torch_zip *z = c->priv;
    struct storage *s = &z->storages[t->storage_id - 1];
    struct source source = {c, z, s->entry, t->off_file - s->entry->off_data};
    bool plain = t->contiguous && !t->swapped, stored = s->entry->method == ZIP_STORED;
    pthread_mutex_lock(&z->lock);
    enum status st = check_first(c, s, err);
    bool by_pieces = plain && s->by_pieces && s->state == CRC_UNKNOWN;
    if (st == STATUS_OK && plain && !stored) st = read_storage(&source, off, dst, n, err);
    if (st == STATUS_OK && !plain)
        st = torch_block_read(&z->block, t, off, dst, n, read_storage, &source, err);
    pthread_mutex_unlock(&z->lock);
    if (st == STATUS_OK && by_pieces)
        st = read_pieces(c, s, t, off, dst, n, err);
    else if (st == STATUS_OK && plain && stored)
        st = file_read_at(&c->file, t->off_file + off, dst, n, err);
    if (st == STATUS_FORMAT && !err->tensor[0]) snprintf(err->tensor, sizeof err->tensor, "%s", t->name);
    return st;
}

/* "PK\3\4"; byte 8 is the compression method, which is '{' in no archive but may begin the header of a safetensors file of that length. */
static bool probe_torch_zip(const unsigned char *head, size_t head_size, uint64_t file_size)
{
    (void)file_size;
    return head_size > 8 && memcmp(head, "PK\3\4", 4) == 0 && head[8] != '{';
}

const struct container_format torch_zip_format = {
    .name = "torch-zip",
    .probe = probe_torch_zip,
    .open = open_torch_zip,
    .read = read_torch_zip,
    .close = close_torch_zip,
};

/* PyTorch files in the form before version 1.6 (torch.save until then, or with _use_new_zipfile_serialization=False).
 *
 *   1. pickle: the number 0x1950a86a20f9469cfc6c
 *   2. pickle: the number 1001
 *   3. pickle: a dict about the machine that wrote it
 *   4. pickle: the saved value, with storages by key (pickle.h)
 *   5. pickle: list of the keys of all storages
 *   6. for each key in this order: number of elements as 8 bytes, then the elements
 *
 * Numbers are little-endian whatever machine wrote them: torch swaps while writing and reads so, and the dict's little_endian is not asked. A
 * storage's number of elements must be the pickle's, the list must name each storage once, and the last one ends the file. There are no checksums.
 *
 * Pickles are read through a window that grows until it holds the whole one, up to LIMIT_PICKLE.
 */
#include "formats/torch_view.h"

#include "base/cursor.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 16, PROTOCOL = 1001, COUNT_BYTES = 8 };

static const unsigned char magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                      0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};

struct torch_legacy {
    pthread_mutex_t lock; /* for block */
    struct torch_block block;
};
/* One of the pickles, and the bytes it points into. */
struct part {
    struct pickle pickle;
    unsigned char *bytes;
    size_t n_bytes;
};

static void part_clear(struct part *p)
{
    pickle_clear(&p->pickle);
    free(p->bytes);
}

/* The pickle at *off, which moves behind it. */
static enum status part_read(const struct container *c, uint64_t *off, const char *what, struct part *p,
                             struct error *err)
{
    uint64_t left = c->file.size_bytes - *off;
    bool cut = true;
    enum status st = STATUS_OK;
    *p = (struct part){0};
    for (size_t n = WINDOW_BYTES; cut && n <= LIMIT_PICKLE; n *= 8) {
        size_t window = left < n ? (size_t)left : n;
        void *bytes;
        free(p->bytes);
        p->bytes = NULL;
        TRY(mem_alloc(&bytes, window, 1, err));
        p->bytes = bytes;
        st = file_read_at(&c->file, *off, bytes, window, err);
        if (st != STATUS_OK) break;
        st = pickle_read_next(&p->pickle, bytes, window, &p->n_bytes, &cut, c->file.path, err);
        if (st == STATUS_OK || window == left) break;
    }
    if (st == STATUS_OK) {
        *off += p->n_bytes;
        return STATUS_OK;
    }
    free(p->bytes);
    if (st == STATUS_FORMAT && cut && left > LIMIT_PICKLE)
        return error_at(err, STATUS_RANGE, c->file.path, NULL, "%s: a pickle of more than %d bytes", what,
                        LIMIT_PICKLE);
    struct error cause = *err;
    error_at(err, st, c->file.path, NULL, "%s: %s", what, cause.text);
    if (cause.hint[0]) error_hint(err, "%s", cause.hint);
    return st;
}

static enum status bad_part(const struct container *c, const char *what, const char *expected,
                            const struct pickle_value *found, struct error *err)
{
    return error_at(err, STATUS_FORMAT, c->file.path, NULL, "%s: expected %s, found a %s", what, expected,
                    pickle_type_name(found->type));
}

static enum status read_protocol(const struct container *c, uint64_t *off, struct error *err)
{
    struct part p;
    TRY(part_read(c, off, "protocol", &p, err));
    const struct pickle_value *v = &p.pickle.root;
    enum status st = STATUS_OK;
    if (v->type != PICKLE_INT)
        st = bad_part(c, "protocol", "a number", v, err);
    else if (v->v.i != PROTOCOL)
        st = error_at(err, STATUS_UNSUPPORTED, c->file.path, NULL, "protocol: expected %d, found %lld",
                      PROTOCOL, (long long)v->v.i);
    part_clear(&p);
    return st;
}

static enum status read_system(const struct container *c, uint64_t *off, struct error *err)
{
    struct part p;
    TRY(part_read(c, off, "system information", &p, err));
    const struct pickle_value *v = &p.pickle.root;
    enum status st = v->type == PICKLE_DICT ? STATUS_OK : bad_part(c, "system information", "a dict", v, err);
    part_clear(&p);
    return st;
}

/* ---- the list of keys, and the storages behind it ---- */

/* The storage of the key; *st tells why there is none. */
static enum status find_storage(const struct container *c, const struct pickle *saved,
                                const struct strmap *by_key, const struct pickle_value *key, size_t *index,
                                struct error *err)
{
    char text[80];
    if (key->type != PICKLE_STRING) return bad_part(c, "list of storages", "a key, a string", key, err);
    if (strmap_find_n(by_key, key->v.s, key->n, index) && strlen(saved->storages[*index]->key) == key->n)
        return STATUS_OK;
    snprintf(text, sizeof text, "%.*s", key->n < 79 ? (int)key->n : 79, key->v.s);
    return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                    "list of storages: nothing is saved in storage '%s'", text);
}

/* Storage `index` begins at *off, which moves behind it. */
static enum status place_storage(const struct container *c, const struct pickle_storage *s, uint64_t *off,
                                 struct torch_place *place, struct error *err)
{
    uint64_t elem = s->dtype == DTYPE_COUNT ? 1 : dtype_info(s->dtype)->block_bytes, bytes;
    unsigned char count[COUNT_BYTES];
    if (place->off_file)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL, "list of storages: it has '%s' twice",
                        s->key);
    if (c->file.size_bytes - *off < COUNT_BYTES)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL, "the file ends before storage '%s'", s->key);
    TRY(file_read_at(&c->file, *off, count, sizeof count, err));
    if (le_get64(count) != s->n_elements)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "storage '%s' at byte %llu: expected %llu elements as in the pickle, found %lld",
                        s->key, (unsigned long long)*off, (unsigned long long)s->n_elements,
                        (long long)le_get64(count));
    *off += COUNT_BYTES;
    if (!size_mul(s->n_elements, elem, &bytes) || bytes > c->file.size_bytes - *off)
        return error_at(
            err, STATUS_FORMAT, c->file.path, NULL,
            "storage '%s': expected %llu elements of %llu bytes, found %llu bytes to the end of the file",
            s->key, (unsigned long long)s->n_elements, (unsigned long long)elem,
            (unsigned long long)(c->file.size_bytes - *off));
    *place = (struct torch_place){.off_file = *off, .size_bytes = bytes};
    *off += bytes;
    return STATUS_OK;
}

static enum status place_storages(const struct container *c, const struct pickle *saved,
                                  const struct pickle_value *keys, uint64_t off, struct torch_place *places,
                                  struct error *err)
{
    struct strmap by_key = {0};
    enum status st = STATUS_OK;
    if (keys->type != PICKLE_LIST) return bad_part(c, "list of storages", "a list", keys, err);
    if (keys->v.list->n != saved->n_storages)
        return error_at(err, STATUS_FORMAT, c->file.path, NULL,
                        "list of storages: expected %zu keys, found %u", saved->n_storages, keys->v.list->n);
    for (size_t i = 0; i < saved->n_storages && st == STATUS_OK; i++)
        st = strmap_add(&by_key, saved->storages[i]->key, i, NULL, err);
    for (uint32_t i = 0; i < keys->v.list->n && st == STATUS_OK; i++) {
        size_t index;
        st = find_storage(c, saved, &by_key, &keys->v.list->items[i], &index, err);
        if (st == STATUS_OK) st = place_storage(c, saved->storages[index], &off, &places[index], err);
    }
    strmap_clear(&by_key);
    if (st == STATUS_OK && off != c->file.size_bytes)
        st = error_at(err, STATUS_FORMAT, c->file.path, NULL, "%llu bytes follow the last storage",
                      (unsigned long long)(c->file.size_bytes - off));
    return st;
}

static enum status read_keys(const struct container *c, const struct pickle *saved, uint64_t off,
                             struct torch_place *places, struct error *err)
{
    struct part p;
    TRY(part_read(c, &off, "list of storages", &p, err));
    enum status st = place_storages(c, saved, &p.pickle.root, off, places, err);
    part_clear(&p);
    return st;
}

/* ---- opening ---- */

static enum status list_tensors(struct container *c, const struct part *saved, uint64_t off,
                                struct error *err)
{
    const struct pickle *p = &saved->pickle;
    struct torch_named *named;
    size_t n;
    struct torch_place *places = arena_array(&c->mem, p->n_storages, sizeof *places);
    if (!places) return error_nomem(err, p->n_storages * sizeof *places);
    TRY(read_keys(c, p, off, places, err));
    TRY(torch_list_state(p, saved->n_bytes, c->file.path, &c->mem, &named, &n, err));
    c->tensors = arena_array(&c->mem, n, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, n * sizeof *c->tensors);
    for (size_t i = 0; i < n; i++)
        TRY(torch_view_set(&c->tensors[i], &named[i], &places[named[i].tensor->storage->index], c->file.path,
                           err));
    c->n_tensors = n;
    return STATUS_OK;
}

static enum status open_torch_legacy(struct container *c, struct error *err)
{
    void *mem;
    struct part saved;
    uint64_t off = sizeof magic;
    TRY(mem_alloc(&mem, 1, sizeof(struct torch_legacy), err));
    struct torch_legacy *l = c->priv = mem;
    pthread_mutex_init(&l->lock, NULL);
    TRY(read_protocol(c, &off, err));
    TRY(read_system(c, &off, err));
    TRY(part_read(c, &off, "saved value", &saved, err));
    enum status st = list_tensors(c, &saved, off, err);
    part_clear(&saved);
    return st;
}

static void close_torch_legacy(struct container *c)
{
    struct torch_legacy *l = c->priv;
    if (!l) return;
    torch_block_clear(&l->block);
    pthread_mutex_destroy(&l->lock);
    free(l);
    c->priv = NULL;
}

/* ---- reading ---- */

struct source { /* a view's bytes, from its first element */
    const struct container *c;
    uint64_t off_file;
};

static enum status read_storage(void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const struct source *s = ctx;
    return file_read_at(&s->c->file, s->off_file + off, dst, n, err);
}

static enum status read_torch_legacy(struct container *c, const struct tensor *t, uint64_t off, void *dst,
                                     size_t n, struct error *err)
{
    struct torch_legacy *l = c->priv;
    struct source source = {c, t->off_file};
    if (t->contiguous) return read_storage(&source, off, dst, n, err);
    pthread_mutex_lock(&l->lock);
    enum status st = torch_block_read(&l->block, t, off, dst, n, read_storage, &source, err);
    pthread_mutex_unlock(&l->lock);
    return st;
}

static bool probe_torch_legacy(const unsigned char *head, size_t head_size, uint64_t file_size)
{
    (void)file_size;
    return head_size >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

const struct container_format torch_legacy_format = {
    .name = "torch-legacy",
    .probe = probe_torch_legacy,
    .open = open_torch_legacy,
    .read = read_torch_legacy,
    .close = close_torch_legacy,
};

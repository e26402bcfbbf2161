#include "formats/torch_audit.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

static enum status audit_bytes(struct torch_audited *item, const void *bytes, size_t n, bool trace,
                               struct error *err)
{
    TRY(pickle_audit(&item->audit, bytes, n, trace ? &item->trace : NULL, err));
    item->size_bytes = item->audit.n_used;
    return buf_check(&item->trace, err);
}

/* ---- zip ---- */

static bool is_pickle_name(const char *name)
{
    size_t n = strlen(name);
    return n >= 4 && strcmp(name + n - 4, ".pkl") == 0;
}

static enum status audit_record(struct torch_audit *a, const struct zip_entry *e, bool trace,
                                struct error *err)
{
    struct torch_audited *item = &a->items[a->n];
    unsigned char *bytes;
    TRY(zip_archive_unpack(&a->archive, e, LIMIT_PICKLE, &bytes, err));
    *item = (struct torch_audited){.where = e->name, .off_file = e->off_data};
    enum status st = audit_bytes(item, bytes, (size_t)e->size_bytes, trace, err);
    free(bytes);
    TRY(st);
    a->n++;
    if (!item->audit.problem && item->audit.n_used < e->size_bytes)
        item->audit.problem = "bytes follow STOP, which readers pass over";
    item->size_bytes = e->size_bytes;
    return STATUS_OK;
}

/* An archive of many small records may unpack to any size. */
static enum status check_sum(const struct torch_audit *a, const struct file *f, struct error *err)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < a->archive.dir.n_entries; i++) {
        const struct zip_entry *e = &a->archive.dir.entries[i];
        if (is_pickle_name(e->name) && (!size_add(sum, e->size_bytes, &sum) || sum > LIMIT_PICKLES_ALL))
            return error_at(err, STATUS_RANGE, f->path, NULL, "its pickles take more than %d MiB: they are not looked into", LIMIT_PICKLES_ALL >> 20);
    }
    return STATUS_OK;
}

static enum status audit_zip(struct torch_audit *a, const struct file *f, bool trace, struct error *err)
{
    TRY(zip_archive_open(&a->archive, f, &a->mem, err));
    TRY(check_sum(a, f, err));
    a->items = arena_array(&a->mem, a->archive.dir.n_entries, sizeof *a->items);
    if (!a->items) return error_nomem(err, a->archive.dir.n_entries * sizeof *a->items);
    for (size_t i = 0; i < a->archive.dir.n_entries; i++)
        if (is_pickle_name(a->archive.dir.entries[i].name))
            TRY(audit_record(a, &a->archive.dir.entries[i], trace, err));
    return STATUS_OK;
}

/* ---- pickles in a row ---- */

/* A file that begins no pickle by its first byte may still be one of protocol 0 or 1: if it is one to its end. */
static bool is_pickle(const struct torch_audited *item, unsigned char first)
{
    return first == 0x80 ? item->audit.n_ops > 1 : !item->audit.problem;
}

static enum status audit_plain(struct torch_audit *a, const struct file *f, bool trace, struct error *err)
{
    size_t n = f->size_bytes < LIMIT_PICKLE ? (size_t)f->size_bytes : LIMIT_PICKLE, at = 0;
    void *mem;
    TRY(mem_alloc(&mem, n, 1, err));
    const unsigned char *bytes = mem;
    enum status st = file_read_at(f, 0, mem, n, err);
    a->items = arena_array(&a->mem, TORCH_PICKLES_MAX, sizeof *a->items);
    if (!a->items && st == STATUS_OK) st = error_nomem(err, TORCH_PICKLES_MAX * sizeof *a->items);
    while (st == STATUS_OK && a->n < TORCH_PICKLES_MAX && at < n && (at == 0 || bytes[at] == 0x80)) {
        struct torch_audited *item = &a->items[a->n];
        *item = (struct torch_audited){.where = arena_printf(&a->mem, "pickle %zu", a->n + 1), .off_file = at};
        st = audit_bytes(item, bytes + at, n - at, trace, err);
        if (st == STATUS_OK && at == 0 && !is_pickle(item, bytes[0])) {
            pickle_audit_clear(&item->audit);
            buf_clear(&item->trace);
            break;
        }
        if (st == STATUS_OK) a->n++;
        at += item->audit.n_used;
        if (item->audit.problem) break;
    }
    free(mem);
    return st;
}

enum status torch_audit_file(struct torch_audit *a, const struct file *f, enum torch_form form, bool trace,
                             struct error *err)
{
    *a = (struct torch_audit){0};
    enum status st = form == TORCH_FORM_ZIP ? audit_zip(a, f, trace, err) : audit_plain(a, f, trace, err);
    if (st != STATUS_OK) torch_audit_clear(a);
    return st;
}

void torch_audit_clear(struct torch_audit *a)
{
    for (size_t i = 0; i < a->n; i++) {
        pickle_audit_clear(&a->items[i].audit);
        buf_clear(&a->items[i].trace);
    }
    zip_archive_close(&a->archive);
    arena_clear(&a->mem);
    *a = (struct torch_audit){0};
}

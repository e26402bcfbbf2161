#include "formats/zip_archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

/* libzip's own reading of the archive must agree with ours. */
static enum status compare_readings(const struct zip_archive *z, struct error *err)
{
    zip_int64_t n = zip_get_num_entries(z->zip, 0);
    bool same = n >= 0 && (uint64_t)n == z->dir.n_entries;
    for (size_t i = 0; same && i < z->dir.n_entries; i++) {
        const struct zip_entry *e = &z->dir.entries[i];
        zip_stat_t s;
        same = zip_stat_index(z->zip, i, ZIP_FL_ENC_RAW, &s) == 0 && strcmp(s.name, e->name) == 0 &&
               s.size == e->size_bytes && s.comp_size == e->packed_bytes && s.comp_method == e->method &&
               s.crc == e->crc && s.encryption_method == ZIP_EM_NONE;
    }
    if (same) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, z->file->path, NULL,
                    "zip archive: its entries can be read in two ways");
}

/* Whether the archive is wrong, or the machine. An archive whose directory was read here is one: where libzip says that it is none, it had no memory. */
static enum status status_of(const zip_error_t *e)
{
    int code = zip_error_code_zip(e);
    if (code == ZIP_ER_MEMORY || code == ZIP_ER_NOZIP) return STATUS_NOMEM;
    return zip_error_system_type(e) == ZIP_ET_SYS ? STATUS_IO : STATUS_FORMAT;
}

static enum status open_libzip(struct zip_archive *z, struct error *err)
{
    zip_error_t ze;
    int fd = dup(z->file->fd);
    FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (!f) {
        enum status st = error_errno(err, z->file->path, "cannot open it twice");
        if (fd >= 0) close(fd);
        return st;
    }
    zip_error_init(&ze);
    zip_source_t *source = zip_source_filep_create(f, 0, -1, &ze);
    if (!source) fclose(f);
    z->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &ze) : NULL;
    if (source && !z->zip) zip_source_free(source);
    enum status st = STATUS_OK;
    if (!z->zip)
        st = error_at(err, status_of(&ze), z->file->path, NULL, "zip archive: %s", zip_error_strerror(&ze));
    zip_error_fini(&ze);
    TRY(st);
    return compare_readings(z, err);
}

enum status zip_record_error(const struct zip_archive *z, const struct zip_entry *e, struct error *err,
                             const char *what)
{
    return error_at(err, STATUS_FORMAT, z->file->path, NULL, "record '%s': %s", e->name, what);
}

static enum status check_method(const struct zip_archive *z, const struct zip_entry *e, struct error *err)
{
    if (e->method == ZIP_STORED || e->method == ZIP_DEFLATED) return STATUS_OK;
    return error_at(err, STATUS_UNSUPPORTED, z->file->path, NULL,
                    "record '%s': expected it stored or deflated, found compression method %u", e->name,
                    (unsigned)e->method);
}

static enum status libzip_error(const struct zip_archive *z, const struct zip_entry *e, zip_error_t *ze, struct error *err)
{
    return error_at(err, status_of(ze), z->file->path, NULL, "record '%s': %s", e->name, zip_error_strerror(ze));
}

/* The whole record into dst (e->size_bytes) through libzip, which checks the CRC when it reaches the end. */
static enum status unpack_into(const struct zip_archive *z, const struct zip_entry *e, unsigned char *dst,
                               struct error *err)
{
    zip_file_t *f = zip_fopen_index(z->zip, (zip_uint64_t)(e - z->dir.entries), 0);
    if (!f) return libzip_error(z, e, zip_get_error(z->zip), err);
    uint64_t done = 0;
    zip_int64_t got = 0;
    unsigned char beyond;
    while (done < e->size_bytes && (got = zip_fread(f, dst + done, e->size_bytes - done)) > 0)
        done += (uint64_t)got;
    enum status st = STATUS_OK;
    if (done == e->size_bytes) got = zip_fread(f, &beyond, 1);
    if (got < 0)
        st = libzip_error(z, e, zip_file_get_error(f), err);
    else if (done < e->size_bytes || got > 0)
        st = zip_record_error(z, e, err, "its unpacked size is not the announced one");
    zip_fclose(f);
    return st;
}

enum status zip_archive_unpack(const struct zip_archive *z, const struct zip_entry *e, uint64_t max_bytes,
                               unsigned char **out, struct error *err)
{
    void *bytes;
    *out = NULL;
    if (e->size_bytes > max_bytes)
        return error_at(err, STATUS_RANGE, z->file->path, NULL, "record '%s' has %llu bytes, more than %llu",
                        e->name, (unsigned long long)e->size_bytes, (unsigned long long)max_bytes);
    TRY(mem_alloc(&bytes, e->size_bytes + 1, 1, err));
    enum status st = unpack_into(z, e, bytes, err);
    if (st == STATUS_OK)
        *out = bytes;
    else
        free(bytes);
    return st;
}

enum status zip_archive_open(struct zip_archive *z, const struct file *f, struct arena *mem, struct error *err)
{
    z->file = f;
    TRY(zip_directory_read(&z->dir, f, mem, err));
    for (size_t i = 0; i < z->dir.n_entries; i++) TRY(check_method(z, &z->dir.entries[i], err));
    return open_libzip(z, err);
}

void zip_archive_close(struct zip_archive *z)
{
    if (z->zip) zip_discard(z->zip);
    zip_directory_clear(&z->dir);
    *z = (struct zip_archive){0};
}

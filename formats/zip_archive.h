/* A zip archive whose layout is proved (zip_directory.h) and which libzip reads the same way; and its records, unpacked.
 *
 *     struct zip_archive z = {0};
 *     TRY(zip_archive_open(&z, &file, &arena, err));
 *     TRY(zip_archive_unpack(&z, &z.dir.entries[i], MAX, &bytes, err));      bytes: free()
 *     zip_archive_close(&z);                                                 also after a failed open
 *
 * Records are stored or deflated: anything else is refused when the archive is opened.
 */
#ifndef LATHE_ZIP_ARCHIVE_H
#define LATHE_ZIP_ARCHIVE_H

#include "formats/zip_directory.h"

struct zip_archive {
    struct zip_directory dir;
    const struct file *file; /* must outlive it */
    void *zip;               /* libzip's */
};
enum status zip_archive_open(struct zip_archive *z, const struct file *f, struct arena *mem, struct error *err);
void zip_archive_close(struct zip_archive *z);
/* The whole record, whose CRC is checked, into *out. STATUS_RANGE if it is larger than max_bytes. Not thread-safe. */
enum status zip_archive_unpack(const struct zip_archive *z, const struct zip_entry *e, uint64_t max_bytes,
                               unsigned char **out, struct error *err);
/* STATUS_FORMAT "record 'NAME': what" */
enum status zip_record_error(const struct zip_archive *z, const struct zip_entry *e, struct error *err,
                             const char *what);

#endif

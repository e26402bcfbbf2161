/* Where the records of a zip archive lie, proved before anything is read.
 *
 *     struct zip_directory d = {0};
 *     TRY(zip_directory_read(&d, &file, &arena, err));
 *     size_t i;
 *     if (strmap_find(&d.by_name, "archive/data.pkl", &i)) ... d.entries[i].off_data
 *     zip_directory_clear(&d);
 *
 *   1. local records, one after another from offset 0:
 *      "PK\3\4", version, flags, method, time, date, crc, packed and plain size (32 bits each), name length, extra length, name, extra,
 *      data, and with flag 3 a descriptor: ["PK\7\8"] crc, packed and plain size (32 or 64 bits each)
 *   2. the central directory: "PK\1\2" and the same fields again, comment, disk, attributes, offset of the local record
 *   3. in large archives, and in all of torch's: "PK\6\6" end record with 64-bit fields, "PK\6\7" its locator
 *   4. "PK\5\6" end record; no comment
 *
 * Stricter than other readers, so that no two of them can see different things in an archive that is accepted: 1 to 4 cover the file
 * without gap, overlap, prefix or suffix; each local record and its descriptor repeat what the directory says; names are unique,
 * relative, valid UTF-8 without "..", backslash or NUL; no flag is set but "descriptor follows" and "UTF-8" (and deflate's level bits
 * on deflated records); no encryption, no second disk. Archives with a comment or in parts are refused.
 * The methods of single records are the caller's to judge: only the layout is checked here. Nothing is decompressed, no CRC computed.
 */
#ifndef LATHE_ZIP_DIRECTORY_H
#define LATHE_ZIP_DIRECTORY_H

#include "base/file.h"
#include "base/memory.h"

enum { ZIP_STORED = 0, ZIP_DEFLATED = 8 };

struct zip_entry {
    const char *name;
    uint64_t off_record; /* of its local record */
    uint64_t off_data;
    uint64_t packed_bytes; /* in the file: [off_data, off_data + packed_bytes) lies inside it */
    uint64_t size_bytes;   /* when unpacked; equal to packed_bytes for stored records */
    uint32_t crc;
    uint16_t method, flags;
};
struct zip_directory {
    struct zip_entry *entries; /* in the directory's order */
    size_t n_entries;
    struct strmap by_name;
};
/* Entries and names are allocated in *mem. Costs one small read per record. */
enum status zip_directory_read(struct zip_directory *d, const struct file *f, struct arena *mem,
                               struct error *err);
void zip_directory_clear(struct zip_directory *d);

#endif

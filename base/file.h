/* Sources that are only read, and outputs that appear whole or not at all.
 *
 *     struct file f;
 *     TRY(file_open(&f, path, err));
 *     st = file_read_at(&f, 0, head, sizeof head, err);
 *     file_close(&f);
 *
 *     struct outfile *o;
 *     TRY(outfile_create(&o, "out.gguf", OUTFILE_REPLACE, size, err));
 *     outfile_write_at(o, off, data, n, err) ...          any order, any thread
 *     st = outfile_commit(o, err);                         flush, rename; frees o in every case
 *     outfile_discard(o);                                  instead of commit; NULL is allowed
 *
 * Sources: regular files only (a FIFO, device or directory is refused and never hangs); the size is taken
 * once, from the open file. Outputs: written under a temporary name in the target's folder
 * (`.NAME.partial.<pid>-<count>`), fsynced, renamed, folder fsynced. A symbolic link under the target's name
 * is replaced itself, never written through. A temporary file is removed on discard, and on INT, TERM, HUP,
 * PIPE and XFSZ once signals_install was called.
 */
#ifndef LATHE_FILE_H
#define LATHE_FILE_H

#include "base/memory.h"
#include "base/status.h"

#include <stdint.h>
#include <sys/types.h>

struct file {
    int fd;
    char *path; /* as opened, for messages; owned */
    uint64_t size_bytes;
    dev_t dev; /* identity and state at opening, for same-file and change checks */
    ino_t ino;
    int64_t mtime_ns, ctime_ns;
};
enum status file_open(struct file *f, const char *path, struct error *err);
/* Opens `name`, which a file chose, inside folder `dir`, which the user chose: a bare name only, not "", ".",
 * "..", no '/', no NUL. Anything else is STATUS_FORMAT. Symbolic links are followed (model hubs store
 * snapshots as links). */
enum status file_open_in(struct file *f, const char *dir, const char *name, struct error *err);
/* Exactly n bytes from offset off. STATUS_RANGE (nothing read) when off + n > size_bytes; STATUS_IO when the
 * file has shrunk. Thread-safe. */
enum status file_read_at(const struct file *f, uint64_t off, void *dst, size_t n, struct error *err);
/* STATUS_IO when size, mtime or ctime differ from those at opening. */
enum status file_check_unchanged(const struct file *f, struct error *err);
/* Closing a file that failed to open, or was zeroed, does nothing. */
void file_close(struct file *f);

/* The whole of a small file into *out (cleared first); STATUS_RANGE if it is larger than max_bytes. */
enum status file_read_all(struct buf *out, const char *path, uint64_t max_bytes, struct error *err);
enum status file_look(const char *path, bool *there, struct error *err);
/* The same; also true when the system does not tell, so that what is optional is not passed over for a fault: opening it says which. */
bool file_exists(const char *path);
bool file_is_dir(const char *path);
bool file_is_special(const char *path); /* there, and no regular file: a folder, a pipe, a device */
/* Names in folder `dir` (without . and ..), sorted by bytes, allocated in *a. */
enum status dir_list(const char *dir, struct arena *a, char ***names, size_t *n_names, struct error *err);
/* dir + "/" + name, in *a */
char *path_join(struct arena *a, const char *dir, const char *name);
const char *path_base(const char *path); /* last component; points into path */

enum outfile_flag {
    OUTFILE_NEW = 0,     /* STATUS_EXISTS if the name is taken */
    OUTFILE_REPLACE = 1, /* an existing regular file is replaced at commit */
    /* The temporary name is `NAME.partial`; what an earlier run left there is opened, and it is left behind by everything but a commit. One
     * process at a time: STATUS_EXISTS while another has it. */
    OUTFILE_KEEP = 2,
};
struct outfile;
/* size_bytes > 0: the final size; space is reserved, so that "no space" comes before the work. 0: not known.
 * STATUS_EXISTS as above; STATUS_NOTFOUND names a missing folder. */
enum status outfile_create(struct outfile **out, const char *path, unsigned flags, uint64_t size_bytes,
                           struct error *err);
/* Refuses (STATUS_EXISTS) when committing would replace the very file `source` is, also by hard or symbolic
 * link. */
enum status outfile_forbid_source(const struct outfile *o, const struct file *source, struct error *err);
/* Writes all n bytes; starts their write-back early. Thread-safe for disjoint ranges. */
enum status outfile_write_at(struct outfile *o, uint64_t off, const void *src, size_t n, struct error *err);
/* For OUTFILE_KEEP: whether a partial file of the final size was there; a file of zeros instead; bytes that are there already count as written;
 * what was written is on the device. */
bool outfile_was_there(const struct outfile *o);
enum status outfile_empty(struct outfile *o, struct error *err);
void outfile_count(struct outfile *o, uint64_t off, uint64_t n);
enum status outfile_sync(struct outfile *o, struct error *err);
/* Bytes that were written before. */
enum status outfile_read_at(const struct outfile *o, uint64_t off, void *dst, size_t n, struct error *err);
/* Flush, rename, flush the folder. Frees o; on failure nothing is left behind. With size_bytes given, every
 * byte of it must have been written, padding too (STATUS_MISMATCH). */
enum status outfile_commit(struct outfile *o, struct error *err);
/* The same for several (NULL: none), which get their names together, the last one first, or not at all: what they replace comes back then, if the file
 * system has a call for it. Signals wait meanwhile. */
enum status outfiles_commit(struct outfile **files, size_t n, struct error *err);
void outfile_discard(struct outfile *o);

/* create, write, commit of a small file */
enum status file_write_whole(const char *path, unsigned flags, const void *src, size_t n, struct error *err);

/* From now on INT, TERM, HUP, PIPE, XFSZ remove temporary files and end the process with 128 + n. Call once,
 * from main. */
void signals_install(void);

#endif

/* Outputs of file.h: temporary name, reservation, write-back, flush, rename. */
#include "base/file.h"
#include "base/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { WRITEBACK_BYTES = 8 * 1024 * 1024 };

struct outfile {
    int fd, dir_fd;
    char *path, *dir;
    const char *name; /* last component; points into path */
    struct temp_name *temp;
    unsigned flags;
    bool was_there;                /* OUTFILE_KEEP */
    bool placed, stood, exchanged; /* it has its name; something had; which has the temporary name now */
    uint64_t size_bytes;
    _Atomic uint64_t end, written, not_synced;
};

/* STATUS_IO for a write that found no room, with the figures a person needs. */
static enum status no_space(const struct outfile *o, struct error *err, uint64_t need_bytes)
{
    struct statvfs vfs;
    const char *why = errno == EDQUOT ? "disk quota exceeded" : "no space left on the device";
    if (fstatvfs(o->dir_fd, &vfs) != 0) {
        return error_at(err, STATUS_IO, o->path, NULL, "%s: %llu bytes needed", why,
                        (unsigned long long)need_bytes);
    }
    return error_at(err, STATUS_IO, o->path, NULL, "%s: %llu bytes needed, %llu free", why,
                    (unsigned long long)need_bytes, (unsigned long long)vfs.f_bavail * vfs.f_frsize);
}

static bool is_no_space(int code)
{
    return code == ENOSPC || code == EDQUOT;
}

/* Splits the path and opens its folder. */
static enum status open_folder(struct outfile *o, const char *path, struct error *err)
{
    o->path = strdup(path);
    o->dir = strdup(path);
    if (!o->path || !o->dir) return error_nomem(err, strlen(path) + 1);
    o->name = path_base(o->path);
    size_t dir_len = (size_t)(o->name - o->path);
    while (dir_len > 1 && path[dir_len - 1] == '/') dir_len--;
    o->dir[dir_len] = 0;
    if (!o->name[0] || strcmp(o->name, ".") == 0 || strcmp(o->name, "..") == 0) {
        return error_at(err, STATUS_USAGE, path, NULL,
                        "expected the name of a file to write, found that of a folder");
    }
    o->dir_fd = open(dir_len ? o->dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->dir_fd < 0 && errno == ENOENT) {
        return error_at(err, STATUS_NOTFOUND, path, NULL, "the folder '%s' does not exist", o->dir);
    }
    if (o->dir_fd < 0) return error_errno(err, path, "cannot open the folder '%s'", dir_len ? o->dir : ".");
    return STATUS_OK;
}

/* Links such as /dev/stdout are no place to rename a file over, although they may lead to a regular one. */
static bool is_system_folder(const char *dir)
{
    char *real = realpath(dir[0] ? dir : ".", NULL);
    bool yes =
        real && (strcmp(real, "/dev") == 0 || strcmp(real, "/proc") == 0 || strncmp(real, "/proc/", 6) == 0);
    free(real);
    return yes;
}

/* What stands under the target name now, as the flags allow. */
static enum status check_target(const struct outfile *o, struct error *err)
{
    struct stat st;
    if (fstatat(o->dir_fd, o->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return STATUS_OK;
        return error_errno(err, o->path, "cannot examine");
    }
    if (!(o->flags & OUTFILE_REPLACE)) return error_at(err, STATUS_EXISTS, o->path, NULL, "exists already");
    if (S_ISLNK(st.st_mode)) {
        if (is_system_folder(o->dir)) {
            return error_at(err, STATUS_EXISTS, o->path, NULL,
                            "is a system's link; an output must be a regular file");
        }
        /* A link that leads nowhere may go; one to a folder or a device was not meant. */
        if (fstatat(o->dir_fd, o->name, &st, 0) != 0) return STATUS_OK;
    }
    if (S_ISREG(st.st_mode)) return STATUS_OK;
    return error_at(err, STATUS_EXISTS, o->path, NULL, "is %s; only a regular file can be replaced",
                    S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
}

static enum status create_temp(struct outfile *o, struct error *err)
{
    o->temp = temp_create(o->dir_fd, o->name, false, &o->fd);
    if (o->temp) return STATUS_OK;
    if (errno == ECANCELED) return error_at(err, STATUS_IO, o->path, NULL, "interrupted");
    if (is_no_space(errno)) return no_space(o, err, o->size_bytes);
    return error_errno(err, o->path, "cannot create a file in its folder");
}

/* `NAME.partial`, with what stands in it. Nothing removes it: no entry for the signal handler. */
static enum status open_kept(struct outfile *o, struct error *err)
{
    struct stat st;
    o->temp = calloc(1, sizeof *o->temp);
    if (!o->temp) return error_nomem(err, sizeof *o->temp);
    o->temp->fd = o->temp->fd_other = -1;
    int n = snprintf(o->temp->name, sizeof o->temp->name, "%s.partial", o->name);
    if (n < 0 || (size_t)n >= sizeof o->temp->name) return error_at(err, STATUS_USAGE, o->path, NULL, "the name is too long for a partial file beside it");
    o->fd = openat(o->dir_fd, o->temp->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (o->fd < 0) return error_errno(err, o->path, "cannot open its partial file");
    if (fstat(o->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return error_at(err, STATUS_EXISTS, o->path, NULL, "what stands in place of its partial file is no regular file");
    if (flock(o->fd, LOCK_EX | LOCK_NB) != 0) return error_at(err, STATUS_EXISTS, o->path, NULL, "another process is writing its partial file");
    o->was_there = o->size_bytes > 0 && (uint64_t)st.st_size == o->size_bytes;
    return o->was_there || st.st_size == 0 || ftruncate(o->fd, 0) == 0 ? STATUS_OK : error_errno(err, o->path, "cannot empty its partial file");
}

/* The plain system call: posix_fallocate would write zeros where the file system cannot reserve. */
static enum status reserve(struct outfile *o, struct error *err)
{
    if (o->size_bytes == 0) return STATUS_OK;
    if (o->size_bytes > INT64_MAX) {
        return error_at(err, STATUS_RANGE, o->path, NULL, "%llu bytes: more than a file can hold",
                        (unsigned long long)o->size_bytes);
    }
    int code;
    do code = fallocate(o->fd, 0, 0, (off_t)o->size_bytes) == 0 ? 0 : errno;
    while (code == EINTR);
    if (code == 0) return STATUS_OK;
    errno = code;
    if (is_no_space(code)) return no_space(o, err, o->size_bytes);
    if (code != EOPNOTSUPP && code != EINVAL && code != ENOSYS && code != ENODEV) {
        return error_errno(err, o->path, "cannot reserve %llu bytes", (unsigned long long)o->size_bytes);
    }
    struct statvfs vfs;
    if (fstatvfs(o->fd, &vfs) == 0 && vfs.f_frsize > 0 && vfs.f_bavail < o->size_bytes / vfs.f_frsize) {
        errno = ENOSPC;
        return no_space(o, err, o->size_bytes);
    }
    return STATUS_OK;
}

enum status outfile_create(struct outfile **out, const char *path, unsigned flags, uint64_t size_bytes,
                           struct error *err)
{
    *out = NULL;
    struct outfile *o = calloc(1, sizeof *o);
    if (!o) return error_nomem(err, sizeof *o);
    o->fd = o->dir_fd = -1;
    o->flags = flags;
    o->size_bytes = size_bytes;
    enum status st;
    TRY_OUT(open_folder(o, path, err));
    TRY_OUT(check_target(o, err));
    TRY_OUT(flags & OUTFILE_KEEP ? open_kept(o, err) : create_temp(o, err));
    TRY_OUT(reserve(o, err));
    *out = o;
    return STATUS_OK;
out:
    outfile_discard(o);
    return st;
}

enum status outfile_forbid_source(const struct outfile *o, const struct file *source, struct error *err)
{
    struct stat st;
    if (fstatat(o->dir_fd, o->name, &st, 0) != 0 || st.st_dev != source->dev || st.st_ino != source->ino) {
        return STATUS_OK;
    }
    return error_at(err, STATUS_EXISTS, o->path, NULL,
                    "is the same file as the source '%s', which is never replaced", source->path);
}

static void raise_to(_Atomic uint64_t *max, uint64_t v)
{
    uint64_t seen = atomic_load(max);
    while (seen < v && !atomic_compare_exchange_weak(max, &seen, v)) {
    }
}

enum status outfile_write_at(struct outfile *o, uint64_t off, const void *src, size_t n, struct error *err)
{
    uint64_t end;
    if (!size_add(off, n, &end) || end > INT64_MAX || (o->size_bytes > 0 && end > o->size_bytes)) {
        return error_at(err, STATUS_RANGE, o->path, NULL,
                        "%zu bytes at offset %llu lie beyond the planned %llu", n, (unsigned long long)off,
                        (unsigned long long)o->size_bytes);
    }
    const char *p = src;
    for (size_t left = n; left > 0;) {
        ssize_t put = pwrite(o->fd, p, left, (off_t)(end - left));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && is_no_space(errno)) return no_space(o, err, o->size_bytes ? o->size_bytes : end);
        if (put < 0)
            return error_errno(err, o->path, "cannot write at offset %llu", (unsigned long long)(end - left));
        if (put == 0)
            return error_at(err, STATUS_IO, o->path, NULL, "the system wrote nothing and gave no reason");
        p += put;
        left -= (size_t)put;
    }
    raise_to(&o->end, end);
    atomic_fetch_add(&o->written, n);
    /* Write-back begins now, so that the flush at the end has little left. The whole file is named: what is
     * clean or already on its way costs nothing. */
    if (atomic_fetch_add(&o->not_synced, n) + n >= WRITEBACK_BYTES) {
        atomic_store(&o->not_synced, 0);
        sync_file_range(o->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return STATUS_OK;
}

bool outfile_was_there(const struct outfile *o)
{
    return o->was_there;
}

enum status outfile_empty(struct outfile *o, struct error *err)
{
    o->was_there = false;
    if (ftruncate(o->fd, 0) != 0) return error_errno(err, o->path, "cannot empty its partial file");
    return reserve(o, err);
}

void outfile_count(struct outfile *o, uint64_t off, uint64_t n)
{
    raise_to(&o->end, off + n);
    atomic_fetch_add(&o->written, n);
}

enum status outfile_sync(struct outfile *o, struct error *err)
{
    return fdatasync(o->fd) == 0 ? STATUS_OK : error_errno(err, o->path, "cannot flush to the device");
}

enum status outfile_read_at(const struct outfile *o, uint64_t off, void *dst, size_t n, struct error *err)
{
    for (char *p = dst; n > 0;) {
        ssize_t got = pread(o->fd, p, n, (off_t)off);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(err, o->path, "cannot read at offset %llu", (unsigned long long)off);
        if (got == 0) return error_at(err, STATUS_IO, o->path, NULL, "its partial file ends at offset %llu", (unsigned long long)off);
        p += got;
        off += (uint64_t)got;
        n -= (size_t)got;
    }
    return STATUS_OK;
}

static enum status check_complete(struct outfile *o, struct error *err)
{
    uint64_t end = atomic_load(&o->end), written = atomic_load(&o->written);
    if (o->size_bytes == 0 || (end == o->size_bytes && written >= o->size_bytes)) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, o->path, NULL,
                    "expected %llu bytes to be written, found %llu, up to offset %llu",
                    (unsigned long long)o->size_bytes, (unsigned long long)written, (unsigned long long)end);
}

/* What was written is whole and on the device. */
static enum status flush(struct outfile *o, struct error *err)
{
    TRY(check_complete(o, err));
    /* A flush that failed is final: the kernel has dropped the pages, and a second call would succeed without
     * them. */
    if (fsync(o->fd) != 0) {
        if (is_no_space(errno)) return no_space(o, err, atomic_load(&o->end));
        return error_errno(err, o->path, "cannot flush to the device");
    }
    return STATUS_OK;
}

static enum status close_file(struct outfile *o, struct error *err)
{
    int fd = o->fd;
    o->fd = -1;
    if (close(fd) != 0 && errno != EINTR) return error_errno(err, o->path, "cannot close");
    return STATUS_OK;
}

static bool file_exists_in(int dir_fd, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Rename that never replaces, also where the file system has no such call. */
static int rename_new(int dir_fd, const char *temp, const char *name)
{
    if (renameat2(dir_fd, temp, dir_fd, name, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (linkat(dir_fd, temp, dir_fd, name, 0) == 0) {
        unlinkat(dir_fd, temp, 0);
        return 0;
    }
    if (errno == EEXIST) return -1;
    if (file_exists_in(dir_fd, name)) {
        errno = EEXIST;
        return -1;
    }
    return renameat(dir_fd, temp, dir_fd, name);
}

/* What is replaced has the temporary name until the new name is on the device, so that it can come back. Where there is nothing to exchange, or
 * the file system has no such call, it is a plain rename. */
static int rename_over(struct outfile *o, bool *exchanged)
{
    struct stat st;
    *exchanged = !(o->flags & OUTFILE_KEEP) && temp_exchange(o->temp, o->name) == 0;
    if (*exchanged && fstatat(o->dir_fd, o->temp->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        temp_exchange(o->temp, o->name); /* a folder has come there meanwhile */
        *exchanged = false;
    }
    return *exchanged ? 0 : renameat(o->dir_fd, o->temp->name, o->dir_fd, o->name);
}

/* Some file systems cannot flush a folder; there is nothing else to try then. */
static bool flush_folder(const struct outfile *o)
{
    return fsync(o->dir_fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

/* What was replaced has its name again, where the file system could keep it; a new name is gone. */
static void take_back(struct outfile *o)
{
    if (o->exchanged)
        temp_exchange(o->temp, o->name);
    else if (!o->stood && renameat(o->dir_fd, o->name, o->dir_fd, o->temp->name) != 0)
        unlinkat(o->dir_fd, o->name, 0);
    o->placed = o->exchanged = false;
}

/* The file gets its name; what it replaces can come back until it is settled. On failure all is as it was. */
static enum status place(struct outfile *o, struct error *err)
{
    bool replace = o->flags & OUTFILE_REPLACE;
    TRY(close_file(o, err));
    o->stood = file_exists_in(o->dir_fd, o->name);
    if ((replace ? rename_over(o, &o->exchanged) : rename_new(o->dir_fd, o->temp->name, o->name)) != 0) {
        if (errno == EEXIST) return error_at(err, STATUS_EXISTS, o->path, NULL, "was created by somebody else in the meantime");
        return error_errno(err, o->path, "cannot rename the finished file");
    }
    o->placed = true;
    if (flush_folder(o)) return STATUS_OK;
    error_errno(err, o->path, "cannot flush its folder");
    take_back(o);
    return err->status;
}

static void settle(struct outfile *o)
{
    if (o->exchanged)
        temp_remove(o->temp);
    else
        temp_release(o->temp);
    if (o->flags & OUTFILE_KEEP) free(o->temp);
    o->temp = NULL;
}

enum status outfiles_commit(struct outfile **files, size_t n, struct error *err)
{
    sigset_t old;
    enum status st = STATUS_OK;
    size_t first = n;
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        if (files[i]) st = flush(files[i], err);
    signals_block(&old);
    while (first > 0 && st == STATUS_OK)
        if (files[--first]) st = place(files[first], err);
    for (size_t i = first; i < n; i++) {
        if (!files[i] || !files[i]->placed) continue;
        if (st == STATUS_OK)
            settle(files[i]);
        else
            take_back(files[i]);
    }
    for (size_t i = 0; i < n; i++) outfile_discard(files[i]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return st;
}

enum status outfile_commit(struct outfile *o, struct error *err)
{
    return outfiles_commit(&o, 1, err);
}

void outfile_discard(struct outfile *o)
{
    if (!o) return;
    if (o->temp && (o->flags & OUTFILE_KEEP)) {
        free(o->temp);
    } else if (o->temp) {
        temp_remove(o->temp);
    }
    if (o->fd >= 0) close(o->fd);
    if (o->dir_fd >= 0) close(o->dir_fd);
    free(o->path);
    free(o->dir);
    free(o);
}

enum status file_write_whole(const char *path, unsigned flags, const void *src, size_t n, struct error *err)
{
    struct outfile *o;
    TRY(outfile_create(&o, path, flags, n, err));
    enum status st = outfile_write_at(o, 0, src, n, err);
    if (st == STATUS_OK) return outfile_commit(o, err);
    outfile_discard(o);
    return st;
}

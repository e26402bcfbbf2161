#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t time_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const char *kind_of(mode_t mode)
{
    static const struct {
        mode_t type;
        const char *name;
    } kinds[] = {
        {S_IFDIR, "a folder"},           {S_IFIFO, "a pipe"},         {S_IFSOCK, "a socket"},
        {S_IFCHR, "a character device"}, {S_IFBLK, "a block device"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((mode & S_IFMT) == kinds[i].type) return kinds[i].name;
    }
    return "no regular file";
}

enum status file_open(struct file *f, const char *path, struct error *err)
{
    struct stat st;
    *f = (struct file){.fd = -1};
    /* Without O_NONBLOCK a pipe that nobody writes to would hang here. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return error_errno(err, path, "cannot open");
    enum status s;
    if (fstat(fd, &st) != 0) {
        s = error_errno(err, path, "cannot examine");
    } else if (!S_ISREG(st.st_mode)) {
        s = error_at(err, STATUS_IO, path, NULL, "expected a regular file, found %s", kind_of(st.st_mode));
    } else if (!(f->path = strdup(path))) {
        s = error_nomem(err, strlen(path) + 1);
    } else {
        f->fd = fd;
        f->size_bytes = (uint64_t)st.st_size;
        f->dev = st.st_dev;
        f->ino = st.st_ino;
        f->mtime_ns = time_ns(st.st_mtim);
        f->ctime_ns = time_ns(st.st_ctim);
        return STATUS_OK;
    }
    close(fd);
    return s;
}

enum status file_open_in(struct file *f, const char *dir, const char *name, struct error *err)
{
    *f = (struct file){.fd = -1};
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/')) {
        return error_at(err, STATUS_FORMAT, dir, NULL,
                        "expected the bare name of a file in this folder, found '%s'", name);
    }
    struct arena a = {0};
    char *path = path_join(&a, dir, name);
    enum status st = path ? file_open(f, path, err) : error_nomem(err, strlen(dir) + strlen(name) + 2);
    arena_clear(&a);
    return st;
}

enum status file_read_at(const struct file *f, uint64_t off, void *dst, size_t n, struct error *err)
{
    if (off > f->size_bytes || n > f->size_bytes - off) {
        return error_at(err, STATUS_RANGE, f->path, NULL,
                        "%zu bytes at offset %llu wanted, the file has %llu", n, (unsigned long long)off,
                        (unsigned long long)f->size_bytes);
    }
    char *p = dst;
    while (n > 0) {
        ssize_t got = pread(f->fd, p, n, (off_t)off);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(err, f->path, "cannot read at offset %llu", (unsigned long long)off);
        if (got == 0) {
            return error_at(
                err, STATUS_IO, f->path, NULL,
                "the file has shrunk while it was read: it ends before offset %llu, had %llu bytes",
                (unsigned long long)off + n, (unsigned long long)f->size_bytes);
        }
        p += got;
        off += (uint64_t)got;
        n -= (size_t)got;
    }
    return STATUS_OK;
}

enum status file_check_unchanged(const struct file *f, struct error *err)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0) return error_errno(err, f->path, "cannot examine");
    if ((uint64_t)st.st_size != f->size_bytes) {
        return error_at(err, STATUS_IO, f->path, NULL,
                        "the file changed while it was read: %llu bytes, then %llu",
                        (unsigned long long)f->size_bytes, (unsigned long long)st.st_size);
    }
    if (time_ns(st.st_mtim) != f->mtime_ns || time_ns(st.st_ctim) != f->ctime_ns) {
        return error_at(err, STATUS_IO, f->path, NULL, "the file changed while it was read");
    }
    return STATUS_OK;
}

void file_close(struct file *f)
{
    if (f->path) close(f->fd); /* a zeroed struct has fd 0, which is somebody else's */
    free(f->path);
    *f = (struct file){.fd = -1};
}

enum status file_read_all(struct buf *out, const char *path, uint64_t max_bytes, struct error *err)
{
    struct file f;
    buf_clear(out);
    TRY(file_open(&f, path, err));
    enum status st;
    char *dst;
    if (f.size_bytes > max_bytes) {
        st = error_at(err, STATUS_RANGE, path, NULL,
                      "%llu bytes: at most %llu are read of a file of this kind",
                      (unsigned long long)f.size_bytes, (unsigned long long)max_bytes);
    } else if (f.size_bytes >= PTRDIFF_MAX || !(dst = buf_extend(out, (size_t)f.size_bytes))) {
        st = error_nomem(err, (size_t)f.size_bytes);
    } else {
        st = file_read_at(&f, 0, dst, (size_t)f.size_bytes, err);
    }
    if (st != STATUS_OK) buf_clear(out);
    file_close(&f);
    return st;
}

enum status file_look(const char *path, bool *there, struct error *err)
{
    struct stat st;
    *there = stat(path, &st) == 0;
    return *there || errno == ENOENT || errno == ENOTDIR ? STATUS_OK : error_errno(err, path, "cannot examine");
}

bool file_exists(const char *path)
{
    struct error err;
    bool there;
    return file_look(path, &there, &err) != STATUS_OK || there;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items;
    size_t count, cap;
};

static bool names_add(struct names *n, char *name)
{
    if (!name) return false;
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 32;
        char **items = reallocarray(n->items, cap, sizeof *items);
        if (!items) return false;
        n->items = items;
        n->cap = cap;
    }
    n->items[n->count++] = name;
    return true;
}

enum status dir_list(const char *dir, struct arena *a, char ***names, size_t *n_names, struct error *err)
{
    struct names list = {0};
    enum status st = STATUS_OK;
    *names = NULL;
    *n_names = 0;
    DIR *d = opendir(dir);
    if (!d) return error_errno(err, dir, "cannot list the folder");
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno != 0) st = error_errno(err, dir, "cannot list the folder");
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!names_add(&list, arena_strndup(a, e->d_name, strlen(e->d_name)))) {
            st = error_nomem(err, strlen(e->d_name) + 1);
            break;
        }
    }
    closedir(d);
    char **copy = st == STATUS_OK ? arena_array(a, list.count, sizeof *copy) : NULL;
    if (st == STATUS_OK && !copy) st = error_nomem(err, list.count * sizeof *copy);
    if (copy && list.count > 0) {
        qsort(list.items, list.count, sizeof *list.items, by_bytes);
        memcpy(copy, list.items, list.count * sizeof *copy);
    }
    if (copy) {
        *names = copy;
        *n_names = list.count;
    }
    free(list.items);
    return st;
}

char *path_join(struct arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return arena_printf(a, "%s%s%s", dir, n == 0 || dir[n - 1] == '/' ? "" : "/", name);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#include "base/outset.h"

#include "base/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct outset {
    struct arena mem;
    const char *path, *name; /* of the folder, without slashes at its end */
    const char *dir;         /* where files are made */
    struct temp_name *temp;  /* of the folder; NULL: files beside each other */
    int dir_fd, fd;          /* of the folder above, and of the temporary one, which is temp's */
    bool replace;
    bool (*ours)(const char *name);
    unsigned flags;
    struct outfile **files;
    const char **names;
    size_t n_files, cap;
};

/* --- what stands under the folder's name --- */

enum standing { STANDS_NOTHING, STANDS_EMPTY, STANDS_OURS };

static enum status examine(const char *path, bool replace, bool (*ours)(const char *), enum standing *out, struct error *err)
{
    struct stat st;
    struct arena mem = {0};
    char **names;
    size_t n;
    *out = STANDS_NOTHING;
    if (lstat(path, &st) != 0) return errno == ENOENT ? STATUS_OK : error_errno(err, path, "cannot examine");
    if (S_ISLNK(st.st_mode)) return error_at(err, STATUS_EXISTS, path, NULL, "is a symbolic link; expected a folder, or nothing");
    if (!S_ISDIR(st.st_mode)) return error_at(err, STATUS_EXISTS, path, NULL, "is a file; expected a folder, or nothing");
    enum status status = dir_list(path, &mem, &names, &n, err);
    *out = n == 0 ? STANDS_EMPTY : STANDS_OURS;
    if (status == STATUS_OK && n > 0 && !replace) {
        error_at(err, STATUS_EXISTS, path, NULL, "is a folder with files in it");
        status = error_hint(err, "--force replaces a model that was written there");
    }
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        if (!ours(names[i]))
            status = error_at(err, STATUS_EXISTS, path, NULL, "holds '%.200s', which is no file of a model: the folder is not replaced", names[i]);
    arena_clear(&mem);
    return status;
}

static char *without_slashes(struct arena *mem, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return arena_strndup(mem, path, n);
}

enum status outset_check_folder(const char *path, bool replace, bool (*ours)(const char *name), struct error *err)
{
    struct arena mem = {0};
    enum standing what;
    char *plain = without_slashes(&mem, path);
    enum status st = plain ? examine(plain, replace, ours, &what, err) : error_nomem(err, strlen(path));
    arena_clear(&mem);
    return st;
}

/* --- making one --- */

static enum status new_set(struct outset **out, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    *out = mem;
    (*out)->dir_fd = (*out)->fd = -1;
    return STATUS_OK;
}

static enum status open_above(struct outset *s, struct error *err)
{
    size_t n = (size_t)(s->name - s->path);
    while (n > 1 && s->path[n - 1] == '/') n--;
    const char *above = n > 0 ? arena_strndup(&s->mem, s->path, n) : ".";
    if (!above) return error_nomem(err, n);
    if (!s->name[0] || strcmp(s->name, ".") == 0 || strcmp(s->name, "..") == 0) {
        error_at(err, STATUS_USAGE, s->path, NULL, "expected the name of a folder to make");
        return err->status;
    }
    s->dir_fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0 && errno == ENOENT) return error_at(err, STATUS_NOTFOUND, s->path, NULL, "the folder '%s' does not exist", above);
    if (s->dir_fd < 0) return error_errno(err, s->path, "cannot open the folder '%s'", above);
    s->temp = temp_create(s->dir_fd, s->name, true, &s->fd);
    if (!s->temp) return error_errno(err, s->path, "cannot make a folder in '%s'", above);
    s->dir = path_join(&s->mem, above, s->temp->name);
    return s->dir ? STATUS_OK : error_nomem(err, n);
}

enum status outset_folder(struct outset **out, const char *path, bool replace, bool (*ours)(const char *name), struct error *err)
{
    struct outset *s;
    enum standing what;
    TRY(new_set(&s, err));
    enum status st = STATUS_OK;
    s->replace = replace;
    s->ours = ours;
    s->path = without_slashes(&s->mem, path);
    if (!s->path) TRY_OUT(error_nomem(err, strlen(path)));
    s->name = path_base(s->path);
    TRY_OUT(examine(s->path, replace, ours, &what, err));
    TRY_OUT(open_above(s, err));
    *out = s;
    return STATUS_OK;
out:
    outset_discard(s);
    return st;
}

enum status outset_beside(struct outset **out, const char *dir, unsigned flags, struct error *err)
{
    struct outset *s;
    TRY(new_set(&s, err));
    s->flags = flags;
    s->dir = arena_strndup(&s->mem, dir, strlen(dir));
    if (!s->dir) {
        outset_discard(s);
        return error_nomem(err, strlen(dir));
    }
    *out = s;
    return STATUS_OK;
}

static enum status grow(struct outset *s, struct error *err)
{
    if (s->n_files < s->cap) return STATUS_OK;
    size_t cap = s->cap ? 2 * s->cap : 16;
    struct outfile **files = arena_array(&s->mem, cap, sizeof *files);
    const char **names = arena_array(&s->mem, cap, sizeof *names);
    if (!files || !names) return error_nomem(err, cap * sizeof *files);
    if (s->n_files > 0) {
        memcpy(files, s->files, s->n_files * sizeof *files);
        memcpy(names, s->names, s->n_files * sizeof *names);
    }
    s->files = files;
    s->names = names;
    s->cap = cap;
    return STATUS_OK;
}

enum status outset_add(struct outset *s, const char *name, uint64_t size_bytes, struct outfile **file, struct error *err)
{
    TRY(grow(s, err));
    const char *path = s->dir[0] ? path_join(&s->mem, s->dir, name) : arena_strndup(&s->mem, name, strlen(name));
    if (!path) return error_nomem(err, strlen(name));
    TRY(outfile_create(file, path, s->flags, size_bytes, err));
    s->names[s->n_files] = path;
    s->files[s->n_files++] = *file;
    return STATUS_OK;
}

/* --- the end --- */

static bool flush(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

/* Under the target's name: an empty folder gives way to a rename, one with files in it is exchanged. */
static int give_name(struct outset *s, bool exchange)
{
    return exchange ? temp_exchange(s->temp, s->name) : renameat(s->dir_fd, s->temp->name, s->dir_fd, s->name);
}

static void take_name(struct outset *s, bool exchange)
{
    if (exchange)
        temp_exchange(s->temp, s->name);
    else
        renameat(s->dir_fd, s->name, s->dir_fd, s->temp->name);
}

static enum status rename_folder(struct outset *s, struct error *err)
{
    enum standing what;
    if (!flush(s->fd)) return error_errno(err, s->path, "cannot flush the folder");
    TRY(examine(s->path, s->replace, s->ours, &what, err));
    bool exchange = what == STANDS_OURS;
    if (give_name(s, exchange) != 0) return error_errno(err, s->path, "cannot rename the finished folder");
    if (!flush(s->dir_fd)) {
        error_errno(err, s->path, "cannot flush its folder");
        take_name(s, exchange);
        return err->status; /* outset_discard removes what has the temporary name */
    }
    if (exchange)
        temp_remove(s->temp); /* the old one */
    else
        temp_release(s->temp);
    s->temp = NULL;
    return STATUS_OK;
}

enum status outset_commit(struct outset *s, struct error *err)
{
    sigset_t old;
    enum status st = outfiles_commit(s->files, s->n_files, err);
    s->n_files = 0;
    signals_block(&old);
    if (st == STATUS_OK && s->temp) st = rename_folder(s, err);
    outset_discard(s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return st;
}

void outset_discard(struct outset *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_files; i++) outfile_discard(s->files[i]);
    if (s->temp) temp_remove(s->temp);
    if (s->dir_fd >= 0) close(s->dir_fd);
    arena_clear(&s->mem);
    free(s);
}

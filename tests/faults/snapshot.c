#include "tests/faults/snapshot.h"

#include "base/digest.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void must(enum status st, const struct error *err)
{
    if (st != STATUS_OK) fail_msg("%s: %s", err->path, err->text);
}

struct listing {
    struct arena mem;
    char **names;
    size_t n;
};

static struct listing list(const char *dir)
{
    struct listing l = {0};
    struct error err;
    must(dir_list(dir, &l.mem, &l.names, &l.n, &err), &err);
    return l;
}

static void add_folder(struct buf *b, const char *dir, const char *prefix, bool hidden)
{
    struct listing l = list(dir);
    struct error err;
    for (size_t i = 0; i < l.n; i++) {
        if (l.names[i][0] == '.' && !hidden) continue;
        char *path = path_join(&l.mem, dir, l.names[i]);
        struct buf content = {0};
        if (file_is_dir(path)) {
            buf_printf(b, "%s%s/\n", prefix, l.names[i]);
            add_folder(b, path, arena_printf(&l.mem, "%s%s/", prefix, l.names[i]), true);
            continue;
        }
        must(file_read_all(&content, path, 1 << 30, &err), &err);
        buf_printf(b, "%s%s %zu %08x\n", prefix, l.names[i], content.len, crc32_update(0, content.data, content.len));
        buf_clear(&content);
    }
    arena_clear(&l.mem);
}

void snapshot(struct buf *b, const char *dir, bool hidden)
{
    buf_puts(b, "");
    add_folder(b, dir, "", hidden);
}

bool snapshot_equal(const struct buf *a, const struct buf *b)
{
    return strcmp(a->data, b->data) == 0;
}

/* Is there a line that begins with these n bytes? */
static bool has_line(const struct buf *b, const char *start, size_t n)
{
    for (const char *line = b->data; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, start, n) == 0) return true;
    return false;
}

bool snapshot_within(const struct buf *part, const struct buf *a, const struct buf *b)
{
    for (const char *line = part->data, *end; (end = strchr(line, '\n')); line = end + 1) {
        size_t n = (size_t)(end + 1 - line);
        if (!has_line(a, line, n) && !has_line(b, line, n)) return false;
    }
    return true;
}

bool snapshot_has_names(const struct buf *b, const struct buf *names)
{
    for (const char *line = names->data, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *space = memchr(line, ' ', (size_t)(end - line));
        if (!has_line(b, line, (size_t)((space ? space : end) + 1 - line))) return false;
    }
    return true;
}

/* --- folders --- */

void folder_empty(const char *dir)
{
    struct listing l = list(dir);
    for (size_t i = 0; i < l.n; i++) {
        char *path = path_join(&l.mem, dir, l.names[i]);
        if (unlink(path) == 0) continue;
        folder_empty(path);
        rmdir(path);
    }
    arena_clear(&l.mem);
}

void file_put(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || (n > 0 && write(fd, bytes, n) != (ssize_t)n) || close(fd) != 0) fail_msg("%s: cannot be written", path);
}

void folder_fill(const char *to, const char *from)
{
    struct error err;
    if (!from) return;
    struct listing l = list(from);
    for (size_t i = 0; i < l.n; i++) {
        char *source = path_join(&l.mem, from, l.names[i]), *target = path_join(&l.mem, to, l.names[i]);
        struct buf content = {0};
        if (file_is_dir(source)) {
            mkdir(target, 0700);
            folder_fill(target, source);
            continue;
        }
        must(file_read_all(&content, source, 1 << 30, &err), &err);
        file_put(target, content.data, content.len);
        buf_clear(&content);
    }
    arena_clear(&l.mem);
}

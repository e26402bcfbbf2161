#include "container_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];

int scratch_make(void **state)
{
    (void)state;
    /* thousands of small files: in memory where there is such a place */
    strcpy(dir, "/dev/shm/lathe_test_XXXXXX");
    if (mkdtemp(dir)) return 0;
    strcpy(dir, "/tmp/lathe_test_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

void scratch_clear(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *path = scratch_path(e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlink(path) != 0) rmdir(path);
    }
    if (d) closedir(d);
}

int scratch_remove(void **state)
{
    (void)state;
    scratch_clear();
    return rmdir(dir);
}

const char *scratch_dir(void)
{
    return dir;
}

const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

void scratch_write(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(scratch_path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

const char *vector_path(const char *name)
{
    static char paths[8][512];
    static int next;
    char *p = paths[next++ % 8];
    const char *root = getenv("LATHE_ROOT");
    snprintf(p, sizeof paths[0], "%s/tests/vectors/%s", root ? root : ".", name);
    return p;
}

void expect_error(const char *what, enum status got, const struct error *err, enum status expected,
                  const char *text)
{
    char line[2048];
    if (got == STATUS_OK) fail_msg("%s: accepted, expected %s", what, status_name(expected));
    error_format(err, "t", line, sizeof line);
    if (got != expected)
        fail_msg("%s: expected %s, found %s: %s", what, status_name(expected), status_name(got), line);
    assert_int_equal(err->status, got);
    if (text && !strstr(line, text)) fail_msg("%s: expected '%s' in: %s", what, text, line);
}

void expect_refused(const char *what, const void *bytes, size_t n, enum status expected, const char *text)
{
    struct error err;
    struct container *c;
    scratch_write("refused", bytes, n);
    enum status st = container_open(&c, scratch_path("refused"), &err);
    expect_error(what, st, &err, expected, text);
    assert_null(c);
}

unsigned char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *b = malloc(*n + 1);
    assert_non_null(b);
    assert_int_equal(fread(b, 1, *n, f), *n);
    fclose(f);
    return b;
}

unsigned char *tensor_bytes(struct container *c, const struct tensor *t, size_t step)
{
    struct error err;
    size_t n = (size_t)t->size_bytes;
    unsigned char *b = malloc(n + 1);
    assert_non_null(b);
    if (step == 0) step = n + 1;
    for (size_t off = 0; off < n; off += step) {
        size_t k = n - off < step ? n - off : step;
        if (container_read(c, t, off, b + off, k, &err) != STATUS_OK) fail_msg("%s: %s", t->name, err.text);
    }
    return b;
}

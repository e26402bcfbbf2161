/* Sources: what is opened and how reads end. Outputs: whole or not at all, whatever stands under the name. */
#include "base/file.h"
#include "base/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test runs inside its own empty folder. */
static char scratch[64];

static int enter(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/lathe-file-XXXXXX");
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_holds(const char *path, const char *text)
{
    struct error err;
    struct buf b = {0};
    assert_int_equal(file_read_all(&b, path, 1 << 20, &err), STATUS_OK);
    assert_string_equal(b.data, text);
    buf_clear(&b);
}

static size_t count_entries(const char *dir)
{
    struct error err;
    struct arena a = {0};
    char **names;
    size_t n;
    assert_int_equal(dir_list(dir, &a, &names, &n, &err), STATUS_OK);
    arena_clear(&a);
    return n;
}

static void test_open(void **state)
{
    (void)state;
    struct error err;
    struct file f;
    char deep[5000];
    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = 0;
    put("ok", "hello");
    assert_int_equal(symlink("ok", "link"), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (const struct sockaddr *)&addr, sizeof addr), 0);
    const struct {
        const char *path;
        enum status st;
        const char *text;
    } cases[] = {
        {"ok", STATUS_OK, NULL},
        {"link", STATUS_OK, NULL},
        {"none", STATUS_NOTFOUND, "cannot open: No such file or directory"},
        {"", STATUS_NOTFOUND, "cannot open: No such file or directory"},
        {"dangling", STATUS_NOTFOUND, "cannot open: No such file or directory"},
        {"loop", STATUS_IO, "cannot open: Too many levels of symbolic links"},
        {".", STATUS_IO, "expected a regular file, found a folder"},
        {"fifo", STATUS_IO, "expected a regular file, found a pipe"},
        {"socket", STATUS_IO, "cannot open: No such device or address"},
        {"/dev/zero", STATUS_IO, "expected a regular file, found a character device"},
        {"ok/x", STATUS_IO, "cannot open: Not a directory"},
        {deep, STATUS_IO, "cannot open: File name too long"},
    };
    alarm(20); /* nothing here may hang */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(file_open(&f, cases[i].path, &err), cases[i].st);
        if (cases[i].text) {
            assert_string_equal(err.text, cases[i].text);
            assert_int_equal(f.fd, -1);
        } else {
            assert_int_equal(f.size_bytes, 5);
            assert_string_equal(f.path, cases[i].path);
        }
        file_close(&f);
        file_close(&f);
    }
    alarm(0);
    close(s);
    struct file zeroed = {0}; /* must not close standard input */
    int before = fcntl(0, F_GETFD);
    file_close(&zeroed);
    assert_int_equal(fcntl(0, F_GETFD), before);
    assert_true(file_exists("ok"));
    assert_false(file_exists("dangling"));
    assert_true(file_is_dir("."));
    assert_false(file_is_dir("ok"));
}

static void test_open_in(void **state)
{
    (void)state;
    struct error err;
    struct file f;
    char deep[5000];
    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = 0;
    assert_int_equal(mkdir("dir", 0755), 0);
    put("dir/shard", "12");
    put("dir/back\\slash", "1");
    put("secret", "x");
    assert_int_equal(symlink("../secret", "dir/hub"), 0);
    const struct {
        const char *name;
        enum status st;
    } cases[] = {
        {"shard", STATUS_OK},
        {"back\\slash", STATUS_OK},
        {"hub", STATUS_OK},
        {"", STATUS_FORMAT},
        {".", STATUS_FORMAT},
        {"..", STATUS_FORMAT},
        {"../secret", STATUS_FORMAT},
        {"a/../../secret", STATUS_FORMAT},
        {"/etc/passwd", STATUS_FORMAT},
        {"./shard", STATUS_FORMAT},
        {"shard/", STATUS_FORMAT},
        {"none", STATUS_NOTFOUND},
        {"...", STATUS_NOTFOUND},
        {deep, STATUS_IO},
        {"\xff\xfe", STATUS_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(file_open_in(&f, "dir", cases[i].name, &err), cases[i].st);
        file_close(&f);
    }
    assert_int_equal(file_open_in(&f, "dir/", "shard", &err), STATUS_OK);
    assert_string_equal(f.path, "dir/shard");
    file_close(&f);
}

static void test_read(void **state)
{
    (void)state;
    struct error err;
    struct file f;
    char got[16];
    put("f", "0123456789");
    assert_int_equal(file_open(&f, "f", &err), STATUS_OK);
    static const struct {
        uint64_t off;
        size_t n;
        bool fits;
    } cases[] = {
        {0, 10, true},          {10, 0, true},          {3, 7, true},
        {0, 11, false},         {10, 1, false},         {11, 0, false},
        {UINT64_MAX, 1, false}, {UINT64_MAX, 0, false}, {UINT64_MAX - 4, 10, false},
        {INT64_MAX, 1, false},  {5, SIZE_MAX, false},   {9, SIZE_MAX - 8, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(got, 'x', sizeof got);
        assert_int_equal(file_read_at(&f, cases[i].off, got, cases[i].n, &err),
                         cases[i].fits ? STATUS_OK : STATUS_RANGE);
        size_t n = cases[i].fits ? cases[i].n : 0;
        const char *digits = "0123456789";
        assert_memory_equal(got, &digits[cases[i].fits ? cases[i].off : 0], n);
        assert_int_equal(got[n], 'x');
    }
    assert_int_equal(file_check_unchanged(&f, &err), STATUS_OK);
    assert_int_equal(truncate("f", 4), 0);
    assert_int_equal(file_read_at(&f, 0, got, 10, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "shrunk"));
    assert_int_equal(file_read_at(&f, 8, got, 1, &err), STATUS_IO);
    assert_int_equal(file_check_unchanged(&f, &err), STATUS_IO);
    assert_string_equal(err.text, "the file changed while it was read: 10 bytes, then 4");
    assert_int_equal(truncate("f", 10), 0); /* same size again, other times */
    assert_int_equal(file_check_unchanged(&f, &err), STATUS_IO);
    file_close(&f);

    assert_int_equal(file_open(&f, "f", &err), STATUS_OK);
    const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, "f", old, 0), 0);
    assert_int_equal(file_check_unchanged(&f, &err), STATUS_IO);
    file_close(&f);
}

static void test_read_all(void **state)
{
    (void)state;
    struct error err;
    struct buf b = {0};
    put("empty", "");
    put("five", "12345");
    assert_int_equal(file_read_all(&b, "empty", 0, &err), STATUS_OK);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    assert_int_equal(file_read_all(&b, "five", 5, &err), STATUS_OK);
    assert_string_equal(b.data, "12345");
    assert_int_equal(file_read_all(&b, "five", 4, &err), STATUS_RANGE);
    assert_null(b.data);
    assert_int_equal(file_read_all(&b, "none", 4, &err), STATUS_NOTFOUND);
    assert_int_equal(truncate("five", (off_t)1 << 40), 0);
    assert_int_equal(file_read_all(&b, "five", 1 << 20, &err), STATUS_RANGE);
    assert_string_equal(err.text, "1099511627776 bytes: at most 1048576 are read of a file of this kind");
}

static void test_folders(void **state)
{
    (void)state;
    struct error err;
    struct arena a = {0};
    char **names;
    size_t n;
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(dir_list("d", &a, &names, &n, &err), STATUS_OK);
    assert_int_equal(n, 0);
    put("d/b", "");
    put("d/B", "");
    put("d/a10", "");
    put("d/a9", "");
    put("d/.hidden", "");
    put("d/\xc3\xa9", "");
    assert_int_equal(dir_list("d", &a, &names, &n, &err), STATUS_OK);
    static const char *const sorted[] = {".hidden", "B", "a10", "a9", "b", "\xc3\xa9"};
    assert_int_equal(n, 6);
    for (size_t i = 0; i < n; i++) assert_string_equal(names[i], sorted[i]);
    assert_int_equal(dir_list("none", &a, &names, &n, &err), STATUS_NOTFOUND);
    assert_int_equal(n, 0);
    assert_int_equal(dir_list("d/b", &a, &names, &n, &err), STATUS_IO);
    assert_string_equal(path_join(&a, "x", "y"), "x/y");
    assert_string_equal(path_join(&a, "x/", "y"), "x/y");
    assert_string_equal(path_join(&a, "", "y"), "y");
    assert_string_equal(path_join(&a, "/", "y"), "/y");
    assert_string_equal(path_base("a/b/c"), "c");
    assert_string_equal(path_base("c"), "c");
    assert_string_equal(path_base("a/"), "");
    arena_clear(&a);
}

static void test_output(void **state)
{
    (void)state;
    struct error err;
    struct outfile *o;
    struct stat st;
    mode_t old = umask(027);
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(outfile_create(&o, "d/out", OUTFILE_NEW, 10, &err), STATUS_OK);
    assert_int_equal(count_entries("d"), 1);
    assert_false(file_exists("d/out")); /* nothing under the final name before the end */
    assert_int_equal(outfile_write_at(o, 5, "world", 5, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "hello", 5, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    assert_holds("d/out", "helloworld");
    assert_int_equal(count_entries("d"), 1);
    assert_int_equal(stat("d/out", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    umask(old);

    assert_int_equal(outfile_create(&o, "d/out", OUTFILE_NEW, 0, &err), STATUS_EXISTS);
    assert_null(o);
    assert_string_equal(err.text, "exists already");
    assert_int_equal(outfile_create(&o, "d/out", OUTFILE_REPLACE, 0, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "new", 3, &err), STATUS_OK);
    assert_holds("d/out", "helloworld"); /* the old one until the new one is complete */
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    assert_holds("d/out", "new");
    assert_int_equal(count_entries("d"), 1);

    assert_int_equal(outfile_create(&o, "d/out", OUTFILE_REPLACE, 0, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "junk", 4, &err), STATUS_OK);
    outfile_discard(o);
    outfile_discard(NULL);
    assert_holds("d/out", "new");
    assert_int_equal(count_entries("d"), 1);
    assert_int_equal(file_write_whole("d/out", OUTFILE_NEW, "x", 1, &err), STATUS_EXISTS);
    assert_int_equal(file_write_whole("d/empty", OUTFILE_NEW, "", 0, &err), STATUS_OK);
    assert_int_equal(file_write_whole("here", OUTFILE_REPLACE, "x", 1, &err), STATUS_OK);
    assert_holds("here", "x");
    assert_int_equal(count_entries("d"), 2);
}

/* A file that comes into being under the name meanwhile is somebody else's. */
static void test_output_race(void **state)
{
    (void)state;
    struct error err;
    struct outfile *o;
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, 1, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "x", 1, &err), STATUS_OK);
    put("out", "theirs");
    assert_int_equal(outfile_commit(o, &err), STATUS_EXISTS);
    assert_holds("out", "theirs");
    assert_int_equal(count_entries("."), 1);
}

static void test_output_size(void **state)
{
    (void)state;
    struct error err;
    struct outfile *o;
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, 10, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 6, "12345", 5, &err), STATUS_RANGE);
    assert_int_equal(outfile_write_at(o, UINT64_MAX, "12345", 5, &err), STATUS_RANGE);
    assert_int_equal(outfile_write_at(o, 10, "", 0, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "123456789", 9, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_MISMATCH); /* the end is missing */
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, 10, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "1234", 4, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 6, "7890", 4, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_MISMATCH); /* a hole */
    assert_string_equal(err.text, "expected 10 bytes to be written, found 8, up to offset 10");
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, 10, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "12345", 5, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, "12345", 5, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_MISMATCH); /* one half twice */
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, (uint64_t)INT64_MAX + 1, &err), STATUS_RANGE);
    enum status st = outfile_create(&o, "out", OUTFILE_NEW, (uint64_t)1 << 60, &err);
    assert_int_equal(st, STATUS_IO);
    assert_int_equal(count_entries("."), 0);
}

static void test_output_refused(void **state)
{
    (void)state;
    struct error err;
    struct outfile *o;
    char name[300];
    assert_int_equal(mkdir("dir", 0755), 0);
    put("plain", "p");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(symlink("dir", "to_dir"), 0);
    assert_int_equal(symlink("/dev/null", "to_null"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    const struct {
        const char *path;
        unsigned flags;
        enum status st;
        const char *text;
    } cases[] = {
        {"none/out", OUTFILE_NEW, STATUS_NOTFOUND, "the folder 'none' does not exist"},
        {"plain/out", OUTFILE_NEW, STATUS_IO, "cannot open the folder 'plain': Not a directory"},
        {"dir", OUTFILE_NEW, STATUS_EXISTS, "exists already"},
        {"dir", OUTFILE_REPLACE, STATUS_EXISTS, "is a folder; only a regular file can be replaced"},
        {"to_dir", OUTFILE_REPLACE, STATUS_EXISTS, "is a folder; only a regular file can be replaced"},
        {"fifo", OUTFILE_REPLACE, STATUS_EXISTS, "is no regular file; only a regular file can be replaced"},
        {"to_null", OUTFILE_REPLACE, STATUS_EXISTS,
         "is no regular file; only a regular file can be replaced"},
        {"/dev/null", OUTFILE_REPLACE, STATUS_EXISTS,
         "is no regular file; only a regular file can be replaced"},
        {"dangling", OUTFILE_NEW, STATUS_EXISTS, "exists already"},
        {"dir/", OUTFILE_REPLACE, STATUS_USAGE,
         "expected the name of a file to write, found that of a folder"},
        {"dir/..", OUTFILE_REPLACE, STATUS_USAGE,
         "expected the name of a file to write, found that of a folder"},
        {".", OUTFILE_REPLACE, STATUS_USAGE, "expected the name of a file to write, found that of a folder"},
        {"", OUTFILE_REPLACE, STATUS_USAGE, "expected the name of a file to write, found that of a folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(outfile_create(&o, cases[i].path, cases[i].flags, 5, &err), cases[i].st);
        assert_string_equal(err.text, cases[i].text);
        assert_null(o);
    }
    memset(name, 'n', sizeof name);
    name[256] = 0; /* one more than a name may have: said before the work, not at the rename */
    assert_int_equal(outfile_create(&o, name, OUTFILE_NEW, 5, &err), STATUS_IO);
    size_t n = count_entries(".");
    name[255] = 0;
    assert_int_equal(file_write_whole(name, OUTFILE_NEW, "x", 1, &err), STATUS_OK);
    assert_int_equal(count_entries("."), n + 1);
    for (int i = 0; i < 255; i += 3) memcpy(name + i, "\xe4\xbd\xa0", 3);
    assert_int_equal(file_write_whole(name, OUTFILE_NEW, "x", 1, &err), STATUS_OK);
    assert_int_equal(count_entries("."), n + 2);
}

/* Links are replaced themselves; what they lead to stays. */
static void test_output_links(void **state)
{
    (void)state;
    struct error err;
    struct stat st;
    put("target", "precious");
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(link("target", "hard"), 0);
    static const char *const names[] = {"link", "dangling", "hard"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(file_write_whole(names[i], OUTFILE_REPLACE, "new", 3, &err), STATUS_OK);
        assert_int_equal(lstat(names[i], &st), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_holds(names[i], "new");
        assert_holds("target", "precious");
    }
    assert_false(file_exists("nowhere"));
}

static void test_forbid_source(void **state)
{
    (void)state;
    struct error err;
    struct file source;
    struct outfile *o;
    put("source", "precious");
    put("other", "other");
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(link("source", "hard"), 0);
    assert_int_equal(symlink("source", "link"), 0);
    assert_int_equal(symlink("..", "d/up"), 0);
    const struct {
        const char *path;
        enum status st;
    } cases[] = {
        {"source", STATUS_EXISTS}, {"./source", STATUS_EXISTS},  {"hard", STATUS_EXISTS},
        {"link", STATUS_EXISTS},   {"d/up/hard", STATUS_EXISTS}, {"other", STATUS_OK},
        {"fresh", STATUS_OK},
    };
    assert_int_equal(file_open(&source, "source", &err), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(outfile_create(&o, cases[i].path, OUTFILE_REPLACE, 0, &err), STATUS_OK);
        assert_int_equal(outfile_forbid_source(o, &source, &err), cases[i].st);
        if (cases[i].st != STATUS_OK) {
            assert_string_equal(err.text, "is the same file as the source 'source', which is never replaced");
        }
        outfile_discard(o);
    }
    file_close(&source);
    assert_holds("source", "precious");
}

enum { CHUNK = 100003, N_CHUNKS = 200 };

static enum status write_chunk(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    unsigned char *bytes = malloc(CHUNK);
    if (!bytes) return error_nomem(err, CHUNK);
    memset(bytes, (int)(unit + 1), CHUNK);
    enum status st = outfile_write_at(ctx, unit * CHUNK, bytes, CHUNK, err);
    free(bytes);
    return st;
}

static void test_parallel_writes(void **state)
{
    (void)state;
    struct error err;
    struct workers *w;
    struct outfile *o;
    struct buf b = {0};
    assert_int_equal(workers_new(&w, 4, &err), STATUS_OK);
    assert_int_equal(outfile_create(&o, "out", OUTFILE_NEW, (uint64_t)CHUNK * N_CHUNKS, &err), STATUS_OK);
    assert_int_equal(workers_run(w, N_CHUNKS, write_chunk, o, &err), STATUS_OK);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    workers_free(w);
    assert_int_equal(file_read_all(&b, "out", UINT64_MAX, &err), STATUS_OK);
    assert_int_equal(b.len, (size_t)CHUNK * N_CHUNKS);
    for (size_t i = 0; i < b.len; i++) {
        if ((unsigned char)b.data[i] != i / CHUNK + 1) fail_msg("byte %zu", i);
    }
    buf_clear(&b);
}

/* Runs body in a child process; returns its wait status. */
static int in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int child_signal;
static int ready_fds[2];

static void body_wait_for_signal(void)
{
    struct error err;
    struct outfile *o[3];
    signal(child_signal, SIG_DFL); /* a shell's background job ignores some, and what is ignored stays so */
    signals_install();
    if (file_write_whole("done", OUTFILE_REPLACE, "d", 1, &err) != STATUS_OK) _exit(1);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "out%d", i);
        if (outfile_create(&o[i], name, OUTFILE_NEW, 100, &err) != STATUS_OK) _exit(1);
        if (outfile_write_at(o[i], 0, "x", 1, &err) != STATUS_OK) _exit(1);
    }
    outfile_discard(o[1]);
    if (count_entries(".") != 3) _exit(3);
    raise(child_signal);
    _exit(4);
}

static void test_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < 5; i++) {
        child_signal = signals[i];
        int status = in_child(body_wait_for_signal);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 128 + signals[i]);
        assert_int_equal(count_entries("."), 1);
        assert_holds("done", "d");
    }
}

static void body_ignored(void)
{
    struct error err;
    struct outfile *o;
    signal(SIGHUP, SIG_IGN);
    signals_install();
    if (outfile_create(&o, "out", OUTFILE_NEW, 1, &err) != STATUS_OK) _exit(1);
    raise(SIGHUP);
    if (outfile_write_at(o, 0, "x", 1, &err) != STATUS_OK || outfile_commit(o, &err) != STATUS_OK) _exit(1);
}

static void test_ignored_signal(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_ignored), 0);
    assert_holds("out", "x");
}

static enum status make_and_drop(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)ctx;
    struct outfile *o;
    char name[32];
    snprintf(name, sizeof name, "out%d", worker);
    TRY(outfile_create(&o, name, OUTFILE_REPLACE, 1, err));
    if (unit == 20 && write(ready_fds[1], "r", 1) != 1) _exit(9);
    outfile_discard(o);
    return STATUS_OK;
}

static void body_busy(void)
{
    struct error err;
    struct workers *w;
    signals_install();
    if (workers_new(&w, 3, &err) != STATUS_OK) _exit(1);
    workers_run(w, UINT64_MAX, make_and_drop, NULL, &err);
    pause();
}

/* The signal comes at any moment of creating and removing, on any thread. */
static void test_signal_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        char byte;
        assert_int_equal(pipe(ready_fds), 0);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) body_busy();
        assert_int_equal(read(ready_fds[0], &byte, 1), 1);
        usleep((useconds_t)(i * 137 % 1000));
        kill(pid, SIGTERM);
        int status = 0;
        waitpid(pid, &status, 0);
        close(ready_fds[0]);
        close(ready_fds[1]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
        assert_int_equal(count_entries("."), 0);
    }
}

static void body_file_limit(void)
{
    struct error err;
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    if (child_signal == 0) signal(SIGXFSZ, SIG_IGN);
    signals_install();
    char bytes[2000] = {0};
    struct outfile *o;
    if (outfile_create(&o, "out", OUTFILE_NEW, 0, &err) != STATUS_OK) _exit(1);
    enum status st = outfile_write_at(o, 0, bytes, sizeof bytes, &err);
    outfile_discard(o);
    _exit(st == STATUS_IO ? 50 : 1);
}

static void test_file_limit(void **state)
{
    (void)state;
    child_signal = SIGXFSZ;
    assert_int_equal(WEXITSTATUS(in_child(body_file_limit)), 128 + SIGXFSZ);
    assert_int_equal(count_entries("."), 0);
    child_signal = 0;
    assert_int_equal(WEXITSTATUS(in_child(body_file_limit)), 50);
    assert_int_equal(count_entries("."), 0);
}

/* A real full disk: a file system of 64 KiB in a name space of our own. Exit 77: not allowed here. */
static void body_full_disk(void)
{
    struct error err;
    struct outfile *o;
    static char bytes[100000];
    if (unshare(CLONE_NEWNS) != 0) {
        char map[32];
        snprintf(map, sizeof map, "0 %u 1", (unsigned)getuid());
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(77);
        int fd = open("/proc/self/uid_map", O_WRONLY);
        if (fd < 0 || write(fd, map, strlen(map)) < 0) _exit(77);
        close(fd);
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) _exit(77);
    if (mkdir("small", 0755) != 0 || mount("none", "small", "tmpfs", 0, "size=64k") != 0) _exit(77);
    if (file_write_whole("small/old", OUTFILE_NEW, "old", 3, &err) != STATUS_OK) _exit(1);
    /* known size: before any work */
    if (outfile_create(&o, "small/old", OUTFILE_REPLACE, sizeof bytes, &err) != STATUS_IO) _exit(2);
    if (strcmp(err.text, "no space left on the device: 100000 bytes needed, 61440 free") != 0) _exit(3);
    if (strcmp(err.path, "small/old") != 0) _exit(4);
    /* unknown size: at the write that finds no room */
    if (outfile_create(&o, "small/old", OUTFILE_REPLACE, 0, &err) != STATUS_OK) _exit(5);
    if (outfile_write_at(o, 0, bytes, sizeof bytes, &err) != STATUS_IO) _exit(6);
    if (!strstr(err.text, "no space left on the device: 100000 bytes needed, ")) _exit(7);
    outfile_discard(o);
    if (count_entries("small") != 1) _exit(8);
    struct buf b = {0};
    if (file_read_all(&b, "small/old", 10, &err) != STATUS_OK || strcmp(b.data, "old") != 0) _exit(9);
    buf_clear(&b);
}

static void test_full_disk(void **state)
{
    (void)state;
    int status = in_child(body_full_disk);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_open),         IN_FOLDER(test_open_in),        IN_FOLDER(test_read),
        IN_FOLDER(test_read_all),     IN_FOLDER(test_folders),        IN_FOLDER(test_output),
        IN_FOLDER(test_output_race),  IN_FOLDER(test_output_size),    IN_FOLDER(test_output_refused),
        IN_FOLDER(test_output_links), IN_FOLDER(test_forbid_source),  IN_FOLDER(test_parallel_writes),
        IN_FOLDER(test_signals),      IN_FOLDER(test_ignored_signal), IN_FOLDER(test_signal_any_time),
        IN_FOLDER(test_file_limit),   IN_FOLDER(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

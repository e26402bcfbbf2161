/* A shared object for LD_PRELOAD: the n-th call of one class fails, or all from it on, or the process dies in front of it.
 *
 *   FAULT_CLASS   read, write, open, sync, rename, space, alloc, none
 *   FAULT_AT      n, from 1
 *   FAULT_KIND    an errno by name (EIO, ENOSPC, EINTR, EMFILE, EDQUOT, ENOMEM); SHORT: half of what was asked; KILL: SIGKILL
 *   FAULT_STICKY  1: every call from the n-th on fails; 2: every second one
 *   FAULT_STRUCK  a file that is created when it has struck: without it the run had fewer calls
 *
 * Counted are calls of the program and its libraries through the C library's names, allocations from main on. What the C library does inside itself
 * (stdio's writes) is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum class { READ, WRITE, OPEN, SYNC, RENAME, SPACE, ALLOC, NO_CLASS };
enum { SHORT = -1, KILL = -2 };

static enum class wanted = NO_CLASS;
static long at;
static int kind;
static int sticky;
static const char *struck;
static atomic_long count;

static int kind_of(const char *name)
{
    static const struct {
        const char *name;
        int kind;
    } kinds[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT},
                 {"ENOMEM", ENOMEM}, {"EROFS", EROFS},   {"SHORT", SHORT}, {"KILL", KILL}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0) return kinds[i].kind;
    return EIO;
}

__attribute__((constructor)) static void start(void)
{
    static const char *const classes[] = {"read", "write", "open", "sync", "rename", "space", "alloc"};
    const char *class = getenv("FAULT_CLASS"), *n = getenv("FAULT_AT"), *name = getenv("FAULT_KIND"), *all = getenv("FAULT_STICKY");
    struck = getenv("FAULT_STRUCK");
    at = n ? atol(n) : 0;
    kind = kind_of(name ? name : "EIO");
    sticky = all ? atoi(all) : 0;
    void *frame;
    backtrace(&frame, 1); /* loads what it needs, which allocates */
    for (int i = 0; class && i < NO_CLASS; i++)
        if (strcmp(class, classes[i]) == 0) wanted = (enum class)i;
}

/* Libraries that crash by themselves when memory runs out: their allocations are left alone. */
static bool in_others_hands(void)
{
    void *frames[24];
    Dl_info info;
    for (int i = 0, n = backtrace(frames, 24); i < n; i++)
        if (dladdr(frames[i], &info) && info.dli_fname && (strstr(info.dli_fname, "libfontconfig") || strstr(info.dli_fname, "libexpat")))
            return true;
    return false;
}

/* 0: nothing happens; else the kind */
static int strike(enum class c)
{
    if (c != wanted || at <= 0) return 0;
    long n = atomic_fetch_add(&count, 1) + 1;
    if (n != at && !(n > at && (sticky == 1 || (sticky == 2 && (n - at) % 2 == 0)))) return 0;
    if (n == at && struck) {
        long fd = syscall(SYS_openat, AT_FDCWD, struck, O_WRONLY | O_CREAT, 0600);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    if (c == ALLOC && in_others_hands()) return 0;
    if (kind == KILL) syscall(SYS_kill, getpid(), SIGKILL);
    return kind;
}

/* For calls that have no half: SHORT passes */
static bool fails(enum class c)
{
    int k = strike(c);
    if (k <= 0) return false;
    errno = k;
    return true;
}

#define REAL(type, name, ...)                                                                                                                                  \
    static type (*real)(__VA_ARGS__);                                                                                                                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static size_t half(size_t n)
{
    return n > 1 ? n / 2 : n;
}

ssize_t read(int fd, void *dst, size_t n)
{
    int k = strike(READ);
    if (k > 0) return errno = k, -1;
    return syscall(SYS_read, fd, dst, k == SHORT ? half(n) : n);
}
ssize_t pread(int fd, void *dst, size_t n, off_t off)
{
    int k = strike(READ);
    if (k > 0) return errno = k, -1;
    return syscall(SYS_pread64, fd, dst, k == SHORT ? half(n) : n, off);
}
ssize_t pread64(int fd, void *dst, size_t n, off64_t off)
{
    return pread(fd, dst, n, off);
}
ssize_t write(int fd, const void *src, size_t n)
{
    int k = strike(WRITE);
    if (k > 0) return errno = k, -1;
    return syscall(SYS_write, fd, src, k == SHORT ? half(n) : n);
}
ssize_t pwrite(int fd, const void *src, size_t n, off_t off)
{
    int k = strike(WRITE);
    if (k > 0) return errno = k, -1;
    return syscall(SYS_pwrite64, fd, src, k == SHORT ? half(n) : n, off);
}
ssize_t pwrite64(int fd, const void *src, size_t n, off64_t off)
{
    return pwrite(fd, src, n, off);
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    if (fails(OPEN)) return -1;
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}
#define MODE_OF(flags)                                                                                                                                         \
    mode_t mode = 0;                                                                                                                                           \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                                                                       \
        va_list args;                                                                                                                                          \
        va_start(args, flags);                                                                                                                                 \
        mode = (mode_t)va_arg(args, int);                                                                                                                      \
        va_end(args);                                                                                                                                          \
    }
int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_at(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_at(dir, path, flags, mode);
}
int mkdir(const char *path, mode_t mode)
{
    return fails(OPEN) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
int mkdirat(int dir, const char *path, mode_t mode)
{
    return fails(OPEN) ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
}
FILE *fopen(const char *path, const char *mode)
{
    REAL(FILE *, "fopen", const char *, const char *);
    return fails(OPEN) ? NULL : real(path, mode);
}
FILE *fdopen(int fd, const char *mode)
{
    REAL(FILE *, "fdopen", int, const char *);
    return fails(OPEN) ? NULL : real(fd, mode);
}
int dup(int fd)
{
    return fails(OPEN) ? -1 : (int)syscall(SYS_dup, fd);
}

int fsync(int fd)
{
    return fails(SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd)
{
    return fails(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(RENAME) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int ftruncate(int fd, off_t n)
{
    return fails(SPACE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}
int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}
int fallocate(int fd, int mode, off_t off, off_t n)
{
    return fails(SPACE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, n);
}
int fallocate64(int fd, int mode, off64_t off, off64_t n)
{
    return fallocate(fd, mode, off, n);
}

#ifndef FAULT_NO_ALLOC
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    return fails(ALLOC) ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    return fails(ALLOC) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    return fails(ALLOC) ? NULL : __libc_realloc(p, n);
}
int posix_memalign(void **p, size_t align, size_t n)
{
    if (fails(ALLOC)) return ENOMEM;
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}
void *aligned_alloc(size_t align, size_t n)
{
    return fails(ALLOC) ? NULL : __libc_memalign(align, n);
}
#endif

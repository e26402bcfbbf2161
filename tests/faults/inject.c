/* A shared object for LD_PRELOAD: the n-th call of one class fails, or all from it on, or something else happens in front of it (tests/faults/order.h).
 *
 * Counted are calls of the program and its libraries through the C library's names, from main on. What the C library does inside itself is not seen;
 * standard output is sent through write here, so that it is. */
#define _GNU_SOURCE
#include "tests/faults/order.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_SECONDS = 120 }; /* a run that takes longer hangs */

static struct fault_page own_page = {.order.class = FAULT_NONE}, *page = &own_page;
static bool running;
static atomic_bool victim_open; /* it was opened at least */

/* --- whose call it is --- */

/* Libraries that crash by themselves when memory runs out: their allocations are neither counted nor failed. */
static const char *const fragile[] = {"libfontconfig", "libexpat", "libfreetype"};
enum { N_FRAGILE = sizeof fragile / sizeof fragile[0], FRAMES = 32 };
static struct {
    uintptr_t from, to;
} own, fragile_range[N_FRAGILE];

static int note_range(struct dl_phdr_info *info, size_t size, void *ctx)
{
    uintptr_t from = UINTPTR_MAX, to = 0;
    (void)size;
    (void)ctx;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, end = start + info->dlpi_phdr[i].p_memsz;
            if (start < from) from = start;
            if (end > to) to = end;
        }
    if (own.to == 0) own.from = from, own.to = to; /* the program comes first */
    for (int i = 0; i < N_FRAGILE; i++)
        if (strstr(info->dlpi_name, fragile[i])) fragile_range[i].from = from, fragile_range[i].to = to;
    return 0;
}

static bool is_fragile(const void *address)
{
    uintptr_t a = (uintptr_t)address;
    for (int i = 0; i < N_FRAGILE; i++)
        if (a >= fragile_range[i].from && a < fragile_range[i].to) return true;
    return false;
}

/* caller: where the allocation was asked for. Only a library's can be on behalf of a fragile one. */
static bool in_fragile_hands(const void *caller)
{
    void *frames[FRAMES];
    uintptr_t a = (uintptr_t)caller;
    if (a >= own.from && a < own.to) return false;
    if (is_fragile(caller)) return true;
    for (int i = 0, n = backtrace(frames, FRAMES); i < n; i++)
        if (is_fragile(frames[i])) return true;
    return false;
}

/* --- what happens --- */

static void change_victim(int kind)
{
    struct stat st;
    long fd = syscall(SYS_openat, AT_FDCWD, page->victim, kind == FAULT_RIVAL ? O_WRONLY | O_CREAT | O_EXCL : O_RDWR, 0600);
    if (fd < 0) return;
    if (kind == FAULT_RIVAL) {
        syscall(SYS_write, fd, "rival\n", 6);
        atomic_store(&page->came, true);
    }
    if (syscall(SYS_fstat, fd, &st) == 0 && kind != FAULT_RIVAL) {
        char byte;
        syscall(SYS_pread64, fd, &byte, 1, st.st_size / 2);
        byte ^= 1;
        if (kind == FAULT_CUT) syscall(SYS_ftruncate, fd, st.st_size / 2);
        if (kind == FAULT_CHANGE) syscall(SYS_pwrite64, fd, &byte, 1, st.st_size / 2);
    }
    syscall(SYS_close, fd);
}

static bool is_turn(long n, const struct fault_order *o)
{
    if (n <= o->at) return n == o->at;
    return o->repeat == FAULT_AND_ON || (o->repeat == FAULT_EVERY_SECOND && (n - o->at) % 2 == 0);
}

/* For a debugger to stop at */
__attribute__((noinline)) void fault_strikes(void);
void fault_strikes(void)
{
    __asm__ volatile("");
}

/* 0: the call goes on; else an errno, SHORT or END */
static int strike(enum fault_class c)
{
    const struct fault_order *o = &page->order;
    if (!running || (c != o->class && (o->class != FAULT_ANY || c == FAULT_ALLOC))) return 0;
    if ((o->kind == FAULT_CUT || o->kind == FAULT_CHANGE) && !victim_open) return 0;
    if (!is_turn(atomic_fetch_add(&page->count, 1) + 1, o)) return 0;
    int code = errno;
    fault_strikes();
    atomic_store(&page->struck, true);
    if (o->kind >= FAULT_SIGNAL) syscall(SYS_kill, getpid(), o->kind - FAULT_SIGNAL);
    if (o->kind <= FAULT_CUT) change_victim(o->kind);
    errno = code;
    return o->kind >= FAULT_SIGNAL || o->kind <= FAULT_CUT ? 0 : o->kind;
}

/* For calls that have no half: SHORT and END pass */
static bool fails(enum fault_class c)
{
    int k = strike(c);
    if (k <= 0) return false;
    errno = k;
    return true;
}

__attribute__((unused)) static bool fails_alloc(const void *caller)
{
    return running && page->order.class == FAULT_ALLOC && !in_fragile_hands(caller) && fails(FAULT_ALLOC);
}
#define ALLOC_FAILS fails_alloc(__builtin_return_address(0))

/* --- in front of main --- */

static int (*real_main)(int, char **, char **);

static ssize_t write_output(void *cookie, const char *src, size_t n)
{
    (void)cookie;
    for (size_t done = 0; done < n;) { /* as the C library does it, which nobody interrupts */
        ssize_t put = write(STDOUT_FILENO, src + done, n - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return 0;
        done += (size_t)put;
    }
    return (ssize_t)n;
}

static int run_main(int argc, char **argv, char **envp)
{
    stdout = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_output});
    running = true;
    return real_main(argc, argv, envp);
}

static int serve(int orders, int answers, int argc, char **argv, char **envp)
{
    char byte;
    int status;
    while (syscall(SYS_read, orders, &byte, 1) == 1) {
        pid_t pid = fork();
        if (pid == 0) {
            close(orders);
            close(answers);
            alarm(RUN_SECONDS);
            return run_main(argc, argv, envp);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) status = -1;
        syscall(SYS_write, answers, &status, sizeof status);
    }
    _exit(0);
}

static int main_before_main(int argc, char **argv, char **envp)
{
    const char *fds = getenv(FAULT_SERVE), *order = getenv(FAULT_ORDER);
    void *frame;
    int fd, orders, answers;
    unsigned numbers[4];
    backtrace(&frame, 1); /* loads what it needs */
    dl_iterate_phdr(note_range, NULL);
    if (fds && sscanf(fds, "%d %d %d", &fd, &orders, &answers) == 3) {
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) _exit(96);
        close(fd);
        return serve(orders, answers, argc, argv, envp);
    }
    int kind;
    if (order && sscanf(order, "%u %u %d %u", &numbers[0], &numbers[1], &kind, &numbers[2]) == 4)
        page->order = (struct fault_order){(enum fault_class)numbers[0], numbers[1], kind, (enum fault_repeat)numbers[2]};
    return run_main(argc, argv, envp);
}

#define REAL(type, name, ...)                                                                                                                                  \
    static type (*real)(__VA_ARGS__);                                                                                                                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void), void (*rtld_fini)(void), void *end);
int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void), void (*rtld_fini)(void), void *end)
{
    REAL(int, "__libc_start_main", int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    real_main = program;
    return real(main_before_main, argc, argv, init, fini, rtld_fini, end);
}

/* --- reading and writing --- */

/* Bytes to ask for; false: the call is over, *result with errno is its result. */
static bool may_transfer(enum fault_class c, size_t *n, ssize_t *result)
{
    int k = strike(c);
    *result = k == FAULT_END ? 0 : -1;
    if (k > 0) errno = k;
    if (k == FAULT_SHORT && *n > 1) *n /= 2;
    return k <= 0 && k != FAULT_END;
}

ssize_t read(int fd, void *dst, size_t n)
{
    ssize_t result;
    return may_transfer(FAULT_READ, &n, &result) ? syscall(SYS_read, fd, dst, n) : result;
}
ssize_t pread(int fd, void *dst, size_t n, off_t off)
{
    ssize_t result;
    return may_transfer(FAULT_READ, &n, &result) ? syscall(SYS_pread64, fd, dst, n, off) : result;
}
ssize_t pread64(int fd, void *dst, size_t n, off64_t off)
{
    return pread(fd, dst, n, off);
}
ssize_t write(int fd, const void *src, size_t n)
{
    ssize_t result;
    return may_transfer(FAULT_WRITE, &n, &result) ? syscall(SYS_write, fd, src, n) : result;
}
ssize_t pwrite(int fd, const void *src, size_t n, off_t off)
{
    ssize_t result;
    return may_transfer(FAULT_WRITE, &n, &result) ? syscall(SYS_pwrite64, fd, src, n, off) : result;
}
ssize_t pwrite64(int fd, const void *src, size_t n, off64_t off)
{
    return pwrite(fd, src, n, off);
}

/* --- opening, closing, looking --- */

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    if (running && strcmp(path, page->victim) == 0) {
        atomic_store(&victim_open, true);
        if (atomic_load(&page->struck)) atomic_store(&page->reopened, true);
    }
    return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
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
    return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
int mkdirat(int dir, const char *path, mode_t mode)
{
    return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
}
FILE *fopen(const char *path, const char *mode)
{
    REAL(FILE *, "fopen", const char *, const char *);
    return fails(FAULT_OPEN) ? NULL : real(path, mode);
}
FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}
FILE *fdopen(int fd, const char *mode)
{
    REAL(FILE *, "fdopen", int, const char *);
    return fails(FAULT_OPEN) ? NULL : real(fd, mode);
}
DIR *opendir(const char *path)
{
    REAL(DIR *, "opendir", const char *);
    return fails(FAULT_OPEN) ? NULL : real(path);
}
DIR *fdopendir(int fd)
{
    REAL(DIR *, "fdopendir", int);
    return fails(FAULT_OPEN) ? NULL : real(fd);
}
int dup(int fd)
{
    return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_dup, fd);
}

/* A descriptor is gone whatever close says. */
int close(int fd)
{
    int k = strike(FAULT_CLOSE), result = (int)syscall(SYS_close, fd);
    if (k <= 0) return result;
    errno = k;
    return -1;
}

int stat(const char *path, struct stat *st)
{
    return fails(FAULT_STAT) ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);
}
int lstat(const char *path, struct stat *st)
{
    return fails(FAULT_STAT) ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}
int fstat(int fd, struct stat *st)
{
    return fails(FAULT_STAT) ? -1 : (int)syscall(SYS_fstat, fd, st);
}
int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    return fails(FAULT_STAT) ? -1 : (int)syscall(SYS_newfstatat, dir, path, st, flags);
}
int fstatvfs(int fd, struct statvfs *vfs)
{
    REAL(int, "fstatvfs", int, struct statvfs *);
    return fails(FAULT_STAT) ? -1 : real(fd, vfs);
}
char *realpath(const char *path, char *dst)
{
    REAL(char *, "realpath", const char *, char *);
    return fails(FAULT_STAT) ? NULL : real(path, dst);
}

struct dirent *readdir(DIR *d)
{
    REAL(struct dirent *, "readdir", DIR *);
    return fails(FAULT_LIST) ? NULL : real(d);
}

/* --- names, space, the device --- */

/* Nobody pulls the plug here: a flush that is not to fail has nothing to do. */
int fsync(int fd)
{
    (void)fd;
    return fails(FAULT_SYNC) ? -1 : 0;
}
int fdatasync(int fd)
{
    return fsync(fd);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return fails(FAULT_RENAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}
int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(FAULT_RENAME) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
    return fails(FAULT_REMOVE) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}
int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int ftruncate(int fd, off_t n)
{
    return fails(FAULT_SPACE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}
int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}
int fallocate(int fd, int mode, off_t off, off_t n)
{
    return fails(FAULT_SPACE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, n);
}
int fallocate64(int fd, int mode, off64_t off, off64_t n)
{
    return fallocate(fd, mode, off, n);
}

int flock(int fd, int operation)
{
    return fails(FAULT_LOCK) ? -1 : (int)syscall(SYS_flock, fd, operation);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return fails(FAULT_THREAD) ? errno : real(thread, attr, start, arg);
}

/* --- time --- */

/* Pictures take most of their time to be packed: here they are not. */
int deflateInit2_(void *stream, int level, int method, int bits, int memory, int strategy, const char *version, int size);
int deflateInit2_(void *stream, int level, int method, int bits, int memory, int strategy, const char *version, int size)
{
    REAL(int, "deflateInit2_", void *, int, int, int, int, int, const char *, int);
    (void)level;
    return real(stream, 0, method, bits, memory, strategy, version, size);
}

/* --- memory --- */

#ifndef FAULT_NO_ALLOC
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    return ALLOC_FAILS ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    return ALLOC_FAILS ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    return ALLOC_FAILS ? NULL : __libc_realloc(p, n);
}
int posix_memalign(void **p, size_t align, size_t n)
{
    if (ALLOC_FAILS) return ENOMEM;
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}
void *aligned_alloc(size_t align, size_t n)
{
    return ALLOC_FAILS ? NULL : __libc_memalign(align, n);
}
#endif

#include "base/temp.h"

#include "base/file.h"
#include "base/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEMP_TRIES = 100, CREATE_WAIT_MS = 2000 };

static _Atomic(struct temp_name *) temp_names;
/* Names that are being created and have no entry yet. A handler waits for them: ending the process in between would leave one behind. */
static atomic_int creating;
static atomic_bool stopping;

static const int fatal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
enum { N_FATAL = sizeof fatal_signals / sizeof fatal_signals[0] };

static void fatal_set(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < N_FATAL; i++) sigaddset(set, fatal_signals[i]);
}

/* As the kernel tells the entries of a folder; readdir would allocate. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};

/* Unlinks the files of folder fd, and it. Nothing but async-signal-safe calls. */
static void remove_folder(int dir_fd, const char *name, int fd)
{
    _Alignas(struct entry) char raw[4096];
    long n;
    bool removed = fd >= 0;
    while (removed) { /* from the start again after each round: entries may move while others go */
        removed = false;
        lseek(fd, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, fd, raw, sizeof raw)) > 0)
            for (long at = 0; at < n;) {
                const struct entry *e = (const struct entry *)(const void *)(raw + at);
                at += e->len;
                if (unlinkat(fd, e->name, 0) == 0) removed = true;
            }
    }
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* Only async-signal-safe calls and lock-free atomics here. */
static void on_signal(int number)
{
    atomic_store(&stopping, true);
    for (int i = 0; i < CREATE_WAIT_MS && atomic_load(&creating) > 0; i++) poll(NULL, 0, 1);
    for (struct temp_name *t = atomic_load(&temp_names); t; t = t->next) {
        if (!atomic_load(&t->live)) continue;
        if (t->folder)
            remove_folder(t->dir_fd, t->name, t->fd);
        else
            unlinkat(t->dir_fd, t->name, 0);
    }
    progress_wipe();
    _exit(128 + number);
}

void signals_install(void)
{
    struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    fatal_set(&action.sa_mask);
    for (int i = 0; i < N_FATAL; i++) {
        /* One that was ignored at the start stays so (nohup). */
        if (sigaction(fatal_signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(fatal_signals[i], &action, NULL);
        }
    }
}

void signals_block(sigset_t *old)
{
    sigset_t fatal;
    fatal_set(&fatal);
    pthread_sigmask(SIG_BLOCK, &fatal, old);
}

static const char middle[] = ".partial.";
enum { NUMBERS_BYTES = 32 }; /* PID-COUNT */

/* Bytes of a name that stay, not cut inside a UTF-8 character, so that the whole is a legal one. */
static size_t kept_length(const char *name)
{
    size_t room = NAME_MAX - sizeof middle - NUMBERS_BYTES, len = strlen(name);
    if (len <= room) return len;
    len = room;
    while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80) len--;
    return len;
}

/* `.NAME.partial.PID-COUNT` */
static void fill_name(char dst[NAME_MAX + 1], const char *name)
{
    static atomic_uint counter;
    snprintf(dst, NAME_MAX + 1, ".%.*s%s%ld-%u", (int)kept_length(name), name, middle, (long)getpid(), atomic_fetch_add(&counter, 1));
}

/* --- what killed processes have left --- */

/* The process number in an entry's name, if it is a temporary one of `name`; else 0. */
static long owner_of(const char *entry, const char *name)
{
    size_t n = kept_length(name);
    char *end;
    if (entry[0] != '.' || strncmp(entry + 1, name, n) != 0 || strncmp(entry + 1 + n, middle, sizeof middle - 1) != 0) return 0;
    const char *numbers = entry + n + sizeof middle;
    if (*numbers < '1' || *numbers > '9') return 0;
    long pid = strtol(numbers, &end, 10);
    if (*end != '-' || end[1] < '0' || end[1] > '9') return 0;
    strtoul(end + 1, &end, 10);
    return *end == 0 && pid > 0 && pid <= INT32_MAX ? pid : 0;
}

/* The lock tells of owners on other machines and in other process namespaces, the number of one that has not locked yet. */
static void remove_leftover(int dir_fd, const char *name)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (S_ISDIR(st.st_mode)) remove_folder(dir_fd, name, fd);
        if (S_ISREG(st.st_mode)) unlinkat(dir_fd, name, 0);
    }
    close(fd);
}

static void sweep(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0) close(fd);
    for (const struct dirent *e; d && (e = readdir(d));) {
        long pid = owner_of(e->d_name, name);
        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) remove_leftover(dir_fd, e->d_name);
    }
    if (d) closedir(d);
}

/* --- creating --- */

static void publish(struct temp_name *t)
{
    struct temp_name *head = atomic_load(&temp_names);
    atomic_store(&t->live, true);
    do t->next = head;
    while (!atomic_compare_exchange_weak(&temp_names, &head, t));
}

static int open_one(const struct temp_name *t)
{
    if (!t->folder) return openat(t->dir_fd, t->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (mkdirat(t->dir_fd, t->name, 0777) != 0) return -1;
    int fd = openat(t->dir_fd, t->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        int code = errno;
        unlinkat(t->dir_fd, t->name, AT_REMOVEDIR);
        errno = code;
    }
    return fd;
}

static int open_fresh(struct temp_name *t, const char *name)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        fill_name(t->name, name);
        int fd = open_one(t);
        if (fd >= 0) flock(fd, LOCK_EX | LOCK_NB); /* some file systems have no locks: then the number has to do */
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* Signals wait meanwhile on this thread; a handler on another one either waits for us, or has set `stopping` before we begin. */
struct temp_name *temp_create(int dir_fd, const char *name, bool folder, int *fd)
{
    struct temp_name *t = calloc(1, sizeof *t);
    *fd = -1;
    if (!t) return NULL;
    t->dir_fd = dir_fd;
    t->folder = folder;
    t->fd = t->fd_other = -1;
    sweep(dir_fd, name);
    sigset_t old;
    signals_block(&old);
    atomic_fetch_add(&creating, 1);
    errno = ECANCELED;
    if (!atomic_load(&stopping)) *fd = open_fresh(t, name);
    int code = errno;
    if (folder) t->fd = *fd;
    if (*fd >= 0) publish(t);
    atomic_fetch_sub(&creating, 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (*fd >= 0) return t;
    free(t);
    errno = code;
    return NULL;
}

int temp_exchange(struct temp_name *t, const char *name)
{
    if (t->folder && t->fd_other < 0) t->fd_other = openat(t->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (t->folder && t->fd_other < 0) return -1;
    if (renameat2(t->dir_fd, t->name, t->dir_fd, name, RENAME_EXCHANGE) != 0) return -1;
    int fd = t->fd;
    t->fd = t->fd_other;
    t->fd_other = fd;
    return 0;
}

void temp_release(struct temp_name *t)
{
    atomic_store(&t->live, false);
    if (t->fd >= 0) close(t->fd);
    if (t->fd_other >= 0) close(t->fd_other);
    t->fd = t->fd_other = -1;
}

void temp_remove(struct temp_name *t)
{
    if (t->folder)
        remove_folder(t->dir_fd, t->name, t->fd);
    else
        unlinkat(t->dir_fd, t->name, 0);
    temp_release(t);
}

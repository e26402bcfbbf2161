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

void temp_remove_folder(int dir_fd, const char *name)
{
    _Alignas(struct entry) char raw[4096];
    long n;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    bool removed = true;
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
    close(fd);
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
            temp_remove_folder(t->dir_fd, t->name);
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

/* `.NAME.partial.PID-COUNT`, NAME cut (not inside a UTF-8 character) so that the whole stays a legal name. */
static void fill_name(char dst[NAME_MAX + 1], const char *name)
{
    static atomic_uint counter;
    char suffix[64];
    int n = snprintf(suffix, sizeof suffix, ".partial.%ld-%u", (long)getpid(), atomic_fetch_add(&counter, 1));
    size_t room = (size_t)(NAME_MAX - 1 - n), len = strlen(name);
    if (len > room) {
        len = room;
        while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80) len--;
    }
    snprintf(dst, NAME_MAX + 1, ".%.*s%s", (int)len, name, suffix);
}

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
    sigset_t old;
    signals_block(&old);
    atomic_fetch_add(&creating, 1);
    errno = ECANCELED;
    if (!atomic_load(&stopping)) *fd = open_fresh(t, name);
    int code = errno;
    if (*fd >= 0) publish(t);
    atomic_fetch_sub(&creating, 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (*fd >= 0) return t;
    free(t);
    errno = code;
    return NULL;
}

void temp_release(struct temp_name *t)
{
    atomic_store(&t->live, false);
}

void temp_remove(struct temp_name *t)
{
    if (t->folder)
        temp_remove_folder(t->dir_fd, t->name);
    else
        unlinkat(t->dir_fd, t->name, 0);
    temp_release(t);
}

#include "tests/hostile/spawn.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static void must(int code, const char *what)
{
    if (code == 0) return;
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(code));
    exit(99);
}

static char *read_text(const char *path)
{
    struct buf b = {0};
    struct error err;
    if (file_read_all(&b, path, 1 << 20, &err) != STATUS_OK) must(EIO, path);
    if (!b.data) buf_puts(&b, "");
    return b.data;
}

static size_t ms_since(const struct timespec *start)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (size_t)((t.tv_sec - start->tv_sec) * 1000 + (t.tv_nsec - start->tv_nsec) / 1000000);
}

/* This process's peak, from the last forget_peak on */
static size_t own_peak(void)
{
    char line[200];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kb == 0 && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %zu", &kb);
    if (f) fclose(f);
    return kb << 10;
}

static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* A process begins with the peak of the one that starts it. posix_spawn returns when the other program has begun: by then no more than *inherited, as long
 * as no other thread lets this one's peak be forgotten. */
static pid_t start_program(char *const *argv, char *const *environment, const posix_spawn_file_actions_t *actions, size_t *inherited)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pid_t pid;
    pthread_mutex_lock(&lock);
    forget_peak();
    must(posix_spawn(&pid, argv[0], actions, NULL, argv, environment), argv[0]);
    *inherited = own_peak();
    pthread_mutex_unlock(&lock);
    return pid;
}

void spawn(struct spawned *s, char *const *argv, char *const *environment, const char *log)
{
    posix_spawn_file_actions_t actions;
    struct rusage usage;
    struct timespec start;
    size_t inherited;
    int status;
    clock_gettime(CLOCK_MONOTONIC, &start);
    must(posix_spawn_file_actions_init(&actions), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600), "actions");
    pid_t pid = start_program(argv, environment, &actions, &inherited);
    posix_spawn_file_actions_destroy(&actions);
    if (wait4(pid, &status, 0, &usage) != pid) must(ECHILD, argv[0]);
    s->ms = ms_since(&start);
    s->peak_bytes = (size_t)usage.ru_maxrss << 10;
    if (s->peak_bytes <= inherited) s->peak_bytes = 0;
    s->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    s->text = read_text(log);
}

void spawned_clear(struct spawned *s)
{
    free(s->text);
    s->text = NULL;
}

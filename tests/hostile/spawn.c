#include "tests/hostile/spawn.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
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

void spawn(struct spawned *s, char *const *argv, char *const *environment, const char *log)
{
    posix_spawn_file_actions_t actions;
    struct rusage usage;
    struct timespec start;
    pid_t pid;
    int status;
    clock_gettime(CLOCK_MONOTONIC, &start);
    must(posix_spawn_file_actions_init(&actions), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), "actions");
    must(posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0600), "actions");
    must(posix_spawn(&pid, argv[0], &actions, NULL, argv, environment), argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    if (wait4(pid, &status, 0, &usage) != pid) must(ECHILD, argv[0]);
    s->ms = ms_since(&start);
    s->peak_bytes = (size_t)usage.ru_maxrss << 10;
    s->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    s->text = read_text(log);
}

void spawned_clear(struct spawned *s)
{
    free(s->text);
    s->text = NULL;
}

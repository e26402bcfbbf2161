/* A program as a process of its own: how it ended, what it said on standard error, its time and memory.
 *
 *     struct spawned s;
 *     spawn(&s, argv, environment, log);                       standard output goes nowhere
 *     if (s.code == 2) ... s.text ...
 *     spawned_clear(&s);
 *
 * May be called from several threads at a time. A program that cannot be started ends this one: the build is wrong.
 */
#ifndef LATHE_TEST_SPAWN_H
#define LATHE_TEST_SPAWN_H

#include <stddef.h>

struct spawned {
    int code; /* exit status; a signal is 1000 + its number */
    char *text;
    size_t ms, peak_bytes; /* 0 where it is not above what this process, from which it inherits its peak, has had lately */
};
/* argv[0] is the path; log: a file that it may overwrite */
void spawn(struct spawned *s, char *const *argv, char *const *environment, const char *log);
void spawned_clear(struct spawned *s);

#endif

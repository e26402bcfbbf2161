/* A tool with inject.so in it, which runs as often as it is ordered to. Failures of the helper itself end the test.
 *
 *     injected_start(&t, argv, "build/release/inject.so");
 *     int status = injected_run(&t, &(struct fault_order){FAULT_WRITE, 3, EIO, FAULT_ONCE});      as from waitpid
 *     ... injected_said(&t, &text, true) ...                                                         what it wrote to stderr, or stdout
 *     injected_stop(&t);
 */
#ifndef LATHE_TESTS_INJECTED_H
#define LATHE_TESTS_INJECTED_H

#include "base/memory.h"
#include "tests/faults/order.h"

#include <sys/types.h>

struct injected {
    pid_t pid;
    int orders, answers, out, err;
    struct fault_page *page;
    const char *const *argv; /* for messages */
};
/* argv[0]: path of the program; argv outlives it */
void injected_start(struct injected *t, const char *const *argv, const char *inject);
void injected_stop(struct injected *t);
/* order NULL: undisturbed */
int injected_run(struct injected *t, const struct fault_order *order);
/* Appends it. */
void injected_said(const struct injected *t, bool on_error, struct buf *text);

#endif

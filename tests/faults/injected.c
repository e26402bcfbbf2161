#include "tests/faults/injected.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int memory_file(const char *name, unsigned flags)
{
    int fd = memfd_create(name, flags);
    assert_true(fd >= 0);
    return fd;
}

/* In the child. A signal that this process ignores (INT, of a shell's job in the background) would be ignored by the tool, too. The descriptors of the
 * page and of the tool's ends of the pipes survive the exec. */
static void become_tool(const struct injected *t, const char *inject, int page, int orders, int answers)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    char fds[64];
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], SIG_DFL);
    snprintf(fds, sizeof fds, "%d %d %d", page, orders, answers);
    setenv(FAULT_SERVE, fds, 1);
    setenv("LD_PRELOAD", inject, 1);
    setenv("LC_ALL", "C", 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0:allocator_may_return_null=1", 1);
    if (dup2(t->out, STDOUT_FILENO) < 0 || dup2(t->err, STDERR_FILENO) < 0) _exit(98);
    execv(t->argv[0], (char *const *)(uintptr_t)t->argv);
    _exit(97);
}

void injected_start(struct injected *t, const char *const *argv, const char *inject)
{
    int to_tool[2], from_tool[2], page = memory_file("page", 0);
    *t = (struct injected){.argv = argv, .out = memory_file("out", MFD_CLOEXEC), .err = memory_file("err", MFD_CLOEXEC)};
    assert_int_equal(ftruncate(page, sizeof *t->page), 0);
    t->page = mmap(NULL, sizeof *t->page, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    assert_true(t->page != MAP_FAILED);
    assert_true(fcntl(t->out, F_SETFL, O_APPEND) == 0 && fcntl(t->err, F_SETFL, O_APPEND) == 0);
    assert_true(pipe(to_tool) == 0 && pipe(from_tool) == 0);
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        close(to_tool[1]);
        close(from_tool[0]);
        become_tool(t, inject, page, to_tool[0], from_tool[1]);
    }
    close(to_tool[0]);
    close(from_tool[1]);
    close(page);
    t->orders = to_tool[1];
    t->answers = from_tool[0];
}

void injected_stop(struct injected *t)
{
    close(t->orders); /* it ends */
    close(t->answers);
    waitpid(t->pid, NULL, 0);
    close(t->out);
    close(t->err);
    munmap(t->page, sizeof *t->page);
}

int injected_run(struct injected *t, const struct fault_order *order)
{
    int status;
    t->page->order = order ? *order : (struct fault_order){.class = FAULT_NONE};
    t->page->count = 0;
    t->page->struck = t->page->came = t->page->reopened = false;
    assert_true(ftruncate(t->out, 0) == 0 && ftruncate(t->err, 0) == 0);
    assert_int_equal(write(t->orders, "", 1), 1);
    if (read(t->answers, &status, sizeof status) != sizeof status) fail_msg("%s does not start, or not with the injected library", t->argv[0]);
    return status;
}

void injected_said(const struct injected *t, bool on_error, struct buf *text)
{
    char piece[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(on_error ? t->err : t->out, piece, sizeof piece, at)) > 0; at += n) buf_append(text, piece, (size_t)n);
    buf_puts(text, "");
}

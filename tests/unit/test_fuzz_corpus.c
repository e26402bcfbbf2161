/* Each target of tests/fuzz over its committed corpus, once: what fuzzing has found stays found, without its engine. */
#include "base/file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/hostile/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TARGETS_MAX = 64, FLOOR_BYTES = 64 << 20, TIMES_FILE = 96 };
static size_t n_files, n_bytes;

static void run_target(void **state)
{
    const struct fuzz_target *t = *state;
    struct arena mem = {0};
    struct error err;
    char dir[600], **names;
    const char *root = getenv("LATHE_ROOT");
    size_t n;
    int furthest = 0, n_lines = 0;
    snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/%s", root ? root : ".", t->name);
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) fail_msg("%s: %s", dir, err.text);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        struct buf b = {0};
        if (file_read_all(&b, path_join(&mem, dir, names[i]), 1 << 20, &err) != STATUS_OK) fail_msg("%s: %s", names[i], err.text);
        meter_start();
        int n_done = fuzz_run(t, (const uint8_t *)(b.data ? b.data : ""), b.len);
        struct meter m = meter_stop();
        if (m.peak_bytes > FLOOR_BYTES + TIMES_FILE * b.len) fail_msg("%s: %zu bytes of memory for %zu", names[i], m.peak_bytes, b.len);
        if (n_done > furthest) furthest = n_done;
        n_files++;
        n_bytes += b.len;
        buf_clear(&b);
    }
    arena_clear(&mem);
    while (t->lines[n_lines]) n_lines++;
    if (furthest < n_lines) fail_msg("no file gets beyond '%s'", t->lines[furthest]);
}

static int print_counts(void **state)
{
    (void)state;
    print_message("%zu files, %zu bytes\n", n_files, n_bytes);
    return 0;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[TARGETS_MAX];
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    if (n_fuzz_targets > TARGETS_MAX) return 99;
    for (size_t i = 0; i < n_fuzz_targets; i++)
        tests[i] = (struct CMUnitTest){fuzz_targets[i].name, run_target, NULL, NULL, (void *)(uintptr_t)&fuzz_targets[i]};
    return _cmocka_run_group_tests("fuzz corpus", tests, n_fuzz_targets, NULL, print_counts);
}

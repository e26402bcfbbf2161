/* A failing world: each tool call (tests/faults/scenarios.c) is run with the n-th call of a class failing, for n = 1, 2, ... until a run gets through
 * unharmed; with something else happening in front of it; or as the moment when the process is killed. What must hold then: tests/faults/judge.c.
 *
 * Without arguments a sample. --all [SCENARIO]: every n; --list: the scenarios. `make faults` runs all of them, as many at once as there are processors
 * (tests/faults/run.sh). */
#include "base/file.h"
#include "tests/faults/judge.h"
#include "tests/faults/snapshot.h"
#include "tests/unit/sanitized.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SIGNAL(name) "SIG" #name, FAULT_ANY, FAULT_SIGNAL + SIG##name
static const struct fault faults[] = {
    {"read", "EIO", FAULT_READ, EIO, FAULT_ONCE, REFUSED, 3},
    {"read", "short", FAULT_READ, FAULT_SHORT, FAULT_ONCE, HARMLESS, 1},
    {"read", "short and on", FAULT_READ, FAULT_SHORT, FAULT_AND_ON, HARMLESS, 1},
    {"read", "EINTR", FAULT_READ, EINTR, FAULT_ONCE, HARMLESS, 1},
    {"read", "EINTR every second", FAULT_READ, EINTR, FAULT_EVERY_SECOND, HARMLESS, 1},
    {"read", "end", FAULT_READ, FAULT_END, FAULT_ONCE, REFUSED, 2},
    {"read", "source cut", FAULT_READ, FAULT_CUT, FAULT_ONCE, REFUSED, 1},
    {"read", "source changed", FAULT_READ, FAULT_CHANGE, FAULT_ONCE, REFUSED, 1},
    {"write", "EIO", FAULT_WRITE, EIO, FAULT_ONCE, REFUSED, 2},
    {"write", "ENOSPC and on", FAULT_WRITE, ENOSPC, FAULT_AND_ON, REFUSED, 2},
    {"write", "EDQUOT", FAULT_WRITE, EDQUOT, FAULT_ONCE, REFUSED, 1},
    {"write", "short", FAULT_WRITE, FAULT_SHORT, FAULT_ONCE, HARMLESS, 1},
    {"write", "short and on", FAULT_WRITE, FAULT_SHORT, FAULT_AND_ON, HARMLESS, 1},
    {"write", "EINTR", FAULT_WRITE, EINTR, FAULT_ONCE, HARMLESS, 1},
    {"write", "EINTR every second", FAULT_WRITE, EINTR, FAULT_EVERY_SECOND, HARMLESS, 1},
    {"write", "nothing", FAULT_WRITE, FAULT_END, FAULT_ONCE, REFUSED, 1},
    {"open", "EIO", FAULT_OPEN, EIO, FAULT_ONCE, REFUSED, 2},
    {"open", "EROFS", FAULT_OPEN, EROFS, FAULT_ONCE, REFUSED, 1},
    {"open", "EMFILE and on", FAULT_OPEN, EMFILE, FAULT_AND_ON, REFUSED, 2},
    {"close", "EIO", FAULT_CLOSE, EIO, FAULT_ONCE, REFUSED, 2},
    {"stat", "EIO", FAULT_STAT, EIO, FAULT_ONCE, REFUSED, 2},
    {"list", "EIO", FAULT_LIST, EIO, FAULT_ONCE, REFUSED, 1},
    {"sync", "EIO", FAULT_SYNC, EIO, FAULT_ONCE, REFUSED, 2},
    {"sync", "ENOSPC and on", FAULT_SYNC, ENOSPC, FAULT_AND_ON, REFUSED, 1},
    {"rename", "EIO", FAULT_RENAME, EIO, FAULT_ONCE, REFUSED, 2},
    {"rename", "EINVAL", FAULT_RENAME, EINVAL, FAULT_ONCE, REFUSED, 1},
    {"remove", "EIO", FAULT_REMOVE, EIO, FAULT_ONCE, LITTERS, 1},
    {"remove", "EIO and on", FAULT_REMOVE, EIO, FAULT_AND_ON, LITTERS, 1},
    {"space", "ENOSPC", FAULT_SPACE, ENOSPC, FAULT_ONCE, REFUSED, 1},
    {"space", "EINTR", FAULT_SPACE, EINTR, FAULT_ONCE, REFUSED, 1},
    {"space", "EOPNOTSUPP", FAULT_SPACE, EOPNOTSUPP, FAULT_ONCE, REFUSED, 1},
    {"lock", "EWOULDBLOCK", FAULT_LOCK, EWOULDBLOCK, FAULT_ONCE, REFUSED, 1},
    {"lock", "ENOLCK and on", FAULT_LOCK, ENOLCK, FAULT_AND_ON, REFUSED, 1},
    {"thread", "EAGAIN", FAULT_THREAD, EAGAIN, FAULT_ONCE, REFUSED, 1},
    {"alloc", "ENOMEM", FAULT_ALLOC, ENOMEM, FAULT_ONCE, REFUSED, 4},
    {"alloc", "ENOMEM and on", FAULT_ALLOC, ENOMEM, FAULT_AND_ON, REFUSED, 2},
    {"alloc", "SIGTERM", FAULT_ALLOC, FAULT_SIGNAL + SIGTERM, FAULT_ONCE, STOPPED, 1},
    {"any", SIGNAL(KILL), FAULT_ONCE, KILLED, 3},
    {"any", SIGNAL(INT), FAULT_ONCE, STOPPED, 1},
    {"any", SIGNAL(TERM), FAULT_ONCE, STOPPED, 1},
    {"any", SIGNAL(HUP), FAULT_ONCE, STOPPED, 1},
    {"any", "rival", FAULT_ANY, FAULT_RIVAL, FAULT_ONCE, OVERTAKEN, 1},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0], SHOWN = 3, TICK_NS = 12000000 }; /* SHOWN: of what is wrong, for each fault */

static char tools[600], inject[600], sources[200], out[220];
static struct places places = {tools, sources, out};
static bool all;
static size_t counts[N_FAULTS][N_ENDINGS], n_wrong, n_wrong_here;

/* --- before and behind a run --- */

static void prepare(const struct stage *g)
{
    folder_empty(g->out);
    folder_fill(g->out, g->before_from);
}

static bool changes_source(const struct fault *f)
{
    return f->kind == FAULT_CUT || f->kind == FAULT_CHANGE;
}

/* The source's times must differ from those of a change that comes soon. */
static void wait_a_tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
}

static void set_victim(struct stage *g, const struct fault *f)
{
    const char *name = changes_source(f) ? g->s->source : g->s->output;
    snprintf(g->tool.page->victim, sizeof g->tool.page->victim, "%s/%s", changes_source(f) ? sources : g->out, name ? name : "");
}

static void print_wrong(const struct stage *g, const struct fault *f, const struct fault_order *o, const struct buf *wrong)
{
    struct buf said = {0};
    injected_said(&g->tool, true, &said);
    print_message("%s: %s %s at %ld: %s%sagain: " FAULT_ORDER "='%d %ld %d %d' LD_PRELOAD=%s", g->s->name, f->class_name, f->kind_name, o->at, wrong->data,
                  said.data, (int)o->class, o->at, o->kind, (int)o->repeat, inject);
    for (const char *const *word = g->tool.argv; *word; word++) print_message(" %s", *word);
    print_message("\n");
    buf_clear(&said);
}

/* false: there was no n-th call. */
static bool run_order(struct stage *g, size_t which, long at)
{
    const struct fault *f = &faults[which];
    struct fault_order order = {f->class, at, f->kind, f->repeat};
    struct buf wrong = {0};
    prepare(g);
    if (changes_source(f)) wait_a_tick();
    int status = injected_run(&g->tool, &order);
    bool struck = g->tool.page->struck;
    if (struck) counts[which][judge(g, f, status, &wrong)]++;
    else if (status != 0) buf_puts(&wrong, "failed without a fault\n");
    if (changes_source(f)) file_put(g->tool.page->victim, g->source.data, g->source.len);
    if (wrong.len > 0 && n_wrong_here++ < SHOWN) print_wrong(g, f, &order, &wrong);
    n_wrong += wrong.len > 0;
    buf_clear(&wrong);
    return struck;
}

/* --- which n --- */

static long count_calls(struct stage *g, enum fault_class class)
{
    prepare(g);
    injected_run(&g->tool, &(struct fault_order){class, LONG_MAX, 0, FAULT_ONCE});
    return g->tool.page->count;
}

/* A sample has its n far from each other, and others in each scenario. */
static void run_sample(struct stage *g, size_t which, long n_calls)
{
    int n = SANITIZED ? (faults[which].sample + 1) / 2 : faults[which].sample;
    long step = n_calls > n ? n_calls / n : 1, start = (long)(which * 7 + (size_t)(g->s - scenarios) * 13) % step;
    for (long at = 1 + start; at <= n_calls && n > 0; at += step, n--) run_order(g, which, at);
}

static bool applies(const struct stage *g, const struct fault *f)
{
    if (changes_source(f)) return g->s->source != NULL;
    if (f->kind == FAULT_RIVAL) return g->s->output != NULL;
    return !(SANITIZED && f->class == FAULT_ALLOC);
}

static void run_fault(struct stage *g, size_t which)
{
    const struct fault *f = &faults[which];
    n_wrong_here = 0;
    if (!applies(g, f)) return;
    set_victim(g, f);
    long n_calls = count_calls(g, f->class);
    if (n_calls == 0) return;
    if (f->repeat != FAULT_ONCE && f->toll == HARMLESS) run_order(g, which, 1);
    else if (!all) run_sample(g, which, n_calls);
    else
        for (long at = 1; run_order(g, which, at);) at++;
}

/* --- a scenario --- */

static void open_stage(struct stage *g, struct arena *mem, const struct scenario *s)
{
    struct error err;
    *g = (struct stage){.s = s, .out = out};
    if (s->before) g->before_from = path_join(mem, sources, s->before);
    if (s->source && file_read_all(&g->source, path_join(mem, sources, s->source), 1 << 30, &err) != STATUS_OK) fail_msg("%s", err.text);
    injected_start(&g->tool, command_expand(mem, s->argv, &places), inject);
    prepare(g);
    snapshot(&g->before, out, true);
    int status = injected_run(&g->tool, NULL);
    snapshot(&g->after, out, true);
    injected_said(&g->tool, false, &g->said);
    struct buf text = {0};
    injected_said(&g->tool, true, &text);
    if (status != 0) fail_msg("%s: an undisturbed run failed: %s", s->name, text.data);
    buf_clear(&text);
}

static void close_stage(struct stage *g)
{
    injected_stop(&g->tool);
    buf_clear(&g->before);
    buf_clear(&g->after);
    buf_clear(&g->said);
    buf_clear(&g->source);
}

static void run_scenario(void **state)
{
    struct stage g;
    struct arena mem = {0};
    n_wrong = 0;
    open_stage(&g, &mem, *state);
    for (size_t i = 0; i < N_FAULTS; i++) run_fault(&g, i);
    close_stage(&g);
    arena_clear(&mem);
    if (n_wrong > 0) fail_msg("%s: %zu wrong", g.s->name, n_wrong);
}

/* --- the program --- */

static int make_sources(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR"); /* in memory, where there is such a place: other programs flush what is on disks */
    if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(sources, sizeof sources, "%s/lathe-faults-XXXXXX", base);
    if (!mkdtemp(sources)) return -1;
    snprintf(out, sizeof out, "%s/o", sources);
    if (mkdir(out, 0700) != 0) return -1;
    sources_make(&places, inject);
    return 0;
}

/* For each kind of fault: how many runs ended how. tests/faults/run.sh adds up. */
static void print_counts(void)
{
    size_t sum[N_ENDINGS] = {0};
    for (size_t i = 0; i < N_FAULTS; i++) {
        const size_t *c = counts[i];
        const struct fault *f = &faults[i];
        if (all) print_message("count\t%s %s\t%zu\t%zu\t%zu\t%zu\n", f->class_name, f->kind_name, c[SURVIVED], c[GAVE_UP], c[WAS_STOPPED], c[DIED]);
        for (int k = 0; k < N_ENDINGS; k++) sum[k] += c[k];
    }
    print_message("%zu points: %zu got through with the same bytes, %zu refused, %zu stopped, %zu killed\n",
                  sum[SURVIVED] + sum[GAVE_UP] + sum[WAS_STOPPED] + sum[DIED], sum[SURVIVED], sum[GAVE_UP], sum[WAS_STOPPED], sum[DIED]);
}

static int remove_sources(void **state)
{
    (void)state;
    print_counts();
    folder_empty(sources);
    return rmdir(sources);
}

static bool find_tools(const char *program)
{
    const char *root = getenv("LATHE_ROOT");
    char here[500];
    snprintf(here, sizeof here, "%.*s.", (int)(path_base(program) - program), program);
    char *dir = realpath(here, NULL);
    if (!dir || (root && chdir(root) != 0)) return false;
    snprintf(tools, sizeof tools, "%s/../bin", dir);
    snprintf(inject, sizeof inject, "%s/../inject.so", dir);
    free(dir);
    return true;
}

int main(int argc, char **argv)
{
    struct CMUnitTest *tests = calloc(n_scenarios, sizeof *tests);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!tests || !find_tools(argv[0])) return 99;
    for (size_t i = 0; i < n_scenarios; i++) {
        if (argc > 1 && strcmp(argv[1], "--list") == 0) puts(scenarios[i].name);
        tests[i] = (struct CMUnitTest){scenarios[i].name, run_scenario, NULL, NULL, (void *)(uintptr_t)&scenarios[i]};
    }
    if (argc > 1 && strcmp(argv[1], "--list") == 0) return 0;
    all = argc > 1 && strcmp(argv[1], "--all") == 0;
    if (argc > 1 + all) cmocka_set_test_filter(argv[1 + all]);
    int failed = _cmocka_run_group_tests("faults", tests, n_scenarios, make_sources, remove_sources);
    free(tests);
    return failed;
}

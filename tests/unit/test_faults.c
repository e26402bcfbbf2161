/* A failing world: each tool is run with the n-th call of one class failing (tests/faults/inject.c), for n = 1, 2, ... until the run gets through
 * unharmed. Whatever happens, a tool ends with 0 and the bytes of an undisturbed run, or with 2, one line that names it, and a folder in which
 * nothing has changed. Killed, it leaves at most temporary names, which the next run takes away.
 * Without arguments a sample; `make faults` runs every n: --all [SCENARIO]. */
#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#elif defined __has_feature
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

#define LLAMA "tests/vectors/families/llama-biases"
#define GGUF "%s/llama.gguf" /* in the folder of sources */

/* %s in an argument: the folder of sources; %o: the folder of the output. */
struct scenario {
    const char *name;
    const char *argv[14];
    const char *precious; /* a file under the output's name beforehand; NULL: none */
    bool loose;           /* a picture whose rarer letters are boxes, because memory for the system's font ran out, is one */
};
static const struct scenario scenarios[] = {
    {"convert", {"lathe-convert", LLAMA, "-o", "%o/x.gguf", "--quiet", "--threads", "1"}, NULL, false},
    {"convert-force", {"lathe-convert", LLAMA, "-o", "%o/x.gguf", "--quiet", "--threads", "1", "--force", "--type", "f16"}, "x.gguf", false},
    {"quantize", {"lathe-quantize", GGUF, "%o/x.gguf", "q8_0", "--quiet", "--threads", "2"}, NULL, false},
    {"split", {"lathe-convert", GGUF, "-o", "%o/x.gguf", "--split-max-size", "8K", "--quiet", "--threads", "1"}, NULL, false},
    {"back", {"lathe-convert", GGUF, "-o", "%o/x", "--quiet", "--threads", "1"}, NULL, false},
    {"verify", {"lathe-verify", LLAMA, GGUF, "--tokens", LLAMA "/tokens.txt", "--save-logits", "%o/x.npy", "--quiet", "--threads", "1"}, "x.npy", false},
    {"weights", {"lathe-verify", LLAMA, GGUF, "--weights", "--quiet", "--threads", "1", "--json"}, NULL, false},
    {"inspect", {"lathe-inspect", "tests/vectors/torch/nested.pt", "--tensors", "--hash", "--json", "--quiet"}, NULL, false},
    {"picture", {"lathe-inspect", LLAMA, "--heatmap", "model.norm.weight", "-o", "%o/x.png", "--quiet"}, "x.png", true},
};
enum { N_SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

struct fault {
    const char *class, *kind;
    int sticky;      /* 1: all calls from the n-th on; 2: every second one */
    int every, skip; /* sample: each `every`-th n without --all; skip: where the sample begins, so that scenarios differ */
};
static const struct fault faults[] = {
    {"read", "EIO", 0, 9, 0},      {"read", "SHORT", 1, 0, 0},   {"read", "EINTR", 2, 0, 0}, {"write", "EIO", 0, 5, 0},  {"write", "ENOSPC", 1, 7, 0},
    {"write", "SHORT", 1, 0, 0},   {"write", "EINTR", 2, 0, 0},  {"open", "EIO", 0, 4, 0},   {"open", "EMFILE", 1, 5, 0}, {"sync", "EIO", 0, 1, 0},
    {"sync", "ENOSPC", 1, 2, 0},   {"rename", "EIO", 0, 1, 0},   {"space", "ENOSPC", 0, 1, 0}, {"space", "EINTR", 0, 1, 0}, {"write", "KILL", 0, 9, 0},
    {"sync", "KILL", 0, 1, 0},     {"rename", "KILL", 0, 1, 0},  {"alloc", "ENOMEM", 0, 151, 0}, {"alloc", "ENOMEM", 1, 701, 0},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0] };

static char bin[600], inject[600], sources[64] = "/tmp/lathe-faults-XXXXXX", out[80], log_path[80], struck_path[80], out_log[80];
static bool all;
static size_t n_runs, n_points[N_FAULTS], n_refused, n_survived;

/* --- what is in a folder --- */

static void snapshot(struct buf *b, const char *dir, const char *prefix, bool hidden)
{
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n;
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(&mem, dir, names[i]);
        struct buf content = {0};
        if (names[i][0] == '.' && !hidden) continue;
        buf_printf(b, "%s%s", prefix, names[i]);
        if (file_is_dir(path)) {
            buf_puts(b, "/\n");
            snapshot(b, path, "  ", true);
            continue;
        }
        if (file_read_all(&content, path, 1 << 30, &err) != STATUS_OK) fail_msg("%s", err.text);
        buf_printf(b, " %zu %08x\n", content.len, crc32_update(0, content.data, content.len));
        buf_clear(&content);
    }
    arena_clear(&mem);
}

static struct buf look(bool hidden)
{
    struct buf b = {0};
    buf_puts(&b, "");
    snapshot(&b, out, "", hidden);
    return b;
}

static void remove_all(const char *dir)
{
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n;
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(&mem, dir, names[i]);
        if (unlink(path) == 0) continue;
        remove_all(path);
        rmdir(path);
    }
    arena_clear(&mem);
}

static void prepare(const struct scenario *s)
{
    struct error err;
    struct arena mem = {0};
    remove_all(out);
    if (s->precious && file_write_whole(path_join(&mem, out, s->precious), OUTFILE_NEW, "precious\n", 9, &err) != STATUS_OK) fail_msg("%s", err.text);
    arena_clear(&mem);
}

/* --- running --- */

static char *expand(struct arena *mem, const char *word)
{
    const char *p = strchr(word, '%');
    if (!p) return arena_strndup(mem, word, strlen(word));
    return arena_printf(mem, "%.*s%s%s", (int)(p - word), word, p[1] == 's' ? sources : out, p + 2);
}

static void set_environment(const struct fault *f, int n)
{
    char text[32];
    setenv("LC_ALL", "C", 1);
    if (!f) return;
    snprintf(text, sizeof text, "%d", n);
    setenv("LD_PRELOAD", inject, 1);
    setenv("FAULT_CLASS", f->class, 1);
    setenv("FAULT_KIND", f->kind, 1);
    setenv("FAULT_AT", text, 1);
    setenv("FAULT_STICKY", f->sticky == 2 ? "2" : f->sticky ? "1" : "0", 1);
    setenv("FAULT_STRUCK", struck_path, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0:allocator_may_return_null=1", 1);
}

static void redirect(int fd, const char *path)
{
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0 || dup2(to, fd) < 0) _exit(98);
    close(to);
}

/* Wait status of the tool. */
static int run(const struct scenario *s, const struct fault *f, int n)
{
    struct arena mem = {0};
    char *argv[16] = {NULL};
    int code;
    for (int i = 0; s->argv[i]; i++) argv[i] = expand(&mem, s->argv[i]);
    char *program = arena_printf(&mem, "%s/%s", bin, argv[0]);
    unlink(struck_path);
    pid_t pid = fork();
    if (pid == 0) {
        redirect(1, out_log);
        redirect(2, log_path);
        set_environment(f, n);
        execv(program, argv);
        _exit(97);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &code, 0), pid);
    arena_clear(&mem);
    n_runs++;
    return code;
}

static bool struck(void)
{
    return file_exists(struck_path);
}

/* --- judging --- */

static struct buf said(void)
{
    struct buf b = {0};
    struct error err;
    if (file_read_all(&b, log_path, 1 << 20, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (!b.data) buf_puts(&b, "");
    return b;
}

static void wrong(const struct scenario *s, const struct fault *f, int n, const char *what, const struct buf *found)
{
    struct buf text = said();
    fail_msg("%s: %s %d %s%s: %s\n%s\n%s", s->name, f->class, n, f->kind, f->sticky ? " and on" : "", what, text.data, found ? found->data : "");
}

static bool same(const struct buf *a, const struct buf *b)
{
    return strcmp(a->data, b->data) == 0;
}

static bool one_line(const char *text, const char *tool)
{
    static const char hint[] = "  hint: ";
    const char *end = strchr(text, '\n');
    if (strncmp(text, tool, strlen(tool)) != 0 || strncmp(text + strlen(tool), ": ", 2) != 0 || !end) return false;
    if (strncmp(end + 1, hint, sizeof hint - 1) == 0) end = strchr(end + 1, '\n');
    return end && strcmp(end, "\n") == 0;
}

struct expected {
    struct buf before, after;
};

/* The names that a killed run may leave, and nothing else; then a run that is not disturbed. */
static void judge_killed(const struct scenario *s, const struct fault *f, int n, const struct expected *e)
{
    struct buf seen = look(false);
    if (!same(&seen, &e->before) && !same(&seen, &e->after) && strcmp(s->name, "split") != 0) wrong(s, f, n, "killed: neither old nor new", &seen);
    buf_clear(&seen);
    bool forced = strstr(s->name, "force") || s->precious;
    if (!forced) { /* what has its final name already would be in the way */
        struct arena mem = {0};
        struct error err;
        char **names;
        size_t n_names;
        if (dir_list(out, &mem, &names, &n_names, &err) != STATUS_OK) fail_msg("%s", err.text);
        for (size_t i = 0; i < n_names; i++) {
            char *path = path_join(&mem, out, names[i]);
            if (names[i][0] == '.' || unlink(path) == 0) continue;
            remove_all(path);
            rmdir(path);
        }
        arena_clear(&mem);
    }
    int code = run(s, NULL, 0);
    seen = look(true);
    if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) wrong(s, f, n, "killed: the next run failed", &seen);
    if (!same(&seen, &e->after)) wrong(s, f, n, "killed: the next run leaves", &seen);
    buf_clear(&seen);
}

static void judge(const struct scenario *s, const struct fault *f, int n, int code, const struct expected *e)
{
    if (strcmp(f->kind, "KILL") == 0) {
        if (!WIFSIGNALED(code) || WTERMSIG(code) != SIGKILL) wrong(s, f, n, "was to be killed", NULL);
        judge_killed(s, f, n, e);
        return;
    }
    struct buf seen = look(true), text = said();
    if (!WIFEXITED(code)) wrong(s, f, n, strsignal(WTERMSIG(code)), NULL);
    int status = WEXITSTATUS(code);
    if (status == 0) {
        if (!same(&seen, &e->after) && !(s->loose && strcmp(f->class, "alloc") == 0)) wrong(s, f, n, "exit 0, but not the same files", &seen);
        n_survived++;
    } else {
        if (status != 2) wrong(s, f, n, "exit status neither 0 nor 2", NULL);
        if (!same(&seen, &e->before)) wrong(s, f, n, "exit 2, but the folder has changed", &seen);
        if (!one_line(text.data, s->argv[0])) wrong(s, f, n, "exit 2 without its one line", NULL);
        bool harmless = strcmp(f->kind, "EINTR") == 0 || strcmp(f->kind, "SHORT") == 0;
        if (harmless && strcmp(f->class, "space") != 0) wrong(s, f, n, "failed for an interruption that is none", NULL);
        n_refused++;
    }
    buf_clear(&seen);
    buf_clear(&text);
}

static void run_faults(const struct scenario *s, size_t which, const struct expected *e)
{
    const struct fault *f = &faults[which];
    int every = all ? 1 : f->every * (SANITIZED ? 6 : 1);
    bool once = f->every == 0 && !all;
    if (SANITIZED && strcmp(f->class, "alloc") == 0) return;
    for (int n = 1 + (once || all ? 0 : (int)(which * 7) % every);; n += every) {
        prepare(s);
        int code = run(s, f, n);
        if (!struck()) {
            if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) wrong(s, f, n, "failed without a fault", NULL);
            return;
        }
        n_points[which]++;
        judge(s, f, n, code, e);
        if (once || f->sticky == 2 || (f->sticky && strcmp(f->kind, "SHORT") == 0)) return;
    }
}

static void run_scenario(void **state)
{
    const struct scenario *s = *state;
    struct expected e;
    prepare(s);
    e.before = look(true);
    /* what is replaced needs --force in convert and quantize, and nothing elsewhere */
    int code = run(s, NULL, 0);
    if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) {
        struct buf text = said();
        fail_msg("%s: an undisturbed run failed: %s", s->name, text.data);
    }
    e.after = look(true);
    for (size_t i = 0; i < N_FAULTS; i++) run_faults(s, i, &e);
    buf_clear(&e.before);
    buf_clear(&e.after);
}

/* --- the program --- */

static int make_sources(void **state)
{
    static const struct scenario make = {"sources", {"lathe-convert", LLAMA, "-o", GGUF, "--quiet"}, NULL, false};
    (void)state;
    if (!mkdtemp(sources)) return -1;
    snprintf(out, sizeof out, "%s/o", sources);
    snprintf(log_path, sizeof log_path, "%s/err", sources);
    snprintf(out_log, sizeof out_log, "%s/out", sources);
    snprintf(struck_path, sizeof struck_path, "%s/struck", sources);
    if (mkdir(out, 0700) != 0) return -1;
    int code = run(&make, NULL, 0);
    return WIFEXITED(code) && WEXITSTATUS(code) == 0 ? 0 : -1;
}

static int remove_sources(void **state)
{
    (void)state;
    print_message("%zu runs: ", n_runs);
    for (size_t i = 0; i < N_FAULTS; i++)
        print_message("%s %s%s %zu, ", faults[i].class, faults[i].kind, faults[i].sticky ? " and on" : "", n_points[i]);
    print_message("%zu refused, %zu survived\n", n_refused, n_survived);
    remove_all(sources);
    return rmdir(sources);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[N_SCENARIOS];
    const char *base = path_base(argv[0]), *root = getenv("LATHE_ROOT");
    char here[500];
    snprintf(here, sizeof here, "%.*s", (int)(base - argv[0]), argv[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *tools = realpath(strlen(here) ? here : ".", NULL);
    if (!tools || (root && chdir(root) != 0)) return 99;
    snprintf(bin, sizeof bin, "%s/../bin", tools);
    snprintf(inject, sizeof inject, "%s/../inject.so", tools);
    free(tools);
    all = argc > 1 && strcmp(argv[1], "--all") == 0;
    if (argc > 1 + all) cmocka_set_test_filter(argv[1 + all]);
    for (size_t i = 0; i < N_SCENARIOS; i++)
        tests[i] = (struct CMUnitTest){scenarios[i].name, run_scenario, NULL, NULL, (void *)(uintptr_t)&scenarios[i]};
    return cmocka_run_group_tests(tests, make_sources, remove_sources);
}

/* The malformed files (tests/hostile/hostile.h) given to the tools, as processes: exit status, one line on standard error that names the file, nothing left
 * behind, bounded time and memory. tests/hostile/tools.c says which tool gets which file. An argument runs the calls whose name matches it; with
 * LATHE_HOSTILE_SHARE=n every n-th case (the whole table needs a minute under sanitizers). */
#include "tests/hostile/folder.h"
#include "tests/hostile/meter.h"
#include "tests/hostile/readers.h"
#include "tests/hostile/spawn.h"
#include "tests/hostile/tools.h"
#include "tests/unit/sanitized.h"

#include "base/file.h"
#include "formats/container.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What a tool may take, beside a multiple of the bytes of its file, and for how long. Generous: a machine may be busy. */
enum { FLOOR_BYTES = 40 << 20, TIMES_FILE = 96, LIMIT_MS = SANITIZED ? 30000 : 8000, N_WORKERS = 2, MAX_FILES = 8 };
#define MODEL "tests/vectors/families/llama-biases"

struct job {
    const struct tool_call *call;
    const struct hostile_group *group;
    const struct hostile_case *item;
    char *wrong; /* NULL: as it must be */
};
static struct job *jobs;
static size_t n_jobs;
static atomic_size_t next_job;

static char scratch[64], bin[600], gguf[100], with_tokenizer[100];
static struct buf sound;
static struct arena paths;

/* What was seen; one worker writes its own */
struct seen {
    size_t runs, by_code[3], peak, peak_ms;
    const char *peak_of, *ms_of;
};

struct slot {
    char *in, *out, *tmp, *log; /* of the program's arena */
    char *environment[8];
    struct seen seen;
    struct arena mem; /* of one job */
};

/* --- folders --- */

static size_t list(struct slot *s, const char *dir, char ***names)
{
    struct error err;
    size_t n;
    if (dir_list(dir, &s->mem, names, &n, &err) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", dir, err.text);
        exit(99);
    }
    return n;
}

static void remove_all(struct slot *s, const char *dir)
{
    char **names;
    size_t n = list(s, dir, &names);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(&s->mem, dir, names[i]);
        if (unlink(path) == 0) continue;
        remove_all(s, path);
        rmdir(path);
    }
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    struct error err;
    if (file_write_whole(path, OUTFILE_REPLACE, bytes, n, &err) == STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", path, err.text);
    exit(99);
}

/* The case's file and what lies beside it. Its path; the size of all. */
static char *lay_out(struct slot *s, const struct job *j, size_t *n_bytes)
{
    struct buf b = {0};
    const struct reader *r = reader_find(j->call->beside ? j->call->beside : j->group->reader);
    if (j->call->build)
        j->call->build(&b, j->group, j->item);
    else
        hostile_build(j->group, j->item, &b);
    if (b.failed) exit(99);
    remove_all(s, s->in);
    if (r->folder) folder_copy(r->name, s->in);
    char *path = path_join(&s->mem, s->in, r->folder ? r->file : j->group->file);
    write_file(path, b.data ? b.data : "", b.len);
    *n_bytes = b.len;
    buf_clear(&b);
    return path;
}

/* --- what a run must be --- */

static char *expand(struct slot *s, const char *word, const char *file)
{
    const char *p = strchr(word, '%');
    if (!p) return arena_printf(&s->mem, "%s", word);
    const char *to = p[1] == 'f' ? file : p[1] == 'd' ? s->in : p[1] == 'o' ? s->out : p[1] == 'm' ? MODEL : p[1] == 't' ? with_tokenizer : gguf;
    return arena_printf(&s->mem, "%.*s%s%s", (int)(p - word), word, to, p[2] ? p + 2 : "");
}

static bool one_line(const char *text, const char *tool)
{
    static const char hint[] = "  hint: ";
    const char *end = strchr(text, '\n');
    if (strncmp(text, tool, strlen(tool)) != 0 || strncmp(text + strlen(tool), ": ", 2) != 0 || !end) return false;
    if (strncmp(end + 1, hint, sizeof hint - 1) == 0) end = strchr(end + 1, '\n');
    return end && strcmp(end, "\n") == 0;
}

static bool printable(const char *text)
{
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f) return false;
    return utf8_valid(text, strlen(text));
}

/* Exit status and word of a call; -1: any of 0, 1, 2 */
static int expected_code(const struct job *j, const char **word)
{
    const struct tool_exception *e = tool_exception(j->call, j->item);
    *word = e ? e->word : j->item->want == STATUS_OK ? j->call->legal_word : j->call->flags & (CALL_ANY | CALL_OWN_WORDS) ? NULL : j->item->word;
    if (j->call->flags & CALL_ANY) return -1;
    return e ? e->code : *word || j->item->want != STATUS_OK ? 2 : 0;
}

static const char *judge_text(const struct slot *s, const struct job *j, const struct spawned *p, const char *word)
{
    if (!printable(p->text)) return "bytes that are not to be printed";
    if (p->code != 2) return p->text[0] ? "a word on standard error, although it was not refused" : NULL;
    if (!one_line(p->text, j->call->words[0])) return "not the one line of a refusal";
    if (!strstr(p->text, s->in)) return "a refusal that does not name the file";
    return word && !strstr(p->text, word) ? "another refusal than that of the reader" : NULL;
}

static const char *judge_folders(struct slot *s, const struct spawned *p, size_t n_before)
{
    char **names;
    if (list(s, s->in, &names) != n_before) return "something is left beside the source";
    if (list(s, s->tmp, &names) != 0) return "a temporary file is left";
    size_t n = list(s, s->out, &names);
    if (p->code == 2 && n != 0) return "something is left where the output was to be";
    for (size_t i = 0; i < n; i++)
        if (names[i][0] == '.' || strstr(names[i], "partial")) return "a temporary name is left beside the output";
    return NULL;
}

static const char *judge_cost(const struct spawned *p, size_t n_bytes)
{
    if (meter_under_valgrind()) return NULL;
    if (p->ms > LIMIT_MS) return "too slow";
    return !SANITIZED && p->peak_bytes > FLOOR_BYTES + TIMES_FILE * n_bytes ? "too much memory" : NULL;
}

static const char *judge(struct slot *s, const struct job *j, const struct spawned *p, size_t n_bytes, size_t n_before)
{
    const char *word, *wrong;
    int code = expected_code(j, &word);
    if (p->code > 2) return "it crashed";
    if (code >= 0 && p->code != code) return "another exit status";
    if ((wrong = judge_text(s, j, p, word))) return wrong;
    if ((wrong = judge_folders(s, p, n_before))) return wrong;
    return judge_cost(p, n_bytes);
}

static void note(struct seen *a, const char *name, const struct spawned *p)
{
    a->runs++;
    if (p->code <= 2) a->by_code[p->code]++;
    if (p->peak_bytes > a->peak) {
        a->peak = p->peak_bytes;
        a->peak_of = name;
    }
    if (p->ms > a->peak_ms) {
        a->peak_ms = p->ms;
        a->ms_of = name;
    }
}

static void run_job(struct slot *s, struct job *j)
{
    char *argv[TOOL_WORDS + 1] = {NULL}, **names;
    size_t n_bytes;
    struct spawned p;
    char *file = lay_out(s, j, &n_bytes);
    remove_all(s, s->out);
    size_t n_before = list(s, s->in, &names);
    argv[0] = arena_printf(&s->mem, "%s/%s", bin, j->call->words[0]);
    for (int i = 1; i < TOOL_WORDS && j->call->words[i]; i++) argv[i] = expand(s, j->call->words[i], file);
    spawn(&p, argv, s->environment, s->log);
    const char *wrong = judge(s, j, &p, n_bytes, n_before);
    if (wrong) {
        struct buf b = {0};
        buf_printf(&b, "%s/%s: %s: %s: exit status %d, %zu ms, %zu KB: %s", j->group->name, j->item->name, j->call->words[0], wrong, p.code, p.ms,
                   p.peak_bytes >> 10, p.text);
        j->wrong = b.data;
    }
    note(&s->seen, j->item->name, &p);
    spawned_clear(&p);
    arena_clear(&s->mem);
}

static void *work(void *arg)
{
    size_t i;
    while ((i = atomic_fetch_add(&next_job, 1)) < n_jobs) run_job(arg, &jobs[i]);
    return NULL;
}

/* --- all of them --- */

static bool in_call(const struct tool_call *call, const struct hostile_group *g, const struct hostile_case *c)
{
    return strcmp(call->group, g->name) == 0 && !(call->flags & CALL_REFUSED && c->want == STATUS_OK);
}

/* Each share-th case of a call, at least one */
static void add_jobs(const struct tool_call *call, size_t share)
{
    size_t first = n_jobs, n = 0;
    for (size_t g = 0; g < n_hostile_groups; g++)
        for (size_t i = 0; i < *hostile_groups[g].n; i++)
            if (in_call(call, &hostile_groups[g], &hostile_groups[g].cases[i]))
                jobs[n_jobs++] = (struct job){call, &hostile_groups[g], &hostile_groups[g].cases[i], NULL};
    size_t found = n_jobs - first, pick = (share < found ? share : found) / 2;
    for (size_t i = 0; i < found; i++)
        if (i % share == pick) jobs[first + n++] = jobs[first + i];
    n_jobs = first + n;
}

static char *folder_of(int i, const char *name)
{
    char *dir = arena_printf(&paths, "%s/%d-%s", scratch, i, name);
    if (mkdir(dir, 0700) != 0) exit(99);
    return dir;
}

static void make_slot(struct slot *s, int i)
{
    s->in = folder_of(i, "in");
    s->out = folder_of(i, "out");
    s->tmp = folder_of(i, "tmp");
    s->log = arena_printf(&paths, "%s/%d.log", scratch, i);
    char *tmpdir = arena_printf(&paths, "TMPDIR=%s", s->tmp);
    static char locale[] = "LC_ALL=C", asan[] = "ASAN_OPTIONS=allocator_may_return_null=1:exitcode=99", ubsan[] = "UBSAN_OPTIONS=exitcode=99", home[] = "HOME=/";
    static char cpu[40] = "LATHE_CPU=";
    const char *level = getenv("LATHE_CPU");
    snprintf(cpu, sizeof cpu, "LATHE_CPU=%s", level ? level : "");
    char *environment[] = {tmpdir, locale, asan, ubsan, home, cpu, NULL};
    memcpy(s->environment, environment, sizeof environment);
}

static void make_gguf(struct slot *s, const char *model, char *path, size_t n_path, const char *name)
{
    struct spawned p;
    struct arena *mem = &s->mem;
    snprintf(path, n_path, "%s/%s", scratch, name);
    char *argv[12] = {arena_printf(mem, "%s/lathe-convert", bin), arena_printf(mem, "%s", model), arena_printf(mem, "-o"), path, arena_printf(mem, "--receipt"),
                      arena_printf(mem, "none"), arena_printf(mem, "--type"), arena_printf(mem, "f32"), arena_printf(mem, "--quiet"), NULL};
    spawn(&p, argv, s->environment, s->log);
    if (p.code != 0) {
        fprintf(stderr, "%s: %s\n", model, p.text);
        exit(99);
    }
    spawned_clear(&p);
    arena_clear(mem);
}

static void make_sound(struct slot *s)
{
    struct error err;
    make_gguf(s, MODEL, gguf, sizeof gguf, "sound.gguf");
    make_gguf(s, "tests/data/tiny-llama", with_tokenizer, sizeof with_tokenizer, "tokenizer.gguf");
    if (file_read_all(&sound, gguf, 1 << 24, &err) != STATUS_OK) exit(99);
    tool_sound_gguf(sound.data, sound.len);
}

static int run_all(void **state)
{
    static struct slot slots[N_WORKERS];
    pthread_t threads[N_WORKERS];
    struct seen all = {0};
    (void)state;
    for (int i = 0; i < N_WORKERS; i++) make_slot(&slots[i], i);
    make_sound(&slots[0]);
    for (int i = 1; i < N_WORKERS; i++)
        if (pthread_create(&threads[i], NULL, work, &slots[i]) != 0) exit(99);
    work(&slots[0]);
    for (int i = 1; i < N_WORKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < N_WORKERS; i++) {
        const struct seen *one = &slots[i].seen;
        all.runs += one->runs;
        for (int c = 0; c < 3; c++) all.by_code[c] += one->by_code[c];
        if (one->peak > all.peak) all.peak = one->peak, all.peak_of = one->peak_of;
        if (one->peak_ms > all.peak_ms) all.peak_ms = one->peak_ms, all.ms_of = one->ms_of;
    }
    print_message("%zu runs of tools: exit status 0 %zu times, 1 %zu, 2 %zu; at most %zu KB (%s), %zu ms (%s)\n", all.runs, all.by_code[0], all.by_code[1],
                  all.by_code[2], all.peak >> 10, all.peak_of ? all.peak_of : "-", all.peak_ms, all.ms_of ? all.ms_of : "-");
    return 0;
}

static int clean_up(void **state)
{
    struct slot s = {0};
    (void)state;
    remove_all(&s, scratch);
    rmdir(scratch);
    arena_clear(&s.mem);
    return 0;
}

/* One test for each call */
static void check_call(void **state)
{
    const struct tool_call *call = *state;
    size_t n = 0, bad = 0;
    for (size_t i = 0; i < n_jobs; i++) {
        if (jobs[i].call != call) continue;
        n++;
        if (!jobs[i].wrong) continue;
        bad++;
        print_message("%s", jobs[i].wrong);
    }
    if (bad > 0) fail_msg("%zu of %zu", bad, n);
    assert_true(n > 0);
}

/* Journals belong to an interrupted run: tests/cli/resume.sh */
static void check_groups(void **state)
{
    (void)state;
    for (size_t g = 0; g < n_hostile_groups; g++) {
        bool called = strcmp(hostile_groups[g].name, "journal") == 0;
        for (size_t i = 0; i < n_tool_calls; i++) called = called || strcmp(tool_calls[i].group, hostile_groups[g].name) == 0;
        if (!called) fail_msg("no tool is given the files of '%s'", hostile_groups[g].name);
    }
}

static char *call_name(const struct tool_call *call)
{
    struct buf b = {0};
    buf_puts(&b, call->group);
    for (int i = 0; i < TOOL_WORDS && call->words[i] && strcmp(call->words[i], "--quiet") != 0; i++) buf_printf(&b, " %s", call->words[i]);
    if (b.failed) exit(99);
    return b.data;
}

int main(int argc, char **argv)
{
    const char *base = path_base(argv[0]), *root = getenv("LATHE_ROOT"), *share = getenv("LATHE_HOSTILE_SHARE");
    char here[500];
    snprintf(here, sizeof here, "%.*s", (int)(base - argv[0]), argv[0]);
    char *tools = realpath(strlen(here) ? here : ".", NULL);
    if (!tools || (root && chdir(root) != 0)) return 99;
    snprintf(bin, sizeof bin, "%s/../bin", tools);
    free(tools);
    setenv("LATHE_ROOT", ".", 1);
    snprintf(scratch, sizeof scratch, "%s/lathe-tools-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(scratch)) return 99;
    struct CMUnitTest *tests = calloc(n_tool_calls + 1, sizeof *tests);
    jobs = calloc(8192, sizeof *jobs);
    if (!tests || !jobs) return 99;
    size_t n = 0;
    for (size_t i = 0; i < n_tool_calls; i++) {
        char *name = call_name(&tool_calls[i]);
        if (argc == 2 && !strstr(name, argv[1])) {
            free(name);
            continue;
        }
        tests[n++] = (struct CMUnitTest){name, check_call, NULL, NULL, (void *)(uintptr_t)&tool_calls[i]};
        add_jobs(&tool_calls[i], share ? strtoul(share, NULL, 10) : SANITIZED ? 8 : 1);
    }
    if (argc < 2) tests[n++] = (struct CMUnitTest){strdup("every group"), check_groups, NULL, NULL, NULL};
    int bad = _cmocka_run_group_tests("hostile_tools", tests, n, run_all, clean_up);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)tests[i].name);
    for (size_t i = 0; i < n_jobs; i++) free(jobs[i].wrong);
    free(tests);
    free(jobs);
    buf_clear(&sound);
    arena_clear(&paths);
    return bad;
}

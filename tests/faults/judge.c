#include "tests/faults/judge.h"

#include "base/file.h"
#include "tests/faults/snapshot.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct buf look(const struct stage *g, bool hidden)
{
    struct buf b = {0};
    snapshot(&b, g->out, hidden);
    return b;
}

static void complain(struct buf *wrong, const char *what, const struct buf *found)
{
    buf_printf(wrong, "%s%s%s", what, found ? ":\n" : "\n", found ? found->data : "");
}

/* `TOOL: ...`, and perhaps a hint below it */
static bool is_one_line(const char *text, const char *tool)
{
    static const char hint[] = "  hint: ";
    size_t n = strlen(tool);
    const char *end = strchr(text, '\n');
    if (strncmp(text, tool, n) != 0 || strncmp(text + n, ": ", 2) != 0 || !end) return false;
    if (strncmp(end + 1, hint, sizeof hint - 1) == 0) end = strchr(end + 1, '\n');
    return end && strcmp(end, "\n") == 0;
}

/* --- folders --- */

/* `OUT.partial` and its journal: of a run that can be gone on with */
static struct buf without_partial(const struct stage *g, const struct buf *seen)
{
    struct buf b = {0};
    struct arena mem = {0};
    buf_puts(&b, "");
    const char *name = g->s->output ? arena_printf(&mem, "%s.partial", g->s->output) : "";
    for (const char *line = seen->data, *end; (end = strchr(line, '\n')); line = end + 1)
        if (!(g->s->traits & RESUMES) || strncmp(line, name, strlen(name)) != 0) buf_append(&b, line, (size_t)(end + 1 - line));
    arena_clear(&mem);
    return b;
}

static bool is_as(const struct stage *g, const struct buf *seen, const struct buf *want)
{
    struct buf a = without_partial(g, seen), b = without_partial(g, want);
    bool same = snapshot_equal(&a, &b);
    buf_clear(&a);
    buf_clear(&b);
    return same;
}

/* A picture whose letters are boxes has other bytes; a journal may be litter. */
static bool is_done(const struct stage *g, const struct fault *f, const struct buf *seen)
{
    if (g->s->traits & DRAWS) return snapshot_has_names(seen, &g->after) && snapshot_has_names(&g->after, seen);
    return f->toll == LITTERS ? is_as(g, seen, &g->after) : snapshot_equal(seen, &g->after);
}

/* Every file with a final name is whole: the old one or the new one. */
static bool is_whole(const struct stage *g, const struct buf *seen)
{
    if (!(g->s->traits & PARTS)) return is_as(g, seen, &g->before) || is_as(g, seen, &g->after);
    return snapshot_within(seen, &g->before, &g->after) && snapshot_has_names(seen, &g->before);
}

/* --- a run after it --- */

/* A run onto a name that is taken is refused, and the line says which: that file goes. */
static bool remove_named(const struct stage *g, const char *line)
{
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n;
    bool removed = false;
    if (dir_list(g->out, &mem, &names, &n, &err) != STATUS_OK) return false;
    for (size_t i = 0; i < n && !removed; i++) {
        char *path = path_join(&mem, g->out, names[i]);
        const char *at = strstr(line, path);
        if (!at || at[strlen(path)] != ':') continue;
        if (unlink(path) != 0) folder_empty(path), rmdir(path);
        removed = true;
    }
    arena_clear(&mem);
    return removed;
}

static void judge_next_run(struct stage *g, struct buf *wrong)
{
    int status = injected_run(&g->tool, NULL);
    for (bool more = true; more && WIFEXITED(status) && WEXITSTATUS(status) == 2;) {
        struct buf line = {0};
        injected_said(&g->tool, true, &line);
        more = remove_named(g, line.data);
        if (more) status = injected_run(&g->tool, NULL);
        buf_clear(&line);
    }
    struct buf seen = look(g, true);
    if (status != 0) complain(wrong, "the next run failed", &seen);
    else if (!snapshot_equal(&seen, &g->after)) complain(wrong, "the next run leaves", &seen);
    buf_clear(&seen);
}

/* --- by how it ended --- */

/* A picture's size goes with its letters. */
static bool same_but_numbers(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b || !*a) return *a == *b;
    }
}

static bool has_said_the_same(const struct stage *g, const struct buf *said)
{
    if (g->s->traits & TIMES) return true;
    return g->s->traits & DRAWS ? same_but_numbers(said->data, g->said.data) : snapshot_equal(said, &g->said);
}

static void judge_success(struct stage *g, const struct fault *f, struct buf *wrong)
{
    if (g->tool.page->reopened) return; /* what the file was before is nothing to it */
    struct buf seen = look(g, f->toll != LITTERS), said = {0};
    injected_said(&g->tool, false, &said);
    if (!is_done(g, f, &seen)) complain(wrong, "exit 0, but not the same files", &seen);
    if (!has_said_the_same(g, &said)) complain(wrong, "exit 0, but another standard output", &said);
    buf_clear(&seen);
    buf_clear(&said);
}

static void judge_refusal(struct stage *g, const struct fault *f, struct buf *wrong)
{
    struct buf seen = look(g, f->toll != LITTERS), line = {0};
    injected_said(&g->tool, true, &line);
    if (f->toll == HARMLESS) complain(wrong, "refused for something harmless", NULL);
    if (!is_as(g, &seen, &g->before)) complain(wrong, "exit 2, but the folder has changed", &seen);
    if (!(g->s->traits & LISTS) && !is_one_line(line.data, path_base(g->tool.argv[0]))) complain(wrong, "exit 2 without its one line", NULL);
    buf_clear(&seen);
    buf_clear(&line);
}

static void judge_stopped(struct stage *g, struct buf *wrong)
{
    struct buf seen = look(g, true);
    if (!is_as(g, &seen, &g->before) && !is_as(g, &seen, &g->after)) complain(wrong, "stopped, but neither as before nor done", &seen);
    buf_clear(&seen);
}

static void judge_killed(struct stage *g, struct buf *wrong)
{
    struct buf seen = look(g, false);
    if (!is_whole(g, &seen)) complain(wrong, "killed, and what has a final name is not whole", &seen);
    buf_clear(&seen);
    judge_next_run(g, wrong);
}

/* The outputs as they were, and the file that somebody else has made */
static struct buf before_and_rival(const struct stage *g)
{
    folder_empty(g->out);
    folder_fill(g->out, g->before_from);
    file_put(g->tool.page->victim, "rival\n", 6);
    return look(g, true);
}

/* The rival's file stays as it came, unless the tool was told to replace what it finds. */
static void judge_overtaken(struct stage *g, const struct fault *f, int code, struct buf *wrong)
{
    struct buf seen = look(g, true), line = {0};
    if (!g->tool.page->came) {
        if (code == 0) judge_success(g, f, wrong);
        if (code == 2) complain(wrong, "refused without a reason", NULL);
    } else if (code == 0) {
        if (!(g->s->traits & REPLACES)) complain(wrong, "replaced a file that was not its own", &seen);
        if (!snapshot_equal(&seen, &g->after)) complain(wrong, "exit 0, but not the same files", &seen);
    } else {
        struct buf want = before_and_rival(g);
        injected_said(&g->tool, true, &line);
        if (!is_as(g, &seen, &want)) complain(wrong, "overtaken, and the folder has changed", &seen);
        if (!is_one_line(line.data, path_base(g->tool.argv[0]))) complain(wrong, "exit 2 without its one line", NULL);
        buf_clear(&want);
    }
    buf_clear(&seen);
    buf_clear(&line);
}

enum ending judge(struct stage *g, const struct fault *f, int status, struct buf *wrong)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (f->toll == KILLED) {
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) complain(wrong, "was to be killed", NULL);
        judge_killed(g, wrong);
        return DIED;
    }
    if (!WIFEXITED(status)) return complain(wrong, strsignal(WTERMSIG(status)), NULL), DIED;
    if (f->toll == STOPPED) {
        if (code != 128 + f->kind - FAULT_SIGNAL) complain(wrong, "exit status is not 128 + n", NULL);
        judge_stopped(g, wrong);
        if (g->s->traits & RESUMES) judge_next_run(g, wrong);
        return WAS_STOPPED;
    }
    if (code != 0 && code != 2) complain(wrong, "exit status neither 0 nor 2", NULL);
    if (f->toll == OVERTAKEN) {
        judge_overtaken(g, f, code, wrong);
    } else {
        if (code == 0) judge_success(g, f, wrong);
        if (code == 2) judge_refusal(g, f, wrong);
        if (f->toll == LITTERS || (code == 2 && g->s->traits & RESUMES)) judge_next_run(g, wrong);
    }
    return code == 0 ? SURVIVED : GAVE_UP;
}

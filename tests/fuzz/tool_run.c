#include "tests/fuzz/tool_run.h"

#include "convert/convert.h"
#include "inspect/inspect.h"
#include "quantize/quantize.h"
#include "tests/hostile/folder.h"
#include "verify/verify.h"

#include "base/file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void __sanitizer_set_report_fd(void *) __attribute__((weak));

static const struct {
    const char *name;
    int (*main)(int, char **);
} tools[] = {{"convert", convert_main}, {"inspect", inspect_main}, {"quantize", quantize_main}, {"verify", verify_main}};

static void broken(const char *what, const char *said)
{
    fprintf(stderr, "broken promise: %s: %s\n", what, said);
    abort();
}

static void must(bool ok, const char *what)
{
    if (ok) return;
    perror(what);
    exit(99); /* the harness, not the tool */
}

/* --- what a tool says, away from the engine's own lines --- */

static int said_fd = -1, kept[3];

static void hear(void)
{
    fflush(NULL);
    if (said_fd < 0) {
        must((said_fd = memfd_create("said", MFD_CLOEXEC)) >= 0, "memfd_create");
        for (int fd = 1; fd <= 2; fd++) must((kept[fd] = dup(fd)) >= 0, "dup");
        if (__sanitizer_set_report_fd) __sanitizer_set_report_fd((void *)(intptr_t)kept[2]);
    }
    must(ftruncate(said_fd, 0) == 0 && lseek(said_fd, 0, SEEK_SET) == 0, "ftruncate");
    int none = memfd_create("out", MFD_CLOEXEC); /* counted and forgotten */
    must(none >= 0 && dup2(none, 1) == 1 && dup2(said_fd, 2) == 2, "dup2");
    close(none);
}

static void stop_hearing(char *said, size_t size)
{
    fflush(NULL);
    must(dup2(kept[1], 1) == 1 && dup2(kept[2], 2) == 2, "dup2");
    ssize_t n = pread(said_fd, said, size - 1, 0);
    must(n >= 0, "pread");
    said[n] = 0;
}

/* --- folders --- */

static void remove_all(const char *dir)
{
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n = 0;
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) n = 0;
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(&mem, dir, names[i]);
        if (unlink(path) == 0) continue;
        remove_all(path);
        rmdir(path);
    }
    arena_clear(&mem);
}

static bool is_empty(const char *dir)
{
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n = 0;
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) n = 0;
    arena_clear(&mem);
    return n == 0;
}

/* --- running --- */

static const char *ids_path(void)
{
    static const char ids[] = "1 2 3 4 5 6\n";
    static char path[64];
    if (path[0]) return path;
    int fd = memfd_create("ids", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, ids, sizeof ids - 1) == sizeof ids - 1, "memfd_create");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

static int call(const char *line, const char *in, const char *out, char *said, size_t size)
{
    char words[1024], *argv[24];
    int argc = 0, code = -1;
    size_t used = 0;
    for (const char *c = line; *c && used < sizeof words - 600; c++) {
        const char *put = c[0] != '%' ? NULL : c[1] == 'f' ? in : c[1] == 'i' ? ids_path() : out;
        if (put) used += (size_t)snprintf(words + used, sizeof words - used, "%s", put);
        if (put) c++;
        else words[used++] = *c;
    }
    words[used] = 0;
    for (char *rest, *w = strtok_r(words, " ", &rest); w && argc < 23; w = strtok_r(NULL, " ", &rest)) argv[argc++] = w;
    argv[argc] = NULL;
    hear();
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        if (argc > 0 && strcmp(tools[i].name, argv[0]) == 0) code = tools[i].main(argc, argv);
    stop_hearing(said, size);
    return code;
}

/* The one line of a refusal, and at most its hint */
static bool refusal(const char *said)
{
    const char *end = strchr(said, '\n');
    if (strncmp(said, "lathe-", 6) != 0 || !end) return false;
    if (strncmp(end + 1, "  hint: ", 8) == 0) end = strchr(end + 1, '\n');
    return end && !end[1];
}

int tool_steps(const char *const *lines, const char *in)
{
    int n_done = 0;
    char out[600], said[8192];
    snprintf(out, sizeof out, "%s", folder_path("out"));
    mkdir(out, 0700);
    for (; *lines; lines++, n_done++) {
        int code = call(*lines, in, out, said, sizeof said);
        if (code < 0 || code > 2) broken(*lines, "its exit status");
        if (code != 2 && said[0]) broken(*lines, said);
        if (code == 2 && !refusal(said)) broken("not the one line of a refusal", said);
        if (code == 2 && n_done == 0 && !is_empty(out)) broken("refused, but something is left", said);
        if (code != 0) break;
    }
    remove_all(out);
    rmdir(out);
    return n_done;
}

#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/tool_run.h"
#include "tests/hostile/folder.h"
#include "tests/hostile/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUIET " --quiet --threads 1"

const struct fuzz_target fuzz_targets[] = {
    {"container", "container", NULL, NULL, {NULL}},
    {"safetensors", "container", fuzz_build_safetensors, NULL, {NULL}},
    {"pickle", "container", fuzz_build_zip, NULL, {NULL}},
    {"torch-legacy", "container", fuzz_build_legacy, NULL, {NULL}},
    {"audit", "audit", NULL, NULL, {NULL}},
    {"gguf", "gguf", NULL, NULL, {NULL}},
    {"gguf-model", "gguf-model", NULL, NULL, {NULL}},
    {"imatrix", "imatrix", NULL, NULL, {NULL}},
    {"json", "json", NULL, NULL, {NULL}},
    {"index", "index", NULL, NULL, {NULL}},
    {"config", "config", NULL, NULL, {NULL}},
    {"sentencepiece", "sentencepiece", NULL, NULL, {NULL}},
    {"tokenizer-json", "tokenizer-json", NULL, NULL, {NULL}},
    {"tokenizer-config", "tokenizer-config", NULL, NULL, {NULL}},
    {"vocab", "vocab", NULL, NULL, {NULL}},
    {"merges", "merges", NULL, NULL, {NULL}},
    {"npy", "npy", NULL, NULL, {NULL}},
    {"tokens", "tokens", NULL, NULL, {NULL}},
    {"receipt", "receipt", NULL, NULL, {NULL}},
    {"journal", "journal", fuzz_build_journal, NULL, {NULL}},
    {"receipt-gguf", "receipt-gguf", fuzz_build_receipt, NULL, {NULL}},
    {"adapter-config", "adapter-config", NULL, NULL, {NULL}},
    {"adapter-weights", "adapter-weights", fuzz_build_safetensors, NULL, {NULL}},
    {"tool-convert", NULL, NULL, fuzz_folder,
     {"convert %f -o %o/x.gguf" QUIET, "verify %f %o/x.gguf --weights --json" QUIET, "convert %o/x.gguf -o %o/back" QUIET, "verify %f %o/back --weights" QUIET}},
    {"tool-back", NULL, NULL, NULL, {"convert %f -o %o/back" QUIET, "convert %o/back -o %o/x.gguf" QUIET}},
    {"tool-rewrite", NULL, NULL, NULL, {"convert %f -o %o/x.gguf --type f16 --allow-requantize --split-max-size 4K" QUIET, "inspect %o --tensors" QUIET}},
    {"tool-quantize", NULL, NULL, NULL, {"quantize %f %o/x.gguf q4_k_m --allow-requantize --damage --json" QUIET, "verify %f %o/x.gguf --weights" QUIET}},
    {"tool-inspect", NULL, NULL, NULL,
     {"inspect %f --stats --hash --metadata --config --json" QUIET, "inspect %f --diff %f" QUIET, "inspect %f --audit" QUIET, "inspect %f --html %o/x.html" QUIET}},
    {"tool-verify", NULL, NULL, NULL, {"verify %f %f --tokens %i --json" QUIET, "verify %f %f --trace --tokens %i" QUIET}},
};
const size_t n_fuzz_targets = sizeof fuzz_targets / sizeof fuzz_targets[0];

const struct fuzz_target *fuzz_find(const char *name)
{
    for (size_t i = 0; i < n_fuzz_targets; i++)
        if (strcmp(fuzz_targets[i].name, name) == 0) return &fuzz_targets[i];
    return NULL;
}

static void must(int ok, const char *what)
{
    if (ok) return;
    perror(what);
    exit(99); /* the harness, not the reader */
}

/* The file lies in memory. */
static const char *put_file(const void *bytes, size_t n)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) must((fd = memfd_create("fuzz", MFD_CLOEXEC)) >= 0, "memfd_create");
    must(ftruncate(fd, 0) == 0, "ftruncate");
    must(n == 0 || pwrite(fd, bytes, n, 0) == (ssize_t)n, "pwrite");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

static const char *put_folder(const struct reader *r, const void *bytes, size_t n)
{
    static const struct reader *made;
    static const char *dir;
    if (made != r) dir = folder_make(r->name);
    made = r;
    folder_write(r->file, bytes ? bytes : "", n);
    return dir;
}

static void run_reader(const struct reader *r, const void *bytes, size_t n)
{
    struct error err = {0};
    enum status st = r->run(r->folder ? put_folder(r, bytes, n) : put_file(bytes, n), &err);
    if (st == STATUS_OK || (err.status == st && err.text[0])) return;
    fprintf(stderr, "status %s without an error\n", status_name(st));
    abort();
}

int fuzz_run(const struct fuzz_target *t, const uint8_t *bytes, size_t n)
{
    int n_done = 0;
    struct buf built = {0};
    if (t->build) {
        t->build(&built, bytes, n);
        bytes = (const uint8_t *)built.data;
        n = built.len;
    }
    if (t->reader) {
        must(reader_find(t->reader) != NULL, t->reader);
        run_reader(reader_find(t->reader), bytes, n);
    } else {
        n_done = tool_steps(t->lines, t->folder ? t->folder(bytes, n) : put_file(bytes, n));
    }
    buf_clear(&built);
    return n_done;
}

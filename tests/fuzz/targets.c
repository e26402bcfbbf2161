#include "tests/fuzz/fuzz.h"

#include "tests/hostile/folder.h"
#include "tests/hostile/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct fuzz_target fuzz_targets[] = {
    {"container", "container", NULL},
    {"safetensors", "container", fuzz_build_safetensors},
    {"pickle", "container", fuzz_build_zip},
    {"torch-legacy", "container", fuzz_build_legacy},
    {"audit", "audit", NULL},
    {"gguf", "gguf", NULL},
    {"gguf-model", "gguf-model", NULL},
    {"imatrix", "imatrix", NULL},
    {"json", "json", NULL},
    {"index", "index", NULL},
    {"config", "config", NULL},
    {"sentencepiece", "sentencepiece", NULL},
    {"tokenizer-json", "tokenizer-json", NULL},
    {"tokenizer-config", "tokenizer-config", NULL},
    {"vocab", "vocab", NULL},
    {"merges", "merges", NULL},
    {"npy", "npy", NULL},
    {"tokens", "tokens", NULL},
    {"receipt", "receipt", NULL},
    {"journal", "journal", fuzz_build_journal},
    {"receipt-gguf", "receipt-gguf", fuzz_build_receipt},
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

static enum status run_file(const struct reader *r, const void *bytes, size_t n, struct error *err)
{
    static int fd = -1;
    char path[64];
    if (fd < 0) must((fd = memfd_create("fuzz", MFD_CLOEXEC)) >= 0, "memfd_create");
    must(ftruncate(fd, 0) == 0, "ftruncate");
    must(n == 0 || pwrite(fd, bytes, n, 0) == (ssize_t)n, "pwrite");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return r->run(path, err);
}

static enum status run_folder(const struct reader *r, const void *bytes, size_t n, struct error *err)
{
    static const struct reader *made;
    static const char *dir;
    if (made != r) dir = folder_make(r->name);
    made = r;
    folder_write(r->file, bytes ? bytes : "", n);
    return r->run(dir, err);
}

void fuzz_run(const struct fuzz_target *t, const uint8_t *bytes, size_t n)
{
    struct error err = {0};
    struct buf built = {0};
    const struct reader *r = reader_find(t->reader);
    must(r != NULL, t->reader);
    if (t->build) {
        t->build(&built, bytes, n);
        bytes = (const uint8_t *)built.data;
        n = built.len;
    }
    enum status st = r->folder ? run_folder(r, bytes, n, &err) : run_file(r, bytes, n, &err);
    if (st != STATUS_OK && (err.status != st || !err.text[0])) {
        fprintf(stderr, "status %s without an error\n", status_name(st));
        abort();
    }
    buf_clear(&built);
}

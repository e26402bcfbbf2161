/* libFuzzer's entry points. The program's name is fuzz_TARGET. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char prefix[] = "fuzz_";
    const char *name = *argc > 0 ? path_base((*argv)[0]) : "";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0) target = fuzz_find(name + sizeof prefix - 1);
    if (target) return 0;
    fprintf(stderr, "%s: its name is that of no target\n", name);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_run(target, bytes, n);
    return 0;
}

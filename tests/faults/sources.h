/* What the tools are given to read in the failing world: a tiny model with a tokenizer, an adapter for it, and what the tools themselves make of them. */
#ifndef LATHE_TESTS_SOURCES_H
#define LATHE_TESTS_SOURCES_H

#include "base/memory.h"

/* The folders that an argument of a command can name */
struct places {
    const char *bin;     /* of the programs, for argv[0] */
    const char *sources; /* %s */
    const char *out;     /* %o: where the outputs go */
};
enum { ARGS_MAX = 20 };
/* An argument vector in *mem with the places put in, and `--threads 1` behind it unless it names a number of threads itself. */
const char *const *command_expand(struct arena *mem, const char *const *words, const struct places *p);

/* Makes them in the existing folder p->sources; inject: the shared object. Fails the test if one cannot be made. */
void sources_make(const struct places *p, const char *inject);

#endif

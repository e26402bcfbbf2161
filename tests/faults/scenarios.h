/* The tool calls of the failing world: a row for every kind of output of every tool. */
#ifndef LATHE_TESTS_SCENARIOS_H
#define LATHE_TESTS_SCENARIOS_H

#include "tests/faults/sources.h"

enum scenario_trait {
    REPLACES = 1, /* what stands under the output's name */
    PARTS = 2,    /* several files get their names one after the other: a killed run may leave some of them, whole */
    RESUMES = 4,  /* OUT.partial and its journal stay when it does not get through */
    DRAWS = 8,    /* a picture whose letters are boxes, because the system's font could not be read, is one */
    TIMES = 16,   /* standard output tells how long it took */
    LISTS = 32,   /* of several files some may be refused, a line for each */
};
struct scenario {
    const char *name;
    const char *argv[ARGS_MAX]; /* of command_expand */
    const char *output;         /* its first name in the folder of outputs; NULL: standard output alone */
    const char *source;         /* in the folder of sources: a file whose bytes it reads; NULL: the tool may not notice that it changes */
    unsigned traits;
    const char *before; /* a folder of sources whose files are among the outputs beforehand; NULL: none */
};
extern const struct scenario scenarios[];
extern const size_t n_scenarios;

#endif

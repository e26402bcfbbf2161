/* Is what a tool did when something failed what docs/security.md promises? */
#ifndef LATHE_TESTS_JUDGE_H
#define LATHE_TESTS_JUDGE_H

#include "tests/faults/injected.h"
#include "tests/faults/scenarios.h"

/* What a fault may lead to */
enum toll {
    HARMLESS, /* the run ends with 0 and the right bytes */
    REFUSED,  /* that, or exit status 2 with its line, and nothing has changed */
    LITTERS,  /* that, and temporary names may stay, which the next run takes away */
    KILLED,   /* the process is gone: only whole files have their names, and the next run ends with the right bytes */
    STOPPED,  /* exit status 128 + n, nothing has changed, or all is done */
    OVERTAKEN /* REFUSED, and the file that came meanwhile is as it came; or it was replaced, by a tool that was told to */
};
struct fault {
    const char *class_name, *kind_name;
    enum fault_class class;
    int kind;
    enum fault_repeat repeat;
    enum toll toll;
    int sample; /* how many n a sample has */
};

/* A scenario with a tool that waits for orders */
struct stage {
    const struct scenario *s;
    const char *out; /* folder of the outputs */
    const char *before_from; /* folder that they begin with; NULL: empty */
    struct injected tool;
    struct buf before, after, said; /* the outputs before and after an undisturbed run, and its standard output */
    struct buf source;              /* content of the scenario's source */
};

enum ending { SURVIVED, GAVE_UP, DIED, WAS_STOPPED, N_ENDINGS };
/* Judges what a run under the order has left and said. What is wrong is appended to *wrong, nothing if all is well. May run the tool again. */
enum ending judge(struct stage *g, const struct fault *f, int status, struct buf *wrong);

#endif

/* What the test and an injected tool tell each other, in a page of memory that both have.
 *
 * The test starts a tool once with inject.so; in front of main the tool waits for orders. For each byte through the pipe it forks: the child runs main
 * under the order in the page, the parent answers with the child's wait status. So a run costs a fork, and no start of a program.
 */
#ifndef LATHE_TESTS_ORDER_H
#define LATHE_TESTS_ORDER_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>

enum fault_class {
    FAULT_READ,
    FAULT_WRITE,
    FAULT_OPEN,
    FAULT_CLOSE,
    FAULT_STAT,
    FAULT_LIST,
    FAULT_SYNC,
    FAULT_RENAME,
    FAULT_REMOVE,
    FAULT_SPACE,
    FAULT_LOCK,
    FAULT_THREAD,
    FAULT_ALLOC,
    FAULT_ANY, /* one of the others, allocations aside */
    FAULT_NONE,
};

/* What happens: an errno, a signal (FAULT_SIGNAL + its number), or one of these */
enum {
    FAULT_SHORT = -1,  /* half of what was asked is read or written */
    FAULT_END = -2,    /* 0 bytes are */
    FAULT_CUT = -3,    /* the page's victim is cut to half its length, and the call goes on */
    FAULT_CHANGE = -4, /* a byte in the middle of the victim becomes another one */
    FAULT_RIVAL = -5,  /* somebody else makes a file under the victim's name, unless it is there */
    FAULT_SIGNAL = 1000,
};

enum fault_repeat { FAULT_ONCE, FAULT_AND_ON, FAULT_EVERY_SECOND };

struct fault_order {
    enum fault_class class;
    long at; /* from 1; the how many-th call of the class */
    int kind;
    enum fault_repeat repeat;
};

struct fault_page {
    struct fault_order order;
    char victim[PATH_MAX];
    atomic_long count; /* calls of the class so far */
    atomic_bool struck;
    atomic_bool came;     /* the rival's file did */
    atomic_bool reopened; /* the victim was opened after it had changed */
};

/* Environment of an injected tool: "PAGE ORDERS ANSWERS", descriptors of the page and of the two pipes; or, to repeat something by hand under a debugger,
 * "CLASS AT KIND REPEAT" in numbers, which the test prints. */
#define FAULT_SERVE "FAULT_SERVE"
#define FAULT_ORDER "FAULT_ORDER"

#endif

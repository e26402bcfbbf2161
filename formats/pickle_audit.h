/* What a pickle would do if Python loaded it: every opcode counted, every name it refers to. Walked, never executed.
 *
 *     struct pickle_audit a;
 *     TRY(pickle_audit(&a, bytes, n, NULL, err));
 *     for (size_t i = 0; i < a.n_names; i++) if (a.names[i].standing == NAME_OUTSIDE) ...
 *     pickle_audit_clear(&a);
 *
 * Unlike pickle_read this stops at nothing but the end: opcodes of all protocols, calls of anything. Values are followed only as far as the names of
 * STACK_GLOBAL need it: strings on the stack and in the memo. A name that is not on them as a string counts as outside.
 * Memory is a multiple of n. What keeps the walk from reaching STOP is in `problem`.
 */
#ifndef LATHE_PICKLE_AUDIT_H
#define LATHE_PICKLE_AUDIT_H

#include "base/memory.h"

enum name_standing {
    NAME_KNOWN,    /* on the list of what weights need */
    NAME_HARMLESS, /* torch writes it for something that has no place here */
    NAME_OUTSIDE,  /* Python would import it, and a call may follow */
};
struct pickle_name {
    const char *module, *name; /* terminated; NUL bytes of the file as '?' */
    const char *what;          /* of a harmless one: what it stands for; of an outside one that has no name: why */
    enum name_standing standing;
    size_t count, off_first;
};
struct pickle_audit {
    uint64_t counts[256];      /* by opcode */
    uint64_t n_ops;
    int protocol;  /* highest that an opcode announces (PROTO); 0: none does */
    size_t n_used; /* bytes up to STOP, or to the problem */
    struct pickle_name *names; /* each once, in the order of their first use */
    size_t n_names, n_outside;
    uint64_t n_calls; /* REDUCE, BUILD, NEWOBJ, INST, OBJ: where Python would run something */
    const char *problem; /* NULL: STOP was reached */
    struct arena mem;
};
/* STATUS_NOMEM only. *trace (may be NULL) gets a line "OFFSET NAME" for each opcode. */
enum status pickle_audit(struct pickle_audit *a, const void *bytes, size_t n, struct buf *trace, struct error *err);
void pickle_audit_clear(struct pickle_audit *a);

#endif

/* The stack machine (pickle.c) and what its opcodes do: plain values (pickle_values.c), objects and storages (pickle_objects.c), the names it
 * knows and what REDUCE makes of them (pickle_globals.c). */
#ifndef LATHE_PICKLE_MACHINE_H
#define LATHE_PICKLE_MACHINE_H

#include "base/cursor.h"
#include "base/limits.h"
#include "formats/pickle.h"

struct machine {
    struct pickle *p;
    const char *path;
    struct cursor in;
    size_t off_op; /* of the opcode at work, for messages */
    struct pickle_value *stack;
    uint32_t n_stack, cap_stack;
    uint32_t *marks; /* stack heights */
    uint32_t n_marks, cap_marks;
    /* by slot number, as far as numbers are about a count; the others in `far`, whose places far_index has */
    struct pickle_value *memo, *far;
    uint32_t n_memo, cap_memo, n_far, cap_far;
    struct strmap far_index;
    struct strmap storage_index;
    size_t cap_storages;
    bool legacy; /* the form before zip: another pickle may follow, storages may be views of others */
    struct strmap view_index;
    struct pickle_storage **views;
    uint32_t n_views, cap_views;
    size_t n_objects, max_objects;
    uint64_t n_work, max_work;
    bool stopped;
    bool cut; /* the bytes end inside the pickle */
    struct error *err;
};

/* Checks the n arguments and describes the result. */
typedef enum status build_fn(struct machine *m, const struct pickle_value *args, uint32_t n,
                             struct pickle_value *out);

/* OBJECT: a bag of attributes without code, which NEWOBJ makes */
enum global_kind { GLOBAL_CLASS, GLOBAL_OBJECT, GLOBAL_STORAGE, GLOBAL_DTYPE, GLOBAL_FUNCTION };
struct pickle_global {
    const char *module, *name;
    enum global_kind kind;
    enum dtype dtype; /* of STORAGE and DTYPE; DTYPE_COUNT: untyped */
    build_fn *build;  /* NULL: REDUCE may not apply it */
};
/* NULL when the name is not known; *reason then says what it stands for if torch writes it for something harmless, else NULL. */
const struct pickle_global *pickle_find_global(const char *module, size_t n_module, const char *name,
                                               size_t n_name, const char **reason);

/* What an opcode does after its code was read; zeroed at the end of a table. */
typedef enum status op_fn(struct machine *m);
struct pickle_run {
    unsigned char code;
    op_fn *run;
};
extern const struct pickle_run pickle_value_ops[], pickle_container_ops[], pickle_memo_ops[], pickle_object_ops[];

/* The stack. An opcode may take what lies above the topmost mark (above the bottom when there is none). */
enum status pickle_push(struct machine *m, struct pickle_value v);
struct pickle_value *pickle_top(struct machine *m);
uint32_t pickle_available(const struct machine *m);
enum status pickle_need(struct machine *m, uint32_t n);
/* Removes the topmost mark; *n values lie above it. */
enum status pickle_take_mark(struct machine *m, uint32_t *n);
/* Room for one more in an array of `size`-byte items. */
enum status pickle_grow(struct machine *m, void *array, uint32_t n, uint32_t *cap, size_t size);
enum status pickle_nomem(struct machine *m, size_t n);

/* Errors name the opcode and its byte. */
enum status pickle_fail(struct machine *m, enum status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum status pickle_bad_value(struct machine *m, const char *expected, const struct pickle_value *found);
/* Zeroed memory for a list, tensor or storage, whose number is bounded by the bytes of the pickle; NULL with the error set. */
void *pickle_new_object(struct machine *m, size_t size);
enum status pickle_new_list(struct machine *m, enum pickle_type type, const struct pickle_value *items,
                            uint32_t n, struct pickle_value *out);
/* Before an opcode looks at the n items inside a value: through the memo it could be given the same value again and again. What it takes from the
 * stack needs no such bound, since an opcode put each there. */
enum status pickle_work(struct machine *m, uint32_t n);
enum status pickle_list_append(struct machine *m, struct pickle_list *l, const struct pickle_value *v,
                               uint32_t n);
bool pickle_is_string(const struct pickle_value *v, const char *s);
bool pickle_is_count(const struct pickle_value *v); /* an integer that is not negative */

#endif

/* Between pickle.c (the stack machine) and pickle_globals.c (the names it knows and what REDUCE makes of them). */
#ifndef LATHE_PICKLE_MACHINE_H
#define LATHE_PICKLE_MACHINE_H

#include "base/cursor.h"
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
    struct pickle_value *memo; /* in order of their opcodes; memo_index finds a slot's place */
    size_t n_memo, cap_memo;
    struct strmap memo_index;
    struct strmap storage_index;
    size_t cap_storages;
    bool legacy; /* the form before zip: another pickle may follow, storages may be views of others */
    struct strmap view_index;
    struct pickle_storage **views;
    uint32_t n_views, cap_views;
    size_t n_objects, max_objects;
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

/* Errors name the opcode and its byte. */
enum status pickle_fail(struct machine *m, enum status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum status pickle_bad_value(struct machine *m, const char *expected, const struct pickle_value *found);
/* Zeroed memory for a list, tensor or storage, whose number is bounded by the bytes of the pickle; NULL with the error set. */
void *pickle_new_object(struct machine *m, size_t size);
enum status pickle_new_list(struct machine *m, enum pickle_type type, const struct pickle_value *items,
                            uint32_t n, struct pickle_value *out);
enum status pickle_list_append(struct machine *m, struct pickle_list *l, const struct pickle_value *v,
                               uint32_t n);
bool pickle_is_string(const struct pickle_value *v, const char *s);
bool pickle_is_count(const struct pickle_value *v); /* an integer that is not negative */

#endif

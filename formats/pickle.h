/* Python pickles as PyTorch writes them, read as data: plain values and descriptions of tensors.
 *
 *     struct pickle p;
 *     TRY(pickle_read(&p, bytes, n, "model.bin: data.pkl", err));
 *     if (p.root.type == PICKLE_DICT) ... p.root.v.list->items[0], [1]: first key and value
 *     pickle_clear(&p);
 *
 * A pickle is a program for a stack machine, and its GLOBAL and REDUCE opcodes call anything that Python can import. Here a GLOBAL is
 * looked up in a table of known names, and each name that REDUCE may apply has a function of ours that checks its arguments and describes
 * the result. Nothing is imported or called; every other name is an error that says it.
 *
 * Accepted is protocol 2, as torch.save writes it, without the opcodes that torch.load(weights_only=True) refuses as well: no STACK_GLOBAL,
 * INST, OBJ, EXT*, PERSID, POP, DUP, MEMOIZE, FRAME, no sets, no text opcodes of protocol 0. Integers have at most 64 bits.
 * Every opcode is checked; bytes after STOP are an error. A memo slot is written once.
 *
 * Memory is a small multiple of n, whatever the opcodes say. Nothing recurses: a value may hold itself or be nested to any depth, so whoever
 * walks the result needs a bound on depth and on visits.
 */
#ifndef LATHE_PICKLE_H
#define LATHE_PICKLE_H

#include "base/memory.h"
#include "dtypes/dtype.h"
#include "formats/container.h"

enum pickle_type {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_STRING,
    PICKLE_LIST,
    PICKLE_TUPLE,
    PICKLE_DICT,   /* items: key, value, key, value, ... as they were set: a key may come twice */
    PICKLE_GLOBAL, /* a known name itself: a class, a dtype */
    PICKLE_STORAGE,
    PICKLE_TENSOR,
    PICKLE_TYPE_COUNT
};
struct pickle_value {
    enum pickle_type type;
    uint32_t n; /* length of a string in bytes */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s; /* valid UTF-8, points into the pickle's bytes, not terminated, may hold NUL */
        struct pickle_list *list; /* LIST, TUPLE, DICT */
        const struct pickle_global *global;
        struct pickle_storage *storage;
        struct pickle_tensor *tensor;
    } v;
};
struct pickle_list {
    struct pickle_value *items;
    uint32_t n, cap;
    bool ordered; /* a collections.OrderedDict, or a bag of attributes, which stays empty */
};
struct pickle_storage {
    const char *key;      /* which record holds it; terminated */
    const char *location; /* "cpu", "cuda:0", ...; terminated */
    enum dtype dtype;     /* DTYPE_COUNT: bytes without a type */
    uint64_t n_elements;  /* of dtype; bytes when untyped */
    size_t index;         /* position in struct pickle.storages */
    /* A storage that shows a part of another one (files from before PyTorch 0.4): elements [off_root, off_root + n_elements) of root, which
     * lie inside; dtype, location, index are root's. NULL and 0: a storage of its own. */
    const struct pickle_storage *root;
    uint64_t off_root;
};
struct pickle_tensor {
    const struct pickle_storage *storage;
    enum dtype dtype;
    int n_dims;
    int64_t
        offset; /* in elements; not negative, neither are shape and stride. Whether they fit the storage is the caller's to check. */
    int64_t shape[TENSOR_DIMS_MAX], stride[TENSOR_DIMS_MAX];
};
struct pickle {
    struct pickle_value root;
    struct pickle_storage **storages; /* those of their own, each once: one key has one type and one size */
    size_t n_storages;
    struct arena mem;
};
/* `bytes` must outlive *p; `path` names the pickle in errors, which give the byte offset. On failure nothing is left to clear.
 * STATUS_UNSUPPORTED for well-formed things that have no place here (sparse or quantized tensors, more than TENSOR_DIMS_MAX dimensions). */
enum status pickle_read(struct pickle *p, const void *bytes, size_t n, const char *path, struct error *err);
/* The same for the form before zip, where pickles follow each other and storages have a sixth item: the one at the beginning of `bytes`; *used
 * of them belong to it. *cut after a failure: the bytes end inside the pickle, more of them might help. */
enum status pickle_read_next(struct pickle *p, const void *bytes, size_t n, size_t *used, bool *cut, const char *path,
                             struct error *err);
void pickle_clear(struct pickle *p);
const char *pickle_type_name(enum pickle_type t);
/* true if `module name` is in the table of known names. For tests. */
bool pickle_knows(const char *module, const char *name);

#endif

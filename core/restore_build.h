/* A way back while it is planned: shared by the restore*.c, private to them. */
#ifndef LATHE_RESTORE_BUILD_H
#define LATHE_RESTORE_BUILD_H

#include "core/restore.h"

/* What is known of a tensor of the folder, by the place at which it was added to the plan. */
struct restored {
    const uint8_t *sha256; /* of the source's bytes; NULL: not known */
    bool exact;            /* the GGUF's type holds every value of the source's */
    bool differs;          /* a result of restore_check */
};
struct restore {
    struct plan *plan;
    const struct model *m;
    const struct restore_options *opt;
    struct warnings *warn;
    struct receipt *receipt; /* NULL: rebuild */
    struct restored *tensors;
    size_t cap;
    const struct arch *arch; /* the family to write: m's, or one that transformers knows in its place */
    enum dtype main; /* type of most matrices; F32 for block types */
    size_t n_products;
    struct arena mem;
};

/* A tensor of the folder, made of one of the GGUF, a slice of one, or several behind each other. */
struct restore_item {
    const char *name;
    const struct ckpt_tensor *const *sources;
    size_t n_sources;
    /* what was done on the way there, to be undone */
    enum transform transform;
    struct transform_args args;
    double scale;
    int64_t scaled_rows;
    enum dtype to;
    const uint8_t *sha256;
    const char *why;
};
enum status restore_add(struct restore *r, const struct restore_item *item, struct error *err);
/* A tensor whose bytes are these. */
enum status restore_add_data(struct restore *r, const char *name, enum dtype type, int n_dims, const int64_t *shape, const void *data,
                             struct error *err);
/* n elements of a tensor of the GGUF from `first` on, as a tensor of that shape. NULL: no memory. */
const struct ckpt_tensor *restore_view(struct restore *r, const struct ckpt_tensor *t, int64_t first, int n_dims, const int64_t *shape, struct error *err);
/* Does type a hold every value of type b? */
bool restore_holds(enum dtype a, enum dtype b);

enum status restore_by_receipt(struct restore *r, struct error *err);
enum status restore_by_rules(struct restore *r, struct error *err);
/* config.json and the tokenizer's files */
enum status restore_files(struct restore *r, struct error *err);

#endif

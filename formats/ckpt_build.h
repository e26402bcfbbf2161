/* A checkpoint while it is put together: shared by checkpoint.c and the ckpt_*.c, private to them. */
#ifndef LATHE_CKPT_BUILD_H
#define LATHE_CKPT_BUILD_H

#include "formats/checkpoint.h"

struct names {
    const char **items;
    size_t count, cap;
};

enum status names_add(struct names *l, const char *name, struct error *err);
bool names_have(const struct names *l, const char *name);
enum status ckpt_add_note(struct checkpoint *c, const char *note, struct error *err);
enum status ckpt_missing_shard(const char *set, const char *name, struct error *err);

/* Opens `names` of c->dir, sorted; `set` is what they belong to, for messages. */
enum status ckpt_open_names(struct checkpoint *c, struct names *names, const char *set, struct error *err);
/* The list of all their tensors, or of the joined ones. */
enum status ckpt_add_tensors(struct checkpoint *c, struct error *err);
/* Both. */
enum status ckpt_open_files(struct checkpoint *c, struct names *names, const char *set, struct error *err);

/* --- ckpt_index.c --- */
/* Indexes in order of preference. */
enum { N_INDEX_NAMES = 2 };
extern const char *const ckpt_index_names[N_INDEX_NAMES];
enum status ckpt_load_index(struct checkpoint *c, const char *path, struct error *err);
/* c->index is loaded */
enum status ckpt_open_index(struct checkpoint *c, struct error *err);
/* Loads the folder's index that names the shard, if there is one. */
enum status ckpt_find_index(struct checkpoint *c, const char *name, bool *found, struct error *err);

/* --- ckpt_parts.c: sets named STEM-00001-of-00003.SUFFIX --- */
struct part {
    size_t stem, digits_i, digits_n; /* lengths; the name is STEM "-" I "-of-" N SUFFIX */
    unsigned long i, n;
};
bool part_parse(const char *name, struct part *p);
enum status part_names(struct checkpoint *c, const char *name, const struct part *p, struct names *out, struct error *err);
bool part_same_set(const char *a, const struct part *pa, const char *b, const struct part *pb);
/* A GGUF says itself which part of how many it is: the files of a checkpoint are those, all of them, in order. */
enum status ckpt_check_parts(const struct checkpoint *c, struct error *err);

/* --- ckpt_folder.c --- */
enum status ckpt_open_dir(struct checkpoint *c, struct error *err);
/* The folder's consolidated.NN.pth; *found tells whether there are any. */
enum status ckpt_try_meta(struct checkpoint *c, char **names, size_t n, bool *found, struct error *err);

#endif

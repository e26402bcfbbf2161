/* A checkpoint as a user names it: a folder, an index, a shard or one file, of any container format.
 *
 *     struct checkpoint *c;
 *     TRY(ckpt_open(&c, "SmolLM2-135M/", err));
 *     const struct ckpt_tensor *t = ckpt_find(c, "model.norm.weight");
 *     TRY(ckpt_read(c, t, 0, dst, n, err));
 *     ckpt_close(c);
 *
 * Resolution, by content:
 *   folder: model.safetensors.index.json, or the safetensors files in it; else pytorch_model.bin.index.json, or *.bin / *.pth torch files;
 *           else Meta's consolidated.NN.pth, whose parts are joined (meta_folder.h); else a single .gguf, or one in numbered parts. A folder holding both safetensors and torch weights uses safetensors (said in `notes`).
 *           Files that are never weights (training_args.bin, optimizer.pt, rng_state*, scheduler.pt, ...) are not opened.
 *   index:  that set of shards.
 *   file:   the container; if it is one shard of a set (its folder holds an index that names it, or NAME-00001-of-000NN), the whole set.
 * Parts of a GGUF say what they are (split.no, split.count, split.tensors.count, lathe.split.first): one that is not what its name says is an error.
 * A missing shard, a tensor in two shards, a shard without a tensor that the index promises, a tensor that the index does not name, a shard
 * name that is no bare file name: errors that name index, shard and tensor.
 */
#ifndef LATHE_CHECKPOINT_H
#define LATHE_CHECKPOINT_H

#include "base/json.h"
#include "formats/container.h"

struct ckpt_tensor {
    const struct tensor *t;
    struct container *container;
};
struct checkpoint {
    char *path; /* as given */
    char *dir;  /* its folder: config.json and tokenizer files are looked for here */
    struct container **files;
    size_t n_files;
    struct ckpt_tensor *tensors; /* all files in order of their names, file order inside */
    size_t n_tensors;
    const char *format; /* name of the containers' format, which all files have; "meta" for a Meta folder */
    struct string_notes {
        const char **items;
        size_t count;
    } notes; /* remarks for the user about what was chosen or passed over */
    struct json *index; /* or NULL */
    struct json *params;      /* params.json of a Meta folder, or NULL */
    struct container *joined; /* the tensors of a Meta folder, whose parts are in `files`; else NULL */
    const char *tokenizer_dir; /* where tokenizer files are looked for: dir; of a Meta folder the one above where only that has them */
    struct strmap by_name;
    struct arena mem;
};
enum status ckpt_open(struct checkpoint **out, const char *path, struct error *err);
void ckpt_close(struct checkpoint *c);
const struct ckpt_tensor *ckpt_find(const struct checkpoint *c, const char *name);
enum status ckpt_read(const struct ckpt_tensor *t, uint64_t off, void *dst, size_t n, struct error *err);
/* Rows [row, row + n_rows) of a matrix (all dimensions but the last flattened into rows); a 1-D tensor is one row. */
enum status ckpt_read_rows(const struct ckpt_tensor *t, int64_t row, int64_t n_rows, void *dst, struct error *err);
int64_t tensor_cols(const struct tensor *t); /* last dimension; 1 for a scalar */
int64_t tensor_rows(const struct tensor *t); /* product of the others */
/* Names of the files of a folder that have a suffix of weights and are no remains of training, sorted, in *mem. Nothing is opened. */
enum status ckpt_weight_names(const char *dir, struct arena *mem, char ***names, size_t *n, struct error *err);
/* The GGUF file behind the checkpoint (first part), or NULL for other formats. */
struct container *ckpt_gguf(const struct checkpoint *c);
/* true when two tensors are the same bytes of the same file (torch tensors sharing a storage) */
bool ckpt_same_bytes(const struct ckpt_tensor *a, const struct ckpt_tensor *b);

#endif

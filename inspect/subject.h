/* One thing to look at: an open checkpoint, and the model in it if it is one.
 *
 * Opening never needs a config.json or a known family: a torch file of any state dict is still listed. What keeps a checkpoint from being a
 * complete model is kept in `model_error` and shown, not raised. */
#ifndef LATHE_SUBJECT_H
#define LATHE_SUBJECT_H

#include "inspect/tokenizer_files.h"
#include "models/model.h"

struct subject {
    const char *path; /* as the user gave it */
    struct checkpoint *ckpt;  /* the model's, where that has the same tensors */
    struct tokenizer_files tokenizer_files;
    struct json *config;      /* config.json beside a checkpoint that is no GGUF; NULL if there is none */
    const struct arch *arch;  /* NULL: no known family */
    const char *why;          /* how the family was recognised */
    struct model *model;      /* NULL if the checkpoint is not a complete model of its family */
    struct error model_error; /* then: why; text empty if it does not say what family it is of */
    struct warnings warnings;
    uint64_t size_bytes;   /* of the files */
    uint64_t weight_bytes; /* of the tensors */
    int64_t n_elements;
};
enum status subject_open(struct subject *s, const char *path, struct error *err);
/* The same from headers alone (struct model_options): for what shows and compares them, not for what computes. */
enum status subject_open_headers(struct subject *s, const char *path, struct error *err);
void subject_close(struct subject *s);
const struct ckpt_tensor *subject_tensors(const struct subject *s, size_t *n);
/* Name of a type as people know it in that container: ggml's in GGUF, else safetensors'. */
const char *subject_dtype_name(const struct subject *s, enum dtype t);

#endif

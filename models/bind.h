/* From a checkpoint's tensors to a family's roles. For model.c. */
#ifndef LATHE_BIND_H
#define LATHE_BIND_H

#include "models/config.h"
#include "models/model.h"

/* The prefix of arch->prefixes under which all of detect_tensors are found; NULL if there is none. *wrapper: what stands before every name
 * because the weights were saved inside something else ("state_dict.", DataParallel's "module."); "" usually. */
const char *bind_prefix(const struct checkpoint *ckpt, const struct arch *arch, const char **wrapper);
/* The same, and the shapes that tell two families of the same names apart fit. */
bool bind_looks_like(const struct checkpoint *ckpt, const struct arch *arch);
/* Walks the rules: fills m->weights, n_weights, n_dropped and hp's bias flags (GGUF), and explains every tensor.
 * hp must be final; for a GGUF with hp->n_vocab from the embedding. */
enum status bind_tensors(struct model *m, struct warnings *warn, struct error *err);
/* Finds the scales of the bound weights that are FP8 and marks them, and the numbers for quantizing activations, as seen. */
enum status bind_scales(struct model *m, bool *seen, struct error *err);
/* Decides whether the output matrix is the embedding; unbinds a copy. Then builds m->index. headers_only: compares the beginnings only. */
enum status bind_output(struct model *m, enum tie tie, bool headers_only, struct warnings *warn, struct error *err);
/* Reads the factor tensors of a GGUF and decides which of its RoPE descriptions counts; checks that angles come out. After bind_output. */
enum status bind_rope(struct model *m, struct warnings *warn, struct error *err);

/* An integer weight of a source that has scales beside it */
bool bind_has_scale(const struct model *m, const struct ckpt_tensor *t);
/* Makes a matrix of bytes with half the expected columns one of DTYPE_I4 with all of them, if it has scales; else leaves it as it is. */
enum status bind_unpack(struct model *m, const struct ckpt_tensor *t, int64_t cols, struct error *err);

#endif

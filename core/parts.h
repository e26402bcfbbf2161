/* Outputs of more than one file: which tensor is in which, and every file's bytes but those of tensors.
 *
 *     all plan_add ...
 *     TRY(parts_safetensors(&plan, "model", 5 << 30, err));               or parts_split_gguf, instead of plan_layout
 *     TRY(parts_add_file(&plan, "config.json", text, n, err));    whole files beside them
 *     TRY(emit_parts(&plan, ...));                                 core/emit.h
 *
 * Tensors, headers and whole files get places in one row of bytes, file after file: who writes tensors (core/writer.h) knows nothing of files.
 * The order of the plan's tensors may change.
 */
#ifndef LATHE_PARTS_H
#define LATHE_PARTS_H

#include "core/plan.h"

/* STEM.safetensors, or STEM-00001-of-0000N.safetensors and STEM.safetensors.index.json (stem: "model"): tensors in the plan's order fill a file up to max_bytes
 * (a larger one has its own), as transformers does it. 0: one file. */
enum status parts_safetensors(struct plan *p, const char *stem, uint64_t max_bytes, struct error *err);
/* STEM-00001-of-0000N.gguf, as llama.cpp names and fills them: the first has the metadata and its tensors, each the keys split.no, split.count and
 * split.tensors.count. One part is a split as well. stem: a bare name without ".gguf". */
enum status parts_split_gguf(struct plan *p, const char *stem, uint64_t max_bytes, struct error *err);
/* The same, each tensor in the part that the file of its source is of c. Of one file: plan_layout. */
enum status parts_keep_gguf(struct plan *p, const char *stem, const struct checkpoint *c, struct error *err);
/* Folder and stem of numbered parts, from the name that one file would have: "models/x.gguf". In p's memory. */
enum status parts_place(struct plan *p, const char *output, const char **folder, const char **stem, struct error *err);
/* A file that is nothing but these bytes, which are copied. */
enum status parts_add_file(struct plan *p, const char *name, const void *src, size_t n, struct error *err);
/* Is this the name of a file that a model's folder has from here: weights, their index, configuration, tokenizer? */
bool model_file_name(const char *name);
/* Of a split GGUF, once the first part's header is final: each later part says what that is, so that parts of another file are told. */
enum status parts_seal(struct plan *p, struct error *err);
/* The part that holds a byte of the row. */
size_t parts_at(const struct plan *p, uint64_t off);
/* Bytes at the start of part i. */
const struct buf *parts_header(const struct plan *p, size_t i);

#endif

/* The way back: from a GGUF to the Hugging Face folder that it was made of, or could have been made of.
 *
 *     struct restore *r;
 *     TRY(restore_plan(&r, &plan, model, &opt, &warn, err));       tensors and files: a plan with parts (core/parts.h)
 *     ... emit_file with .check = restore_check, .check_ctx = r ...
 *     restore_free(r);
 *
 * With a receipt every tensor gets back the name, the shape, the type and the order of elements that it had, and its digest is compared; with a full
 * one configuration and tokenizer files are the source's. Without one (or with `rebuild`) names come from the family's rules, read backwards, and
 * both kinds of files from the metadata.
 * Warnings: restored-rounded, restored-differs, restored-products, tokenizer-not-rebuilt; notes: files-rebuilt,
 * not-brought-back.
 */
#ifndef LATHE_RESTORE_H
#define LATHE_RESTORE_H

#include "base/warnings.h"
#include "core/emit.h"
#include "core/receipt.h"

struct restore_options {
    bool rebuild;         /* as if there were no receipt */
    enum dtype type;      /* of all tensors; DTYPE_COUNT: each its source's, or the narrowest that holds it */
    uint64_t shard_bytes; /* 0: one file */
};
struct restore;
/* m is a GGUF and outlives the plan; so does *out. */
enum status restore_plan(struct restore **out, struct plan *p, const struct model *m, const struct restore_options *opt, struct warnings *warn,
                         struct error *err);
/* Of an emit: compares what was written with the receipt's digests, and warns of differences. */
enum status restore_check(void *restore, const struct emit_written *w, struct error *err);
void restore_free(struct restore *r); /* NULL is allowed */

#endif

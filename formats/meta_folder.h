/* Checkpoints in the layout of Meta's LLaMA releases: consolidated.00.pth, consolidated.01.pth, ..., cut for tensor parallelism, with
 * params.json beside them. For checkpoint.c.
 *
 * Every shard holds a part of every tensor, all under one name. Which way a tensor was cut follows from its name: rows for wq, wk, wv, w1, w3
 * and output, columns for wo and w2, rows or columns for tok_embeddings (its shape tells), nothing for norms, of which every shard has a copy.
 * With more shards than key/value heads, shards in a row hold copies of one head. Names may stand inside a dict ({"model": ...}): the
 * joined tensors have Meta's own names.
 */
#ifndef LATHE_META_FOLDER_H
#define LATHE_META_FOLDER_H

#include "formats/checkpoint.h"

/* "consolidated.NN.pth": true, and NN */
bool meta_is_shard(const char *name, unsigned *number);
/* Joins the tensors of c->files, sorted by name, into c->joined. Reads no weights. c->params may be NULL. *n_beside: tensors of the shards that
 * are none of the model's (outside of the dict that holds it), which are passed over. */
enum status meta_join(struct checkpoint *c, size_t *n_beside, struct error *err);

#endif

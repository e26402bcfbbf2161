/* The steps that blocks of transformer families have in common, on top of the operations of models/forward.h. A family's forward pass names
 * the ones it is made of:
 *
 *     .embed = block_embed, .layer = block_pre_norm, .head = block_head      GPT-2, LLaMA
 *
 * What differs between two files of one model (fused or split q, k, v, their order, Conv1D, which elements a rotation pairs) is read from the
 * model's dialect, never from convert's transforms. What differs between models is read from hp (scale, window, activation, heads) or seen
 * from the tensors that are there (biases, q and k norms, a gate). A norm that has a bias is a layer norm, any other an RMS norm.
 * Every result is reported to the tap under the names that models/forward.h lists.
 */
#ifndef LATHE_BLOCK_H
#define LATHE_BLOCK_H

#include "models/forward.h"

/* x = token embedding (+ learned positions) */
enum status block_embed(struct forward *f, struct error *err);
/* dst = the role's norm of src: layer norm where the norm has a bias, else RMS */
enum status block_norm(struct forward *f, struct act *dst, const struct act *src, enum role r, int64_t layer,
                       struct error *err);
/* dst = output projection of the attention over src; uses scratch 1 to 4 */
enum status block_attention(struct forward *f, struct act *dst, const struct act *src, int64_t layer,
                            struct error *err);
/* dst = down(act(up(src))), or down(act(gate(src)) * up(src)) where there is a gate, in a matrix of its own or (hp->gate_up) in up's; uses
 * scratch 1 and 2. A layer of experts: models/moe.h */
enum status block_mlp(struct forward *f, struct act *dst, const struct act *src, int64_t layer,
                      struct error *err);

/* x += attention(norm(x)); x += mlp(norm(x)); what is added goes through a norm of its own first where the model has one */
enum status block_pre_norm(struct forward *f, int64_t layer, struct error *err);
/* x += attention(attn_norm(x)) + mlp(ffn_norm(x)), both from the block's input; without ffn_norm they share the first norm */
enum status block_parallel(struct forward *f, int64_t layer, struct error *err);
/* x = norm(x + attention(x)); x = norm(x + mlp(x)) */
enum status block_post_norm(struct forward *f, int64_t layer, struct error *err);
/* x = the last norm of x, if the model has one */
enum status block_head(struct forward *f, struct error *err);

#endif

/* What the families of the GLM line share: numbers that a config lacks and a tensor's shape gives, the quantized repositories' switch, positions
 * and masks of blank infilling, and rows of tables. For models/arch_*.c. */
#ifndef LATHE_GLM_LINE_H
#define LATHE_GLM_LINE_H

#include "models/block.h"
#include "models/config.h"

#define GLM_LINE "glm"

/* *n = dimension `dim` of the tensor, divided by `divide`, where the config gave none (*n is 0) and the tensor is there. */
void glm_dim(const struct config_reader *r, const char *pattern, int dim, int64_t divide, int64_t *n);
/* *n = how many layers have the tensor, where the config gave none. */
void glm_count_layers(const struct config_reader *r, const char *pattern, int64_t *n);
/* STATUS_NOTFOUND naming the key, the family of the tensors and the family whose config this looks like, if n is 0. */
enum status glm_need(const struct config_reader *r, const char *key, int64_t n, struct error *err);
/* A warning if the config's keys are another family's than the tensors. */
void glm_check_config(struct config_reader *r);
/* A bool of config.json; *out stays when the key is absent. */
enum status glm_bool(struct config_reader *r, const char *key, bool *out, struct error *err);
/* quantization_bit: 0, 4 or 8; P-tuning is refused. */
enum status glm_storage(struct config_reader *r, struct error *err);
/* llama.cpp's graph of `chatglm` wants heads that make up the width. */
void glm_remark_width(const struct hparams *hp, struct warnings *warn);
/* Is the tensor of layer 0 there? */
bool glm_has(const struct config_reader *r, const char *pattern);

/* No special token among the ids but a blank before the middle and the start of the piece that fills it. */
void glm_frame(const struct hparams *hp, int32_t *ids, int64_t n);

/* Block with hp->alpha: x = alpha * norm(x) + attention(norm(x)); the same with the feed-forward layer. */
enum status glm_normed_residual_block(struct forward *f, int64_t layer, struct error *err);

/* Split queries, keys and values as llama.cpp's converter writes them for the architectures that take both forms. */
#define GLM_SPLIT_QKV(out)                                                                                             \
    {.target = out "attn_q.weight", .role = ROLE_ATTN_Q, .shape = "H*D,E", .presence = PRESENCE_OPTIONAL},             \
        {.target = out "attn_q.bias", .role = ROLE_ATTN_Q, .part = PART_BIAS, .shape = "H*D",                          \
         .presence = PRESENCE_OPTIONAL},                                                                               \
        {.target = out "attn_k.weight", .role = ROLE_ATTN_K, .shape = "K*D,E", .presence = PRESENCE_OPTIONAL},         \
        {.target = out "attn_k.bias", .role = ROLE_ATTN_K, .part = PART_BIAS, .shape = "K*D",                          \
         .presence = PRESENCE_OPTIONAL},                                                                               \
        {.target = out "attn_v.weight", .role = ROLE_ATTN_V, .shape = "K*D,E", .presence = PRESENCE_OPTIONAL},         \
        {.target = out "attn_v.bias", .role = ROLE_ATTN_V, .part = PART_BIAS, .shape = "K*D",                          \
         .presence = PRESENCE_OPTIONAL}

#endif

/* A checkpoint that is known to be a model: family, hyperparameters, and every tensor bound to its role.
 *
 *     struct model *m;
 *     struct warnings w = {0};
 *     TRY(model_open(&m, "SmolLM2-135M/", &(struct model_options){0}, &w, err));
 *     const struct weight *wq = model_weight(m, ROLE_ATTN_Q, 3, PART_WEIGHT);
 *     model_close(m);
 *
 * After a successful open every required tensor is present, has the shape the configuration says, and no tensor is left unexplained:
 * a tensor that no rule lists, a missing one, a shape that contradicts the config, an unknown model type, activation or RoPE type are
 * errors that name the tensor or key with expected and found. Opening reads no weights, except to compare a stored output matrix with the
 * embedding that it is said to equal.
 * Warnings: config-key-unused, config-keys-differ (two spellings of one key), rope-blocks-differ, rope-theta-differs, rope-types-differ,
 * tied-head-dropped (equal to the embedding), tied-head-differs (both kept), lm-head-missing (taken as tied), task-head-dropped,
 * tensors-beside-dropped (an optimizer's, say, in a PyTorch file), family-from-tensors (a note),
 * vocab-size-differs (GGUF); from model_put_hparams: runtime-ignores-activation, rope-value-rounded (a float does not hold it).
 */
#ifndef LATHE_MODEL_H
#define LATHE_MODEL_H

#include "base/warnings.h"
#include "models/arch.h"
#include "models/config_quant.h"

struct weight {
    const struct ckpt_tensor *t;
    const struct tensor_rule *rule;
    int64_t layer; /* -1: not in a layer */
    /* tensors of a source that are one in a GGUF, t the first of them; 0: t alone */
    const struct ckpt_tensor *const *experts;
    size_t n_experts;
};
/* A tensor that convert writes although the source has none: rule->fill. */
struct model_fill {
    const struct tensor_rule *rule;
    int64_t layer;
    size_t before; /* its place in the order of the rules: before weights[before] */
};
/* What a weight's elements are multiplied with: one scale for each block_rows x block_cols of them, in a grid of grid_cols columns. */
struct model_scale {
    const struct ckpt_tensor *t;
    int64_t block_rows, block_cols, grid_cols;
};
struct model_options {
    const char *config_path; /* config.json or params.json to use instead of the folder's own; NULL: the folder's */
    /* For a look at headers: a stored output matrix is taken as a copy of the embedding if its beginning is, whatever the size. Not for
     * anything that computes. */
    bool headers_only;
};
struct model {
    struct checkpoint *ckpt;
    const struct arch *arch;
    struct hparams hp;
    bool is_gguf;            /* layout: arch->gguf or arch->source */
    const struct dialect *dialect;
    struct json *config;     /* config.json, or params.json told as one; NULL for GGUF */
    const char *config_path; /* the file it is from */
    bool from_params;        /* that is a params.json */
    const char *detected_by; /* how the family was recognised, for people */
    const char *wrapper;     /* what stands before every source name: "state_dict.", "module.", ..., usually "" */
    const char *name;        /* general.name, config _name_or_path's last part, or the folder's name; may be NULL */
    struct weight *weights;  /* all bound tensors, in rule order, layers ascending */
    size_t n_weights;
    struct model_fill *fills;
    size_t n_fills;
    struct quant quant;      /* what the config says about weights that another tool has quantized */
    struct model_scale **scales; /* of FP8 weights, by place in ckpt->tensors; NULL: none. See model_scale */
    size_t n_scales;
    size_t n_dropped;        /* source tensors passed over by PRESENCE_DROPPED rules */
    bool tie_dropped;        /* the source stores the output matrix too and it equals the embedding: tied, ROLE_OUTPUT is not bound */
    struct arena mem;
    void *index;
};
enum status model_open(struct model **out, const char *path, const struct model_options *opt, struct warnings *warn,
                       struct error *err);
/* The same for an open checkpoint, which the model owns from then on (also on failure). */
enum status model_bind(struct model **out, struct checkpoint *ckpt, const struct model_options *opt, struct warnings *warn,
                       struct error *err);
void model_close(struct model *m);
/* NULL when the model has no such tensor. layer -1 for tensors outside of layers. ROLE_OUTPUT of a tied model is NULL. */
const struct weight *model_weight(const struct model *m, enum role role, int64_t layer, enum part part);

/* Bytes of m's tensors in a layer, -1: outside of layers. 0 for NULL. */
uint64_t model_layer_bytes(const struct model *m, int64_t layer);

/* Positions that the model has learned vectors for; INT64_MAX: it has none to run out of (rotary, NULL). */
int64_t model_learned_positions(const struct model *m);
/* Of n positions as many as both have; b may be NULL. */
int64_t model_usable_positions(const struct model *a, const struct model *b, int64_t n);

/* The scales of a weight that is stored as FP8: its values are element * scale. NULL: they are what is stored. */
const struct model_scale *model_scale(const struct model *m, const struct ckpt_tensor *t);
/* A number for quantizing activations or caches at run time, which weights do not need. */
bool model_is_runtime_scale(const struct model *m, const struct ckpt_tensor *t);

/* Puts the family's keys ("<arch>.embedding_length", ..., RoPE keys, lathe.family, lathe.tied_embeddings, lathe.rope.source, and what
 * llama.cpp has no key for under "lathe.") into w, from hp. What the target runtime would ignore is warned about by name. */
enum status model_put_hparams(const struct arch *arch, const struct hparams *hp, struct gguf_writer *w, struct warnings *warn,
                              struct error *err);

/* The configuration that a checkpoint is opened with: config_path; else, of its folder, config.json, or params.json where that is what describes
 * the weights (a Meta folder, or no config.json). STATUS_NOTFOUND when there is none. *from_params: a params.json, told as a config.json. */
enum status model_load_config(struct json **out, const char **path, bool *from_params, const struct checkpoint *ckpt,
                              const char *config_path, struct arena *mem, struct warnings *warn, struct error *err);

/* Family from the checkpoint without binding: for inspect. *arch is NULL (and STATUS_OK) when it is no known family. */
enum status model_detect(const struct checkpoint *ckpt, const struct json *config, const struct arch **arch, const char **why,
                         struct error *err);

#endif

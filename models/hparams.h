/* What a family's configuration says, in one form for every family and for both spellings (config.json and GGUF keys). */
#ifndef LATHE_HPARAMS_H
#define LATHE_HPARAMS_H

#include "models/rope.h"

#include <stdbool.h>
#include <stdint.h>

enum activation {
    ACTIVATION_SILU,
    ACTIVATION_GELU_TANH, /* 0.5x(1 + tanh(sqrt(2/pi)(x + 0.044715x^3))): "gelu_new", "gelu_pytorch_tanh", "gelu_fast" */
    ACTIVATION_GELU_ERF,  /* 0.5x(1 + erf(x/sqrt 2)): "gelu" */
    ACTIVATION_GELU_QUICK, /* x/(1 + exp(-1.702x)) */
    ACTIVATION_RELU,
    ACTIVATION_COUNT
};

struct hparams {
    int64_t n_vocab;    /* V: rows of the token embedding */
    int64_t n_ctx;      /* P: trained context; rows of learned positions where there are any */
    int64_t n_layer;    /* L */
    int64_t n_embd;     /* E: width of the residual stream */
    int64_t n_ff;       /* F: width of the feed-forward layer */
    int64_t n_head;     /* H */
    int64_t n_head_kv;  /* K: H for multi-head attention, fewer for grouped queries */
    int64_t head_dim;   /* D: need not be E / H */
    double norm_eps;
    enum activation activation;
    bool tied;          /* the output matrix is the token embedding */
    bool attn_bias;     /* biases on the attention's projections */
    bool output_bias;   /* on the output matrix */
    bool mlp_bias;      /* biases on the feed-forward layer's */
    struct rope rope;   /* type ROPE_NONE: no rotary positions; rope.dim is R */
    double rope_part;   /* of a head that is rotated, where the config says a part; 0: it does not */
    bool multi_query;   /* a switch of some families, read by their `derive`: one key head */
    bool scale_attn;    /* a switch of some families, read by their `derive`: false means an attn_scale of 1 */
    double attn_scale;  /* of scores; 0: 1/sqrt(D) */
    bool attn_scale_by_layer; /* and divided by the layer's number, from 1 */
    int64_t window;     /* keys seen by a query of a local layer, itself included; 0: all before it */
    const bool *local;  /* (n_layer): which layers have the window; NULL: all; owned by the model's arena */
    bool parallel;      /* attention and feed-forward layer both read the block's input */
    int64_t bos_id, eos_id; /* -1: the config does not say */

    /* what the GLM line adds; zero elsewhere */
    bool gate_up;         /* ffn_up is (2F, E): the gate's rows, then up's */
    bool qkv_per_head;    /* the source's fused matrix is [heads][q, k, v], though the family's usual layout is blocks */
    bool layer_norm;      /* norms have a mean and a bias where the family's usual ones have not; config.json only */
    bool no_output_norm;  /* no norm before the output matrix; config.json only */
    bool rope_halves;     /* pairs of a rotation are halves in either file, whatever the dialect says */
    bool rope_rounded;    /* frequencies as F16 holds them */
    bool normed_residual; /* x = alpha norm(x) + f(norm(x)) */
    double alpha;         /* 0: 1 */
    bool position_2d;     /* halves of a head are rotated by two positions, rope.dim elements each */
    bool block_positions; /* T is P + 1, and there is a second table of positions */
    bool prefix_lm;       /* context is seen by every query; said in the file, the family's plan does it */
    bool qk_norm;         /* queries and keys of each head are normed; config.json only */
    int64_t n_expert;     /* X: routed experts of a layer; 0: none */
    int64_t n_expert_used, n_expert_shared;
    int64_t n_ff_expert;  /* M */
    int64_t n_ff_shared;  /* S */
    int64_t n_dense;      /* layers at the start without experts */
    int64_t n_nextn;      /* layers at the end that predict further tokens */
    int64_t expert_gating; /* llama.cpp's number: 2, a sigmoid */
    double expert_scale;  /* of the sum of routed experts */
    bool expert_norm;     /* their weights sum to 1 before that */
    int64_t sop_id, mask_id, gmask_id, smask_id; /* of blank infilling; -1: none */
};

/* What most families derive. head_dim = E / H, n_head_kv = H unless it is set; STATUS_MISMATCH where heads do not divide. */
enum status hparams_split_width(struct hparams *hp, struct error *err);
/* rope.dim, unless it is set: rope_part of a head, cut to an integer, or all of it. STATUS_RANGE beyond a head. */
enum status hparams_part_rotated(struct hparams *hp, struct error *err);
/* STATUS_RANGE where more is rotated than a head has; asked of every model with rotary positions before its frequencies are made. */
enum status hparams_rotated_fits(const struct hparams *hp, struct error *err);
double hparams_attn_scale(const struct hparams *hp, int64_t layer);
/* What queries have to be multiplied by for a runtime that always scales by 1/sqrt(D). */
double hparams_scale_ratio(const struct hparams *hp, int64_t layer);
/* 0: the layer has none */
int64_t hparams_window(const struct hparams *hp, int64_t layer);

/* Value of sums of products and quotients of the letters above and integers, as "3*E", "H*D", "E+2*D", "D/2". -1 when it overflows,
 * does not divide, or is not understood. */
int64_t hparams_eval(const struct hparams *hp, const char *expr);
const char *activation_name(enum activation a); /* Hugging Face's name */
/* any of Hugging Face's spellings; ACTIVATION_COUNT if unknown */
enum activation activation_from_name(const char *name);

#endif

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
    bool mlp_bias;      /* biases on the feed-forward layer's */
    struct rope rope;   /* type ROPE_NONE: no rotary positions */
    int64_t bos_id, eos_id; /* -1: the config does not say */
};

/* Value of sums of products and quotients of the letters above and integers, as "3*E", "H*D", "E+2*D", "D/2". -1 when it overflows,
 * does not divide, or is not understood. */
int64_t hparams_eval(const struct hparams *hp, const char *expr);
const char *activation_name(enum activation a); /* Hugging Face's name */
/* any of Hugging Face's spellings; ACTIVATION_COUNT if unknown */
enum activation activation_from_name(const char *name);

#endif

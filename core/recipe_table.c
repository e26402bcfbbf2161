/* Facts: llama.cpp's src/llama-quant.cpp and tools/quantize as vendored by llama-cpp-python 0.3.36. */
#include "core/recipe_rules.h"

#include <string.h>

/* Places in recipe_list, for the masks below. */
enum {
    F32, F16, BF16, COPY,
    Q1_0, Q2_0, IQ1_S, IQ1_M, TQ1_0, TQ2_0, IQ2_XXS, IQ2_XS, IQ2_S, IQ2_M, Q2_K_S, Q2_K, IQ3_XXS, IQ3_XS, Q3_K_S, IQ3_S, IQ3_M, Q3_K_M, Q3_K_L,
    IQ4_XS, IQ4_NL, Q4_0, Q4_K_S, Q4_1, Q4_K_M, Q5_0, Q5_K_S, Q5_1, Q5_K_M, Q6_K, Q8_0, MXFP4_MOE, MXFP4, NVFP4,
    N_RECIPES
};

const struct recipe recipe_list[] = {
    [F32] = {"F32", 0, DTYPE_F32, NULL, false, "every matrix as 32-bit floats"},
    [F16] = {"F16", 1, DTYPE_F16, NULL, false, "every matrix as half precision"},
    [BF16] = {"BF16", 32, DTYPE_BF16, NULL, false, "every matrix as bfloat16"},
    [COPY] = {"COPY", 0, DTYPE_COUNT, NULL, false, "every tensor as it is, in the quantizer's order"},
    [Q1_0] = {"Q1_0", 40, DTYPE_Q1_0, NULL, false, "a sign per weight, one scale per 128; output matrix Q6_K"},
    [Q2_0] = {"Q2_0", 41, DTYPE_Q2_0, NULL, false, "three levels, one scale per 64; embedding Q4_K, output matrix Q6_K"},
    [IQ1_S] = {"IQ1_S", 24, DTYPE_IQ1_S, NULL, false, "1.6 bits by codebook, attn_v and output more; needs an importance matrix"},
    [IQ1_M] = {"IQ1_M", 31, DTYPE_IQ1_M, NULL, false, "1.8 bits by codebook, attn_v and output more; needs an importance matrix"},
    [TQ1_0] = {"TQ1_0", 36, DTYPE_TQ1_0, NULL, false, "ternary, for models trained so; embedding Q4_K, output matrix Q6_K"},
    [TQ2_0] = {"TQ2_0", 37, DTYPE_TQ2_0, NULL, false, "ternary, larger and faster; embedding Q4_K, output matrix Q6_K"},
    [IQ2_XXS] = {"IQ2_XXS", 19, DTYPE_IQ2_XXS, NULL, false, "2.1 bits by codebook, attn_v and output more; needs an importance matrix"},
    [IQ2_XS] = {"IQ2_XS", 20, DTYPE_IQ2_XS, NULL, false, "2.3 bits by codebook, attn_v and output more; needs an importance matrix"},
    [IQ2_S] = {"IQ2_S", 28, DTYPE_IQ2_XS, NULL, false, "IQ2_XS with IQ3_S where it matters; needs an importance matrix"},
    [IQ2_M] = {"IQ2_M", 29, DTYPE_IQ2_S, NULL, false, "IQ2_S with IQ3_S where it matters; needs an importance matrix"},
    [Q2_K_S] = {"Q2_K_S", 21, DTYPE_Q2_K, NULL, false, "2 bits in super-blocks, little more; needs an importance matrix"},
    [Q2_K] = {"Q2_K", 10, DTYPE_Q2_K, NULL, false, "2 bits in super-blocks, Q3_K where it matters"},
    [IQ3_XXS] = {"IQ3_XXS", 23, DTYPE_IQ3_XXS, NULL, false, "3.1 bits by codebook; needs an importance matrix"},
    [IQ3_XS] = {"IQ3_XS", 22, DTYPE_IQ3_S, NULL, false, "IQ3_S and IQ3_XXS; needs an importance matrix"},
    [Q3_K_S] = {"Q3_K_S", 11, DTYPE_Q3_K, NULL, false, "3 bits in super-blocks"},
    [IQ3_S] = {"IQ3_S", 26, DTYPE_IQ3_S, NULL, false, "3.4 bits by codebook"},
    [IQ3_M] = {"IQ3_M", 27, DTYPE_IQ3_S, NULL, false, "IQ3_S with Q4_K where it matters"},
    [Q3_K_M] = {"Q3_K_M", 12, DTYPE_Q3_K, "Q3_K", false, "3 bits, Q4_K and Q5_K where it matters"},
    [Q3_K_L] = {"Q3_K_L", 13, DTYPE_Q3_K, NULL, false, "3 bits, Q5_K where it matters"},
    [IQ4_XS] = {"IQ4_XS", 30, DTYPE_IQ4_XS, NULL, false, "sixteen uneven levels in super-blocks"},
    [IQ4_NL] = {"IQ4_NL", 25, DTYPE_IQ4_NL, NULL, false, "sixteen uneven levels, one scale per 32 weights"},
    [Q4_0] = {"Q4_0", 2, DTYPE_Q4_0, NULL, false, "4 bits, one scale per 32 weights; output matrix Q6_K"},
    [Q4_K_S] = {"Q4_K_S", 14, DTYPE_Q4_K, NULL, false, "4 bits in super-blocks, Q5_K in the first layers"},
    [Q4_1] = {"Q4_1", 3, DTYPE_Q4_1, NULL, false, "4 bits, scale and offset per 32 weights; output matrix Q6_K"},
    [Q4_K_M] = {"Q4_K_M", 15, DTYPE_Q4_K, "Q4_K", false, "4 bits in super-blocks, Q6_K where it matters: the usual choice"},
    [Q5_0] = {"Q5_0", 8, DTYPE_Q5_0, NULL, false, "5 bits, one scale per 32 weights; output matrix Q6_K"},
    [Q5_K_S] = {"Q5_K_S", 16, DTYPE_Q5_K, NULL, false, "5 bits in super-blocks"},
    [Q5_1] = {"Q5_1", 9, DTYPE_Q5_1, NULL, false, "5 bits, scale and offset per 32 weights; output matrix Q6_K"},
    [Q5_K_M] = {"Q5_K_M", 17, DTYPE_Q5_K, "Q5_K", false, "5 bits in super-blocks, Q6_K where it matters"},
    [Q6_K] = {"Q6_K", 18, DTYPE_Q6_K, NULL, false, "6 bits, scales of 16 weights in super-blocks of 256"},
    [Q8_0] = {"Q8_0", 7, DTYPE_Q8_0, NULL, false, "8 bits, one scale per 32 weights"},
    [MXFP4_MOE] = {"MXFP4_MOE", 38, DTYPE_MXFP4, NULL, false, "experts as 4-bit floats, the rest Q8_0"},
    [MXFP4] = {"MXFP4", 38, DTYPE_MXFP4, NULL, true, "4-bit floats, a power of two per 32 weights, for every matrix"},
    [NVFP4] = {"NVFP4", 39, DTYPE_NVFP4, NULL, true, "4-bit floats, an 8-bit float per 16 weights, for every matrix"},
    [N_RECIPES] = {0},
};

/* --- conditions --- */

#define WHEN(name, expr)                                                                                     \
    static bool when_##name(const struct recipe_state *s, const struct subject *t)                           \
    {                                                                                                        \
        (void)s;                                                                                             \
        (void)t;                                                                                             \
        return expr;                                                                                         \
    }

static bool is_arch(const struct recipe_state *s, const char *arch)
{
    return strcmp(s->facts.arch, arch) == 0;
}

/* llama.cpp's use_more_bits: the first and the last eighth, and every third in between */
static bool more_bits(const struct subject *t)
{
    return t->i < t->n / 8 || t->i >= 7 * t->n / 8 || (t->i - t->n / 8) % 3 == 2;
}

WHEN(falcon, is_arch(s, "falcon"))
WHEN(not_falcon, !is_arch(s, "falcon"))
WHEN(unfit, t->cols % dtype_info(s->recipe->base)->block_len != 0)
WHEN(glm5_attn, is_arch(s, "glm5-next") && (strstr(t->name, "attn_q_a") || strstr(t->name, "attn_q_b") || strstr(t->name, "nextn.eh_proj")))
WHEN(expert, t->n_matrices > 1 && (!is_arch(s, "bailingmoe3") || t->class == CLASS_FFN_UP || t->class == CLASS_FFN_GATE || t->class == CLASS_FFN_DOWN))
WHEN(shared_by_4, s->facts.n_gqa >= 4)
WHEN(shared_by_4_or_experts, s->facts.n_gqa >= 4 || s->facts.n_expert >= 4)
WHEN(experts_8, s->facts.n_expert == 8)
WHEN(experts_8_falcon_no, s->facts.n_expert == 8 && !is_arch(s, "falcon"))
WHEN(no_imatrix, !s->facts.has_imatrix)
WHEN(more, more_bits(t))
WHEN(more_experts_8, s->facts.n_expert == 8 && more_bits(t))
WHEN(more_not_falcon, more_bits(t) && !is_arch(s, "falcon"))
WHEN(more_falcon, more_bits(t) && is_arch(s, "falcon"))
WHEN(first_2, t->i < 2)
WHEN(first_4, t->i < 4)
WHEN(first_8th, t->i < t->n / 8)
WHEN(first_8th_no_imatrix, t->i < t->n / 8 && !s->facts.has_imatrix)
WHEN(first_8th_imatrix, t->i < t->n / 8 && s->facts.has_imatrix)
WHEN(first_8th_not_falcon, t->i < t->n / 8 && !is_arch(s, "falcon"))
WHEN(first_16th, t->i < t->n / 16)
WHEN(first_16th_falcon, t->i < t->n / 16 && is_arch(s, "falcon"))
WHEN(middle, t->i >= t->n / 8 && t->i < 7 * t->n / 8)
WHEN(dense_not_falcon, s->facts.n_expert != 8 && !is_arch(s, "falcon"))
WHEN(is_70b, s->facts.is_70b)

/* --- rules --- */

#define R(name) (UINT64_C(1) << (name))
#define C(name) (1u << CLASS_##name)
#define ANY (~(UINT64_C(0)))
#define ALL ((1u << CLASS_COUNT) - 1)
#define IQ1 (R(IQ1_S) | R(IQ1_M))
#define IQ2_SMALL (R(IQ2_XXS) | R(IQ2_XS))
#define IQ2_LARGE (R(IQ2_S) | R(IQ2_M))
#define LOW (IQ1 | IQ2_SMALL | IQ2_LARGE)
#define FFN (C(FFN_UP) | C(FFN_GATE) | C(FFN_DOWN))

const uint64_t recipe_counts_tensors = LOW;

#define FIRST_8TH "ffn_down, first eighth of the layers"
#define FIRST_16TH "ffn_down, first sixteenth of the layers"
#define MORE_DOWN "ffn_down, first and last eighth of the layers and every third between"
#define MORE_V "attn_v, first and last eighth of the layers and every third between"
#define SHARED_V "attn_v, shared by four or more query heads"

const struct recipe_rule recipe_rules[] = {
    {ANY, ALL, when_glm5_attn, DTYPE_Q8_0, "low-rank query of GLM-5"},
    /* The output matrix, which is the token embedding of a tied model, is worth more bits. */
    {R(MXFP4_MOE), C(OUTPUT), NULL, DTYPE_Q8_0, "output matrix"},
    {ANY, C(OUTPUT), when_falcon, DTYPE_Q8_0, "output matrix of Falcon"},
    {ANY, C(OUTPUT), when_unfit, DTYPE_Q8_0, "output matrix, rows unfit for the recipe's type"},
    {LOW | R(IQ3_XXS), C(OUTPUT), NULL, DTYPE_Q5_K, "output matrix"},
    {R(Q8_0), C(OUTPUT), NULL, DTYPE_Q8_0, "output matrix"},
    {ANY, C(OUTPUT), NULL, DTYPE_Q6_K, "output matrix"},
    {R(MXFP4_MOE), ALL, when_expert, DTYPE_MXFP4, "experts"},
    {R(MXFP4_MOE), ALL, NULL, DTYPE_Q8_0, "not an expert"},
    {IQ1 | IQ2_SMALL, C(TOKEN_EMBD), NULL, DTYPE_Q2_K, "token embedding"},
    {IQ2_LARGE | R(IQ3_XXS), C(TOKEN_EMBD), NULL, DTYPE_IQ3_S, "token embedding"},
    {R(TQ1_0) | R(TQ2_0) | R(Q2_0), C(TOKEN_EMBD), NULL, DTYPE_Q4_K, "token embedding"},

    {LOW, C(ATTN_V), when_shared_by_4_or_experts, DTYPE_Q4_K, "attn_v, shared by four or more query heads or beside experts"},
    {IQ2_LARGE, C(ATTN_V), NULL, DTYPE_IQ3_S, "attn_v"},
    {LOW, C(ATTN_V), NULL, DTYPE_Q2_K, "attn_v"},
    {LOW, C(ATTN_K), when_experts_8, DTYPE_Q4_K, "attn_k beside eight experts"},
    {IQ2_LARGE, C(FFN_DOWN), when_first_8th, DTYPE_IQ3_S, FIRST_8TH},
    {LOW, C(FFN_DOWN), when_first_8th, DTYPE_Q2_K, FIRST_8TH},
    {LOW, C(ATTN_OUTPUT), when_experts_8, DTYPE_Q5_K, "attn_output beside eight experts"},
    {IQ1, C(ATTN_OUTPUT), NULL, DTYPE_IQ2_XXS, "attn_output"},
    {IQ2_LARGE, C(ATTN_OUTPUT), NULL, DTYPE_IQ3_S, "attn_output"},

    {R(Q2_K), C(ATTN_V), when_shared_by_4, DTYPE_Q4_K, SHARED_V},
    {R(Q2_K), C(ATTN_V), NULL, DTYPE_Q3_K, "attn_v"},
    {R(Q2_K_S) | R(IQ3_XXS) | R(IQ3_XS) | R(IQ3_S), C(ATTN_V), when_shared_by_4, DTYPE_Q4_K, SHARED_V},
    {R(IQ3_XXS), C(ATTN_V), when_no_imatrix, DTYPE_IQ3_S, "attn_v without an importance matrix"},
    {R(IQ3_M), C(ATTN_V), NULL, DTYPE_Q4_K, "attn_v"},
    {R(Q3_K_M), C(ATTN_V), when_first_2, DTYPE_Q5_K, "attn_v, first two layers"},
    {R(Q3_K_M), C(ATTN_V), NULL, DTYPE_Q4_K, "attn_v"},
    {R(Q3_K_L), C(ATTN_V), NULL, DTYPE_Q5_K, "attn_v"},
    {R(IQ4_NL) | R(IQ4_XS), C(ATTN_V), when_shared_by_4, DTYPE_Q5_K, SHARED_V},
    {R(Q4_K_M) | R(Q5_K_M), C(ATTN_V), when_more, DTYPE_Q6_K, MORE_V},
    {R(Q4_K_S), C(ATTN_V), when_first_4, DTYPE_Q5_K, "attn_v, first four layers"},

    {ANY, C(ATTN_K), when_experts_8, DTYPE_Q8_0, "attn_k beside eight experts"},
    {R(IQ3_XS), C(ATTN_K) | C(ATTN_Q), NULL, DTYPE_IQ3_XXS, "attn_q and attn_k"},
    {R(IQ3_XXS), C(ATTN_K) | C(ATTN_Q), NULL, DTYPE_IQ2_S, "attn_q and attn_k"},

    {R(Q2_K), C(FFN_DOWN), NULL, DTYPE_Q3_K, "ffn_down"},
    {R(Q2_K_S), C(FFN_DOWN), when_first_8th, DTYPE_Q4_K, FIRST_8TH},
    {R(IQ3_XXS), C(FFN_DOWN), when_first_8th_no_imatrix, DTYPE_Q4_K, FIRST_8TH},
    {R(IQ3_XXS), C(FFN_DOWN), when_no_imatrix, DTYPE_Q3_K, "ffn_down without an importance matrix"},
    {R(Q3_K_M), C(FFN_DOWN), when_first_16th, DTYPE_Q5_K, FIRST_16TH},
    {R(Q3_K_M), C(FFN_DOWN), when_not_falcon, DTYPE_Q4_K, "ffn_down"},
    {R(Q3_K_M), C(FFN_DOWN), when_more, DTYPE_Q4_K, MORE_DOWN},
    {R(IQ3_M), C(FFN_DOWN), when_first_8th, DTYPE_Q4_K, FIRST_8TH},
    {R(IQ3_M), C(FFN_DOWN), when_more_experts_8, DTYPE_Q4_K, MORE_DOWN},
    {R(Q3_K_L), C(FFN_DOWN), when_falcon, DTYPE_Q4_K, "ffn_down of Falcon"},
    {R(Q3_K_L), C(FFN_DOWN), NULL, DTYPE_Q5_K, "ffn_down"},
    {R(Q4_K_M), C(FFN_DOWN), when_first_16th_falcon, DTYPE_Q6_K, FIRST_16TH},
    {R(Q4_K_M), C(FFN_DOWN), when_more_falcon, DTYPE_Q5_K, MORE_DOWN},
    {R(Q4_K_M), C(FFN_DOWN), when_more_not_falcon, DTYPE_Q6_K, MORE_DOWN},
    {R(IQ4_NL) | R(IQ4_XS), C(FFN_DOWN), when_first_8th_no_imatrix, DTYPE_Q5_K, FIRST_8TH},
    {R(Q5_K_M), C(FFN_DOWN), when_more, DTYPE_Q6_K, MORE_DOWN},
    {R(Q4_K_S), C(FFN_DOWN), when_first_8th_not_falcon, DTYPE_Q5_K, FIRST_8TH},
    /* Q4_0 and Q5_0 go astray there even with an importance matrix, and their offset kin without one. */
    {R(Q4_0), C(FFN_DOWN), when_first_8th_imatrix, DTYPE_Q4_1, FIRST_8TH},
    {R(Q5_0), C(FFN_DOWN), when_first_8th_imatrix, DTYPE_Q5_1, FIRST_8TH},

    {R(Q2_K) | R(IQ3_XXS) | R(IQ3_XS) | R(IQ3_S) | R(IQ3_M) | R(Q3_K_S) | R(Q3_K_M) | R(IQ4_NL) | R(IQ4_XS) | R(Q4_K_S) | R(Q4_K_M), C(ATTN_OUTPUT),
     when_experts_8_falcon_no, DTYPE_Q5_K, "attn_output beside eight experts"},
    {R(Q3_K_L), C(ATTN_OUTPUT), when_falcon, DTYPE_Q4_K, "attn_output of Falcon"},
    {R(Q2_K), C(ATTN_OUTPUT), when_dense_not_falcon, DTYPE_Q3_K, "attn_output"},
    {R(IQ3_XXS), C(ATTN_OUTPUT), when_dense_not_falcon, DTYPE_IQ3_S, "attn_output"},
    {R(Q3_K_M) | R(IQ3_M), C(ATTN_OUTPUT), when_dense_not_falcon, DTYPE_Q4_K, "attn_output"},
    {R(Q3_K_L), C(ATTN_OUTPUT), when_dense_not_falcon, DTYPE_Q5_K, "attn_output"},

    {R(IQ3_XS), C(FFN_GATE) | C(FFN_UP), when_middle, DTYPE_IQ3_XXS, "ffn_gate and ffn_up, between the first and the last eighth of the layers"},
    {0},
};

const struct recipe_raise recipe_raises[] = {
    {ANY & ~LOW & ~R(MXFP4_MOE), C(ATTN_V), when_is_70b, DTYPE_Q3_K, DTYPE_Q5_K, "attn_v of a 70B model"},
    {ANY & ~LOW & ~R(MXFP4_MOE), C(ATTN_V), when_is_70b, DTYPE_Q4_K, DTYPE_Q5_K, "attn_v of a 70B model"},
    {ANY & ~LOW & ~R(MXFP4_MOE), C(ATTN_V), when_experts_8, DTYPE_COUNT, DTYPE_Q8_0, "attn_v beside eight experts"},
    {0},
};

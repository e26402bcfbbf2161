"""Checkpoints of the GPT line, made by transformers' own classes: every family, every switch that changes its arithmetic.

    python gpt_checkpoints.py OUT_DIR [NAME ...]

Sizes are awkward on purpose: heads that are no power of two, odd vocabularies, inner widths that are no multiple of the width, windows
shorter than the sequence. Every weight is random, norms and biases too, so that nothing can be lost unseen. Saving, casting and
tokenizers are make_checkpoints.py's.
"""
import json
import os
import re
import shutil
import sys

import numpy as np
import torch
import transformers
from make_checkpoints import DTYPES, cast, save, save_tokenizer

T = transformers
# family: (config class, model class, defaults, key of the context's length)
FAMILIES = {
    "gpt1": (T.OpenAIGPTConfig, T.OpenAIGPTLMHeadModel,
             dict(vocab_size=331, n_embd=42, n_layer=3, n_head=7, n_positions=40), "n_positions"),
    "gpt2": (T.GPT2Config, T.GPT2LMHeadModel,
             dict(vocab_size=331, n_embd=42, n_layer=3, n_head=7, n_positions=40, bos_token_id=300, eos_token_id=300),
             "n_positions"),
    "gptneo": (T.GPTNeoConfig, T.GPTNeoForCausalLM,
               dict(vocab_size=331, hidden_size=42, num_layers=4, num_heads=7, max_position_embeddings=40,
                    attention_types=[[["global", "local"], 2]], window_size=7, bos_token_id=300, eos_token_id=300),
               "max_position_embeddings"),
    "gptj": (T.GPTJConfig, T.GPTJForCausalLM,
             dict(vocab_size=331, n_embd=50, n_layer=3, n_head=5, n_positions=64, rotary_dim=6, bos_token_id=300,
                  eos_token_id=300), "n_positions"),
    "gptneox": (T.GPTNeoXConfig, T.GPTNeoXForCausalLM,
                dict(vocab_size=331, hidden_size=72, num_hidden_layers=3, num_attention_heads=3, intermediate_size=150,
                     max_position_embeddings=64, bos_token_id=300, eos_token_id=300), "max_position_embeddings"),
    "bigcode": (T.GPTBigCodeConfig, T.GPTBigCodeForCausalLM,
                dict(vocab_size=331, n_embd=42, n_layer=3, n_head=7, n_positions=40, bos_token_id=300,
                     eos_token_id=300), "n_positions"),
}
BARE = {"gpt1": "transformer.", "gpt2": "transformer.", "gptneo": "transformer.", "gptj": "transformer.",
        "gptneox": "gpt_neox.", "bigcode": "transformer."}


def rope(pct=0.25, theta=10000.0, **more):
    return dict(rope_parameters={"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": pct} | more)


def v(family, dtype="f32", container="safetensors", quirks=(), raw=None, drop=(), length=None, **config):
    return dict(family=family, dtype=dtype, container=container, quirks=quirks, raw=raw or {}, drop=drop, length=length,
                config=config)


OLD_NEOX = ("rope_parameters",)
N_CTX = {"n_ctx": 40}  # as published files say it, beside n_positions
VARIANTS = {
    "gpt1": v("gpt1"),
    # the published file: no prefix, masks, keys of 2018
    "gpt1-published": v("gpt1", dtype="f16", container="bin", quirks=["bare", "masks"],
                        raw={"n_ctx": 40, "n_special": 0, "predict_special_tokens": True,
                             "summary_activation": None, "task_specific_params": {}}),
    "gpt1-relu": v("gpt1", afn="relu"),
    "gpt1-silu": v("gpt1", afn="silu", n_head=3),
    "gpt1-untied": v("gpt1", dtype="bf16", tie_word_embeddings=False),

    "gpt2-unscaled": v("gpt2", raw=N_CTX, scale_attn_weights=False),
    "gpt2-by-layer": v("gpt2", raw=N_CTX, scale_attn_by_inverse_layer_idx=True),
    "gpt2-by-layer-bf16": v("gpt2", dtype="bf16", scale_attn_by_inverse_layer_idx=True),
    "gpt2-both": v("gpt2", raw=N_CTX, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True,
                   tie_word_embeddings=False),
    "gpt2-inner": v("gpt2", raw=N_CTX, n_inner=105, activation_function="gelu_pytorch_tanh"),
    "gpt2-cerebras": v("gpt2", container="bin", quirks=["bare"], raw={"architectures": ["GPT2Model"]}, n_embd=34, n_head=17,
                       n_inner=136, activation_function="gelu", reorder_and_upcast_attn=False),
    "gpt2-relu": v("gpt2", raw=N_CTX, activation_function="relu"),

    "gptneo": v("gptneo"),
    "gptneo-global": v("gptneo", attention_types=[[["global"], 4]], intermediate_size=90),
    "gptneo-mixed": v("gptneo", dtype="f16", attention_types=[[["local"], 1], [["global", "local", "local"], 1]], window_size=1,
                      num_heads=6),
    "gptneo-published": v("gptneo", container="bin", quirks=["masks"], window_size=39, num_heads=3,
                          raw={"embed_dropout": 0, "resid_dropout": 0, "gradient_checkpointing": False,
                               "summary_first_dropout": 0.1, "summary_type": "cls_index", "tokenizer_class": "GPT2Tokenizer",
                               "attention_layers": ["global", "local", "global", "local"]}),
    "gptneo-bare": v("gptneo", dtype="bf16", quirks=["bare"], activation_function="gelu", window_size=40),
    "gptneo-untied": v("gptneo", tie_word_embeddings=False, container="bin-sharded"),

    "gptj": v("gptj"),
    "gptj-published": v("gptj", dtype="f16", container="bin", quirks=["masks"], n_inner=90,
                        raw={"rotary": True, "scale_attn_weights": True, "summary_type": "cls_index",
                             "gradient_checkpointing": False, "tie_word_embeddings": False}),
    "gptj-whole": v("gptj", rotary_dim=10),
    "gptj-tied": v("gptj", dtype="bf16", rotary_dim=2, tie_word_embeddings=True, activation_function="gelu"),

    "gptneox": v("gptneox", hidden_act="gelu_fast"),
    "gptneox-pythia": v("gptneox", dtype="f16", container="bin", quirks=["masks", "inv_freq"], drop=OLD_NEOX,
                        raw={"rotary_pct": 0.25, "rotary_emb_base": 10000, "hidden_act": "gelu"}, hidden_act="gelu"),
    "gptneox-sequential": v("gptneox", use_parallel_residual=False, hidden_act="gelu_fast", **rope(1.0, 500.0)),
    "gptneox-old-keys": v("gptneox", drop=OLD_NEOX, use_parallel_residual=False, num_attention_heads=4, hidden_act="gelu_fast",
                          raw={"rotary_pct": 0.45, "rotary_emb_base": 777, "rope_theta": 777,
                               "partial_rotary_factor": 0.45}, **rope(0.45, 777.0)),
    "gptneox-no-bias": v("gptneox", attention_bias=False, hidden_act="gelu_new"),
    "gptneox-tied": v("gptneox", dtype="bf16", tie_word_embeddings=True, hidden_act="gelu_new"),
    "gptneox-tied-copy": v("gptneox", quirks=["head_copy"], tie_word_embeddings=True, hidden_act="gelu_new"),
    "gptneox-linear": v("gptneox", hidden_act="gelu_new", **rope(0.5, rope_type="linear", factor=4.0)),
    "gptneox-old-linear": v("gptneox", drop=OLD_NEOX, hidden_act="gelu_new", **rope(0.5, rope_type="linear", factor=4.0),
                            raw={"rotary_pct": 0.5, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    # original contexts shorter than the sequence of 56
    "gptneox-yarn": v("gptneox", hidden_act="gelu_new",
                      **rope(0.5, rope_type="yarn", factor=4.0, original_max_position_embeddings=16)),
    "gptneox-yarn-options": v("gptneox", hidden_act="gelu_new",
                              **rope(0.75, rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=16.0,
                                     beta_slow=2.0, attention_factor=1.25, truncate=False)),
    "gptneox-dynamic": v("gptneox", hidden_act="gelu_new", max_position_embeddings=24, length=56,
                         **rope(0.5, rope_type="dynamic", factor=2.0)),
    "gptneox-llama3": v("gptneox", hidden_act="gelu_new",
                        **rope(1.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                               original_max_position_embeddings=16)),
    "gptneox-longrope": v("gptneox", hidden_act="gelu_new",
                          **rope(0.5, rope_type="longrope", factor=4.0, original_max_position_embeddings=16,
                                 short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5], long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0])),
    "gptneox-bare": v("gptneox", quirks=["bare", "lm_head"], container="safetensors-sharded", num_attention_heads=9,
                      hidden_act="relu", **rope(0.5)),

    "bigcode": v("bigcode"),
    "bigcode-starcoder": v("bigcode", dtype="bf16", n_inner=90, activation_function="gelu",
                           raw={"attention_softmax_in_fp32": True, "inference_runner": 0, "max_batch_size": None,
                                "max_sequence_length": None, "pad_key_length": True, "pre_allocate_kv_cache": False,
                                "scale_attention_softmax_in_fp32": True, "validate_runner_input": True}),
    "bigcode-mha": v("bigcode", multi_query=False),
    "bigcode-unscaled": v("bigcode", scale_attn_weights=False, n_head=3),
    "bigcode-mha-unscaled": v("bigcode", dtype="f16", scale_attn_weights=False, multi_query=False, quirks=["masks"],
                              container="bin", tie_word_embeddings=False),
}


def randomize(model, seed):
    """A lively model: attention far from flat, logits of about 5."""
    g = torch.Generator().manual_seed(seed)
    conv1d = {id(m.weight) for m in model.modules() if type(m).__name__ == "Conv1D"}
    unscaled = not getattr(model.config, "scale_attn_weights", True) or model.config.model_type == "gpt_neo"
    for name, p in model.named_parameters():
        normal = torch.randn(p.shape, generator=g)
        fan_in = p.shape[0] if id(p) in conv1d else p.shape[-1]
        if p.dim() == 1:
            norm = re.search(r"norm|ln_", name) and name.endswith("weight")
            value = 1 + 0.2 * normal if norm else 0.3 * normal
        elif re.search(r"wte|embed_in|tokens_embed", name):
            value = normal * (2.0 / p.shape[1] ** 0.5 if model.config.tie_word_embeddings else 1.0)
        elif re.search(r"wpe|positions_embed", name):
            value = normal * 0.5
        elif re.search(r"[qk]_proj|c_attn|query_key_value", name):
            value = normal * ((0.8 if unscaled else 1.6) / fan_in ** 0.5)
        elif re.search(r"lm_head|embed_out", name):
            value = normal * (1.8 / fan_in ** 0.5)
        else:
            value = normal * (1.0 / fan_in ** 0.5)
        p.data.copy_(value)


# --- quirks of published files --------------------------------------------------------------------------------------

def quirk_bare(state, config, family):
    for k in [k for k in state if k.startswith(BARE[family])]:
        state[k[len(BARE[family]):]] = state.pop(k)


def quirk_masks(state, config, family):
    """Buffers beside the attention's weights: masks of bool or u8 or float, and a constant."""
    n = 40
    kinds = [torch.uint8, torch.bool, torch.float32]
    owners = sorted({m.group(1) for k in state for m in [re.match(r"(.*(?:attn(?:\.attention)?|attention))\.[^.]+\.weight$", k)] if m})
    assert owners
    for i, owner in enumerate(owners):
        state[owner + ".bias"] = torch.tril(torch.ones(n, n)).to(kinds[i % 3]).view(1, 1, n, n)
        if family != "gpt1":
            state[owner + ".masked_bias"] = torch.tensor(-1e9)


def quirk_inv_freq(state, config, family):
    for i in range(config.num_hidden_layers):
        state[f"gpt_neox.layers.{i}.attention.rotary_emb.inv_freq"] = torch.tensor([1.0, 0.2, 0.05]).half()  # never to be used


def quirk_head_copy(state, config, family):
    state["embed_out.weight"] = state["gpt_neox.embed_in.weight"].clone()


def quirk_lm_head(state, config, family):
    assert "embed_out.weight" in state
    state["lm_head.weight"] = state.pop("embed_out.weight")


QUIRKS = {"bare": quirk_bare, "masks": quirk_masks, "inv_freq": quirk_inv_freq, "lm_head": quirk_lm_head,
          "head_copy": quirk_head_copy}


def saved_state(model, config):
    """The state dict under the names that save_pretrained uses on disk."""
    state = {k: t.detach().clone() for k, t in model.state_dict().items()}
    if config.model_type == "gpt_neox" and "lm_head.weight" in state:
        state["embed_out.weight"] = state.pop("lm_head.weight")
    if config.tie_word_embeddings:
        for name in ("lm_head.weight", "embed_out.weight"):
            state.pop(name, None)
    return state


def make(name, out_dir, variants=VARIANTS, tokenizer=True):
    """Gives (folder, ids)."""
    variant = variants[name]
    family = variant["family"]
    make_config, make_model, defaults, context = FAMILIES[family]
    out = os.path.join(out_dir, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    seed = list(variants).index(name) + 100
    config = make_config(**(defaults | variant["config"]))
    model = make_model(config).eval()
    randomize(model, seed)
    state = saved_state(model, config)
    cast(state, variant["dtype"], False)
    for quirk in variant["quirks"]:
        QUIRKS[quirk](state, config, family)
    config.dtype = DTYPES[variant["dtype"]]
    raw = json.loads(config.to_json_string()) | {"architectures": [make_model.__name__]} | variant["raw"]
    for key in variant["drop"]:
        raw.pop(key, None)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(raw, f, indent=2)
    save(state, out, variant["container"])
    if tokenizer:
        save_tokenizer("gpt2-json" if family in ("gptneox", "bigcode") else "gpt2", out)
    n = variant["length"] or min(getattr(config, context), 56)
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, n)
    with open(os.path.join(out, "tokens.txt"), "w") as f:
        f.write(" ".join(map(str, ids)) + "\n")
    return out, [int(i) for i in ids]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for each in sys.argv[2:] or VARIANTS:
        make(each, sys.argv[1])

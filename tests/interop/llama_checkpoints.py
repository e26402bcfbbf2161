"""Checkpoints of the LLaMA line, made by transformers' own classes: every family, every kind of RoPE scaling, every spelling of it.

    python llama_checkpoints.py OUT_DIR [NAME ...]

Sizes are awkward on purpose: heads that do not make up the width where a family allows it, three query heads to a key head, odd
vocabularies, windows and original contexts shorter than the sequences. Weights come from transformers' classes and do not depend on
the RoPE block, which is written into config.json exactly as a variant spells it.
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
import transformers
from make_checkpoints import DTYPES, cast, quirk_inv_freq, randomize, save, save_tokenizer

T = transformers
BASE = dict(vocab_size=331, hidden_size=54, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
            intermediate_size=77, rms_norm_eps=1e-5, max_position_embeddings=256, bos_token_id=300, eos_token_id=301)
FAMILIES = {
    "llama": (T.LlamaConfig, T.LlamaForCausalLM, BASE),
    "mistral": (T.MistralConfig, T.MistralForCausalLM, BASE | dict(sliding_window=None)),
    "qwen2": (T.Qwen2Config, T.Qwen2ForCausalLM,
              {k: v for k, v in BASE.items() if k != "head_dim"} | dict(hidden_size=96, num_attention_heads=6, rms_norm_eps=1e-6)),
    "qwen3": (T.Qwen3Config, T.Qwen3ForCausalLM, BASE | dict(rms_norm_eps=1e-6)),
}


def v(family, dtype="f32", container="safetensors", lengths=(80,), rope=None, raw=None, drop=(), quirks=(), tokenizer="llama",
      warns=(), peer=None, runtime=True, scaled=None, **config):
    """rope: top-level keys that replace rope_parameters; raw, drop: keys changed in config.json; warns: what convert has to say;
    peer: "wrong" where llama.cpp's converter is known to lose something; runtime: False where llama.cpp cannot do it, "refuses" where
    its loader does; scaled: lengths at which llama.cpp is compared, where not all."""
    return dict(family=family, dtype=dtype, container=container, lengths=lengths, rope=rope, raw=raw or {}, drop=drop, quirks=quirks,
                tokenizer=tokenizer, warns=set(warns), peer=peer, runtime=runtime, scaled=scaled, config=config)


O = dict(original_max_position_embeddings=64)
SHORT = [round(1 + 0.03 * p * p / 8, 4) for p in range(16)]
LONG = [round(1 + 0.9 * p + 0.05 * p * p, 4) for p in range(16)]
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0) | O
YARN = dict(factor=4.0) | O
ODD = YARN | dict(beta_fast=16, beta_slow=2, attention_factor=1.3)
LONGROPE = dict(short_factor=SHORT, long_factor=LONG, original_max_position_embeddings=256)
AROUND = (40, 64, 65, 200)  # of an original context of 64
M64 = dict(max_position_embeddings=64)


def scaling(kind, block, spelling="rope_type", theta=10000.0):
    return {"rope_theta": theta, "rope_scaling": {spelling: kind} | block}


def parameters(kind, block, theta=10000.0):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta} | block}


IGNORED = ["runtime-ignores-rope"]
OLD = ("head_dim", "attention_bias", "mlp_bias", "rope_parameters")
VARIANTS = {
    # LLaMA 1 to 3.3 and stand-ins
    "llama-1": v("llama", dtype="f16", container="bin-sharded", quirks=["inv_freq"], drop=OLD + ("num_key_value_heads",), rope={},
                 tokenizer="spm", hidden_size=60, head_dim=10, num_key_value_heads=6, vocab_size=401, bos_token_id=1, eos_token_id=2,
                 rms_norm_eps=1e-6),
    "llama-2": v("llama", dtype="f16", container="bin", rope={"rope_scaling": None}, raw={"pretraining_tp": 1}, tokenizer="spm",
                 hidden_size=60, head_dim=10, vocab_size=401, bos_token_id=1, eos_token_id=2),
    "llama-3": v("llama", dtype="bf16", rope={"rope_theta": 500000.0, "rope_scaling": None}),
    "llama-3.1": v("llama", dtype="bf16", lengths=AROUND, rope=scaling("llama3", LLAMA3, theta=500000.0)),
    "llama-3.2": v("llama", dtype="bf16", lengths=(200,), rope=scaling("llama3", LLAMA3 | dict(factor=32.0), theta=500000.0),
                   tie_word_embeddings=True),
    "llama-3.3": v("llama", lengths=(200,), rope=parameters("llama3", LLAMA3, 500000.0)),
    "tinyllama": v("llama", rope={"rope_scaling": None}, raw={"pretraining_tp": 1}, num_key_value_heads=1),
    "smollm2": v("llama", dtype="bf16", rope={"rope_theta": 100000, "rope_scaling": None}, num_attention_heads=9, num_key_value_heads=3,
                 head_dim=6, raw={"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"dtype": "q4"}},
                 tie_word_embeddings=True),
    "llama-biases": v("llama", attention_bias=True, mlp_bias=True),
    # RoPE on architecture llama, in every spelling
    "linear": v("llama", lengths=AROUND, rope=scaling("linear", dict(factor=4.0), "type"), **M64),
    "linear-5": v("llama", lengths=(200,), rope=parameters("linear", dict(factor=2.5), 20000.0)),
    "dynamic": v("llama", lengths=AROUND, rope=scaling("dynamic", dict(factor=4.0), "type"), warns=IGNORED, runtime=False,
                 peer="wrong", **M64),
    "dynamic-5": v("llama", lengths=(65, 200), rope=parameters("dynamic", dict(factor=2.0)), warns=IGNORED, runtime=False,
                   peer="wrong", **M64),
    "yarn": v("llama", lengths=AROUND, rope=scaling("yarn", YARN, "type")),
    "yarn-5": v("llama", lengths=(200,), rope=parameters("yarn", YARN, 50000.0)),
    "yarn-outside": v("llama", lengths=(200,), peer="wrong",
                      rope=scaling("yarn", dict(factor=4.0, original_max_position_embeddings=128)) | O),
    "yarn-no-original": v("llama", lengths=(200,), rope=scaling("yarn", dict(factor=4.0)), **M64),
    "yarn-null-factor": v("llama", lengths=(200,), rope=scaling("yarn", YARN | dict(factor=None)), peer="wrong"),
    "yarn-odd": v("llama", lengths=AROUND, rope=scaling("yarn", ODD), peer="wrong"),
    "yarn-untruncated": v("llama", lengths=(200,), rope=scaling("yarn", YARN | dict(truncate=False)), peer="wrong"),
    "yarn-mscale": v("llama", lengths=(200,), rope=parameters("yarn", YARN | dict(mscale=0.7, mscale_all_dim=0.3)), peer="wrong"),
    "yarn-everything": v("llama", lengths=(200,), peer="wrong",
                         rope=parameters("yarn", YARN | dict(mscale=1.0, mscale_all_dim=0.8, truncate=False, beta_fast=24,
                                                             beta_slow=1.5), 150000.0)),
    "longrope": v("llama", lengths=(200, 256, 257, 400), rope=scaling("longrope", LONGROPE), peer="wrong", max_position_embeddings=1024),
    "longrope-su": v("llama", lengths=(200, 300), rope=scaling("su", LONGROPE | dict(factor=8.0), "type"), peer="wrong",
                     max_position_embeddings=1024),
    "longrope-outside": v("llama", lengths=(200, 300), peer="wrong",
                          rope=parameters("longrope", {k: x for k, x in LONGROPE.items() if k != "original_max_position_embeddings"} |
                                          dict(attention_factor=1.2)) | dict(original_max_position_embeddings=256)),
    "llama3-type": v("llama", lengths=(200,), rope=scaling("llama3", LLAMA3, "type")),
    "llama3-outside": v("llama", lengths=(200,), peer="wrong",
                        rope=scaling("llama3", {k: x for k, x in LLAMA3.items() if k not in O}) | O),
    # Mistral: windows, heads that do not make up the width (Nemo), class defaults
    "mistral": v("mistral", dtype="bf16", lengths=(6, 7, 8, 80), sliding_window=7, warns=["runtime-ignores-window"], runtime=False,
                 peer="wrong"),
    "mistral-1": v("mistral", lengths=(5, 80), sliding_window=1, warns=["runtime-ignores-window"], runtime=False, peer="wrong"),
    "mistral-0.3": v("mistral", rope={"rope_theta": 1000000.0}),
    "mistral-nemo": v("mistral", dtype="bf16", hidden_size=50, head_dim=16, rope={"rope_theta": 1000000.0}),
    "mistral-defaults": v("mistral", drop=("num_key_value_heads", "sliding_window", "head_dim", "rope_parameters", "rms_norm_eps"),
                          rope={}, hidden_size=96, num_attention_heads=24, num_key_value_heads=8, head_dim=4, rms_norm_eps=1e-6),
    "mistral-yarn": v("mistral", lengths=(65, 200), rope=parameters("yarn", ODD), peer="wrong"),
    # Qwen2: biases, windows by layer
    "qwen2": v("qwen2", dtype="bf16", rope={"rope_theta": 1000000.0}, raw={"use_mrope": False}),
    "qwen2-tied": v("qwen2", tie_word_embeddings=True),
    "qwen2-windows": v("qwen2", lengths=(8, 9, 10, 80), use_sliding_window=True, sliding_window=9, max_window_layers=1,
                       drop=("layer_types",), warns=["runtime-ignores-window"], runtime=False, peer="wrong"),
    "qwen2-window-off": v("qwen2", sliding_window=9, max_window_layers=1, raw={"sliding_window": 9, "layer_types": None}),
    "qwen2-layer-types": v("qwen2", lengths=(80,), use_sliding_window=True, sliding_window=5, warns=["runtime-ignores-window"],
                           layer_types=["sliding_attention", "full_attention", "sliding_attention"], runtime=False, peer="wrong"),
    "qwen2-head-dim": v("qwen2", head_dim=10, warns=["runtime-refuses-shape"], runtime="refuses"),
    "qwen2.5-yarn": v("qwen2", lengths=(65, 200), rope=scaling("yarn", YARN, "type", 1000000.0)),
    "qwen2-linear": v("qwen2", lengths=(200,), rope=scaling("linear", dict(factor=4.0))),
    "qwen2-yarn-attention": v("qwen2", lengths=(200,), rope=scaling("yarn", YARN | dict(attention_factor=1.3)), peer="wrong"),
    "qwen2-yarn-odd": v("qwen2", lengths=(200,), rope=scaling("yarn", ODD), warns=IGNORED, runtime=False, peer="wrong"),
    "qwen2-llama3": v("qwen2", lengths=(200,), rope=scaling("llama3", LLAMA3), warns=IGNORED, runtime=False, peer="wrong"),
    "qwen2-dynamic": v("qwen2", lengths=(64, 200), rope=scaling("dynamic", dict(factor=4.0)), warns=IGNORED, runtime=False,
                       peer="wrong", **M64),
    "qwen2-longrope": v("qwen2", lengths=(200, 300), warns=IGNORED, runtime=False, peer="wrong",
                        rope=scaling("longrope", dict(short_factor=SHORT[:8], long_factor=LONG[:8],
                                                      original_max_position_embeddings=256))),
    # Qwen3: q and k norms
    "qwen3": v("qwen3", dtype="bf16", rope={"rope_theta": 1000000.0}),
    "qwen3-tied": v("qwen3", container="safetensors-sharded", tie_word_embeddings=True),
    "qwen3-defaults": v("qwen3", drop=("head_dim", "rms_norm_eps"), head_dim=128, hidden_size=30, num_attention_heads=3,
                        num_key_value_heads=1),
    "qwen3-windows": v("qwen3", lengths=(9, 10, 80), use_sliding_window=True, sliding_window=9, max_window_layers=2,
                       warns=["runtime-ignores-window"], runtime=False, peer="wrong"),
    "qwen3-biases": v("qwen3", attention_bias=True, warns=["runtime-refuses-bias"], runtime="refuses"),
    "qwen3-yarn": v("qwen3", lengths=(65, 200), rope=parameters("yarn", YARN, 1000000.0)),
    "qwen3-llama3": v("qwen3", lengths=(200,), rope=scaling("llama3", LLAMA3), warns=IGNORED, runtime=False, peer="wrong"),
    "qwen3-dynamic": v("qwen3", lengths=(65, 200), rope=scaling("dynamic", dict(factor=4.0)), warns=IGNORED, runtime=False,
                       peer="wrong", **M64),
}


def config_json(config, variant):
    c = json.loads(config.to_json_string())
    c["architectures"] = config.architectures
    if variant["rope"] is not None:
        for key in ("rope_parameters", "rope_theta"):
            c.pop(key, None)
        c |= variant["rope"]
    c |= variant["raw"]
    for key in variant["drop"]:
        c.pop(key, None)
    return c


def make(name, out_dir, variants=VARIANTS, tokenizer=True):
    """The folder and its ids, as many as the longest length."""
    variant = variants[name]
    out = os.path.join(out_dir, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    seed = 1000 + list(variants).index(name)
    config_class, model_class, defaults = FAMILIES[variant["family"]]
    config = config_class(**(defaults | variant["config"]))
    torch.manual_seed(seed)
    model = model_class(config).eval()
    randomize(model, seed)
    state = {k: t.detach().clone() for k, t in model.state_dict().items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    cast(state, variant["dtype"], False)
    if "inv_freq" in variant["quirks"]:
        quirk_inv_freq(state, config)
    config.architectures = [model_class.__name__]
    config.dtype = DTYPES[variant["dtype"]]
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config_json(config, variant), f, indent=2)
    save(state, out, variant["container"])
    if tokenizer:
        save_tokenizer(variant["tokenizer"], out)
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, max(variant["lengths"]))
    return out, [int(i) for i in ids]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for checkpoint in sys.argv[2:] or VARIANTS:
        make(checkpoint, sys.argv[1])

"""Tiny checkpoints of every family with transformers' logits in double: tests/unit/test_families.c.

    python make_family_vectors.py [llama]   in the environment of tests/interop/setup.sh (torch 2.13.0, transformers 5.23.0); writes families/,
                                            or only those of the LLaMA line

Each folder: config.json, model.safetensors or pytorch_model.bin, tokens.txt, and logits_f64.npy (tokens, vocabulary), computed as
tests/interop/reference.py says. Random weights, fixed seeds.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))

import numpy as np

import gpt_checkpoints
import llama_checkpoints
import reference
from gpt_checkpoints import rope, v

GPT2 = dict(vocab_size=37, n_embd=24, n_layer=2, n_head=3, n_positions=13, n_inner=30, bos_token_id=1, eos_token_id=1)
NEOX = dict(vocab_size=37, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=30,
            max_position_embeddings=16, bos_token_id=1, eos_token_id=1)
FIXTURES = {
    "gpt1": v("gpt1", "bf16", vocab_size=37, n_embd=16, n_layer=2, n_head=4, n_positions=13),
    "gpt2-scales": v("gpt2", "f16", scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True,
                     reorder_and_upcast_attn=True, **GPT2),
    "gpt2-cerebras": v("gpt2", "bf16", quirks=["bare", "masks"], raw={"architectures": ["GPT2Model"]},
                       activation_function="gelu", **GPT2),
    "gptneo": v("gptneo", "bf16", quirks=["masks"], vocab_size=37, hidden_size=24, num_layers=3, num_heads=3,
                intermediate_size=30, max_position_embeddings=13, attention_types=[[["global", "local"], 1], [["local"], 1]],
                window_size=4, bos_token_id=1, eos_token_id=1),
    "gptj": v("gptj", "bf16", rotary_dim=4, **(GPT2 | dict(n_positions=16))),
    "gptneox": v("gptneox", "bf16", hidden_act="gelu", **NEOX, **rope(0.5)),
    "gptneox-sequential": v("gptneox", "bf16", drop=("rope_parameters",), use_parallel_residual=False, attention_bias=False,
                            tie_word_embeddings=True, hidden_act="gelu_fast",
                            raw={"rotary_pct": 0.75, "rotary_emb_base": 500}, **NEOX, **rope(0.75, 500.0)),
    "bigcode": v("bigcode", "bf16", activation_function="gelu", **GPT2),
    "bigcode-mha": v("bigcode", "bf16", multi_query=False, scale_attn_weights=False, **GPT2),
}

# The LLaMA line: 13 ids, lengths of training around that.
LLAMA = dict(vocab_size=37, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=8,
             intermediate_size=30, max_position_embeddings=32, bos_token_id=1, eos_token_id=2)
WIDE = LLAMA | dict(hidden_size=30, head_dim=16)
QWEN2 = {k: x for k, x in LLAMA.items() if k != "head_dim"}
O = dict(original_max_position_embeddings=8)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0) | O
LISTS = dict(short_factor=[1.0, 1.25, 1.5, 2.5], long_factor=[1.0, 2.5, 4.5, 9.75])


def line(family, rope=None, defaults=LLAMA, **config):
    options = {k: config.pop(k) for k in ("raw", "drop", "quirks") if k in config}
    return llama_checkpoints.v(family, "bf16", lengths=(13,), rope=rope, **options, **(defaults | config))


scaling = llama_checkpoints.scaling
LLAMA_FIXTURES = {
    "llama-biases": line("llama", scaling("linear", dict(factor=4.0), "type"), attention_bias=True, mlp_bias=True, quirks=["inv_freq"]),
    "llama-llama3": line("llama", llama_checkpoints.parameters("llama3", LLAMA3), WIDE),
    "llama-dynamic": line("llama", scaling("dynamic", dict(factor=4.0), "type"), max_position_embeddings=12),
    "llama-dynamic-within": line("llama", scaling("dynamic", dict(factor=4.0)), max_position_embeddings=13),
    "llama-yarn": line("llama", scaling("yarn", dict(factor=4.0) | O), WIDE),
    "llama-yarn-odd": line("llama", scaling("yarn", dict(factor=4.0, beta_fast=2, beta_slow=0.5, truncate=False, mscale=0.7,
                                                         mscale_all_dim=0.3)) | O, WIDE),
    "llama-longrope": line("llama", scaling("longrope", LISTS | dict(original_max_position_embeddings=12))),
    "llama-longrope-within": line("llama", scaling("longrope", LISTS | dict(original_max_position_embeddings=13))),
    "mistral": line("mistral", None, WIDE, sliding_window=4),
    "qwen2": line("qwen2", {"rope_theta": 1000000.0}, QWEN2, drop=("layer_types",), use_sliding_window=True, sliding_window=4,
                  max_window_layers=1),
    "qwen2-yarn": line("qwen2", scaling("yarn", dict(factor=4.0, attention_factor=1.3) | O), QWEN2, tie_word_embeddings=True),
    "qwen2-llama3": line("qwen2", scaling("llama3", LLAMA3), QWEN2),
    "qwen3": line("qwen3", None, WIDE, use_sliding_window=True, sliding_window=5, max_window_layers=0),
    "qwen3-dynamic": line("qwen3", scaling("dynamic", dict(factor=2.0)), max_position_embeddings=8, attention_bias=True),
}


def finish(folder, logits):
    np.save(os.path.join(folder, "logits_f64.npy"), logits)
    # who wrote the file changes with the library; the test does not need it
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        config = json.load(f)
    config.pop("transformers_version", None)
    with open(path, "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")


def main():
    out_dir = os.path.join(HERE, "families")
    for name in LLAMA_FIXTURES:
        folder, ids = llama_checkpoints.make(name, out_dir, LLAMA_FIXTURES, tokenizer=False)
        with open(os.path.join(folder, "tokens.txt"), "w") as f:
            f.write(" ".join(map(str, ids)) + "\n")
        finish(folder, reference.logits_f64(folder, ids))
    if "llama" in sys.argv[1:]:
        return
    for name in FIXTURES:
        folder, ids = gpt_checkpoints.make(name, out_dir, FIXTURES, tokenizer=False)
        upcast = {"reorder_and_upcast_attn": False} if FIXTURES[name]["family"] == "gpt2" else {}
        finish(folder, reference.logits_f64(folder, ids, **upcast))


if __name__ == "__main__":
    main()

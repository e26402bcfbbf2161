"""Tiny checkpoints of every family with transformers' logits in double: tests/unit/test_families.c.

    python make_family_vectors.py       in the environment of tests/interop/setup.sh (torch 2.13.0, transformers 5.23.0); writes families/

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


def main():
    out_dir = os.path.join(HERE, "families")
    for name in FIXTURES:
        folder, ids = gpt_checkpoints.make(name, out_dir, FIXTURES, tokenizer=False)
        upcast = {"reorder_and_upcast_attn": False} if FIXTURES[name]["family"] == "gpt2" else {}
        np.save(os.path.join(folder, "logits_f64.npy"), reference.logits_f64(folder, ids, **upcast))
        # who wrote the file changes with the library; the test does not need it
        path = os.path.join(folder, "config.json")
        with open(path) as f:
            config = json.load(f)
        config.pop("transformers_version", None)
        with open(path, "w") as f:
            json.dump(config, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""RoPE frequencies for tests/unit/test_rope_vectors.c: writes rope_vectors.h beside this file.

Each case is the RoPE part of a config.json, given to transformers' LlamaConfig and LlamaRotaryEmbedding: the frequencies
that a fresh module ends up with after one call of T positions. float32 casts inside are lifted to float64 as in
tests/interop/reference.py. Last written with transformers 5.23.0, torch 2.13.0 (CPU)."""
import json
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "interop"))
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch
import transformers
from reference import Lifted
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

torch.set_default_dtype(torch.float64)  # of a number times an integer tensor
SHORT = [1.0, 1.0, 1.05, 1.1, 1.3, 1.7, 2.4, 3.1]
LONG = [1.0, 1.2, 1.9, 2.7, 4.5, 9.0, 17.25, 31.5]
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
# name, head_dim, max_position_embeddings, config keys, lengths
CASES = [
    ("default", 8, 64, {}, [10]),
    ("default 4.x", 32, 64, {"rope_theta": 500000.0, "rope_scaling": None}, [10]),
    ("default 5.x", 32, 64, {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}, [10]),
    ("linear, type", 16, 64, {"rope_scaling": {"type": "linear", "factor": 4.0}}, [64, 200]),
    ("linear, rope_type", 16, 64, {"rope_theta": 50000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.5}}, [64]),
    ("linear, 5.x", 16, 64, {"rope_parameters": {"rope_type": "linear", "factor": 3, "rope_theta": 20000.0}}, [64]),
    ("theta in the block beats the one outside", 16, 64,
     {"rope_theta": 7.0, "rope_scaling": {"rope_type": "linear", "factor": 3, "rope_theta": 20000.0}}, [64]),
    ("rope_type beats type", 16, 64, {"rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 2.0}}, [200]),
    ("rope_scaling beats rope_parameters", 16, 64,
     {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}, [200]),
    ("an empty rope_scaling does not", 16, 64,
     {"rope_scaling": {}, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 9000.0}}, [200]),
    ("dynamic", 16, 64, {"rope_scaling": {"type": "dynamic", "factor": 4.0}}, [40, 64, 65, 200]),
    ("dynamic, 5.x", 32, 100, {"rope_parameters": {"rope_type": "dynamic", "factor": 2.5, "rope_theta": 5e5}}, [99, 100, 101, 300]),
    ("yarn", 32, 256, {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}, [40, 300]),
    ("yarn, original context absent", 32, 64, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, [40]),
    ("yarn, original context outside", 32, 512,
     {"original_max_position_embeddings": 64,
      "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}}, [40]),
    ("yarn, factor null", 32, 512, {"rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 64}}, [40]),
    ("yarn, factor below 1", 16, 64, {"rope_scaling": {"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 64}}, [40]),
    ("yarn, betas and attention factor", 32, 256,
     {"rope_theta": 20000.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
                                              "beta_fast": 16, "beta_slow": 2, "attention_factor": 1.3}}, [40]),
    ("yarn, betas null and 0", 32, 256,
     {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": None,
                       "beta_slow": 0, "attention_factor": None, "mscale": None, "mscale_all_dim": None}}, [40]),
    ("yarn, not truncated", 32, 256,
     {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "truncate": False}}, [40]),
    ("yarn, truncate null", 32, 256,
     {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "truncate": None}}, [40]),
    ("yarn, mscale", 32, 256,
     {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 0.7,
                       "mscale_all_dim": 0.3}}, [40]),
    ("yarn, one mscale", 32, 256,
     {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 0.7}}, [40]),
    ("yarn, everything", 32, 256,
     {"rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0, "original_max_position_embeddings": 64,
                          "beta_fast": 24.5, "beta_slow": 1.5, "mscale": 1.0, "mscale_all_dim": 0.8, "truncate": False}}, [300]),
    ("yarn, ramp without a middle", 16, 64, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 3}}, [40]),
    ("yarn, ends that meet", 16, 512,
     {"rope_theta": 100.0, "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256,
                                            "beta_fast": 4, "beta_slow": 4, "truncate": False}}, [40]),
    ("yarn, ends crossed", 16, 512,
     {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256, "beta_fast": 1,
                       "beta_slow": 8}}, [40]),
    ("longrope", 16, 256,
     {"rope_scaling": {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG,
                       "original_max_position_embeddings": 64}}, [40, 64, 65, 300]),
    ("longrope, factor", 16, 256,
     {"rope_scaling": {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "factor": 8.0,
                       "original_max_position_embeddings": 64}}, [64, 65]),
    ("longrope, factor below 1", 16, 256,
     {"rope_scaling": {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "factor": 0.5,
                       "original_max_position_embeddings": 64}}, [65]),
    ("longrope, attention factor", 16, 256,
     {"rope_scaling": {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "attention_factor": 1.25,
                       "factor": None}, "original_max_position_embeddings": 64}, [64, 65]),
    ("longrope, original context outside", 16, 256,
     {"original_max_position_embeddings": 32,
      "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": SHORT, "long_factor": LONG}}, [32, 33]),
    ("longrope, original context absent", 16, 64,
     {"rope_scaling": {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}}, [64, 65]),
    ("llama3", 32, 512, {"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3"} | LLAMA3}, [40, 600]),
    ("llama3, type", 32, 512, {"rope_theta": 10000.0, "rope_scaling": {"type": "llama3"} | LLAMA3}, [40]),
    ("llama3, 5.x", 32, 512,
     {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0} | LLAMA3 | {"factor": 32.0, "low_freq_factor": 0.5}}, [40]),
    ("llama3, original context outside", 32, 512,
     {"original_max_position_embeddings": 128, "rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3"} | LLAMA3}, [40]),
    ("llama3, original context absent", 32, 96,
     {"rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0}}, [40]),
    ("llama3, high below low", 32, 96,
     {"rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0,
                       "original_max_position_embeddings": 64}}, [40]),
]


def frequencies(head_dim, n_ctx, keys, length):
    config = transformers.LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, head_dim=head_dim,
                                      max_position_embeddings=n_ctx, **json.loads(json.dumps(keys)))
    with Lifted(), torch.no_grad():
        rope = LlamaRotaryEmbedding(config)
        rope(torch.zeros(1, 1, 1, dtype=torch.float64), torch.arange(length)[None])
    return [float(f).hex() for f in rope.inv_freq], float(rope.attention_scaling).hex()


out = [f"/* Written by make_rope_vectors.py with transformers {transformers.__version__}, float64. */",
       "static const struct rope_vector {", "    const char *name;", "    int64_t head_dim, n_ctx;",
       "    const char *theta, *scaling, *parameters, *original; /* JSON of the config's keys; NULL: absent */",
       "    int64_t length;", "    double attn_factor;", "    double inv_freq[16];", "} rope_vectors[] = {"]


def c_json(keys, key):
    return json.dumps(json.dumps(keys[key])) if key in keys else "NULL"


for name, head_dim, n_ctx, keys, lengths in CASES:
    for length in lengths:
        values, attn = frequencies(head_dim, n_ctx, keys, length)
        out.append(f"    {{{json.dumps(name)}, {head_dim}, {n_ctx}, {c_json(keys, 'rope_theta')},")
        out.append(f"     {c_json(keys, 'rope_scaling')},")
        out.append(f"     {c_json(keys, 'rope_parameters')}, {c_json(keys, 'original_max_position_embeddings')},")
        out.append(f"     {length}, {attn},")
        for i in range(0, len(values), 4):
            out.append(("     {" if i == 0 else "      ") + ", ".join(values[i:i + 4]) + ("}}," if i + 4 >= len(values) else ","))
out.append("};")
with open(os.path.join(here, "rope_vectors.h"), "w") as f:
    f.write("\n".join(out) + "\n")
print(sum(len(c[4]) for c in CASES), "vectors")

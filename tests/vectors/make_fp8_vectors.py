"""Writes tests/vectors/fp8/: a tiny LLaMA in the layouts of FP8 checkpoints, and with torch's products of elements and scales in their place.

    python tests/vectors/make_fp8_vectors.py

    LAYOUT/        model.safetensors with F8_E4M3 matrices and scales, config.json with its quantization_config
    LAYOUT-whole/  the same weights as F32

Made with torch 2.13.0, transformers 5.23.0, safetensors 0.8.0.
"""
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "interop"))
import fp8

out = os.path.join(here, "fp8")
shutil.rmtree(out, ignore_errors=True)
torch.manual_seed(6)
# 40 is no multiple of the blocks' 16 rows, 24 columns are no divisor of 32
config = LlamaConfig(vocab_size=18, hidden_size=32, intermediate_size=40, num_hidden_layers=1, num_attention_heads=4,
                     num_key_value_heads=2, max_position_embeddings=64, dtype="bfloat16", initializer_range=0.1)
source = os.path.join(out, "source")
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(source)
for layout in ("block", "block_ue8m0", "row_bf16", "tensor"):
    folder = os.path.join(out, layout)
    whole = fp8.write(source, folder, layout)
    os.makedirs(folder + "-whole")
    save_file(whole, os.path.join(folder + "-whole", "model.safetensors"), metadata={"format": "pt"})
    shutil.copy(os.path.join(source, "config.json"), folder + "-whole")
shutil.rmtree(source)

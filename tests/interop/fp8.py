"""FP8 checkpoints, made from a folder of transformers' as the published ones are: each matrix of the blocks as float8_e4m3fn with scales, in the
layouts of DeepSeek and transformers (blocks), of LLaMA 3.1 405B and compressed-tensors (rows), of AutoFP8 and ModelOpt (one scale); and what torch
makes of them."""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

MAX = 448.0  # of float8_e4m3fn


def is_scaled(name, w):
    return w.dim() == 2 and ".layers." in name


def blocks(w, block):
    """Largest magnitudes of blocks, the last ones cut short."""
    rows, cols = -(-w.shape[0] // block[0]), -(-w.shape[1] // block[1])
    out = torch.empty(rows, cols)
    for i in range(rows):
        for j in range(cols):
            out[i, j] = w[i * block[0]:(i + 1) * block[0], j * block[1]:(j + 1) * block[1]].abs().max()
    return out


def spread(scale, shape, block):
    return scale.repeat_interleave(block[0], 0)[:shape[0]].repeat_interleave(block[1], 1)[:, :shape[1]]


LAYOUTS = {
    # name: (block or None for whole rows / the whole matrix, suffix, dtype of the scales, quantization_config, more tensors)
    "block": ((16, 24), "_scale_inv", torch.float32,
              {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [16, 24]}, {}),
    "block_ue8m0": ((16, 16), "_scale_inv", torch.float8_e8m0fnu,
                    {"quant_method": "fp8", "activation_scheme": "dynamic", "scale_fmt": "ue8m0", "weight_block_size": [16, 16]}, {}),
    "row": ("row", "_scale", torch.float32,
            {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]}, {"input_scale_ub": 1200.0}),
    "row_bf16": ("row", "_scale", torch.bfloat16,
                 {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
                  "quantization_status": "compressed", "kv_cache_scheme": None, "sparsity_config": {},
                  "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
                                                "input_activations": {"num_bits": 8, "type": "float", "dynamic": True}}}}, {}),
    "tensor": ("tensor", "_scale", torch.float32, {"quant_method": "fp8", "activation_scheme": "static"}, {"input_scale": 0.02}),
    "modelopt": ("tensor", "_scale", torch.float32, {"quant_method": "modelopt", "quant_algo": "FP8"}, {"input_scale": 0.02, "k_scale": 1.0}),
}


def quantize(w, layout):
    """(elements, scales, what torch computes from them in float32)"""
    block, _, dtype = layout[:3]
    w = w.float()
    if block == "row":
        block = (1, w.shape[1])
    if block == "tensor":
        block = tuple(w.shape)
    scale = (blocks(w, block) / MAX).to(dtype)
    if dtype == torch.float8_e8m0fnu:  # a power of two that is large enough
        scale = torch.exp2(torch.ceil(torch.log2(blocks(w, block) / MAX))).to(dtype)
    whole = spread(scale.float(), w.shape, block)
    q = (w / whole).clamp(-MAX, MAX).to(torch.float8_e4m3fn)
    return q, scale.reshape(()) if layout[0] == "tensor" else scale, q.float() * whole


def write(source, out, name):
    """The folder `out` in that layout; gives the dequantized tensors, by name, in float32."""
    layout = LAYOUTS[name]
    os.makedirs(out, exist_ok=True)
    tensors, whole = {}, {}
    for key, w in load_file(os.path.join(source, "model.safetensors")).items():
        whole[key] = w.float()
        if not is_scaled(key, w):
            tensors[key] = w
            continue
        tensors[key], tensors[key + layout[1]], whole[key] = quantize(w, layout)
        module = key.rsplit(".", 1)[0]
        for more, value in layout[4].items():
            if more != "k_scale" or module.endswith("k_proj"):
                tensors[f"{module}.{more}"] = torch.tensor(value)
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(source, "config.json")) as f:
        config = json.load(f)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config | {"quantization_config": layout[3]}, f, indent=1)
    for extra in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(source, extra)):
            shutil.copy(os.path.join(source, extra), out)
    return whole

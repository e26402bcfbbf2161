"""How long lathe-inspect takes for the one screen of a model of 141 GB (the tensors of Llama 3 70B), in 30 shards and as one GGUF with a vocabulary of
128256 tokens. The files are holes behind true headers, so that nothing but the headers could be read fast, nor needs a disk of that size.

usage: headers.py BIN_DIR
"""
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time

LAYERS, EMBD, FF, KV, VOCAB, SHARDS = 80, 8192, 28672, 1024, 128256, 30
KINDS = [("input_layernorm", "attn_norm", [EMBD]), ("self_attn.q_proj", "attn_q", [EMBD, EMBD]), ("self_attn.k_proj", "attn_k", [KV, EMBD]),
         ("self_attn.v_proj", "attn_v", [KV, EMBD]), ("self_attn.o_proj", "attn_output", [EMBD, EMBD]), ("post_attention_layernorm", "ffn_norm", [EMBD]),
         ("mlp.gate_proj", "ffn_gate", [FF, EMBD]), ("mlp.up_proj", "ffn_up", [FF, EMBD]), ("mlp.down_proj", "ffn_down", [EMBD, FF])]


def size(shape, each):
    n = each
    for d in shape:
        n *= d
    return n


def folder(path):
    os.makedirs(path)
    shards = [{} for _ in range(SHARDS)]
    shards[0]["model.embed_tokens.weight"] = [VOCAB, EMBD]
    for layer in range(LAYERS):
        for name, _, shape in KINDS:
            shards[layer * SHARDS // LAYERS][f"model.layers.{layer}.{name}.weight"] = shape
    shards[-1].update({"model.norm.weight": [EMBD], "lm_head.weight": [VOCAB, EMBD]})
    where, total = {}, 0
    for i, tensors in enumerate(shards):
        name, at, header = f"model-{i + 1:05}-of-{SHARDS:05}.safetensors", 0, {}
        for tensor, shape in tensors.items():
            end = at + size(shape, 2)
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            where[tensor], at = name, end
        text = json.dumps(header).encode()
        with open(os.path.join(path, name), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            f.truncate(8 + len(text) + at)
        total += at
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": EMBD, "intermediate_size": FF, "num_hidden_layers": LAYERS,
              "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": VOCAB, "rms_norm_eps": 1e-5, "max_position_embeddings": 8192,
              "rope_theta": 500000.0, "tie_word_embeddings": False, "hidden_act": "silu"}
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    with open(os.path.join(path, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, f)
    return total


def gguf(path):
    def string(s):
        return struct.pack("<Q", len(s)) + s.encode()

    def key(name, kind, value):
        return string(name) + struct.pack("<I", kind) + value

    def u32(name, value):
        return key(name, 4, struct.pack("<I", value))

    tokens = b"".join(string(f"token{i}") for i in range(VOCAB))
    merges = b"".join(string(f"to ken{i}") for i in range(2 * VOCAB))
    keys = [key("general.architecture", 8, string("llama")), u32("llama.block_count", LAYERS), u32("llama.context_length", 8192),
            u32("llama.embedding_length", EMBD), u32("llama.feed_forward_length", FF), u32("llama.attention.head_count", 64),
            u32("llama.attention.head_count_kv", 8), key("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
            key("llama.rope.freq_base", 6, struct.pack("<f", 5e5)), key("tokenizer.ggml.model", 8, string("gpt2")),
            key("tokenizer.ggml.pre", 8, string("llama-bpe")), key("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, VOCAB) + tokens),
            key("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 2 * VOCAB) + merges)]
    tensors = [("token_embd", [VOCAB, EMBD])]
    tensors += [(f"blk.{layer}.{name}", shape) for layer in range(LAYERS) for _, name, shape in KINDS]
    tensors += [("output_norm", [EMBD]), ("output", [VOCAB, EMBD])]
    at, infos = 0, b""
    for name, shape in tensors:
        flat = len(shape) == 1
        infos += string(name + ".weight") + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        infos += struct.pack("<IQ", 0 if flat else 30, at)
        at += size(shape, 4 if flat else 2)
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + infos)
        f.truncate((f.tell() + 31) // 32 * 32 + at)


def measure(command, runs=30):
    """Median and least wall time, and processor time per run, in milliseconds."""
    times, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(1000 * (time.perf_counter() - start))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.sort()
    cpu = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / runs
    return times[len(times) // 2], times[0], cpu


tool = os.path.join(sys.argv[1], "lathe-inspect")
with tempfile.TemporaryDirectory() as scratch:
    shards, single = os.path.join(scratch, "shards"), os.path.join(scratch, "one.gguf")
    total = folder(shards)
    gguf(single)
    print(f"{total / 1e9:.0f} GB, {len(KINDS) * LAYERS + 3} tensors; milliseconds of 30 runs\n")
    print("| what | median | least | processor |\n|---|---|---|---|")
    for name, command in (("`lathe-inspect --version`", [tool, "--version"]), ("30 safetensors shards", [tool, shards]),
                          ("one GGUF, 128256 tokens, 256512 merges", [tool, single]), ("both as a table", [tool, shards, single])):
        median, least, cpu = measure(command)
        print(f"| {name} | {median:.1f} | {least:.1f} | {cpu:.1f} |")

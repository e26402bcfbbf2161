"""Writes a Hugging Face LLaMA checkpoint of TinyLlama-1.1B's shape with random BF16 weights: two safetensors shards, 2.2 GB.

usage: make_checkpoint.py OUT_DIR [LAYERS]

Only the standard library is needed. Weights are uniform in sign and mantissa with exponents as trained models have them (|w| between 2^-9
and 2^-5), from a fixed seed. With the package sentencepiece installed a tokenizer.model is trained on a public text, if one is given in
LATHE_BENCH_TEXT; without it there is none, and lathe says so.
"""
import json
import os
import random
import struct
import sys

WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 2048, 32, 4, 64, 5632, 32000
BLOCK = 8 << 20


def tensors(layers):
    yield "model.embed_tokens.weight", (VOCAB, WIDTH)
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (WIDTH,)
        yield p + "mlp.down_proj.weight", (WIDTH, FFN)
        yield p + "mlp.gate_proj.weight", (FFN, WIDTH)
        yield p + "mlp.up_proj.weight", (FFN, WIDTH)
        yield p + "post_attention_layernorm.weight", (WIDTH,)
        yield p + "self_attn.k_proj.weight", (KV_HEADS * HEAD_DIM, WIDTH)
        yield p + "self_attn.o_proj.weight", (WIDTH, HEADS * HEAD_DIM)
        yield p + "self_attn.q_proj.weight", (HEADS * HEAD_DIM, WIDTH)
        yield p + "self_attn.v_proj.weight", (KV_HEADS * HEAD_DIM, WIDTH)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (VOCAB, WIDTH)


def n_bytes(shape):
    n = 2
    for d in shape:
        n *= d
    return n


# High byte of a BF16: sign and seven of the eight exponent bits; 0x3B and 0x3C cover |w| in [2^-9, 2^-5).
HIGH = bytes((0x3B, 0x3C, 0xBB, 0xBC)[i & 3] for i in range(256))


def random_bf16(rng, n):
    block = bytearray(n)
    block[0::2] = rng.randbytes(n // 2)
    block[1::2] = rng.randbytes(n // 2).translate(HIGH)
    return block


def write_shard(path, entries, rng):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in entries:
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + n_bytes(shape)]}
        offset += n_bytes(shape)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        while offset > 0:
            n = min(BLOCK, offset)
            f.write(random_bf16(rng, n))
            offset -= n


def write_tokenizer(out):
    text = os.environ.get("LATHE_BENCH_TEXT")
    if not text:
        return
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        input=text, model_prefix=os.path.join(out, "tokenizer"), model_type="bpe", vocab_size=8000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, hard_vocab_limit=False, minloglevel=2)
    os.remove(os.path.join(out, "tokenizer.vocab"))


def main():
    out = sys.argv[1]
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 22
    os.makedirs(out, exist_ok=True)
    rng = random.Random(1)
    entries = list(tensors(layers))
    half, total, first = sum(n_bytes(s) for _, s in entries) // 2, 0, []
    while total < half:
        first.append(entries.pop(0))
        total += n_bytes(first[-1][1])
    weight_map, size = {}, 0
    for i, shard in enumerate((first, entries), 1):
        name = f"model-{i:05d}-of-00002.safetensors"
        write_shard(os.path.join(out, name), shard, rng)
        weight_map.update({t: name for t, _ in shard})
        size += sum(n_bytes(s) for _, s in shard)
    with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": size}, "weight_map": weight_map}, f)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": layers,
            "intermediate_size": FFN, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCAB,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "rope_scaling": None,
            "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1,
            "eos_token_id": 2}, f, indent=1)
    write_tokenizer(out)


if __name__ == "__main__":
    main()

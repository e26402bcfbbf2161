"""Peak memory of lathe-verify against the size of the model: LLaMA shapes from 0.1 to 13 billion weights, made here with random weights.

usage: python3 bench/verify_memory.py BIN_DIR WORK_DIR [LARGEST]        LARGEST: billions, default 13, which needs 16 GB of disk

A is a Q4_0 GGUF, B the same numbers as Q4_1 (a Q4_0 block d * (q - 8) is the Q4_1 block d * q - 8 d, without rounding), so the two have to agree. Files are
real, not sparse, and deleted as soon as they were measured. Memory is the largest resident set that the kernel saw (VmHWM), the page cache not counted.
Only the standard library is needed.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time

VOCAB = 32000
SHAPES = [  # billions, width, layers, heads, key heads, feed-forward width
    (0.1, 768, 12, 12, 12, 2048),
    (1.1, 2048, 22, 32, 4, 5632),
    (3.4, 3200, 26, 32, 32, 8640),
    (6.7, 4096, 32, 32, 32, 11008),
    (13.0, 5120, 40, 40, 40, 13824),
]
TYPES = {"Q4_0": (2, 18), "Q4_1": (3, 20)}  # id, bytes of a block of 32
POOL = 1 << 20  # random blocks, which tensors are cut from


def tensors(width, layers, heads, kv_heads, ff):
    kv = width // heads * kv_heads
    yield "token_embd.weight", (VOCAB, width)
    for i in range(layers):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", (width,)
        yield p + "attn_q.weight", (width, width)
        yield p + "attn_k.weight", (kv, width)
        yield p + "attn_v.weight", (kv, width)
        yield p + "attn_output.weight", (width, width)
        yield p + "ffn_norm.weight", (width,)
        yield p + "ffn_gate.weight", (ff, width)
        yield p + "ffn_up.weight", (ff, width)
        yield p + "ffn_down.weight", (width, ff)
    yield "output_norm.weight", (width,)
    yield "output.weight", (VOCAB, width)


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def u32(key, v):
    return text(key) + struct.pack("<II", 4, v)


def f32(key, v):
    return text(key) + struct.pack("<If", 6, v)


def keys(width, layers, heads, kv_heads, ff):
    return [text("general.architecture") + struct.pack("<I", 8) + text("llama"),
            u32("llama.block_count", layers), u32("llama.context_length", 2048), u32("llama.embedding_length", width),
            u32("llama.feed_forward_length", ff), u32("llama.attention.head_count", heads),
            u32("llama.attention.head_count_kv", kv_heads), u32("llama.rope.dimension_count", width // heads),
            u32("llama.vocab_size", VOCAB), f32("llama.rope.freq_base", 10000), f32("llama.attention.layer_norm_rms_epsilon", 1e-5)]


def n_elements(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def n_bytes(shape, block):
    return n_elements(shape) // 32 * block if len(shape) > 1 else 4 * n_elements(shape)


def pool_of(nibbles, cols, kind):
    """Blocks whose weights have a standard deviation of about 1 / sqrt(cols)."""
    d = struct.unpack("<e", struct.pack("<e", 1 / (4.6 * cols ** 0.5)))[0]
    scale = struct.pack("<e", d) + (struct.pack("<e", -8 * d) if kind == "Q4_1" else b"")
    n = len(scale) + 16
    out = bytearray(n * POOL)
    for i, byte in enumerate(scale):
        out[i::n] = bytes([byte]) * POOL
    for i in range(16):
        out[len(scale) + i::n] = nibbles[i::16]
    return memoryview(out)


def write_gguf(path, kind, shape, nibbles):
    type_id, block = TYPES[kind]
    entries, offset, info = list(tensors(*shape)), 0, b""
    for name, dims in entries:
        info += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in reversed(dims))
        info += struct.pack("<IQ", type_id if len(dims) > 1 else 0, offset)
        offset += -(-n_bytes(dims, block) // 32) * 32
    metadata = keys(*shape)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(metadata)) + b"".join(metadata) + info
    pools, rng = {}, random.Random(len(entries))
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32))
        for _, dims in entries:
            size = n_bytes(dims, block)
            if len(dims) == 1:
                f.write(struct.pack("<f", 1) * dims[0])
            else:
                if dims[1] not in pools:
                    pools[dims[1]] = pool_of(nibbles, dims[1], kind)
                left, at = size, rng.randrange(POOL) * block
                while left > 0:
                    n = min(left, POOL * block - at)
                    f.write(pools[dims[1]][at:at + n])
                    left, at = left - n, 0
            f.write(b"\0" * (-size % 32))
    return os.path.getsize(path)


def measure(tool, a, b, ids):
    """Peak memory in MiB as the kernel tells the tool (a parent sees its own memory in the figure of a child that it forked)"""
    start = time.monotonic()
    out = subprocess.run([tool, a, b, "--tokens", ids, "--json", "--quiet"], stdout=subprocess.PIPE).stdout
    result = json.loads(out)
    return result["peak_bytes"] / 2 ** 20, result, time.monotonic() - start


def main():
    tool, work = os.path.join(sys.argv[1], "lathe-verify"), sys.argv[2]
    largest = float(sys.argv[3]) if len(sys.argv) > 3 else 13
    os.makedirs(work, exist_ok=True)
    nibbles = random.Random(1).randbytes(16 * POOL)
    a, b = os.path.join(work, "a.gguf"), os.path.join(work, "b.gguf")
    files = {}
    for n in (16, 256):
        files[n] = os.path.join(work, f"ids{n}.txt")
        with open(files[n], "w") as f:
            f.write(" ".join(str(i * 7919 % VOCAB) for i in range(n)))
    print("| billions of weights | A, B: GB | one layer as F32: MiB | peak, 16 positions: MiB | peak, 256 positions: MiB | "
          "seconds (16) | agree |", flush=True)
    print("|---|---|---|---|---|---|---|")
    for billions, *shape in SHAPES:
        if billions > largest:
            continue
        sizes = [write_gguf(path, kind, shape, nibbles) for path, kind in ((a, "Q4_0"), (b, "Q4_1"))]
        layer = 4 * sum(n_elements(s) for name, s in tensors(*shape) if name.startswith("blk.0.")) / 2 ** 20
        small, result, seconds = measure(tool, a, b, files[16])
        large = f"{measure(tool, a, b, files[256])[0]:.0f}" if billions < 2 else ""
        count = sum(n_elements(s) for _, s in tensors(*shape)) / 1e9
        print(f"| {count:.2f} | {sizes[0] / 1e9:.1f}, {sizes[1] / 1e9:.1f} | {layer:.0f} | {small:.0f} | {large} | {seconds:.0f} | "
              f"{'yes' if result['agree'] else 'NO'}, {result['max_abs_diff'] / result['max_abs_logit']:.1e} |", flush=True)
        os.remove(a)
        os.remove(b)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()

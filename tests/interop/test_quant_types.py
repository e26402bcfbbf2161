"""Every block type beside ggml and gguf-py, through bench/quantize, which has ours and ggml's encoders in one process.

  * encoders: at least 100 000 blocks of each type in rows of many kinds (bench/quantize.c lists them) and of SmolLM2, with importance weights
    and without: the bytes are ggml_quantize_chunk's. IQ1 to IQ3 are slow in ggml: there the 100 000 are shared by the two ways;
  * every kernel set of this processor, on fewer blocks;
  * decoders: blocks of random bytes and blocks of SmolLM2's weights: the values are gguf's dequantize, bit for bit (ggml's where gguf-py has
    no decoder).
"""
import concurrent.futures
import ctypes
import glob
import os
import re
import subprocess

import gguf
import llama_cpp
import numpy as np
from checks import *
from safetensors import safe_open

import smollm2

ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
PROGRAM = os.path.join(os.path.dirname(os.path.realpath(BIN)), "bench", "quantize")
LIBRARY = glob.glob(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))[0]
COLUMNS = 1536  # SmolLM2's down_proj: a multiple of every block

FAST = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "tq1_0", "tq2_0", "mxfp4",
        "nvfp4", "q1_0", "q2_0"]
BOTH_WAYS = ["iq1_m", "iq2_s", "iq3_xxs", "iq3_s"]
WEIGHTS_ONLY = ["iq1_s", "iq2_xxs", "iq2_xs"]


def build():
    os.makedirs(WORK, exist_ok=True)
    subprocess.run(["make", "-s", "-C", ROOT, os.path.relpath(PROGRAM, ROOT)], check=True)


def smollm2_rows():
    path = glob.glob(os.path.join(smollm2.ensure(), "*.safetensors"))[0]
    with safe_open(path, "pt") as f:
        names = sorted(n for n in f.keys() if n.endswith("down_proj.weight"))[:8]
        rows = np.concatenate([f.get_tensor(n).float().numpy() for n in names])
    assert rows.shape[1] == COLUMNS
    rows.tofile(os.path.join(WORK, "rows.f32"))
    return rows


def compare(types, blocks, kernels):
    """Lines of `check`, for each type and way."""
    command = [PROGRAM, LIBRARY, "check", "--blocks", str(blocks), "--rows", os.path.join(WORK, "rows.f32"), str(COLUMNS)]
    command += ["--kernels", kernels] if kernels else []
    done = subprocess.run(command + types, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise ToolError(f"exit {done.returncode}: {done.stderr[-300:]}")
    return [line.split(None, 3) for line in done.stdout.splitlines() if not line.startswith("#")]


def encoders():
    jobs = [([t], 100000, None) for t in WEIGHTS_ONLY] + [([t], 50000, None) for t in BOTH_WAYS] + [([t], 100000, None) for t in FAST]
    seen = {}
    with concurrent.futures.ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0)))) as pool:
        for lines in pool.map(lambda job: compare(*job), jobs):
            for name, way, blocks, result in lines:
                seen.setdefault(name, []).append(f"{blocks} {way}")
                check(f"{name}, {'with importance weights' if way == 'weights' else 'plain'}: bytes are ggml's", result == "ok",
                      f"{blocks} blocks" if result == "ok" else result)
    check("every block type can be written", len(seen) == len(FAST + BOTH_WAYS + WEIGHTS_ONLY), str(sorted(seen)))


def kernel_sets():
    """The sets that this processor has, as the program names them when it gets a wrong one."""
    done = subprocess.run([PROGRAM, LIBRARY, "check", "--kernels", "?"], capture_output=True, text=True)
    sets = re.search(r"expected one of auto, (.*)", done.stderr).group(1).split(", ")
    for kernels in sets:
        lines = compare(FAST, 12000, kernels)
        wrong = [f"{name} {way}: {result}" for name, way, _, result in lines if result != "ok"]
        check(f"kernels {kernels}: bytes are ggml's", not wrong and len(lines) > len(FAST), "; ".join(wrong) or f"{len(lines)} types and ways")


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block", ctypes.c_int64), ("interleave", ctypes.c_int64), ("size", ctypes.c_size_t),
                ("quantized", ctypes.c_bool), ("to_float", ctypes.c_void_p), ("from_float", ctypes.c_void_p)]


def layout(name):
    """gguf-py's type (None: it does not know it yet), id, elements and bytes of a block."""
    if name == "q2_0" and not hasattr(gguf.GGMLQuantizationType, "Q2_0"):
        return None, 42, 64, 18
    kind = gguf.GGMLQuantizationType[name.upper()]
    return kind, kind.value, *gguf.GGML_QUANT_SIZES[kind]


def ggml_dequantize(blocks, ggml_id):
    lib = ctypes.CDLL(LIBRARY)
    lib.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    traits = lib.ggml_get_type_traits(ggml_id).contents
    out = np.zeros((len(blocks), traits.block), np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(traits.to_float)(blocks.ctypes.data, out.ctypes.data, out.size)
    return out


def real_blocks(rows, ggml_id, length, size, n):
    lib = ctypes.CDLL(LIBRARY)
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    rows = np.ascontiguousarray(rows[: -(-n * length // COLUMNS)])
    weights = np.ones(COLUMNS, np.float32)
    out = np.zeros((rows.size // length, size), np.uint8)
    lib.ggml_quantize_chunk(ggml_id, rows.ctypes.data, out.ctypes.data, 0, len(rows), COLUMNS, weights.ctypes.data)
    return out


def decoder(name, rows):
    kind, ggml_id, length, size = layout(name)
    random = np.random.default_rng(11).integers(0, 256, (20000, size), dtype=np.uint8)
    blocks = np.concatenate([random, real_blocks(rows, ggml_id, length, size, 2000)])
    with np.errstate(all="ignore"):
        try:
            want, by = gguf.quants.dequantize(blocks, kind).astype(np.float32), "gguf"
        except (NotImplementedError, AttributeError, KeyError):
            want, by = ggml_dequantize(blocks, ggml_id), "ggml"
    got = subprocess.run([PROGRAM, "decode", name], input=blocks.tobytes(), capture_output=True, check=True).stdout
    got = np.frombuffer(got, np.float32).reshape(want.shape)
    same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
    check(f"{name}: decoded as {by} does, bit for bit", same.all(), f"{len(blocks)} blocks" if same.all() else f"{(~same).sum()} values differ")


build()
ROWS = smollm2_rows()
guarded("encoders", encoders)
guarded("kernel sets", kernel_sets)
for type_name in FAST + BOTH_WAYS + WEIGHTS_ONLY:
    guarded(f"decode {type_name}", decoder, type_name, ROWS)
finish()

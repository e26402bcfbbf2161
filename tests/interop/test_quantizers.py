"""lathe-quantize beside ggml itself.

  * block for block: rows of many kinds, `--pure`, against ggml_quantize_chunk of libggml-base.so, for F16, BF16, Q8_0, Q4_0, Q6_K;
    from F32, F16 and BF16 input;
  * file for file: against llama_model_quantize, llama.cpp's own quantizer, on the embedded models and SmolLM2;
  * the number of threads changes nothing.
"""
import ctypes
import glob
import hashlib
import os
import shutil
import sys

import gguf
import llama_cpp
import numpy as np
from checks import *

import smollm2

quiet_llama_cpp()
GGML = ctypes.CDLL(glob.glob(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))[0])
GGML.ggml_quantize_chunk.restype = ctypes.c_size_t
GGML.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                     ctypes.c_int64, ctypes.c_void_p]
for convert_rows in ("ggml_fp32_to_fp16_row", "ggml_fp32_to_bf16_row_ref"):
    getattr(GGML, convert_rows).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    getattr(GGML, convert_rows).restype = None

# Recipe name, type, file type.
TYPES = {"F16": (gguf.GGMLQuantizationType.F16, 1), "BF16": (gguf.GGMLQuantizationType.BF16, 32),
         "Q8_0": (gguf.GGMLQuantizationType.Q8_0, 7), "Q4_0": (gguf.GGMLQuantizationType.Q4_0, 2),
         "Q6_K": (gguf.GGMLQuantizationType.Q6_K, 18)}
COLUMNS = 1024


def kinds():
    """Rows that once told right from wrong: see the comments."""
    r = np.random.default_rng(7)
    n = (48, COLUMNS)
    normal = lambda scale: (r.standard_normal(n) * scale).astype(np.float32)
    to_bf16 = lambda x: (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    yield "gaussian", normal(0.02)
    yield "gaussian-bf16", to_bf16(normal(0.02))
    yield "student-t", (r.standard_t(3, n) * 0.02).astype(np.float32)
    yield "uniform-positive", r.random(n, dtype=np.float32)
    yield "zeros", np.zeros(n, np.float32)
    yield "minus-zeros", np.full(n, -0.0, np.float32)  # the scale of such a block is -0 in Q4_0
    yield "constant", np.full(n, 0.3, np.float32)
    yield "constant-negative", np.full(n, -0.3, np.float32)
    yield "ternary", r.integers(-1, 2, n).astype(np.float32)  # ties of the largest magnitude
    yield "sparse", np.where(r.random(n) < 0.01, normal(1), 0).astype(np.float32)
    yield "halves", (r.integers(-16, 17, n) / 2).astype(np.float32)  # ties of rounding
    for scale in (1e-5, 1e-7, 1e-9, 1e-20, 1e-40, 1e3):  # half scales become subnormal, then zero; 1e-40: float32 subnormals
        yield f"scale-{scale:g}", normal(1) * np.float32(scale)
    yield "mixed-exponents", (r.standard_normal(n) * 10.0 ** r.integers(-10, 3, n)).astype(np.float32)
    yield "outlier", np.where(np.arange(COLUMNS) % 256 == 77, np.float32(50), normal(0.01)).astype(np.float32)


def ggml_rows(kind, x):
    """x in the type, as bytes, by ggml's reference."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    out = np.zeros((x.shape[0], gguf.quant_shape_to_byte_shape((COLUMNS,), kind)[0]), np.uint8)
    if kind == gguf.GGMLQuantizationType.BF16:
        GGML.ggml_fp32_to_bf16_row_ref(x.ctypes.data, out.ctypes.data, x.size)
    elif kind == gguf.GGMLQuantizationType.F16:
        GGML.ggml_fp32_to_fp16_row(x.ctypes.data, out.ctypes.data, x.size)
    else:
        GGML.ggml_quantize_chunk(kind.value, x.ctypes.data, out.ctypes.data, 0, x.shape[0], COLUMNS, None)
    return out


def write_rows(path, tensors):
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(len(tensors))
    for i, (name, x, dtype) in enumerate(tensors):
        if dtype == "BF16":
            raw = (x.view(np.uint32) >> 16).astype(np.uint16)
            w.add_tensor(f"blk.{i}.ffn_up.weight", raw.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(f"blk.{i}.ffn_up.weight", x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def rows_case(input_type):
    tensors = []
    for name, x in kinds():
        if input_type == "F16":
            x = x.astype(np.float16)
        if input_type == "BF16":
            x = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        tensors.append((name, x, input_type))
    source = work(f"rows-{input_type}.gguf")
    write_rows(source, tensors)
    for type_name, (kind, _) in TYPES.items():
        if type_name == input_type:
            continue
        out = work(f"rows-{input_type}-{type_name}.gguf")
        run("quantize", source, out, type_name, "--pure", "--force", "--quiet")
        got = {t.name: t for t in gguf.GGUFReader(out).tensors}
        wrong = []
        for i, (name, x, _) in enumerate(tensors):
            t = got[f"blk.{i}.ffn_up.weight"]
            want = ggml_rows(kind, x)
            have = np.ascontiguousarray(t.data).view(np.uint8).reshape(want.shape[0], -1)
            if t.tensor_type != kind or have.shape != want.shape or not np.array_equal(have, want):
                wrong.append(name)
        check(f"{input_type} rows to {type_name}: bytes are ggml's", not wrong,
              f"{len(tensors)} kinds of rows" if not wrong else f"differ: {', '.join(wrong)}")
        os.unlink(out)
    os.unlink(source)


def llama_cpp_quantize(source, out, file_type, pure=False, threads=2):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = threads
    params.pure = pure
    if llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)):
        raise RuntimeError("llama_model_quantize failed")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def first_difference(a, b):
    """What a reader sees of two files that differ."""
    ra, rb = gguf.GGUFReader(a), gguf.GGUFReader(b)
    ka, kb = list(ra.fields), list(rb.fields)
    if ka != kb:
        return f"keys {[k for k in ka if k not in kb]} {[k for k in kb if k not in ka]}, or their order"
    for k in ka:
        if ra.fields[k].types != rb.fields[k].types or ra.fields[k].contents() != rb.fields[k].contents():
            return f"key {k}: {str(ra.fields[k].contents())[:60]} and {str(rb.fields[k].contents())[:60]}"
    na, nb = [t.name for t in ra.tensors], [t.name for t in rb.tensors]
    if na != nb:
        return f"tensors or their order: {[x for x in zip(na, nb) if x[0] != x[1]][:2]}"
    for s, t in zip(ra.tensors, rb.tensors):
        if s.tensor_type != t.tensor_type:
            return f"{s.name}: {s.tensor_type.name} and {t.tensor_type.name}"
        if not np.array_equal(s.data, t.data):
            return f"{s.name} ({s.tensor_type.name}): data"
    return "padding or offsets"


def whole_file(name, source, types):
    for type_name in types:
        ours = work(f"{name}-{type_name}.gguf")
        theirs = work(f"{name}-{type_name}-llama.gguf")
        run("quantize", source, ours, type_name, "--receipt", "none", "--force", "--quiet")
        llama_cpp_quantize(source, theirs, TYPES[type_name][1])
        same = sha256(ours) == sha256(theirs)
        check(f"{name} to {type_name}: the file is llama_model_quantize's, byte for byte", same,
              f"{os.path.getsize(ours)} bytes" if same else first_difference(ours, theirs))
        if type_name == "Q4_0":
            one = work(f"{name}-{type_name}-1.gguf")
            run("quantize", source, one, type_name, "--receipt", "none", "--force", "--quiet", "--threads", "1")
            check(f"{name} to {type_name}: one thread gives the same file", sha256(one) == sha256(ours))
            os.unlink(one)
        os.unlink(ours)
        os.unlink(theirs)


def model_case(name, folder, storage):
    source = convert(folder, f"{name}-{storage}.gguf", "--type", storage, "--receipt", "none")
    whole_file(f"{name} ({storage})", source, TYPES)
    os.unlink(source)


for input_type in ("F32", "F16", "BF16"):
    guarded(f"rows-{input_type}", rows_case, input_type)
for storage in ("f32", "bf16"):
    guarded("tiny-llama", model_case, "tiny-llama", os.path.join(DATA, "tiny-llama"), storage)
for storage in ("f32", "f16"):
    guarded("tiny-gpt2", model_case, "tiny-gpt2", os.path.join(DATA, "tiny-gpt2"), storage)
guarded("smollm2", model_case, "smollm2", smollm2.ensure(), "bf16")
finish()

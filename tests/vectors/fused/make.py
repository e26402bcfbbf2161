"""Tensors of the embedded model as builds of ggml write them whose compiler fuses multiplications and additions.

    python make.py GGML_FOLDER SOURCE.gguf

GGML_FOLDER: ggml as llama.cpp has it (the files here: of llama-cpp-python 0.3.36); SOURCE.gguf: `lathe-convert tests/data/tiny-llama -o SOURCE.gguf --type f32`.
The reference quantizers are compiled with -march=haswell, by GCC 12 (which fuses across statements) and by clang 14 (inside expressions); one tensor
of each, whose bytes differ from the reference's, makes a file.
"""
import ctypes
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

STUB = """#include <stddef.h>
#include <stdint.h>
static const struct { size_t size, len; } types[64] = {[12] = {144, 256}, [14] = {210, 256}};
size_t ggml_row_size(int t, int64_t n) { return types[t].size * (n / types[t].len); }
size_t ggml_type_size(int t) { return types[t].size; }
const char *ggml_type_name(int t) { return ""; }
void ggml_abort(const char *f, int l, const char *m, ...) { __builtin_trap(); }
"""
ggml, source = sys.argv[1:3]
here = os.path.dirname(os.path.abspath(__file__))
tensors = {t.name: t.data for t in gguf.GGUFReader(source).tensors}
for compiler, kind, name in (("gcc", "Q4_K", "blk.0.ffn_up.weight"), ("clang", "Q6_K", "blk.1.ffn_down.weight")):
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/stub.c", "w") as f:
            f.write(STUB)
        subprocess.run([compiler, "-O3", "-DNDEBUG", "-march=haswell", "-std=gnu11", "-fPIC", "-shared", "-w", f"-I{ggml}/include", f"-I{ggml}/src", "-o",
                        f"{d}/q.so", f"{ggml}/src/ggml-quants.c", f"{d}/stub.c", "-lm"], check=True)
        encode = getattr(ctypes.CDLL(f"{d}/q.so"), "quantize_" + kind.lower().replace("_k", "_K"))
    encode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    encode.restype = ctypes.c_size_t
    x = np.ascontiguousarray(tensors[name])
    t = gguf.GGMLQuantizationType[kind]
    raw = np.zeros((x.shape[0], gguf.quant_shape_to_byte_shape(x.shape, t)[1]), np.uint8)
    encode(x.ctypes.data, raw.ctypes.data, *x.shape, None)
    w = gguf.GGUFWriter(f"{here}/{compiler}-{kind.lower()}.gguf", "llama")
    w.add_tensor(name, raw, raw_dtype=t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

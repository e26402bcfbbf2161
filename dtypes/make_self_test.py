"""Writes dtypes/self_test_rows.h: what ggml makes of the rows of dtype_self_test.c.  python dtypes/make_self_test.py  (Python with llama_cpp; x86-64)

The seeds were found by comparing a build of the encoders with -mfma -ffp-contract=fast and one without, row after row.
"""
import ctypes
import os

import llama_cpp
import numpy as np

# type, id in ggml, importance weights, missing bits, seed
ROWS = [("Q4_0", 2, 0, 15, 27), ("Q4_0", 2, 1, 0, 128), ("Q4_1", 3, 1, 0, 11), ("Q5_0", 6, 0, 15, 31), ("Q5_0", 6, 1, 0, 62),
        ("Q5_1", 7, 1, 0, 12), ("Q2_K", 10, 0, 0, 3), ("Q2_K", 10, 1, 0, 17), ("Q3_K", 11, 0, 15, 3), ("Q3_K", 11, 1, 0, 138),
        ("Q4_K", 12, 0, 0, 8), ("Q4_K", 12, 1, 0, 96), ("Q5_K", 13, 0, 0, 5), ("Q5_K", 13, 1, 0, 12), ("Q6_K", 14, 0, 0, 77),
        ("Q6_K", 14, 1, 0, 68), ("IQ4_NL", 20, 1, 0, 385), ("IQ4_XS", 23, 1, 0, 121)]
LEN = 256


def make_row(s, shift):
    x, weights = [], []
    for _ in range(LEN):
        draws = []
        for _ in range(5):
            s ^= s << 13 & 0xFFFFFFFF
            s ^= s >> 17
            s ^= s << 5 & 0xFFFFFFFF
            draws.append(s)
        x.append(((sum(d >> 10 for d in draws[:4]) - (1 << 23)) >> shift) * 2.0**-28)
        weights.append(1 + (draws[4] >> 24))
    return np.array(x, np.float32), np.array(weights, np.float32)


def fnv1a(data):
    h = 0x811C9DC5
    for byte in data:
        h = (h ^ byte) * 0x01000193 % 2**32
    return h


def main():
    lib = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    lines = ["/* Written by make_self_test.py: type, importance weights, missing bits, seed, sum of ggml's bytes */"]
    for name, ggml_id, weighted, shift, seed in ROWS:
        x, weights = make_row(seed, shift)
        out = np.zeros(LEN * 4, np.uint8)
        n = lib.ggml_quantize_chunk(ggml_id, x.ctypes.data, out.ctypes.data, 0, 1, LEN, weights.ctypes.data if weighted else None)
        lines.append(f"{{DTYPE_{name}, {'true' if weighted else 'false'}, {shift}, {seed}, 0x{fnv1a(out[:n].tobytes()):08X}}},")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "self_test_rows.h"), "w") as f:
        f.write("\n".join(lines) + "\n")


main()

"""Writes tests/vectors/gguf/*.gguf with gguf-py (made with gguf 0.19.0, numpy 2.4.6): the reader must read them, and the
writer must produce the same bytes from the same content (tests/unit/test_gguf_vectors.c spells it out again).

usage: python make_gguf_vectors.py OUT_DIR
"""
import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFEndian
from gguf import GGUFValueType as T
from gguf import GGUFWriter


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def all_types(path, alignment=None):
    w = GGUFWriter(path, "llama")
    if alignment:
        w.add_custom_alignment(alignment)
    w.add_key_value("t.u8", 250, T.UINT8)
    w.add_key_value("t.i8", -100, T.INT8)
    w.add_key_value("t.u16", 65000, T.UINT16)
    w.add_key_value("t.i16", -30000, T.INT16)
    w.add_key_value("t.u32", 4000000000, T.UINT32)
    w.add_key_value("t.i32", -2000000000, T.INT32)
    w.add_key_value("t.f32", 1.0 / 3.0, T.FLOAT32)
    w.add_key_value("t.true", True, T.BOOL)
    w.add_key_value("t.false", False, T.BOOL)
    w.add_key_value("t.string", "na\u00efve \U0001f600\n", T.STRING)
    w.add_key_value("t.nul", "a\0b", T.STRING)
    w.add_key_value("t.u64", 2**64 - 1, T.UINT64)
    w.add_key_value("t.i64", -(2**63), T.INT64)
    w.add_key_value("t.f64", -1e300, T.FLOAT64)
    w.add_key_value("a.u8", [1, 2, 255], T.ARRAY, T.UINT8)
    w.add_key_value("a.i8", [-1, 0, 127], T.ARRAY, T.INT8)
    w.add_key_value("a.u16", [1, 65535], T.ARRAY, T.UINT16)
    w.add_key_value("a.i16", [-32768, 5, 6], T.ARRAY, T.INT16)
    w.add_key_value("a.u32", [7, 2**32 - 1], T.ARRAY, T.UINT32)
    w.add_key_value("a.i32", [-7, 2**31 - 1, 0], T.ARRAY, T.INT32)
    w.add_key_value("a.f32", [0.5, -2.25, 1e-40], T.ARRAY, T.FLOAT32)
    w.add_key_value("a.bool", [True, False, True], T.ARRAY, T.BOOL)
    w.add_key_value("a.string", ["", "x", "\u6f22\u5b57", "a\0b"], T.ARRAY, T.STRING)
    w.add_key_value("a.u64", [2**63, 1], T.ARRAY, T.UINT64)
    w.add_key_value("a.i64", [-(2**63), 2**63 - 1], T.ARRAY, T.INT64)
    w.add_key_value("a.f64", [0.1, -0.0], T.ARRAY, T.FLOAT64)

    f32 = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
    w.add_tensor("f32", f32)
    w.add_tensor("f16", np.array([1.5, -0.25, 65504.0, 0.0, 6e-8], dtype=np.float16))
    w.add_tensor("bf16", np.array([[0x3F80, 0xC000], [0x7F80, 0x0001]], dtype=np.uint16).view(np.uint8), raw_dtype=Q.BF16)
    w.add_tensor("i8", np.arange(24, dtype=np.int8).reshape(2, 3, 2, 2) - 12)
    w.add_tensor("i16", np.array([[-3, 300]], dtype=np.int16).reshape(2, 1))
    w.add_tensor("i32", np.array([1, -1], dtype=np.int32))
    w.add_tensor("i64", np.array([-(2**40)], dtype=np.int64))
    w.add_tensor("f64", np.array([1e-300, 2.0], dtype=np.float64))
    q8 = np.arange(2 * 2 * 34, dtype=np.uint8).reshape(2, 68)
    w.add_tensor("q8_0", q8, raw_dtype=Q.Q8_0)
    w.add_tensor("q6_k", (np.arange(210, dtype=np.uint16) * 7 % 256).astype(np.uint8).reshape(1, 1, 210)[0, 0], raw_dtype=Q.Q6_K)
    finish(w)


def main(out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    all_types(out / "all_types.gguf")
    all_types(out / "align64.gguf", 64)
    # gguf-py writes version 3 only; version 2 has the same layout.
    v3 = (out / "all_types.gguf").read_bytes()
    (out / "version2.gguf").write_bytes(v3[:4] + struct.pack("<I", 2) + v3[8:])
    w = GGUFWriter(out / "big_endian.gguf", "llama", endianess=GGUFEndian.BIG)
    w.add_uint32("llama.block_count", 1)
    finish(w)
    w = GGUFWriter(out / "metadata_only.gguf", "llama")
    w.add_uint32("llama.block_count", 1)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()


if __name__ == "__main__":
    main(sys.argv[1])

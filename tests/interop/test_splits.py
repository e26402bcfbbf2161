"""Models in several GGUF files, against gguf's reader and llama.cpp.

  * Parts hold the same tensors, in the same order and bytes, as the one file; keys are gguf-split's, in its order, and its rule says where a part ends.
  * llama.cpp loads the first part and computes what it computes from the one file; llama_model_quantize reads our parts, and with keep_split
    it writes what lathe-quantize --keep-split writes, byte for byte but for our own key.
  * Parts that gguf's writer makes are read, merged and verified.
"""
import ctypes
import glob
import os

import gguf
import llama_cpp
import numpy as np
from checks import *

import reference

quiet_llama_cpp()
LIMIT = 300 * 1024
FOLDER, IDS, _ = trained("tiny-llama")
IDS = IDS[:64]


class Params(ctypes.Structure):
    """llama_model_quantize_params of the vendored llama.cpp; the binding's own lags behind."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int), ("token_embedding_type", ctypes.c_int),
                ("allow_requantize", ctypes.c_bool), ("quantize_output_tensor", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("imatrix", ctypes.c_void_p), ("kv_overrides", ctypes.c_void_p),
                ("tt_overrides", ctypes.c_void_p), ("prune_layers", ctypes.c_void_p), ("max_buf_size", ctypes.c_size_t)]


LIB = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libllama.so"))


def llama_quantize(source, out, ftype, **options):
    LIB.llama_model_quantize_default_params.restype = Params
    params = LIB.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 2
    for key, value in options.items():
        setattr(params, key, value)
    LIB.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    if LIB.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params)):
        raise RuntimeError("llama_model_quantize failed")


def parts_of(stem):
    return sorted(glob.glob(stem + "-*-of-*.gguf"))


def fields(path):
    return [(f.name, f.contents()) for f in gguf.GGUFReader(path).fields.values() if not f.name.startswith("GGUF.")]


def tensors(paths):
    return [(t.name, t.tensor_type, t.data.tobytes()) for p in paths for t in gguf.GGUFReader(p).tensors]


def make():
    one = convert(FOLDER, "one.gguf")
    run("convert", FOLDER, "-o", work("parts", "m.gguf"), "--split-max-size", LIMIT, "--force", "--quiet")
    return one, parts_of(work("parts", "m"))


def check_parts(one, parts):
    check("parts: tensors of the one file, in its order", tensors(parts) == tensors([one]), f"{len(parts)} parts")
    n = len(tensors([one]))
    split = lambda i: [("split.no", i), ("split.tensors.count", n), ("split.count", len(parts))]
    check("parts: first part's keys", fields(parts[0]) == fields(one) + split(0))
    check("parts: keys of the others", all(fields(p)[:3] == split(i) and [k for k, _ in fields(p)[3:]] == ["lathe.split.first"]
                                           for i, p in enumerate(parts) if i > 0))
    # gguf-split's rule, by hand: a part ends before its padded tensors would pass the limit
    want, used = [0], 0
    for _, _, data in tensors([one]):
        size = (len(data) + 31) // 32 * 32
        if used + size > LIMIT and used:
            want.append(0)
            used = 0
        want[-1] += 1
        used += size
    check("parts: where gguf-split cuts", [len(gguf.GGUFReader(p).tensors) for p in parts] == want, str(want))


def check_runtime(one, parts):
    a, b = reference.llama_cpp_logits(parts[0], IDS), reference.llama_cpp_logits(one, IDS)
    check("llama.cpp: the same logits from the first part", np.array_equal(a, b))


def check_keep_split(parts):
    ftype = 7  # Q8_0
    os.makedirs(work("theirs", "x"), exist_ok=True)
    llama_quantize(parts[0], work("theirs", "q"), ftype, keep_split=True)
    run("quantize", parts[0], work("ours", "q.gguf"), "q8_0", "--keep-split", "--receipt", "none", "--force", "--quiet")
    ours, theirs = parts_of(work("ours", "q")), parts_of(work("theirs", "q"))
    check("keep-split: names", [os.path.basename(p) for p in ours] == [os.path.basename(p) for p in theirs], " ".join(map(os.path.basename, theirs)))
    check("keep-split: tensors part by part", all(tensors([a]) == tensors([b]) for a, b in zip(ours, theirs)))
    mine = lambda kv: not kv[0].startswith("lathe.")
    check("keep-split: keys part by part", all([x for x in fields(a) if mine(x)] == [x for x in fields(b) if mine(x)] for a, b in zip(ours, theirs)))


def check_their_parts(one):
    """gguf's writer, which llama.cpp's converter splits with."""
    reader = gguf.GGUFReader(one)
    writer = gguf.GGUFWriter(work("gguf-py", "w.gguf"), "llama", split_max_size=LIMIT)
    for f in reader.fields.values():
        if not f.name.startswith("GGUF.") and f.name != "general.architecture":
            sub = f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(f.name, f.contents(), f.types[0], sub)
    for t in reader.tensors:
        writer.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = parts_of(work("gguf-py", "w"))
    merged = convert(parts[0], "merged.gguf")
    check("gguf's parts: merged", tensors([merged]) == tensors([one]), f"{len(parts)} parts")
    status, _ = run("verify", parts[0], one, "--weights", expect=None)
    check("gguf's parts: verify --weights agrees", status == 0, f"exit {status}")


def main():
    one, parts = make()
    guarded("parts", check_parts, one, parts)
    guarded("llama.cpp", check_runtime, one, parts)
    guarded("keep-split", check_keep_split, parts)
    guarded("gguf's parts", check_their_parts, one)


if __name__ == "__main__":
    main()
    finish()

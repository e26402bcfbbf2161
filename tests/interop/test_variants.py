"""Every variant of the two families in every container: both sides' logits against transformers in float64.

For each checkpoint of make_checkpoints.py and the two embedded models:
  * lathe-inspect lists exactly the tensors that torch or safetensors finds, with the digests of their bytes;
  * lathe-verify's logits of the checkpoint and of its F32 GGUF, in float32 and float64;
  * the two sides agree (exit 0) and the figures printed are those that numpy computes from the logits;
  * llama.cpp computes the same from the GGUF file;
  * damage is seen: two exchanged rows give exit 1.
"""
import glob
import hashlib
import os
import shutil
import subprocess
import sys

import gguf
import numpy as np
import torch
from checks import *

import make_checkpoints
import reference
from safetensors.torch import load_file

quiet_llama_cpp()
TORCH_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
               torch.uint8: "U8", torch.bool: "BOOL", torch.int64: "I64"}


def tensors_of(folder):
    """What the official libraries find in a checkpoint."""
    state = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        state |= load_file(path)
    for path in sorted(glob.glob(os.path.join(folder, "*.bin"))):
        state |= torch.load(path, weights_only=True)
    return state


def digest(t):
    t = t.contiguous()
    raw = t.view(torch.uint8) if t.dim() else t.reshape(1).view(torch.uint8)
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def check_listing(name, folder):
    want = {k: (TORCH_NAMES[v.dtype], list(v.shape), digest(v)) for k, v in tensors_of(folder).items()}
    listed = run_json("inspect", folder, "--tensors", "--hash")["tensors"]
    got = {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in listed}
    wrong = [k for k in want.keys() | got.keys() if want.get(k) != got.get(k)]
    check(f"{name}: inspect lists tensors and digests", not wrong and len(listed) == len(want),
          f"{len(want)} tensors" if not wrong else f"{wrong[0]}: {got.get(wrong[0])}, not {want.get(wrong[0])}")


def swap_rows(source, target, tensor):
    """A copy of a GGUF file with rows 0 and 1 of one tensor exchanged."""
    shutil.copyfile(source, target)
    t = next(t for t in gguf.GGUFReader(target, "r+").tensors if t.name == tensor)
    rows = t.data.reshape(t.data.shape[0], -1)
    rows[[0, 1]] = rows[[1, 0]]
    t.data.flush() if hasattr(t.data, "flush") else None


def close(a, b):
    return abs(a - b) <= 1e-4 * max(abs(a), abs(b)) + 1e-9


def check_metrics(name, a, b, ids_file, ids):
    """lathe-verify A B --json beside numpy on the logits that lathe saves of each."""
    n = len(ids)
    status, out = run("verify", a, b, "--tokens", ids_file, "--context", n, "--precision", "f64", "--json", expect=None)
    got = json.loads(out)
    want = metrics(logits(a, ids_file, n, "f64"), logits(b, ids_file, n, "f64"), np.array(ids))
    wrong = {k: (got.get(k), float(v)) for k, v in want.items() if got.get(k) is None or not close(got[k], float(v))}
    check(f"{name}: figures are numpy's", not wrong, "; ".join(f"{k} {g} not {w}" for k, (g, w) in wrong.items()))
    check(f"{name}: exit status says what `agree` says", status == (0 if got["agree"] else 1), f"exit {status}")
    return got


def check_model(name, folder, ids, ref64=None):
    n = len(ids)
    ids_file = write_ids("ids.txt", ids)
    if ref64 is None:
        ref64 = reference.logits_f64(folder, ids)
    own = deviation(reference.logits_f32(folder, ids), ref64)

    check_listing(name, folder)
    check_f32(f"{name}: source side, float32", logits(folder, ids_file, n), ref64, own)
    check_f64(f"{name}: source side, float64", logits(folder, ids_file, n, "f64"), ref64, F64_LIMIT)

    gguf_file = convert(folder, f"{name}.gguf", "--type", "f32")
    check_f32(f"{name}: GGUF side, float32", logits(gguf_file, ids_file, n), ref64, own)
    check_f64(f"{name}: GGUF side, float64", logits(gguf_file, ids_file, n, "f64"), ref64, F64_LIMIT)
    both = run_json("verify", folder, gguf_file, "--tokens", ids_file, "--context", n)
    check(f"{name}: both sides agree", both["agree"] and both["positions"] == n,
          f"max |d| {both['max_abs_diff']:.2e}, tolerance {both['tolerance']:.1e} of {both['max_abs_logit']:.1f}")

    kept = convert(folder, f"{name}-keep.gguf")
    both = run_json("verify", folder, kept, "--tokens", ids_file, "--context", n)
    check(f"{name}: keeps its own type without loss", both["agree"], f"max |d| {both['max_abs_diff']:.2e}")

    rms, top = deviation(reference.llama_cpp_logits(gguf_file, ids), ref64)
    # llama.cpp looks GELU up in a half-precision table: that is what limits GPT-2.
    limit = 2e-2 if "gpt2" in name else max(4 * own[1], 5e-5)
    check(f"{name}: llama.cpp computes the same", top <= limit, f"rms {rms:.2e} max {top:.2e}, limit {limit:.0e}")

    half = convert(folder, f"{name}-q8_0.gguf", "--type", "q8_0")
    check_metrics(f"{name} as Q8_0", folder, half, ids_file, ids)

    damaged = work(f"{name}-damaged.gguf")
    swap_rows(gguf_file, damaged, "blk.1.attn_qkv.weight" if "gpt2" in name else "blk.1.attn_k.weight")
    status, _ = run("verify", folder, damaged, "--tokens", ids_file, "--context", n, expect=None)
    check(f"{name}: exchanged rows are seen", status == 1, f"exit {status}")
    for path in (gguf_file, kept, half, damaged):
        os.unlink(path)


# Both sides compute in double what the reference computes in double; what is left is the order of sums, and, in GGUF, that
# its metadata hold epsilon as a float32.
F64_LIMIT = 1e-6


def random_model(name):
    if ONLY and not any(o in name for o in ONLY):
        return
    folder = make_checkpoints.make(name, work("checkpoints"))
    check_model(name, folder, reference.read_ids(os.path.join(folder, "ids.txt")))
    shutil.rmtree(folder)


for model in ("tiny-llama", "tiny-gpt2"):
    guarded(model, check_model, model, *trained(model))
for variant in make_checkpoints.VARIANTS:
    guarded(variant, random_model, variant)
finish()

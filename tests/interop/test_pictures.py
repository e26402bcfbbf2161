"""The values behind the pictures: attention against transformers' output_attentions (eager, every operation in float64), and the files as
Pillow and NumPy see them; pictures of weights against NumPy's reductions of what safetensors and gguf read.

For one model of each line, and for windows: the array of --attention -o x.npy, from the checkpoint and from our GGUF of it, in float32 and
float64; rows sum to 1; what JSON says about windows is where the reference has zeros. PNG: palette index to value, masked cells, the map's
published colours, tiles, pooling. Weights: every reduction as an array and as colours, strips, clipping, the difference of two forms, a role
in all layers, counts of a histogram.
"""
import json
import os
import re

import gguf
import numpy as np
from checks import *
from PIL import Image
from safetensors import safe_open

import gpt_checkpoints
import llama_checkpoints
import reference
import smollm2

# Probabilities are at most 1. Observed up to 2.6e-6 in float32, and 3e-8 in float64, which float32 arrays round to.
LIMIT = {"f32": 1e-5, "f64": 1e-6}
LEVELS = 240
MASKED, NAN = 242, 241
# Published: matplotlib's viridis at 0, 0.2, ... 1; ColorBrewer's RdBu with 11 classes
VIRIDIS = [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)]
RED_BLUE = [(5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247), (253, 219, 199),
            (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)]


def some_ids(n, n_vocab):
    return [int(i) for i in np.random.default_rng(7).integers(0, n_vocab, n)]


def attention(model, ids_path, *options):
    out = work("a.npy")
    _, text = run("inspect", model, "--attention", "--tokens", ids_path, "-o", out, "--json", *options)
    array = np.load(out)
    os.unlink(out)
    return array, json.loads(text)


def sees(n, window):
    q, k = np.arange(n)[:, None], np.arange(n)[None]
    return (k <= q) & ((window == 0) | (q - k < window))


def same_as_transformers(name, folder, ids):
    want = reference.attentions_f64(folder, ids)
    gguf = convert(folder, f"{name}.gguf")
    path = write_ids(f"{name}.ids", ids)
    for side, model in (("source", folder), ("GGUF", gguf)):
        for precision, limit in LIMIT.items():
            got, facts = attention(model, path, "--precision", precision)
            worst = np.abs(got - want).max() if got.shape == want.shape else f"shapes {got.shape}, {want.shape}"
            check(f"{name} {side} {precision}: attention is transformers'", got.shape == want.shape and worst <= limit,
                  f"{worst:.1e}" if got.shape == want.shape else worst)
            off = np.abs(got.astype(np.float64).sum(-1) - 1).max()
            check(f"{name} {side} {precision}: rows sum to 1", off < 1e-5, f"{off:.1e}")
        masks = np.array([sees(len(ids), layer["window"]) for layer in facts["layers"]])[:, None]
        check(f"{name} {side}: masked where the reference is zero", ((want > 0) == np.broadcast_to(masks, want.shape)).all(),
              str(sorted({layer["window"] for layer in facts["layers"]})))
    entropy = -(want * np.log(np.where(want > 0, want, 1))).sum(-1).mean(-1)
    told = np.array([[h["entropy"] for h in layer["heads"]] for layer in facts["layers"]])
    first = np.array([[h["first_token"] for h in layer["heads"]] for layer in facts["layers"]])
    check(f"{name}: entropy and first token's share", np.abs(told - entropy).max() < 1e-4 and
          np.abs(first - want[:, :, 1:, 0].mean(-1)).max() < 1e-5)
    one, _ = attention(folder, path, "--layer", 1, "--head", want.shape[1] - 1)
    check(f"{name}: one head", one.shape == (1, 1, len(ids), len(ids)) and np.abs(one[0, 0] - want[1, -1]).max() < LIMIT["f32"])
    os.unlink(gguf)


def numbers(pattern, text):
    return [int(x) for x in re.fullmatch(pattern, text).groups()]


def indices(image, x0, y0, rows, cols, px):
    pixels = np.array(image)[y0:y0 + rows * px, x0:x0 + cols * px]
    cells = pixels[::px, ::px]
    return cells, (np.kron(cells, np.ones((px, px), cells.dtype)) == pixels).all()


def colors(image, table, name):
    """The palette at the levels that the published colours fall on."""
    palette = np.array(image.getpalette()).reshape(-1, 3)
    at = np.linspace(0, LEVELS, len(table)).round().astype(int)
    check(f"{name}: the palette has the published colours", (palette[at] == table).all() and tuple(palette[MASKED]) == (160, 160, 160) and
          tuple(palette[NAN]) == (255, 0, 255))


def pooled(p, mask, step):
    n = p.shape[0]
    side = -(-n // step)
    out = np.full((side, side), -np.inf)
    for i in range(side):
        for k in range(side):
            part = np.s_[i * step:(i + 1) * step, k * step:(k + 1) * step]
            if mask[part].any():
                x = p[part][mask[part]]
                out[i, k] = x[np.abs(x).argmax()]
    return out


def levels(x, lo, hi):
    finite = np.where(np.isfinite(x), x, lo)
    at = np.clip(np.floor((finite - lo) / (hi - lo) * LEVELS + 0.5), 0, LEVELS)
    return np.where(np.isfinite(x), at, MASKED).astype(int)


def near(found, want):
    """Equal but where float32 arithmetic in a program and NumPy's own sit on two sides of a half."""
    return found.shape == want.shape and ((found == MASKED) == (want == MASKED)).all() and \
        np.abs(found.astype(int) - want).max() <= 1 and (found != want).mean() < 0.01


def pictures(folder, n):
    ids = some_ids(n, 512)
    path = write_ids("pictures.ids", ids)
    array, facts = attention(folder, path)
    mask = sees(n, 0)
    out = work("p.png")
    run("inspect", folder, "--attention", "--tokens", path, "--layer", 1, "--head", 2, "-o", out, "--quiet")
    image = Image.open(out)
    rows, cols, px, x0, y0 = numbers(r"(\d+) x (\d+) cells of (\d+) pixels from (\d+),(\d+)", image.text["Cells"])
    cells, whole = indices(image, x0, y0, rows, cols, px)
    want = levels(pooled(array[1, 2], mask, -(-n // 512)), 0, 1)
    check(f"{n} ids: a head's cells are its probabilities", whole and near(cells, want), f"{rows} x {cols}")
    colors(image, VIRIDIS, f"{n} ids")
    run("inspect", folder, "--attention", "--tokens", path, "-o", out, "--quiet")
    image = Image.open(out)
    n_layers, n_heads, x0, y0, right, down, rows, cols, px = numbers(
        r"(\d+) x (\d+) tiles from (\d+),(\d+), (\d+) right and (\d+) down from one to the next, each (\d+) x (\d+) cells of (\d+) pixels",
        image.text["Cells"])
    good = (n_layers, n_heads) == array.shape[:2]
    for layer in range(n_layers):
        for head in range(n_heads):
            cells, whole = indices(image, x0 + head * right, y0 + layer * down, rows, cols, px)
            good &= whole and near(cells, levels(pooled(array[layer, head], mask, -(-n // rows)), 0, 1))
    check(f"{n} ids: all heads' cells are their probabilities", good, f"{n_layers} x {n_heads} tiles of {rows} x {cols}")


def differences(folder):
    gguf, q4 = convert(folder, "d.gguf"), work("d4.gguf")
    run("quantize", gguf, q4, "Q4_0", "--quiet", "--force")
    path = write_ids("differences.ids", some_ids(20, 512))
    a, _ = attention(folder, path)
    b, _ = attention(q4, path)
    d, facts = attention(folder, path, "--against", q4)
    check("difference: B - A", np.abs(d - (b - a)).max() == 0 and np.abs(d).max() > 1e-3, f"largest {np.abs(d).max():.3f}")
    most = facts["max_difference"]
    at = tuple(most[k] for k in ("layer", "head", "query", "key"))
    check("difference: the largest is named", at == tuple(np.unravel_index(np.abs(d).argmax(), d.shape)) and
          abs(most["difference"] - d[at]) < 1e-9 and abs(most["a"] - a[at]) < 1e-9 and abs(most["b"] - b[at]) < 1e-9, str(at))
    out = work("d.png")
    run("inspect", folder, "--attention", "--tokens", path, "--against", q4, "--layer", at[0], "--head", at[1], "--clip", 100, "-o", out, "--quiet")
    image = Image.open(out)
    lo, hi = map(float, re.match(r"(\S+) to (\S+) in 241", image.text["Colours"]).groups())
    rows, cols, px, x0, y0 = numbers(r"(\d+) x (\d+) cells of (\d+) pixels from (\d+),(\d+)", image.text["Cells"])
    cells, whole = indices(image, x0, y0, rows, cols, px)
    check("difference: symmetric, up to the largest", lo == -hi and abs(hi - abs(d[at])) < 1e-9)
    check("difference: cells", whole and near(cells, np.where(sees(20, 0), levels(d[at[0], at[1]], lo, hi), MASKED)))
    colors(image, RED_BLUE, "difference")


# --- weights ---

def stored(folder, name):
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f:
        return f.get_tensor(name).double().numpy()


def dequantized(path, name):
    t = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
    return gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)


def permuted(w, heads):
    """Rows of q and k as llama.cpp wants them: each head's halves interleaved."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def reduced(w, how, side=1024):
    """Cells of ceil(n / side) rows and columns, the last ones smaller."""
    steps = [-(-n // side) for n in w.shape]
    starts = [np.arange(0, n, s) for n, s in zip(w.shape, steps)]
    over = lambda f, x: f.reduceat(f.reduceat(x, starts[0], axis=0), starts[1], axis=1)
    counts = over(np.add, np.ones_like(w))
    if how == "extreme":
        low, high = over(np.minimum, w), over(np.maximum, w)
        return np.where(-low > high, low, high), np.abs(low) == high
    if how == "absmax":
        return over(np.maximum, np.abs(w)), False
    if how == "mean":
        return over(np.add, np.abs(w)) / counts, False
    return np.sqrt(over(np.add, w * w) / counts), False


def apart(found, want, either=False):
    """Largest difference; where both signs are as far from zero, either is right."""
    d = np.where(either, np.abs(np.abs(found) - np.abs(want)), np.abs(found - want))
    return d.max() / np.abs(want).max()


def heatmaps(folder, name):
    w = stored(folder, name)
    for how in ("extreme", "absmax", "mean", "rms"):
        out, png = work("h.npy"), work("h.png")
        run("inspect", folder, "--heatmap", name, "--reduce", how, "-o", out, "--quiet")
        facts = run_json("inspect", folder, "--heatmap", name, "--reduce", how, "--clip", 99, "-o", png)
        want, either = reduced(w, how)
        found = np.load(out)
        off = apart(found, want, either)
        check(f"heatmap {how}: NumPy's reduction", found.shape == want.shape and off < 1e-12, f"{w.shape} to {want.shape}: {off:.0e}")
        limit = np.sort(np.abs(found).ravel())[int(np.ceil(0.99 * (found.size - 1)))]
        check(f"heatmap {how}: colours end at the 99th percentile", abs(facts["limit"] / limit - 1) < 1e-12 and
              abs(facts["largest"] - np.abs(found).max()) < 1e-12, f"{limit:.4g}")
        image = Image.open(png)
        lo, hi = map(float, re.match(r"(\S+) to (\S+) in 241", image.text["Colours"]).groups())
        rows, cols, px, x0, y0 = numbers(r"(\d+) x (\d+) cells of (\d+) pixels from (\d+),(\d+)", image.text["Cells"])
        cells, whole = indices(image, x0, y0, rows, cols, px)
        check(f"heatmap {how}: colours are the cells", whole and hi == limit and (cells == levels(found, lo, hi)).all() and
              lo == (-limit if how == "extreme" else 0))
        # strips: six pixels off the cells, fourteen thick, up to the largest magnitude of all
        steps = [-(-n // 1024) for n in w.shape]
        peak = np.abs(w).max()
        base = -peak if how == "extreme" else 0
        by_row = np.maximum.reduceat(np.abs(w).max(1), np.arange(0, w.shape[0], steps[0]))
        by_col = np.maximum.reduceat(np.abs(w).max(0), np.arange(0, w.shape[1], steps[1]))
        pixels = np.array(image)
        right = pixels[y0:y0 + rows * px:px, x0 + cols * px + 6 + 7]
        below = pixels[y0 + rows * px + 6 + 7, x0:x0 + cols * px:px]
        check(f"heatmap {how}: strips are the largest of rows and columns",
              (right == levels(by_row, base, peak)).all() and (below == levels(by_col, base, peak)).all())
    assert Image.open(png).text["Clip"].startswith("colours end at")


def against(folder):
    """B - A of the embedding, and of q, whose rows a GGUF has in another order."""
    ours, q4 = convert(folder, "w.gguf"), work("w4.gguf")
    run("quantize", ours, q4, "Q4_0", "--pure", "--quiet", "--force")
    heads = json.load(open(os.path.join(folder, "config.json")))["num_attention_heads"]
    for source, name, order in (("model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight", lambda w: permuted(w, heads)),
                                ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", lambda w: w)):
        a, b = order(stored(folder, source)), dequantized(q4, name)
        for sides, asked, sign in (((folder, q4), source, 1), ((q4, folder), name, -1)):
            x, y = (a, b) if sign > 0 else (b, a)
            for how in ("extreme", "rms"):
                out = work("w.npy")
                facts = run_json("inspect", sides[0], "--heatmap", asked, "--against", sides[1], "--reduce", how, "-o", out)["against"]
                found = np.load(out)
                pairs = [reduced(v, how) for v in (x, y, y - x)]
                off = max(apart(f, *p) for f, p in zip(found, pairs))
                d = np.abs(y - x)
                at = (facts["row"], facts["column"])
                check(f"{name} {how}: A, B and B - A" + (", turned" if sign < 0 else ""), off < 1e-7 and
                      abs(facts["rms_diff"] / np.sqrt((d * d).mean()) - 1) < 1e-6 and abs(facts["max_abs_diff"] / d.max() - 1) < 1e-6 and
                      abs(d[at] / d.max() - 1) < 1e-6, f"{off:.0e}, error {facts['rms_diff']:.2g}")
        facts = run_json("inspect", folder, "--histogram", source, "--against", q4)
        edges = np.linspace(facts["lo"], facts["hi"], 256)
        off = max(np.abs(np.array(facts[side]["counts"]) - np.histogram(v, edges)[0]).sum() for side, v in (("a", a), ("b", b)))
        check(f"{name}: histograms", off <= 4 and facts["b"]["zeros"] == (b == 0).sum(), f"{off} values on the other side of an edge")
    out = work("g.npy")
    run("inspect", folder, "--grid", "attn_q", "--against", q4, "--reduce", "mean", "-o", out, "--quiet")
    grid = np.load(out)
    n = grid.shape[1]
    want = [reduced(dequantized(q4, f"blk.{i}.attn_q.weight") - permuted(stored(folder, f"model.layers.{i}.self_attn.q_proj.weight"), heads),
                    "mean", n)[0] for i in range(len(grid))]
    check("grid: B - A of a role in all layers", grid.shape == np.array(want).shape and apart(grid, np.array(want)) < 1e-7, str(grid.shape))


os.makedirs(WORK, exist_ok=True)
TINY = {name: os.path.join(DATA, name) for name in ("tiny-gpt2", "tiny-llama", "tiny-glm4")}
for name, folder in TINY.items():
    guarded(name, same_as_transformers, name, folder, reference.read_ids(os.path.join(folder, "tokens.txt"))[:48])
for module, names in ((gpt_checkpoints, ("gptneo", "gptneox")), (llama_checkpoints, ("mistral", "qwen2-layer-types"))):
    for name in names:
        guarded(name, module.make, name, work("checkpoints"))
        guarded(name, same_as_transformers, name, work("checkpoints", name), some_ids(30, 300))
for n in (1, 40, 1100):
    guarded(f"{n} ids", pictures, TINY["tiny-llama"], n)
guarded("differences", differences, TINY["tiny-llama"])
guarded("heatmaps", heatmaps, smollm2.ensure(), "model.embed_tokens.weight")
guarded("against", against, TINY["tiny-llama"])
finish()

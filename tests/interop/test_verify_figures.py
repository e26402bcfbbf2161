"""Figures and pictures of lathe-verify, from two sides' logits by numpy: each position's row of --points, the worst positions with the texts that
transformers' tokenizer gives, and the marks of --plot in a picture that Pillow reads."""
import csv
import re

import gguf
import numpy as np
from checks import *
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer

CONTEXT = 50
SKY, BLUE = (0x56, 0xB4, 0xE9), (0x00, 0x72, 0xB2)


def windows(path, ids_file):
    out = work("side.npy")
    run("verify", path, "--tokens", ids_file, "--context", CONTEXT, "--save-logits", out, "--quiet")
    return np.load(out)


def check_points(rows, a, b, ids):
    la, lb = log_softmax(a), log_softmax(b)
    want = {"kl_ab": (np.exp(la) * (la - lb)).sum(1), "kl_ba": (np.exp(lb) * (lb - la)).sum(1), "max_abs_diff": np.abs(a - b).max(1)}
    for key, values in want.items():
        off = max(abs(float(r[key]) / v - 1) for r, v in zip(rows, values))
        check(f"points: {key} of each position", len(rows) == len(ids) and off < 1e-6, f"relative {off:.1e}")
    scored = [i for i in range(len(ids)) if i % CONTEXT != CONTEXT - 1 and i + 1 < len(ids)]
    off = max(abs(float(rows[i][key]) + side[i, ids[i + 1]]) for i in scored for key, side in (("nll_a", la), ("nll_b", lb)))
    check("points: log likelihoods", off < 1e-5 and all((r["nll_a"] == "") == (i not in scored) for i, r in enumerate(rows)), f"{off:.1e}")
    return want


def check_worst(got, want, a, b, ids, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    order = np.argsort(-want["kl_ab"])[:10]
    check("worst: the ten positions of the largest KL", [w["position"] for w in got["worst"]] == order.tolist())
    piece = lambda i: tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(int(i))])
    texts = [(w["text"], w["top1_text_a"], w["top1_text_b"]) for w in got["worst"]]
    theirs = [(piece(ids[t]), piece(a[t].argmax()), piece(b[t].argmax())) for t in order]
    check("worst: tokens and what comes first, as transformers spells them", texts == theirs, f"{texts[:3]} {theirs[:3]}")


def axes_of(notes):
    """The panels that the picture's own text describes: functions from values to pixels."""
    panels = []
    for part in notes["Axes"].split("; "):
        m = re.fullmatch(r"panel \d+: x (log )?(\S+) to (\S+) at (\d+)\.\.(\d+), y (log )?(\S+) to (\S+) at (\d+)\.\.(\d+)", part)
        to = lambda log, lo, hi, first, last: lambda v: round(
            int(first) + (int(last) - int(first)) * min(1, max(0, ((np.log(v / float(lo)) / np.log(float(hi) / float(lo))) if v > 0 else 0)
                                                               if log else (v - float(lo)) / (float(hi) - float(lo)))))
        panels.append((to(*m.groups()[:5]), to(*m.groups()[5:]), [float(m[i]) for i in (2, 3, 7, 8)]))
    return panels


def near(image, x, y, color, reach=3):
    box = image[max(y - reach, 0):y + reach + 1, max(x - reach, 0):x + reach + 1]
    return bool((box == color).all(2).any())


def check_picture(path, rows, want, a, folder, quantized):
    picture = Image.open(path)
    check("plot: an indexed PNG that Pillow reads whole", picture.mode == "P" and picture.load() is not None, picture.mode)
    panels = axes_of(picture.text)
    image = np.array(picture.convert("RGB"))
    (x, y, limits), (x2, y2, _), (x3, y3, _), (x4, y4, _), layers = panels
    kl, largest = want["kl_ab"], np.abs(a).max()
    check("plot: a dot for each position's KL", all(near(image, x(t), y(v), SKY) for t, v in enumerate(kl)))
    moved = sum(near(image, x(t), y(v * 1.5), SKY, 0) for t, v in enumerate(kl))
    check("plot: and none beside it", moved < len(kl) / 10, f"{moved} by chance")
    check("plot: a dot for each largest difference", all(near(image, x2(t), y2(v / largest), SKY) for t, v in enumerate(want["max_abs_diff"])))
    place = [kl[i::CONTEXT].mean() for i in range(CONTEXT)]
    check("plot: a dot for the mean of each place in the window", all(near(image, x3(t), y3(v), SKY) for t, v in enumerate(place)))
    edges = 10 ** np.arange(np.log10(limits[2]), np.log10(limits[3]) + 1e-9, 1 / 8)
    counts, _ = np.histogram(kl, edges)
    middle = np.sqrt(edges[:-1] * edges[1:])
    check("plot: the histogram's steps are numpy's counts", all(near(image, x4(m), y4(c), BLUE, 1) for m, c in zip(middle, counts) if c > 0)
          and not any(near(image, x4(m), y4(c + 1), BLUE, 0) for m, c in zip(middle, counts)), f"{counts.sum()} positions")
    check_layers(layers, image, folder, quantized)


def check_layers(panel, image, folder, quantized):
    """The last panel: distance of each layer's matrix. Values and the down projection lie alike in both files."""
    x, y, _ = panel
    source = load_file(folder + "/model.safetensors")
    stored = {t.name: t for t in gguf.GGUFReader(quantized).tensors}
    ink = lambda px, py: any(int(c.max()) - int(c.min()) > 40 for c in image[py - 2:py + 3, px - 2:px + 3].reshape(-1, 3))
    seen = []
    for theirs, ours in (("self_attn.v_proj", "attn_v"), ("mlp.down_proj", "ffn_down")):
        for layer in range(2):
            w = source[f"model.layers.{layer}.{theirs}.weight"].double().numpy()
            t = stored[f"blk.{layer}.{ours}.weight"]
            d = gguf.quants.dequantize(t.data, t.tensor_type).reshape(w.shape) - w
            seen.append((x(layer), y(np.sqrt((d * d).sum() / (w * w).sum()))))
    check("plot: the lines of layers go through numpy's distances", all(ink(*p) for p in seen) and not any(ink(px, py - 30) for px, py in seen), f"{seen}")


def main():
    folder, ids, _ = trained("tiny-llama")
    ids_file = write_ids("ids.txt", ids)
    quantized = convert(folder, "q4.gguf", "--type", "Q4_0")
    a, b = windows(folder, ids_file), windows(quantized, ids_file)
    got = run_json("verify", folder, quantized, "--tokens", ids_file, "--context", CONTEXT, "--plot", work("x.png"), "--points", work("x.csv"))
    rows = list(csv.DictReader(open(work("x.csv"))))
    want = check_points(rows, a, b, ids)
    check_worst(got, want, a, b, ids, folder)
    check_picture(work("x.png"), rows, want, a, folder, quantized)


guarded("figures", main)
finish()

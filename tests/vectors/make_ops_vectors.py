#!/usr/bin/env python3
"""Reference results for tests/unit/test_ops.c and test_metrics.c: writes ops_vectors.h beside this file.

Everything is computed by PyTorch in float64 from inputs that are exact in float32. Last written with
torch 2.13.0 (CPU)."""
import os
import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
out = ["/* Written by make_ops_vectors.py with torch %s: float64 results for inputs that floats hold exactly. */"
       % torch.__version__.split("+")[0]]


def exact(*shape, scale=1.0):
    """values that float32 holds, so that both precisions start from the same numbers"""
    return (torch.randn(*shape) * scale).to(torch.float32).to(torch.float64)


def put(name, t):
    flat = [float(v).hex() for v in t.reshape(-1)]
    out.append("static const double %s[] = {" % name)
    for i in range(0, len(flat), 5):
        out.append("    " + ", ".join(flat[i:i + 5]) + ",")
    out.append("};")


def define(name, value):
    out.append("#define %s %s" % (name, value))


# norms: 3 rows of 29 elements
x, w, b = exact(3, 29, scale=2.0) + 0.5, exact(29), exact(29)
put("norm_x", x), put("norm_w", w), put("norm_b", b)
define("NORM_ROWS", 3), define("NORM_N", 29), define("NORM_EPS", "0x1p-12")
eps = 2.0 ** -12
put("norm_rms", x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w)
put("norm_layer", F.layer_norm(x, (29,), w, b, eps))

# activations
x = torch.cat([exact(40, scale=3.0), torch.tensor([0.0, -0.0, 1e-30, -1e-30, 2.7, -2.7, -12.0, 12.0, -60.0, 60.0])])
x = x.to(torch.float32).to(torch.float64)
define("ACT_N", x.numel())
put("act_x", x)
put("act_silu", F.silu(x))
put("act_gelu_tanh", 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x ** 3))))
put("act_gelu_erf", F.gelu(x))
put("act_gelu_quick", x * torch.sigmoid(1.702 * x))
put("act_relu", F.relu(x))

# rotation: 4 positions from 5 on, 2 heads of 12 elements, the first 8 rotated, inside rows of 30 from column 3 on
T, H, D, R, pos0, ld, col0 = 4, 2, 12, 8, 5, 30, 3
x = exact(T, ld)
theta = 10000.0
freq = theta ** (-torch.arange(0, R, 2) / R)
angle = torch.arange(pos0, pos0 + T)[:, None] * freq[None]
cos, sin = angle.cos()[:, None], angle.sin()[:, None]
put("rope_x", x), put("rope_cos", angle.cos()), put("rope_sin", angle.sin())
define("ROPE_T", T), define("ROPE_H", H), define("ROPE_D", D), define("ROPE_DIM", R), define("ROPE_LD", ld), define("ROPE_COL0", col0)
for style in ("halves", "pairs"):
    y = x.clone()
    head = x[:, col0:col0 + H * D].reshape(T, H, D)
    r = head[..., :R]
    if style == "halves":
        a, c = r[..., :R // 2], r[..., R // 2:]
        turned = torch.cat([a * cos - c * sin, c * cos + a * sin], -1)
    else:
        a, c = r[..., 0::2], r[..., 1::2]
        turned = torch.stack([a * cos - c * sin, c * cos + a * sin], -1).reshape(T, H, R)
    y[:, col0:col0 + H * D] = torch.cat([turned, head[..., R:]], -1).reshape(T, H * D)
    put("rope_" + style, y)

# attention: 18 positions, 4 heads over 2 key/value heads of 7 elements, q k v side by side
T, H, K, D = 18, 4, 2, 7
x = exact(T, (H + 2 * K) * D)
define("ATTN_T", T), define("ATTN_H", H), define("ATTN_K", K), define("ATTN_D", D)
put("attn_qkv", x)
q = x[:, :H * D].reshape(T, H, D).transpose(0, 1)
k = x[:, H * D:(H + K) * D].reshape(T, K, D).transpose(0, 1).repeat_interleave(H // K, 0)
v = x[:, (H + K) * D:].reshape(T, K, D).transpose(0, 1).repeat_interleave(H // K, 0)
i, j = torch.arange(T)[:, None], torch.arange(T)[None]
for name, window in (("full", T), ("window5", 5), ("window1", 1)):
    mask = (j <= i) & (i - j < window)
    s = (q @ k.transpose(1, 2)) * D ** -0.5
    p = s.masked_fill(~mask, float("-inf")).softmax(-1)
    if name == "full":
        put("attn_probs", p)
    put("attn_" + name, (p @ v).transpose(0, 1).reshape(T, H * D))

# linear: 19 positions, 21 inputs, 23 outputs; and a sum long enough for several blocks
x, w, b = exact(19, 21), exact(23, 21), exact(23)
define("LIN_T", 19), define("LIN_IN", 21), define("LIN_OUT", 23)
put("lin_x", x), put("lin_w", w), put("lin_b", b), put("lin_out", x @ w.T + b)

# metrics: 3 positions, 530 entries; the id that follows each
a = exact(3, 530, scale=3.0)
c = (a + exact(3, 530, scale=0.3)).to(torch.float32).to(torch.float64)
ids = torch.tensor([5, 529, -1])
define("MET_T", 3), define("MET_V", 530)
put("met_a", a), put("met_b", c)
out.append("static const int32_t met_next[] = {%s};" % ", ".join(str(int(v)) for v in ids))
la, lb = a.log_softmax(-1), c.log_softmax(-1)
kl_ab, kl_ba = (la.exp() * (la - lb)).sum(-1), (lb.exp() * (lb - la)).sum(-1)
keep = ids >= 0
for name, value in (("MET_MAX_ABS_DIFF", (a - c).abs().max()), ("MET_RMS_DIFF", (a - c).pow(2).mean().sqrt()),
                    ("MET_MAX_ABS_LOGIT", a.abs().max()), ("MET_KL_AB", kl_ab.mean()), ("MET_KL_BA", kl_ba.mean()),
                    ("MET_KL_MAX", kl_ab.max()), ("MET_TOP1", (a.argmax(-1) == c.argmax(-1)).double().mean()),
                    ("MET_PPL_A", F.nll_loss(la[keep], ids[keep]).exp()), ("MET_PPL_B", F.nll_loss(lb[keep], ids[keep]).exp())):
    define(name, float(value).hex())
define("MET_WORST", int(kl_ab.argmax()))

# spreads over positions: 41 positions, 37 entries; quantiles are values that occurred (numpy's "inverted_cdf")
a = exact(41, 37, scale=2.0)
c = (a + exact(41, 37, scale=1.0)).to(torch.float32).to(torch.float64)
ids = torch.tensor([(7 * t) % 37 if t % 10 != 9 else -1 for t in range(41)])
define("SPR_T", 41), define("SPR_V", 37)
put("spr_a", a), put("spr_b", c)
out.append("static const int32_t spr_next[] = {%s};" % ", ".join(str(int(v)) for v in ids))
la, lb = a.log_softmax(-1), c.log_softmax(-1)
keep = ids >= 0
na, nb = (F.nll_loss(x[keep], ids[keep], reduction="none") for x in (la, lb))


def error(x):
    return x.std() / len(x) ** 0.5


top = [set(t.topk(5).indices.tolist()) & set(u.topk(5).indices.tolist()) for t, u in zip(a, c)]
for name, value in (("SPR_TOP5", sum(map(len, top)) / (5 * 41)), ("SPR_PPL_ERR_A", na.mean().exp() * error(na)),
                    ("SPR_PPL_ERR_B", nb.mean().exp() * error(nb)), ("SPR_LN_RATIO", (nb - na).mean()),
                    ("SPR_LN_RATIO_ERR", error(nb - na))):
    define(name, float(value).hex())
for name, kl in (("AB", (la.exp() * (la - lb)).sum(-1)), ("BA", (lb.exp() * (lb - la)).sum(-1))):
    for what, value in (("MEAN", kl.mean()), ("ERR", error(kl)), ("MAX", kl.max()),
                        ("MEDIAN", np.quantile(kl.numpy(), 0.5, method="inverted_cdf")),
                        ("P99", np.quantile(kl.numpy(), 0.99, method="inverted_cdf"))):
        define(f"SPR_{name}_{what}", float(value).hex())

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops_vectors.h"), "w") as f:
    f.write("\n".join(out) + "\n")

"""Writes tests/vectors/stats_vectors.h: statistics as numpy computes them. python tests/vectors/make_stats_vectors.py (made with numpy 2.4.6)

Element i is made from i alone, so that the test builds the same tensors: see value() there and here.
"""
import os

import numpy as np

ROWS, COLS = 900, 700


def elements():
    i = np.arange(ROWS * COLS, dtype=np.uint64)
    x = ((i * np.uint64(2654435761)) % np.uint64(1 << 32)).astype(np.float64) / 2.0**32 - 0.5
    r, c = i // np.uint64(COLS), i % np.uint64(COLS)
    x = np.where(c == 17, x * 16, x)
    x = np.where(r == 5, x * 32, x)
    x = np.where(i % np.uint64(1000) == 0, 0, x)
    x = np.where(i % np.uint64(70001) == 1, x * 2.0**-130, x)
    x[123], x[456789], x[456790] = np.nan, np.inf, -np.inf
    return x.astype(np.float32)


def bf16(x):
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)).astype(np.uint32)
    return np.where(np.isfinite(x), rounded.view(np.float32), x)


def kurtosis(v):
    d = v - v.mean()
    return (d**4).mean() / (d**2).mean() ** 2


def channels(m, axis):
    rms = np.sqrt((np.where(np.isfinite(m), m, 0) ** 2).mean(axis=axis))
    median = np.median(rms)
    return [int((rms > 4 * median).sum()), int(rms.argmax()), float(rms.max() / median)]


def row(name, dtype, x, least):
    v = x.astype(np.float64)
    good = v[np.isfinite(v)]
    m = v.reshape(ROWS, COLS)
    counts = [int((v == 0).sum()), int(np.isnan(v).sum()), int(np.isinf(v).sum()),
              int(((good != 0) & (np.abs(good) < least)).sum())]
    figures = [good.min(), good.max(), good.mean(), good.std(), kurtosis(good)]
    r, c = channels(m, 1), channels(m, 0)
    numbers = ", ".join(map(str, counts)) + ", " + ", ".join(float(f).hex() for f in figures)
    numbers += ", " + ", ".join(f"{{{o[0]}, {o[1]}, {o[2].hex()}}}" for o in (r, c))
    return f'    {{"{name}", {dtype}, {numbers}}},\n'


x = elements()
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stats_vectors.h")
with open(out, "w") as f:
    f.write("/* Made by make_stats_vectors.py. zeros, nan, inf, subnormal; min, max, mean, std, kurtosis; of rows and of columns: outliers, worst, "
            "its ratio */\n")
    f.write(row("f32", "DTYPE_F32", x, 2.0**-126))
    f.write(row("f64", "DTYPE_F64", x, 2.0**-1022))
    with np.errstate(over="ignore"):
        f.write(row("f16", "DTYPE_F16", x.astype(np.float16), 2.0**-14))
    f.write(row("bf16", "DTYPE_BF16", bf16(x), 2.0**-126))

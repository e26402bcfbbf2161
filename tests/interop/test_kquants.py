"""Q2_K to Q6_K beside ggml, with each kernel set forced, through bench/quantize.

  * at least 100 000 blocks of each type in each set, with importance weights and without: rows of many kinds and of SmolLM2;
  * rows and weights that lead into the corners of the searches: ranges that nearly vanish, sums that overflow, weights of zero, huge, negative.
    There lanes give up and the plain code takes over, block by block;
  * where clang is installed, a build by it.

Decoders, and all other types: test_quant_types.py.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess

import llama_cpp
import numpy as np
from checks import *
from safetensors import safe_open

import smollm2

ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
LIBRARY = glob.glob(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))[0]
TYPES = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"]
WINDOW = 64  # rows that bench/quantize takes at a time
COLUMNS = 1536


def build(folder, *options):
    program = os.path.join(folder, "bench", "quantize")
    subprocess.run(["make", "-s", "-C", ROOT, program, *options], check=True)
    return os.path.join(ROOT, program)


def compare(program, kernels, kind, blocks, *options):
    done = subprocess.run([program, LIBRARY, "check", "--blocks", str(blocks), "--kernels", kernels, *options, kind],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise ToolError(f"exit {done.returncode}: {done.stderr[-300:]}")
    return [line.split(None, 3) for line in done.stdout.splitlines() if not line.startswith("#")]


def smollm2_rows():
    with safe_open(glob.glob(os.path.join(smollm2.ensure(), "*.safetensors"))[0], "pt") as f:
        names = sorted(n for n in f.keys() if n.endswith("down_proj.weight"))[:8]
        return np.concatenate([f.get_tensor(n).float().numpy() for n in names])


def corner_rows():
    """Windows of rows; no NaN among them, whose payload is not defined."""
    r = np.random.default_rng(3)
    s = (WINDOW, COLUMNS)
    normal = lambda k=1.0: r.standard_normal(s) * k
    yield from (normal(10.0 ** e) for e in (-9, -12, -14, -15, -16, -20, -30, -36, -38, -40, -43, 4, 6, 12, 13, 16, 18, 19, 20, 30, 37))
    yield normal() * 10.0 ** r.uniform(-40, 36, s)
    yield normal() * np.repeat(10.0 ** r.uniform(-40, 36, (WINDOW, COLUMNS // 32)), 32, 1)
    yield normal() * np.repeat(10.0 ** r.uniform(-40, 36, (WINDOW, COLUMNS // 16)), 16, 1)
    yield -r.random(s)
    yield normal(0.01) - 1
    yield -0.3 + r.integers(0, 2, s) * 3e-8  # two neighbouring floats
    yield -0.3 * (1 + r.integers(-2, 3, s) * 6e-8)
    yield np.where(r.random(s) < 0.05, normal(), r.choice([0.0, -0.0], s))
    bits = r.integers(0, 2**32, s, dtype=np.uint32).view(np.float32)
    yield np.where(np.isfinite(bits), bits, 0)
    yield np.clip(normal(3e38), -3.4e38, 3.4e38)
    yield np.where(r.random(s) < 0.003, np.inf, normal(0.02))
    yield np.where(r.random(s) < 0.003, -np.inf, normal(0.02))


def corner_weights():
    """One vector per window; their number has no factor in common with that of the windows."""
    r = np.random.default_rng(5)
    normal = lambda: r.standard_normal(COLUMNS)
    zeros = np.where(r.random(COLUMNS) < 0.3, 0, normal() ** 2)
    zeros[:256] = 0
    rows = [np.ones(COLUMNS), normal() ** 2, np.abs(r.standard_t(1, COLUMNS)), zeros, np.abs(normal()) * 1e-30, np.abs(normal()) * 1e-40,
            np.abs(normal()) * 1e20, np.zeros(COLUMNS), normal()]
    return np.stack(rows).astype(np.float32)


def kernel_sets(program):
    """Those of this processor: the program names them when it gets a wrong one."""
    done = subprocess.run([program, LIBRARY, "check", "--kernels", "?"], capture_output=True, text=True)
    return re.search(r"expected one of auto, (.*)", done.stderr).group(1).split(", ")


def case(compiler, program, blocks):
    usual = ["--rows", work("rows.f32"), str(COLUMNS)]
    corners = ["--rows", work("corners.f32"), str(COLUMNS), "--weights", work("weights.f32"), "--only-rows", "1"]
    corner_blocks = (2 if compiler == "gcc" else 1) * N_CORNERS * WINDOW * COLUMNS // 256
    jobs = [(k, t, where) for k in kernel_sets(program) for t in TYPES for where in ("usual", "corners")]
    run_job = lambda j: compare(program, j[0], j[1], *((blocks, *usual) if j[2] == "usual" else (corner_blocks, *corners)))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (kernels, kind, where), lines in zip(jobs, pool.map(run_job, jobs)):
            wrong = [" ".join(line) for line in lines if line[3] != "ok"]
            check(f"{compiler}, {kernels}, {kind}, {where} rows: bytes are ggml's", not wrong and len(lines) == 2,
                  "; ".join(wrong) or f"{lines[0][2]} blocks each way")


os.makedirs(WORK, exist_ok=True)
smollm2_rows().astype(np.float32).tofile(work("rows.f32"))
with np.errstate(all="ignore"):
    CORNERS = [np.asarray(x, np.float32) for x in corner_rows()]
N_CORNERS = len(CORNERS)
np.concatenate(CORNERS).tofile(work("corners.f32"))
corner_weights().tofile(work("weights.f32"))
guarded("gcc", case, "gcc", build("build/release"), 100000)
if shutil.which("clang"):
    guarded("clang", case, "clang", build("build/release-clang", "CC=clang"), 12000)
finish()

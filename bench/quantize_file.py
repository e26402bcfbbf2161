"""Whole files: lathe-quantize beside llama.cpp's quantizer, 1.1 B weights, two threads, alternating rounds.

usage: PYTHON bench/quantize_file.py BIN_DIR [ROUNDS] [TYPE ...]     PYTHON: of the environment that `make interop` makes; 6 GB of disk

A model of TinyLlama's shape with random BF16 weights (make_checkpoint.py). Each quantizer runs as a process of its own; CPU seconds and peak memory
are the system's figures for it (llama.cpp maps its input, which counts as memory while it is there). lathe runs with its damage figures, as by default. Ratios are
formed within a round; their median is printed. The files of both must be equal byte for byte (--receipt none).
"""
import filecmp
import os
import statistics
import subprocess
import sys

from convert import MODEL, ROOT, timed

FTYPES = {"Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18}
PEER = """
import ctypes, sys, llama_cpp
p = llama_cpp.llama_model_quantize_default_params()
p.ftype, p.nthread = int(sys.argv[3]), 2
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(p)))
"""


def main():
    tools, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    kinds = sys.argv[3:] or ["Q4_K_M", "Q6_K", "Q4_0"]
    os.makedirs(ROOT, exist_ok=True)
    if not os.path.exists(os.path.join(MODEL, "config.json")):
        subprocess.check_call([sys.executable, os.path.join(os.path.dirname(__file__), "make_checkpoint.py"), MODEL])
    source, ours, theirs = (os.path.join(ROOT, n) for n in ("whole.gguf", "ours.gguf", "theirs.gguf"))
    subprocess.check_call([os.path.join(tools, "lathe-convert"), MODEL, "-o", source, "--receipt", "none", "--force", "--quiet"])
    print("| type | lathe CPU s | s | peak MiB | llama.cpp CPU s | s | peak MiB | CPU ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        runs = []
        for _ in range(rounds):
            a = timed([os.path.join(tools, "lathe-quantize"), source, ours, kind, "--force", "--quiet", "--threads", "2"])
            b = timed([sys.executable, "-c", PEER, source, theirs, str(FTYPES[kind])])
            runs.append((a, b))
        subprocess.check_call([os.path.join(tools, "lathe-quantize"), source, ours, kind, "--force", "--quiet", "--receipt", "none"])
        same = filecmp.cmp(ours, theirs, shallow=False)
        cells = [statistics.median(r[side][i] for r in runs) for side in range(2) for i in (1, 0, 2)]
        ratio = statistics.median(b[1] / a[1] for a, b in runs)
        print(f"| {kind} | {cells[0]:.1f} | {cells[1]:.1f} | {cells[2]:.0f} | {cells[3]:.1f} | {cells[4]:.1f} | {cells[5]:.0f} | {ratio:.1f} |"
              + ("" if same else " files differ"), flush=True)
    for path in (source, ours, theirs):
        os.remove(path)


if __name__ == "__main__":
    main()

"""How far honest casts are from their originals, beside what lathe-verify allows by default.

usage: tolerance.py BIN_DIR OUT.csv MODEL [MODEL ...]

Each MODEL (a folder that lathe-verify reads) is stored in every type that lathe-quantize writes, with and without an importance matrix that is
collected from the folder's own tokens.txt (or the built-in text), and each file is compared with the folder: logits and weights. One line per
file: the largest difference of a logit and the mean KL divergence beside their bounds, and of all rows of weights the one furthest off and the
least and largest share that is left, beside theirs. Only Python's standard library is needed. docs/numerics.md quotes the extremes.
"""
import csv
import json
import os
import re
import subprocess
import sys
import tempfile

TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "CONTRIBUTING.md")
FIELDS = ["model", "layers", "type", "imatrix", "rel", "tolerance", "kl", "agree", "tensor", "row", "row_rel", "row_limit", "tensor_rel", "gain_min", "gain_max",
          "weights_agree"]


def run(bin_dir, tool, *args, ok=(0,)):
    done = subprocess.run([os.path.join(bin_dir, "lathe-" + tool), *args], capture_output=True, text=True)
    if done.returncode not in ok:
        raise RuntimeError(f"{tool} {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def types(bin_dir):
    """Types that are written, and whether they insist on an importance matrix."""
    text = run(bin_dir, "quantize", "--list-types").split("type         id")[1]
    for line in text.splitlines()[1:]:
        name = line.split()[0]
        if "read only" not in line and name not in ("f32", "f64"):
            yield name, "needs" in line, "better" in line


def ids_of(folder, scratch):
    """The folder's own ids (published ones may be a hundred), else the beginning of a text."""
    path = os.path.join(folder, "tokens.txt")
    if os.path.exists(path):
        return ["--tokens", path]
    with open(TEXT, encoding="utf-8") as f, open(scratch + "/text", "w", encoding="utf-8") as g:
        g.write(f.read()[:1500])
    return ["--text", scratch + "/text"]


def measure(bin_dir, folder, quantized, ids):
    logits = json.loads(run(bin_dir, "verify", folder, quantized, *ids, "--json", ok=(0, 1)))
    weights = json.loads(run(bin_dir, "verify", folder, quantized, "--weights", "--json", ok=(0, 1)))
    rows = [t for t in weights["tensors"] if "worst_row_rel" in t]
    worst = max(rows, key=lambda t: t["worst_row_rel"] or 1e30, default=None)
    figures = {"rel": f"{logits['max_abs_diff'] / logits['max_abs_logit']:.4g}", "tolerance": f"{logits['tolerance']:.4g}", "kl": f"{logits['kl_ab']:.4g}",
               "agree": logits["agree"], "weights_agree": weights["agree"]}
    if worst:
        figures |= {"tensor": worst["name"], "row": worst["worst_row"], "row_rel": f"{worst['worst_row_rel']:.4g}", "row_limit": f"{worst['row_limit']:.4g}",
                    "tensor_rel": f"{max(t['rel'] for t in rows):.4g}", "gain_min": f"{min(t['row_gain_min'] for t in rows):.4g}",
                    "gain_max": f"{max(t['row_gain_max'] for t in rows):.4g}"}
    return figures


def main():
    bin_dir, out, models = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, "w", newline="") as f, tempfile.TemporaryDirectory(prefix="lathe-tolerance-") as scratch:
        table = csv.DictWriter(f, FIELDS, lineterminator="\n")
        table.writeheader()
        for folder in models:
            ids, plain, matrix, quantized = ids_of(folder, scratch), scratch + "/f32.gguf", scratch + "/imatrix.gguf", scratch + "/q.gguf"
            run(bin_dir, "convert", folder, "-o", plain, "--type", "f32", "--receipt", "none", "--force", "--quiet")
            run(bin_dir, "quantize", "--collect-imatrix", folder, *ids, "--context", "32", "-o", matrix, "--force", "--quiet")
            layers = len({m for m in re.findall(r"blk\.(\d+)\.", run(bin_dir, "inspect", plain, "--tensors", "--json"))})
            for name, needs, better in types(bin_dir):
                for weighted in ([True] if needs else [False, True] if better else [False]):
                    try:
                        # embeddings have no entry in a matrix
                        how = ["--imatrix", matrix, "--token-embedding-type", "q6_k", "--output-tensor-type", "q6_k"] if weighted else []
                        run(bin_dir, "quantize", plain, quantized, name, "--pure", "--force", "--quiet", *how)
                        figures = measure(bin_dir, folder, quantized, ids)
                    except RuntimeError as e:
                        print(f"{os.path.basename(folder)} {name}: {str(e)[-150:]}", file=sys.stderr)
                        continue
                    table.writerow({"model": os.path.basename(os.path.normpath(folder)), "layers": layers, "type": name, "imatrix": int(weighted)} | figures)
                    f.flush()


main()

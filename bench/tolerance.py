"""How far honest casts are from their originals, beside what lathe-verify allows by default.

usage: tolerance.py BIN_DIR OUT.csv MODEL [MODEL ...]      measure
       tolerance.py --table CSV [CSV ...]                  the extremes of each type, as Markdown

Each MODEL (a folder that lathe-verify reads) is stored in every type that lathe-quantize writes, with and without an importance matrix that is
collected from the folder's own tokens.txt (else the beginning of CONTRIBUTING.md), and each file is compared with the folder: logits and weights. One line
per file: the largest difference of a logit and the mean KL divergence, and the tensor whose rows (blocks) come closest to what its type explains. Only Python's
standard library is needed. docs/numerics.md defines the bounds and quotes the extremes.
"""
import csv
import json
import os
import subprocess
import sys
import tempfile

TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "CONTRIBUTING.md")
FIELDS = ["model", "layers", "type", "imatrix", "rel", "tolerance", "kl", "agree", "tensor", "stored", "row_rel", "row_limit", "gain_min", "gain_least", "gain_max",
          "gain_most", "cosine_min", "cosine_least", "factor_min", "factor_max"]


def run(bin_dir, tool, *args, ok=(0,)):
    done = subprocess.run([os.path.join(bin_dir, "lathe-" + tool), *args], capture_output=True, text=True)
    if done.returncode not in ok:
        raise RuntimeError(f"{tool} {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def types(bin_dir):
    """Types that are written; whether they insist on an importance matrix, whether they use one."""
    text = run(bin_dir, "quantize", "--list-types").split("type         id")[1]
    for line in text.splitlines()[1:]:
        name = line.split()[0]
        if "read only" not in line and name not in ("f32", "f64"):
            yield name, "needs" in line, "better" in line


def ids_of(folder, scratch):
    path = os.path.join(folder, "tokens.txt")
    if os.path.exists(path):
        return ["--tokens", path]
    with open(TEXT, encoding="utf-8") as f, open(scratch + "/text", "w", encoding="utf-8") as g:
        g.write(f.read()[:1500])
    return ["--text", scratch + "/text"]


def nearness(t):
    """Of a tensor's rows to any of their bounds: 1 is at it."""
    cosine = (1 - t["row_cosine_min"]) / (1 - t["row_cosine_least"]) if "row_cosine_min" in t else 0
    return max(cosine, t["worst_row_rel"] / t["row_limit"], (1 - t["row_gain_min"]) / (1 - t["row_gain_least"]), (t["row_gain_max"] - 1) / (t["row_gain_most"] - 1))


def measure(bin_dir, folder, quantized, ids, kind):
    logits = json.loads(run(bin_dir, "verify", folder, quantized, *ids, "--json", ok=(0, 1)))
    figures = {"rel": f"{logits['max_abs_diff'] / logits['max_abs_logit']:.4g}", "tolerance": f"{logits['tolerance']:.4g}", "kl": f"{logits['kl_ab']:.4g}",
               "agree": int(logits["agree"])}
    weights = json.loads(run(bin_dir, "verify", folder, quantized, "--weights", "--json", ok=(0, 1)))
    rows = [t for t in weights["tensors"] if "row_limit" in t]
    if rows: # of the type itself, where rows are as long as its blocks
        t = max([t for t in rows if t["dtype_b"] == kind] or rows, key=nearness)
        keys = {"row_rel": "worst_row_rel", "row_limit": "row_limit", "gain_min": "row_gain_min", "gain_least": "row_gain_least", "gain_max": "row_gain_max",
                "gain_most": "row_gain_most"}
        figures |= {"tensor": t["name"], "stored": t["dtype_b"]} | {k: f"{t[v]:.4g}" for k, v in keys.items()}
        figures |= whole_rows([t for t in rows if t["dtype_b"] == figures["stored"] and "row_cosine_min" in t])
    return figures


def whole_rows(tensors):
    """Of types that are half off: the extremes of all tensors"""
    if not tensors:
        return {}
    return {"cosine_min": f"{min(t['row_cosine_min'] for t in tensors):.4g}", "cosine_least": f"{tensors[0]['row_cosine_least']:.4g}",
            "factor_min": f"{min(t['row_factor_min'] for t in tensors):.4g}", "factor_max": f"{max(t['row_factor_max'] for t in tensors):.4g}"}


def quantize(bin_dir, plain, out, name, matrix):
    """One type for every matrix; embeddings have no entry in an importance matrix."""
    how = ["--imatrix", matrix, "--token-embedding-type", "q6_k", "--output-tensor-type", "q6_k"] if matrix else []
    recipe = {"iq2_s": "IQ2_M"}.get(name, name)  # the recipe IQ2_S is of another type
    run(bin_dir, "quantize", plain, out, recipe, "--pure", "--force", "--quiet", *how)


def measure_model(bin_dir, folder, scratch, table):
    ids, plain, matrix, quantized = ids_of(folder, scratch), scratch + "/f32.gguf", scratch + "/imatrix.gguf", scratch + "/q.gguf"
    name = os.path.basename(os.path.normpath(folder))
    run(bin_dir, "convert", folder, "-o", plain, "--type", "f32", "--receipt", "none", "--force", "--quiet")
    run(bin_dir, "quantize", "--collect-imatrix", folder, *ids, "--context", "32", "-o", matrix, "--force", "--quiet")
    tensors = json.loads(run(bin_dir, "inspect", plain, "--tensors", "--json"))["tensors"]
    layers = len({t["name"].split(".")[1] for t in tensors if t["name"].startswith("blk.")})
    for kind, needs, better in types(bin_dir):
        for weighted in [True] if needs else [False, True] if better else [False]:
            try:
                quantize(bin_dir, plain, quantized, kind, matrix if weighted else None)
                figures = measure(bin_dir, folder, quantized, ids, kind)
            except RuntimeError as e:
                print(f"{name} {kind}: {str(e)[-150:]}", file=sys.stderr)
                continue
            table.writerow({"model": name, "layers": layers, "type": kind, "imatrix": int(weighted)} | figures)


def extremes(rows):
    """A line per type of block: the largest of everything, relative to its bound."""
    rows = [r for r in rows if r["stored"]]
    print("| type | files | logits: most of the tolerance | row_rel: most of the limit | share left: least (bound) | most (bound) | rows: least cosine (bound), factors |\n|---|---|---|---|---|---|---|")
    for stored in sorted({r["stored"] for r in rows}):
        mine = [r for r in rows if r["stored"] == stored]
        logits = max(mine, key=lambda r: float(r["rel"]) / float(r["tolerance"]))
        row = max(mine, key=lambda r: float(r["row_rel"]) / float(r["row_limit"]))
        low, high = min(mine, key=lambda r: float(r["gain_min"])), max(mine, key=lambda r: float(r["gain_max"]))
        whole = [r for r in mine if r["cosine_min"]]
        cosine = min(whole, key=lambda r: float(r["cosine_min"])) if whole else None
        rest = (f"{cosine['cosine_min']} ({cosine['cosine_least']}), {min(float(r['factor_min']) for r in whole):.4g} to "
                f"{max(float(r['factor_max']) for r in whole):.4g}") if whole else ""
        print(f"| {stored} | {len(mine)} | {logits['rel']} of {logits['tolerance']} ({logits['model']}) | {row['row_rel']} of {row['row_limit']} ({row['model']}) | "
              f"{low['gain_min']} ({low['gain_least']}) | {high['gain_max']} ({high['gain_most']}) | {rest} |")
    print(f"\n{sum(int(r['agree']) for r in rows)} of {len(rows)} files agree.")


def main():
    if sys.argv[1] == "--table":
        return extremes([r for path in sys.argv[2:] for r in csv.DictReader(open(path))])
    bin_dir, out, models = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(out, "w", newline="", buffering=1) as f, tempfile.TemporaryDirectory(prefix="lathe-tolerance-") as scratch:
        table = csv.DictWriter(f, FIELDS, lineterminator="\n")
        table.writeheader()
        for folder in models:
            measure_model(bin_dir, folder, scratch, table)


main()

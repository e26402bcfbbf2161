"""How far quantized models are from their source, by type: sizes and Kullback-Leibler divergences, measured with lathe's own tools.

    python bench/kl_by_type.py BIN_DIR MODEL NAME OUT_DIR TEXT CALIBRATION [CONTEXT]

MODEL: a checkpoint or GGUF of NAME. TEXT is what both sides run on (windows of CONTEXT positions, default 512), CALIBRATION another text, for the importance
matrix. Writes OUT_DIR/kl-NAME.csv and OUT_DIR/kl-NAME.svg, and prints a Markdown table. Needs nothing but Python.
"""
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

RECIPES = [("IQ1_S", True), ("IQ1_M", True), ("IQ2_XXS", True), ("IQ2_XS", True), ("IQ2_M", True), ("Q2_K_S", True), ("Q2_K", False), ("Q2_K", True),
           ("IQ3_XXS", True), ("IQ3_S", True), ("IQ3_M", True), ("Q3_K_S", False), ("Q3_K_M", False), ("Q3_K_M", True), ("Q3_K_L", False), ("IQ4_XS", False),
           ("IQ4_XS", True), ("IQ4_NL", False), ("Q4_0", False), ("Q4_1", False), ("Q4_K_S", False), ("Q4_K_M", False), ("Q4_K_M", True), ("Q5_0", False),
           ("Q5_1", False), ("Q5_K_S", False), ("Q5_K_M", False), ("Q6_K", False), ("Q8_0", False)]


def tool(folder, name, *args):
    done = subprocess.run([os.path.join(folder, "lathe-" + name), *map(str, args), "--json"], capture_output=True, text=True)
    if done.returncode > 1:
        raise SystemExit(f"lathe-{name} {' '.join(map(str, args))}: {done.stderr}")
    return json.loads(done.stdout)


def measure(folder, model, text, calibration, context):
    rows = []
    with tempfile.TemporaryDirectory() as d:
        f32, matrix, out = f"{d}/f32.gguf", f"{d}/imatrix.gguf", f"{d}/q.gguf"
        tool(folder, "convert", model, "-o", f32, "--type", "f32")
        tool(folder, "quantize", "--collect-imatrix", f32, "--text", calibration, "--context", context, "-o", matrix)
        for recipe, weighted in RECIPES:
            made = tool(folder, "quantize", f32, out, recipe, "--force", *(["--imatrix", matrix] if weighted else []))
            got = tool(folder, "verify", f32, out, "--text", text, "--context", context, "--tolerance", "1")
            n = sum(d["n"] for d in made["damage"])
            rows.append({"recipe": recipe, "imatrix": int(weighted), "bytes": made["size_bytes"],
                         "relative": math.sqrt(sum(d["relative"] ** 2 * d["n"] for d in made["damage"]) / n), "kl": got["kl_ab"], "kl_max": got["kl_max"],
                         "top1": got["top1_agreement"], "perplexity": got["perplexity_b"], "perplexity_source": got["perplexity_a"],
                         "positions": got["positions"]})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def ticks(low, high):
    """Powers of ten and, where there are few, their halves and doubles."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    return [m * 10.0 ** e for e in range(first, last + 1) for m in steps if low <= m * 10.0 ** e <= high]


def place(taken, x, y, w, h):
    """Where a label of that size beside a mark covers nothing: right or left of it, ever higher and lower."""
    for far in range(12):
        for dy in (-13 * far, 13 * far):
            for left in (x + 9 + 3 * far, x - 9 - 3 * far - w):
                box = (left, y + 4 + dy - h, left + w, y + 5 + dy)
                if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                    taken.append(box)
                    return left, y + 4 + dy
    return x + 9, y + 4


def plot(path, rows, title):
    """Size on a linear axis, divergence on a logarithmic one; filled marks: without an importance matrix, open ones: with it."""
    width, height, left, right, top, bottom = 860, 520, 80, 30, 50, 60
    mib = [r["bytes"] / 2 ** 20 for r in rows]
    kl = [max(r["kl"], 1e-9) for r in rows]
    x0, x1 = min(mib) - 0.04 * (max(mib) - min(mib)), max(mib) + 0.1 * (max(mib) - min(mib))
    y0, y1 = min(kl) / 1.6, max(kl) * 1.6
    px = lambda v: left + (v - x0) / (x1 - x0) * (width - left - right)
    py = lambda v: height - bottom - math.log(v / y0) / math.log(y1 / y0) * (height - top - bottom)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>', f'<text x="{left}" y="28" font-size="16">{title}</text>']
    step = 10 ** math.floor(math.log10((x1 - x0) / 3)) or 1
    step = next(step * m for m in (1, 2, 5, 10) if (x1 - x0) / (step * m) <= 9)
    v = math.ceil(x0 / step) * step
    while v <= x1:
        out.append(f'<line x1="{px(v):.1f}" y1="{top}" x2="{px(v):.1f}" y2="{height - bottom}" stroke="#ddd"/>'
                   f'<text x="{px(v):.1f}" y="{height - bottom + 18}" text-anchor="middle">{v:g}</text>')
        v += step
    for v in ticks(y0, y1):
        out.append(f'<line x1="{left}" y1="{py(v):.1f}" x2="{width - right}" y2="{py(v):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{py(v) + 4:.1f}" text-anchor="end">{v:g}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 16}" text-anchor="middle">size of the file, MiB</text>'
               f'<text transform="translate(20 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">mean KL divergence from the source, nats</text>')
    marks = [(px(x), py(y)) for x, y in zip(mib, kl)]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in marks]
    for r, (x, y) in sorted(zip(rows, marks), key=lambda t: t[1]):
        label = r["recipe"] + ("*" if r["imatrix"] else "")
        tx, ty = place(taken, x, y, 7.2 * len(label), 12)
        if abs(ty - 4 - y) > 12 or abs(tx - x) > 16 + 7.2 * len(label):
            out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{tx if tx > x else tx + 7.2 * len(label):.1f}" y2="{ty - 4:.1f}" stroke="#999"/>')
        out.append(f'<text x="{tx:.1f}" y="{ty:.1f}">{label}</text>')
    for r, (x, y) in zip(rows, marks):
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{"white" if r["imatrix"] else "#1f5fa8"}" stroke="#1f5fa8" stroke-width="1.5"/>')
    out.append(f'<text x="{width - right}" y="{top + 16}" text-anchor="end">* and open marks: with an importance matrix</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def main():
    folder, model, name, out, text, calibration = sys.argv[1:7]
    context = int(sys.argv[7]) if len(sys.argv) > 7 else 512
    rows = measure(folder, model, text, calibration, context)
    with open(f"{out}/kl-{name}.csv", "w", newline="") as f:
        w = csv.DictWriter(f, rows[0].keys())
        w.writeheader()
        w.writerows(rows)
    plot(f"{out}/kl-{name}.svg", rows, f"{name}: distance from the source by size ({rows[0]['positions']} positions)")
    print("| recipe | importance matrix | MiB | relative error of weights | KL, mean | KL, largest | same top-1 | perplexity |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| (source) | | | | | | | {rows[0]['perplexity_source']:.4g} |")
    for r in sorted(rows, key=lambda r: r["bytes"]):
        print(f"| {r['recipe']} | {'yes' if r['imatrix'] else ''} | {r['bytes'] / 2 ** 20:.4g} | {100 * r['relative']:.2g} % | {r['kl']:.3g} | "
              f"{r['kl_max']:.3g} | {100 * r['top1']:.4g} % | {r['perplexity']:.4g} |")


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    main()

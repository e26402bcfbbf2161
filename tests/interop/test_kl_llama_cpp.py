"""How far quantized SmolLM2 is from its F16 file, by lathe-verify and by llama.cpp's own logits over the same windows: KL divergence and perplexity.

llama.cpp multiplies quantized weights with activations that it rounds to 8 bits, and F16 weights with activations rounded to F16. What that alone does is
measured, as the divergence of its logits from those that it gives for the same numbers stored as F32, and the two figures may differ by what it explains.
Against the F32 forms, where both compute with floats, they have to agree closely. The table goes to docs/results/verify.md.
"""
import json
import os

from checks import *
from reference import llama_cpp_model
from tokenizers import Tokenizer

import smollm2

FOLDER = smollm2.ensure()
TEXT = os.path.join(HERE, "..", "..", "CONTRIBUTING.md")
RECIPES = ["Q8_0", "Q6_K", "Q4_K_M", "Q4_0"]
CONTEXT, WINDOWS = 192, int(os.environ.get("LATHE_KL_WINDOWS", 1))


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def log_probabilities(gguf, ids):
    """llama.cpp's, of all positions, window by window"""
    model, out = llama_cpp_model(gguf, n_ctx=CONTEXT), []
    for first in range(0, len(ids), CONTEXT):
        model.reset()
        model.eval(ids[first:first + CONTEXT])
        out.append(log_softmax(np.array(model.scores[:CONTEXT])))
    model.close()
    return np.concatenate(out)


def kl(p, q):
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def perplexity(p, ids):
    scored = [i for i in range(len(ids) - 1) if (i + 1) % CONTEXT]
    return float(np.exp(-np.mean([p[i, ids[i + 1]] for i in scored])))


def path_of(name):
    return os.path.join(WORK, f"smollm2-{name}.gguf")


def one(recipe, ids, ids_path, p_f16, p_f16_plain):
    file, plain = path_of(recipe), path_of(recipe + "-f32")
    run("quantize", path_of("f16"), file, recipe, "--force", "--quiet")
    run("convert", file, "-o", plain, "--type", "f32", "--allow-requantize", "--receipt", "none", "--force", "--quiet")
    _, out = run("verify", path_of("f16"), file, "--tokens", ids_path, "--context", CONTEXT, "--tolerance", 1, "--json")
    own = json.loads(out)
    q, q_plain = log_probabilities(file, ids), log_probabilities(plain, ids)
    theirs, floats, noise = kl(p_f16, q), kl(p_f16_plain, q_plain), kl(q_plain, q)
    ppl, ppl_floats = perplexity(q, ids), perplexity(q_plain, ids)
    print(f"| {recipe} | {own['kl_ab']:.5f} | {floats:.5f} | {theirs:.5f} | {noise:.5f} | {own['perplexity_b']:.4f} | {ppl_floats:.4f} | {ppl:.4f} |")
    check(f"{recipe}: KL beside llama.cpp with floats", abs(own["kl_ab"] / floats - 1) < 1e-3, f"{own['kl_ab']:.6f}, {floats:.6f}")
    check(f"{recipe}: perplexity beside llama.cpp with floats", abs(own["perplexity_b"] / ppl_floats - 1) < 1e-4,
          f"{own['perplexity_b']:.5f}, {ppl_floats:.5f}")
    # divergences add as squares of distances: d² = kl, and a distance changes by that of the noise at most
    check(f"{recipe}: KL beside llama.cpp", abs(own["kl_ab"] ** 0.5 - theirs ** 0.5) < 1.5 * noise ** 0.5,
          f"{own['kl_ab']:.6f}, {theirs:.6f}, of its kernels {noise:.6f}")
    check(f"{recipe}: perplexity beside llama.cpp", abs(np.log(own["perplexity_b"] / ppl)) < 1.5 * noise ** 0.5,
          f"{own['perplexity_b']:.4f}, {ppl:.4f}")
    os.remove(plain)
    return own


def main():
    os.makedirs(WORK, exist_ok=True)
    ids = Tokenizer.from_file(FOLDER + "/tokenizer.json").encode(open(TEXT, encoding="utf-8").read(), add_special_tokens=False).ids
    ids = ids[:WINDOWS * CONTEXT]
    ids_path = os.path.join(WORK, "kl-ids.txt")
    with open(ids_path, "w") as f:
        f.write(" ".join(map(str, ids)))
    run("convert", FOLDER, "-o", path_of("f16"), "--type", "f16", "--force", "--quiet")
    run("convert", path_of("f16"), "-o", path_of("f16-f32"), "--type", "f32", "--receipt", "none", "--force", "--quiet")
    p_f16, p_f16_plain = log_probabilities(path_of("f16"), ids), log_probabilities(path_of("f16-f32"), ids)
    print("| | KL: lathe | llama.cpp, as F32 | llama.cpp | of its kernels | perplexity: lathe | llama.cpp, as F32 | llama.cpp |\n"
          "|---|---|---|---|---|---|---|---|")
    for recipe in RECIPES:
        own = guarded(recipe, one, recipe, ids, ids_path, p_f16, p_f16_plain)
    if own:
        print(f"| F16 | | | | {kl(p_f16_plain, p_f16):.5f} | {own['perplexity_a']:.4f} | {perplexity(p_f16_plain, ids):.4f} | {perplexity(p_f16, ids):.4f} |")
        check("F16: perplexity beside llama.cpp with floats", abs(own["perplexity_a"] / perplexity(p_f16_plain, ids) - 1) < 1e-4)


guarded("kl", main)
finish()

"""Text in, perplexity out: SmolLM2-135M-Instruct and a quantized GGUF of it over a file of text, beside transformers over the same windows."""
import json
import math
import os

import torch
from checks import *
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import smollm2

FOLDER = smollm2.ensure()
TEXT = os.path.join(HERE, "..", "..", "CONTRIBUTING.md")
CONTEXT = 192


def expected(text):
    """transformers in float32: windows that do not overlap; all ids but each window's first, and those of second halves."""
    ids = Tokenizer.from_file(FOLDER + "/tokenizer.json").encode(text, add_special_tokens=False).ids
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    total, n = {0: 0.0, CONTEXT // 2: 0.0}, {0: 0, CONTEXT // 2: 0}
    with torch.no_grad():
        for start in range(0, len(ids), CONTEXT):
            window = ids[start:start + CONTEXT]
            logp = model(torch.tensor([window])).logits[0].double().log_softmax(-1)
            for first in total:
                for i in range(first, len(window) - 1):
                    total[first] -= logp[i, window[i + 1]].item()
                    n[first] += 1
    return len(ids), [(n[f], math.exp(total[f] / n[f])) for f in total]


def main():
    os.makedirs(WORK, exist_ok=True)
    path = os.path.join(WORK, "text.txt")
    text = open(TEXT, encoding="utf-8").read()[:1300]
    open(path, "w", encoding="utf-8").write(text)
    quantized = os.path.join(WORK, "q4.gguf")
    run("convert", FOLDER, "-o", quantized, "--type", "Q4_0", "--receipt", "none", "--quiet")
    n_ids, figures = expected(text)
    for style, (scored, want) in zip(("all", "llama"), figures):
        sides = [FOLDER, quantized] if style == "all" else [FOLDER]
        _, out = run("verify", *sides, "--text", path, "--context", CONTEXT, "--json", "--ppl-style", style, expect=None)
        got = json.loads(out)
        off = abs(got["perplexity_a"] / want - 1)
        check(f"perplexity of text, {style}", off < 1e-4 and got["positions"] == n_ids and got["scored"] == scored,
              f"{got['perplexity_a']:.6f}, transformers {want:.6f}, relative {off:.1e}; {got['positions']} ids, {scored} count")
        if style == "all":
            check("perplexity of the quantized side", want * 0.9 < got["perplexity_b"] < want * 1.6, f"Q4_0 {got['perplexity_b']:.4f}")


guarded("perplexity", main)
finish()

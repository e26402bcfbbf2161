"""A real checkpoint: SmolLM2-135M-Instruct as a Hugging Face directory through all four tools.

  * float32 logits as close to transformers in float64 as transformers in float32 is (RMS 1.2 times, max twice), float64 within 1e-6;
  * the folder against its own F32 GGUF: agree; two rows of one attn_k exchanged: exit 1;
  * llama.cpp loads the file, has the same top-1 on at least 99 % of 512 positions, tokenizes as the tokenizers library does, and writes text;
  * gguf's reader reads it; bytes do not depend on the number of threads.
"""
import hashlib
import os
import shutil

import gguf
import numpy as np
from checks import *

import reference
import smollm2
from tokenizers import Tokenizer

quiet_llama_cpp()
N = 512
FOLDER = smollm2.ensure()
TEXT = os.path.join(HERE, "..", "..", "README.md")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def some_ids(tokenizer):
    """Ordinary text first, then ids at random, so that the whole vocabulary is looked at."""
    with open(os.path.join(HERE, "..", "..", "CONTRIBUTING.md"), encoding="utf-8") as f:
        ids = tokenizer.encode(f.read(), add_special_tokens=False).ids[:N - 64]
    extra = np.random.default_rng(5).integers(0, 49152, N - len(ids))
    return ids + [int(i) for i in extra]


def check_logits(ids, ids_file):
    ref64 = reference.logits_f64(FOLDER, ids)
    own = deviation(reference.logits_f32(FOLDER, ids), ref64)
    check_f32("source side, float32", logits(FOLDER, ids_file, N), ref64, own, 1.2, 2.0)
    check_f64("source side, float64", logits(FOLDER, ids_file, N, "f64"), ref64)
    return ref64


def check_sides(ids, ids_file, ref64):
    f32 = convert(FOLDER, "f32.gguf", "--type", "f32")
    got = run_json("verify", FOLDER, f32, "--tokens", ids_file, "--context", N)
    check("folder and its F32 GGUF agree", got["agree"] and got["positions"] == N, f"max |d| {got['max_abs_diff']:.2e}")
    damaged = work("damaged.gguf")
    shutil.copyfile(f32, damaged)
    rows = next(t for t in gguf.GGUFReader(damaged, "r+").tensors if t.name == "blk.7.attn_k.weight").data
    rows[[3, 4]] = rows[[4, 3]]
    rows.flush()
    status, _ = run("verify", FOLDER, damaged, "--tokens", ids_file, "--context", N, expect=None)
    check("two exchanged rows of one attn_k are seen", status == 1, f"exit {status}")
    os.unlink(damaged)
    theirs = reference.llama_cpp_logits(f32, ids)
    same = float((theirs.argmax(axis=1) == ref64.argmax(axis=1)).mean())
    check("llama.cpp: same top-1 as transformers on F32", same >= 0.99, f"{100 * same:.2f} % of {N}")
    os.unlink(f32)


def lines():
    """Ordinary text, code, and a little of everything."""
    for path in ("README.md", "CONTRIBUTING.md", "Makefile", "LICENSE", "base/json.h"):
        with open(os.path.join(HERE, "..", "..", path), encoding="utf-8") as f:
            yield from (line.rstrip("\n") for line in f if line.strip())
    yield from ("Hello world", "  two  spaces", "1234567890", "don't we'll I'M", "naïve café", "你好，世界", "Привет", "🙂👩‍🚀", "\t tab", "a\n\nb",
                "x = y**2 # 3.14", "<|im_start|>user\nhi<|im_end|>\n")


def check_peer(kept, tokenizer):
    model = reference.llama_cpp_model(kept, n_ctx=256, logits_all=False)
    texts = list(lines())
    wrong = [t for t in texts
             if model.tokenize(t.encode(), add_bos=False, special=True) != tokenizer.encode(t, add_special_tokens=False).ids]
    check("llama.cpp tokenizes with the embedded tokenizer as the original does", not wrong,
          f"{len(texts)} texts" if not wrong else f"{len(wrong)} differ, first {wrong[0]!r}")
    said = model.create_chat_completion([{"role": "user", "content": "What is the capital of France?"}], max_tokens=24, temperature=0)
    answer = said["choices"][0]["message"]["content"]
    check("llama.cpp writes text with the embedded template", "Paris" in answer, repr(answer))
    model.close()


def main():
    tokenizer = Tokenizer.from_file(os.path.join(FOLDER, "tokenizer.json"))
    ids = some_ids(tokenizer)
    ids_file = write_ids("ids.txt", ids)
    ref64 = check_logits(ids, ids_file)
    check_sides(ids, ids_file, ref64)

    kept = convert(FOLDER, "kept.gguf")
    one = convert(FOLDER, "one.gguf", "--threads", "1")
    check("one thread gives the same file", sha256(kept) == sha256(one))
    os.unlink(one)
    plan = run_json("convert", FOLDER, "-o", work("never.gguf"), "--dry-run")
    check("--dry-run tells the exact size", plan["size_bytes"] == os.path.getsize(kept), f"{plan['size_bytes']} bytes")
    reader = gguf.GGUFReader(kept)
    check("gguf's reader reads it", len(reader.tensors) == 272 and "lathe.receipt.version" in reader.fields)
    check("tied: no output.weight", not any(t.name == "output.weight" for t in reader.tensors))
    check_peer(kept, tokenizer)
    for kind in ("Q8_0", "Q6_K", "Q4_0"):
        small = work(f"{kind}.gguf")
        run("quantize", kept, small, kind, "--quiet")
        got = run_json("verify", FOLDER, small, "--tokens", ids_file, "--context", N, expect=None)
        check(f"{kind}: an honest cast passes", got["agree"], f"KL {got['kl_ab']:.4f}, max |d| {got['max_abs_diff']:.2f}, "
              f"tolerance {got['tolerance']:.3f} of {got['max_abs_logit']:.1f}")
        os.unlink(small)


guarded("smollm2", main)
finish()

"""GLM in transformers' own form (glm, glm4, glm4_moe): tiny checkpoints with awkward sizes against transformers in float64, and llama.cpp on
our file beside llama.cpp on the file that its own converter writes. (ChatGLM's generations and GLM of 2021 are no part of transformers: their
published logits are in tests/data/glm, and make check compares with them.)

For each checkpoint: logits of the source side and of the GGUF side, in float32 (no worse than 4 times transformers' own float32) and float64; both
sides agree by lathe-verify's own tolerance; llama.cpp computes the same from our file; context, epsilon, base and rotated part are the config's.
The last part takes our file apart: every way in which GLM has been converted wrongly makes lathe-verify exit 1.
"""
import json
import os
import subprocess

import numpy as np
import torch
import transformers as T
from checks import *


import models_table
from glm_checkpoints import VARIANTS, make
import reference

quiet_llama_cpp()
table = models_table.Table("glm")
F64_LIMIT = 1e-6
RUNTIME_LIMIT = 2e-3  # SiLU goes through no table, but products are summed in another order

# architectures whose matrices llama.cpp expects to be as wide as the model
NOT_IN_LLAMA_CPP = {"glm-wide-heads"}


def llama_cpp(path, ids, ref64):
    try:
        return deviation(reference.llama_cpp_logits(path, ids), ref64)[1]
    except Exception as e:
        return f"refused ({type(e).__name__})"


def metadata(path):
    return {m["key"]: m["value"] for m in run_json("inspect", path, "--metadata")["metadata"]}


def check_metadata(name, folder, path):
    with open(os.path.join(folder, "config.json")) as f:
        c = json.load(f)
    found = metadata(path)
    arch = found["general.architecture"]
    r = c["rope_parameters"]
    expected = {"context_length": c["max_position_embeddings"],
                "attention.layer_norm_rms_epsilon": float(np.float32(c["rms_norm_eps"])),
                "rope.freq_base": float(np.float32(r["rope_theta"])),
                "rope.dimension_count": int(c["head_dim"] * r["partial_rotary_factor"]),
                "attention.head_count_kv": c["num_key_value_heads"], "block_count": c["num_hidden_layers"] + name.endswith("-nextn")}
    wrong = {k: (v, found.get(f"{arch}.{k}")) for k, v in expected.items()
             if found.get(f"{arch}.{k}") is None or abs(float(found[f"{arch}.{k}"]) - v) > 1e-12 * abs(v)}
    check(f"{name}: context, epsilon, base, rotated part are the config's", not wrong, str(wrong) if wrong else "")


def peer_files(names):
    jobs = [[work("checkpoints", n), work(f"{n}-peer.gguf")] for n in names]
    done = subprocess.run([CONVERTER, os.path.join(HERE, "peer_convert_many.py"), "glm4"], input=json.dumps(jobs),
                          capture_output=True, text=True)
    if done.returncode:
        return {n: {"error": done.stderr.strip().splitlines()[-1][:100]} for n in names}
    return dict(zip(names, json.loads(done.stdout.splitlines()[-1])))


def check_model(name, folder, ids, peer):
    n = len(ids)
    ids_file = write_ids("ids.txt", ids)
    # one expert after the other: the grouped product knows no float64
    plain = {"experts_implementation": "eager"} if "moe" in name else {}
    ref64 = reference.logits_f64(folder, ids, **plain)
    own = deviation(reference.logits_f32(folder, ids, **plain), ref64)
    figures = {"reference": own[1]}

    def side(label, path):
        f32, f64 = logits(path, ids_file, n), logits(path, ids_file, n, "f64")
        check_f32(f"{name}: {label}, float32", f32, ref64, own)
        check_f64(f"{name}: {label}, float64", f64, ref64, F64_LIMIT)
        figures[label] = deviation(f32, ref64)[1], deviation(f64, ref64)[1]

    side("source", folder)
    path = convert(folder, f"{name}.gguf")
    side("GGUF", path)
    both = run_json("verify", folder, path, "--tokens", ids_file, "--context", n)
    check(f"{name}: both sides agree", both["agree"] and both["positions"] == n, f"max |d| {both['max_abs_diff']:.2e}")
    check_metadata(name, folder, path)
    ours = llama_cpp(path, ids, ref64)
    if name in NOT_IN_LLAMA_CPP:
        check(f"{name}: llama.cpp refuses heads that are wider than the model", isinstance(ours, str))
        codes = {w["code"] for w in run_json("convert", folder, "--dry-run")["warnings"]}
        check(f"{name}: convert says so", "runtime-refuses-shape" in codes, ", ".join(sorted(codes)))
    else:
        check(f"{name}: llama.cpp computes the same", not isinstance(ours, str) and ours <= RUNTIME_LIMIT, ours)
    figures["ours"] = ours
    figures["peer"] = models_table.number(llama_cpp(peer["path"], ids, ref64)) if "path" in peer else f"fails: {peer['error']}"
    table.row(name, figures)


names = [n for n in VARIANTS if not ONLY or any(o in n for o in ONLY)]
made = {n: make(n) for n in names}
peers = peer_files(names)
for name in names:
    guarded(name, check_model, name, *made[name], peers[name])
table.finish()
finish()

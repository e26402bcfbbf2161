"""The LLaMA line: every family, RoPE scaling and spelling of llama_checkpoints.py against transformers in float64, and llama.cpp on our file
beside llama.cpp on the file that its own converter writes.

For each checkpoint, at every length of its list (each a full pass of a fresh model):
  * logits of the source side and of the GGUF side, in float32 (no worse than 4 times transformers' own float32) and float64;
  * llama.cpp computes the same where it can, and what it cannot is named by convert and refused by --strict;
  * both sides agree by lathe-verify's own tolerance; a file whose scaling or window was lost does not, without any option;
  * the file of llama.cpp's converter, whatever it lacks, gives here what it gives there;
  * a key that nobody knows is reported, and --strict refuses it.
The figures go to docs/models.md (models_table.py).
"""
import json
import os
import shutil
import subprocess

import numpy as np
from checks import *

import llama_checkpoints
import models_table
import reference

quiet_llama_cpp()
table = models_table.Table("llama")
VARIANTS = llama_checkpoints.VARIANTS

F64_LIMIT = 1e-6
# llama.cpp computes in float32 with tables of angles made by repeated multiplication, transformers by power: the difference grows with the
# position. Observed 1e-4 at 400 with logits of 10.
RUNTIME_FACTOR, RUNTIME_FLOOR = 8, 2e-4
WRONG = 1e-2  # what a lost scaling or window moves a logit by, at the least


def peer_files(names):
    """llama.cpp's converter on all of the checkpoints, in one process per tokenizer: {name: {"path"} or {"error"}}."""
    files = {}
    for tokenizer, pre in (("llama", "llama-bpe"), ("spm", "-")):
        mine = [n for n in names if VARIANTS[n]["tokenizer"] == tokenizer]
        jobs = [[work("checkpoints", n), work(f"{n}-peer.gguf")] for n in mine]
        done = subprocess.run([CONVERTER, os.path.join(HERE, "peer_convert_many.py"), pre], input=json.dumps(jobs),
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-300:])
        files |= zip(mine, json.loads(done.stdout.splitlines()[-1]))
    return files


def llama_cpp(path, ids, ref64):
    """Largest difference, or why there is none."""
    try:
        return deviation(reference.llama_cpp_logits(path, ids), ref64)[1]
    except Exception as e:
        return f"refused ({type(e).__name__})"


def worst(figures):
    words = [f for f in figures if isinstance(f, str)]
    return words[0] if words else max(figures)


def reference_folder(name, folder):
    """transformers loads `su` and then does not know it: it reads a copy that says longrope."""
    if VARIANTS[name]["rope"] is None or "su" not in json.dumps(VARIANTS[name]["rope"]):
        return folder
    copy = folder + "-longrope"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    path = os.path.join(copy, "config.json")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace('"su"', '"longrope"'))
    return copy


def warnings_of(folder, *options):
    return {w["code"] for w in run_json("convert", folder, "--dry-run", *options)["warnings"]}


def check_keys(name, folder):
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        text = f.read()
    want = VARIANTS[name]["warns"]
    codes = warnings_of(folder) - {"rope-value-rounded", "rope-original-context-differs", "rope-theta-differs"}
    check(f"{name}: convert says what it has to", codes == want, ", ".join(sorted(codes)))
    if want:
        status, _ = run("convert", folder, "--dry-run", "--strict", expect=None)
        check(f"{name}: --strict refuses what the runtime cannot do", status == 2, f"exit {status}")
    with open(path, "w") as f:
        f.write(text.replace("{", '{"attn_quantum_gain": 2.5, ', 1))
    check(f"{name}: a made-up key is reported", "config-key-unused" in warnings_of(folder))
    status, _ = run("convert", folder, "--dry-run", "--strict", expect=None)
    check(f"{name}: --strict refuses it", status == 2, f"exit {status}")
    with open(path, "w") as f:
        f.write(text)


def check_lost(name, folder, gguf_file):
    """The same checkpoint converted as if its scaling or window were not there."""
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    block = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = block.get("rope_type", block.get("type", "default"))
    windowed = "runtime-ignores-window" in VARIANTS[name]["warns"]
    if kind == "default" and not windowed:
        return
    if kind != "default":
        theta = block.get("rope_theta", config.get("rope_theta", 10000.0))
        config |= {"rope_scaling": None, "rope_parameters": None, "rope_theta": theta}
    if windowed:
        config |= {"sliding_window": None, "use_sliding_window": False, "layer_types": None}
    lost = work("lost.json")
    with open(lost, "w") as f:
        json.dump(config, f)
    out = convert(folder, f"{name}-lost.gguf", "--type", "f32", "--config", lost)
    status, _ = run("verify", folder, out, expect=None)
    check(f"{name}: a lost {kind if kind != 'default' else 'window'} is seen without options", status == 1, f"exit {status}")
    status, _ = run("verify", folder, gguf_file, expect=None)
    check(f"{name}: and nothing else is", status == 0, f"exit {status}")
    os.unlink(out)


# Positions that are not counted from 0: --positions against transformers' position_ids.
PLACED = {"dynamic": "30:90", "yarn-odd": "7:207:5", "llama-3.1": "0:200:3", "longrope": "0:600:10", "mistral": "11:60", "qwen2.5-yarn": "3:300:4"}


def check_positions(name, folder, gguf_file, ids):
    place = range(*map(int, PLACED[name].split(":")))
    ids_file = write_ids("ids.txt", ids[:len(place)])
    ref64 = reference.logits_f64(folder, ids[:len(place)], positions=place)
    for label, path in (("source", folder), ("GGUF", gguf_file)):
        out = work("logits.npy")
        run("verify", path, "--tokens", ids_file, "--positions", PLACED[name], "--precision", "f64", "--save-logits", out, "--quiet")
        check_f64(f"{name}: {label} side at positions {PLACED[name]}", np.load(out), ref64, F64_LIMIT)


# --rope-context: llama.cpp computes what the model does for a text of that length.
BAKED = {"dynamic": 200, "dynamic-5": 200, "qwen2-dynamic": 200, "qwen3-dynamic": 200, "longrope": 400, "longrope-outside": 200}


def check_baked(name, folder, ids, own):
    n = BAKED[name]
    ids_file = write_ids("ids.txt", ids[:n])
    out = convert(folder, f"{name}-baked.gguf", "--type", "f32", "--rope-context", n, "--strict")
    ref64 = reference.logits_f64(folder, ids[:n])
    check_f64(f"{name} baked for {n}: GGUF side, float64", logits(out, ids_file, n, "f64"), ref64, F64_LIMIT)
    found = llama_cpp(out, ids[:n], ref64)
    limit = max(RUNTIME_FACTOR * own, RUNTIME_FLOOR)
    check(f"{name} baked for {n}: llama.cpp computes the same", not isinstance(found, str) and found <= limit, f"{found}, limit {limit:.1e}")
    status, _ = run("verify", folder, out, expect=None)
    check(f"{name} baked for {n}: both sides agree as for that length", status == 0, f"exit {status}")
    table.row(f"{name}, --rope-context {n}", {"reference": own, "ours": found})
    os.unlink(out)


def check_model(name, folder, ids, peer):
    variant = VARIANTS[name]
    figures = {k: [] for k in ("own", "source32", "source64", "GGUF32", "GGUF64", "ours", "peer", "logit")}
    gguf_file = convert(folder, f"{name}.gguf", "--type", "f32")
    ref_folder = reference_folder(name, folder)
    for n in variant["lengths"]:
        ids_file = write_ids("ids.txt", ids[:n])
        ref64 = reference.logits_f64(ref_folder, ids[:n])
        own = deviation(reference.logits_f32(ref_folder, ids[:n]), ref64)
        figures["own"].append(own[1])
        figures["logit"].append(float(np.abs(ref64).max()))
        for label, path in (("source", folder), ("GGUF", gguf_file)):
            f32, f64 = logits(path, ids_file, n), logits(path, ids_file, n, "f64")
            check_f32(f"{name}, {n}: {label} side, float32", f32, ref64, own)
            check_f64(f"{name}, {n}: {label} side, float64", f64, ref64, F64_LIMIT)
            figures[label + "32"].append(deviation(f32, ref64)[1])
            figures[label + "64"].append(deviation(f64, ref64)[1])
        both = run_json("verify", folder, gguf_file, "--tokens", ids_file, "--context", n)
        check(f"{name}, {n}: both sides agree", both["agree"],
              f"max |d| {both['max_abs_diff']:.2e}, tolerance {both['tolerance']:.1e} of {both['max_abs_logit']:.1f}")
        figures["ours"].append(llama_cpp(gguf_file, ids[:n], ref64))
        figures["peer"].append(llama_cpp(peer["path"], ids[:n], ref64) if "path" in peer else f"fails: {peer['error']}")

    ours, theirs = worst(figures["ours"]), worst(figures["peer"])
    limit = max(RUNTIME_FACTOR * max(figures["own"]), RUNTIME_FLOOR)
    if variant["runtime"] == "refuses":
        check(f"{name}: llama.cpp refuses the file, as convert says", isinstance(ours, str), ours)
    elif variant["runtime"]:
        check(f"{name}: llama.cpp computes the same", not isinstance(ours, str) and ours <= limit, f"{ours}, limit {limit:.1e}")
    else:
        check(f"{name}: llama.cpp computes something else, as convert says", not isinstance(ours, str) and ours > WRONG, ours)
    if variant["peer"] == "wrong":
        check(f"{name}: so does its own converter's file", isinstance(theirs, str) or theirs > WRONG, theirs)
    check_keys(name, folder)
    check_lost(name, folder, gguf_file)
    if not isinstance(theirs, str):
        n = max(variant["lengths"])
        found = deviation(logits(peer["path"], write_ids("ids.txt", ids[:n]), n), reference.llama_cpp_logits(peer["path"], ids[:n]))[1]
        check(f"{name}: the converter's file is read as llama.cpp reads it", found <= limit, f"{found:.1e}, limit {limit:.1e}")
    if name in PLACED:
        check_positions(name, folder, gguf_file, ids)
    table.row(name, {"reference": max(figures["own"]), "source": (max(figures["source32"]), max(figures["source64"])),
                     "GGUF": (max(figures["GGUF32"]), max(figures["GGUF64"])), "ours": ours, "peer": theirs})
    if name in BAKED:
        check_baked(name, folder, ids, max(figures["own"]))
    os.unlink(gguf_file)


names = [n for n in VARIANTS if not ONLY or any(o in n for o in ONLY)]
made = {n: llama_checkpoints.make(n, work("checkpoints")) for n in names}
peers = peer_files(names)
for name in names:
    guarded(name, check_model, name, *made[name], peers[name])
    shutil.rmtree(made[name][0])
table.finish()
finish()

"""The GPT line: every family and switch of gpt_checkpoints.py against transformers in float64, and llama.cpp on our file beside llama.cpp on
the file that its own converter writes.

For each checkpoint:
  * logits of the source side and of the GGUF side, in float32 (no worse than 4 times transformers' own float32) and float64;
  * both sides agree by lathe-verify's own tolerance, also for --type keep;
  * llama.cpp computes the same where it has the architecture; its own converter's file is a column beside it;
  * a key that nobody knows is reported, and --strict refuses; without it --strict passes unless the runtime cannot do what the model does.
The figures go to docs/models.md (models_table.py).
"""
import json
import os
import shutil
import subprocess
import sys

import numpy as np
from checks import *

import gpt_checkpoints
import models_table
import reference

quiet_llama_cpp()
table = models_table.Table("gpt")

F64_LIMIT = 1e-6
# llama.cpp looks GELU up in a half-precision table, and takes no float32 path around it: observed 1.3e-3 to 3.5e-3 at logits of 5 to 10.
RUNTIME_LIMIT = 8e-3
OWN = {"gpt1", "gptneo"}  # families that llama.cpp has no architecture for
# Activations that llama.cpp replaces by its own for the architecture: convert names them and --strict stops. The two forms of GELU are within
# RUNTIME_LIMIT of each other; anything else is far off.
ERF = {"gpt2-cerebras", "gptj-tied", "gptneox-pythia", "bigcode-starcoder"}
OTHER_ACTIVATION = {"gpt2-relu", "gptneox-bare"}
# Scalings that llama.cpp cannot do for the architecture: named likewise.
OTHER_ROPE = {"gptneox-dynamic", "gptneox-llama3", "gptneox-longrope"}


def peer_files(names):
    """llama.cpp's converter on all of the checkpoints, in one process: {name: path or the error's text}."""
    jobs = [[work("checkpoints", n), work(f"{n}-peer.gguf")] for n in names]
    done = subprocess.run([CONVERTER, os.path.join(HERE, "peer_convert_many.py"), "gpt-2"], input=json.dumps(jobs),
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return dict(zip(names, json.loads(done.stdout.splitlines()[-1])))


def llama_cpp(path, ids, ref64):
    """Largest difference, or why there is none."""
    try:
        return deviation(reference.llama_cpp_logits(path, ids), ref64)[1]
    except Exception as e:
        return f"refused ({type(e).__name__})"


def peer_figure(peer, ids, ref64):
    figure = models_table.number(llama_cpp(peer["path"], ids, ref64)) if "path" in peer else None
    if "error" not in peer:
        return figure
    return f"fails: {peer['error']}" + (f"; with that lifted {figure}" if figure else "")


def check_peer_file(name, peer, ids, ids_file):
    """lathe reads the file of llama.cpp's converter as llama.cpp does, right or wrong."""
    if "path" not in peer:
        return
    try:
        theirs = reference.llama_cpp_logits(peer["path"], ids)
    except Exception:
        return
    top = deviation(logits(peer["path"], ids_file, len(ids)), theirs.astype(np.float64))[1]
    check(f"{name}: the converter's own file means the same to us and to llama.cpp", top <= RUNTIME_LIMIT, f"{top:.1e}")


def warnings_of(folder, *options, expect=0):
    return {w["code"] for w in run_json("convert", folder, "--dry-run", *options, expect=expect)["warnings"]}


def check_keys(name, folder):
    """A made-up key."""
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        text = f.read()
    codes = warnings_of(folder)
    check(f"{name}: every key of the config is explained", "config-key-unused" not in codes, ", ".join(sorted(codes)))
    expected = "runtime-unknown-architecture" if gpt_checkpoints.VARIANTS[name]["family"] in OWN else None
    if name in ERF | OTHER_ACTIVATION:
        expected = "runtime-ignores-activation"
    if name in OTHER_ROPE:
        expected = "runtime-ignores-rope"
    check(f"{name}: convert names what the runtime cannot do", (expected or "") in {*codes, ""},
          f"{expected}: {', '.join(sorted(codes))}")
    status, _ = run("convert", folder, "--dry-run", "--strict", expect=None)
    check(f"{name}: --strict", status == (2 if expected else 0), f"exit {status}")
    with open(path, "w") as f:
        f.write(text.replace("{", '{"attn_quantum_gain": 2.5, ', 1))
    check(f"{name}: a made-up key is reported", "config-key-unused" in warnings_of(folder))
    status, _ = run("convert", folder, "--dry-run", "--strict", expect=None)
    check(f"{name}: --strict refuses it", status == 2, f"exit {status}")
    with open(path, "w") as f:
        f.write(text)


def check_model(name, folder, ids, peer):
    n = len(ids)
    family = gpt_checkpoints.VARIANTS[name]["family"]
    ids_file = write_ids("ids.txt", ids)
    # the same arithmetic in another order, which insists on float32
    upcast = {"reorder_and_upcast_attn": False} if family == "gpt2" else {}
    ref64 = reference.logits_f64(folder, ids, **upcast)
    own = deviation(reference.logits_f32(folder, ids), ref64)
    figures = {"reference": own[1], "logit": float(np.abs(ref64).max())}

    def side(label, path):
        f32, f64 = logits(path, ids_file, n), logits(path, ids_file, n, "f64")
        check_f32(f"{name}: {label}, float32", f32, ref64, own)
        check_f64(f"{name}: {label}, float64", f64, ref64, F64_LIMIT)
        figures[label] = deviation(f32, ref64)[1], deviation(f64, ref64)[1]

    side("source", folder)
    gguf_file = convert(folder, f"{name}.gguf", "--type", "f32")
    side("GGUF", gguf_file)
    for path in (gguf_file, convert(folder, f"{name}-keep.gguf")):
        both = run_json("verify", folder, path, "--tokens", ids_file, "--context", n)
        check(f"{name}: both sides agree ({os.path.basename(path)})", both["agree"] and both["positions"] == n,
              f"max |d| {both['max_abs_diff']:.2e}, tolerance {both['tolerance']:.1e} of {both['max_abs_logit']:.1f}")

    ours = llama_cpp(gguf_file, ids, ref64)
    if family in OWN:
        check(f"{name}: llama.cpp refuses an architecture that it does not know", isinstance(ours, str))
        ours = "not an architecture of llama.cpp"
    elif name in OTHER_ACTIVATION | OTHER_ROPE:
        what = "activation" if name in OTHER_ACTIVATION else "rotation"
        check(f"{name}: llama.cpp computes another {what}", not isinstance(ours, str) and ours > RUNTIME_LIMIT, ours)
        ours = f"{ours:.1e}: another {what}, which convert names"
    else:
        check(f"{name}: llama.cpp computes the same", not isinstance(ours, str) and ours <= RUNTIME_LIMIT, ours)
    figures["ours"] = ours
    check_peer_file(name, peer, ids, ids_file)
    figures["peer"] = peer_figure(peer, ids, ref64)
    check_keys(name, folder)
    table.row(name, figures)


names = [n for n in gpt_checkpoints.VARIANTS if not ONLY or any(o in n for o in ONLY)]
made = {n: gpt_checkpoints.make(n, work("checkpoints")) for n in names}
peers = peer_files(names)
for name in names:
    guarded(name, check_model, name, *made[name], peers[name])
    shutil.rmtree(made[name][0])
table.finish()
finish()

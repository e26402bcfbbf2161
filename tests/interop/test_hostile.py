"""The table of malformed files (tests/hostile) before other readers: safetensors, gguf-py, torch.load, zipfile, pickletools, json, numpy.

Where one accepts what we refuse, or refuses what we accept, the line stands in hostile_differences.txt with its reason; a new one fails, and so
does one that is listed and no longer there. Each reader runs in a process of its own, with 4 GB and 3 seconds of a processor: some take more for 43 bytes."""
import fnmatch
import json
import os
import pickletools
import resource
import signal
import subprocess
import zipfile

import gguf
import numpy as np
import safetensors
import torch
from checks import *

PROGRAM = os.path.join(BIN, "..", "tests", "test_hostile")
LISTED = os.path.join(HERE, "hostile_differences.txt")


def read_safetensors(path):
    with safetensors.safe_open(path, "np") as f:
        for name in f.keys():
            f.get_slice(name)


def read_gguf(path):
    gguf.GGUFReader(path)


def read_zip(path):
    with zipfile.ZipFile(path) as z:
        for name in z.namelist():
            z.read(name)


def read_torch(path):
    torch.load(path, weights_only=True)


def read_ops(path):
    with zipfile.ZipFile(path) as z:
        for _ in pickletools.genops(z.read("a/data.pkl")):
            pass


def read_json(path):
    with open(path, "rb") as f:
        json.loads(f.read().decode("utf-8"))


def read_npy(path):
    np.load(path, allow_pickle=False)


READERS = {
    "safetensors": [("safetensors", read_safetensors)],
    "gguf": [("gguf-py", read_gguf)],
    "zip": [("zipfile", read_zip), ("torch.load", read_torch)],
    "pickle": [("pickletools", read_ops), ("torch.load", read_torch)],
    "torch-legacy": [("torch.load", read_torch)],
    "json": [("json", read_json)],
    "npy": [("numpy", read_npy)],
}


# What torch.load does with these is a question of how long one waits.
SLOW = {"marks-without-end", "stack-without-end", "pairs-copied-without-end", "attributes-again-and-again", "tensor-metadata-again-and-again"}


def verdict(function, path):
    """accepts, refuses, or how else it ended"""
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            used = int(open("/proc/self/statm").read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30),) * 2)
            resource.setrlimit(resource.RLIMIT_CPU, (3, 4))
            function(path)
            os._exit(0)
        except MemoryError:
            os._exit(2)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "hangs" if os.WTERMSIG(status) == signal.SIGXCPU else "crashes"
    return ("accepts", "refuses", "takes 4 GB")[os.WEXITSTATUS(status)]


def differences():
    out, n = [], 0
    for line in open(os.path.join(WORK, "LIST")):
        group, case, name, ours = line.split()
        for peer, function in READERS.get(group, []):
            if peer == "torch.load" and case in SLOW:
                continue
            theirs = verdict(function, os.path.join(WORK, group, case, name))
            n += 1
            if theirs != ("accepts" if ours == "ok" else "refuses"):
                out.append(f"{peer} {theirs}: {group}/{case}")
    return out, n


def listed():
    for line in open(LISTED, encoding="utf-8"):
        body, _, reason = line.partition("#")
        if body.strip():
            assert reason.strip(), f"no reason: {line}"
            yield body.strip()


subprocess.run([PROGRAM, "--dump", WORK], check=True)
found, n = differences()
patterns = list(listed())
check("files were judged by both", n > 500, n)
for d in found:
    if not any(fnmatch.fnmatchcase(d, p) for p in patterns):
        check(f"not listed: {d}", False)
for p in patterns:
    check(f"listed: {p}", any(fnmatch.fnmatchcase(d, p) for d in found), sum(fnmatch.fnmatchcase(d, p) for d in found))
finish()

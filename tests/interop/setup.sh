#!/bin/sh
# Makes the pinned Python environments that `make interop` uses, once, in the user's cache folder:
#
#   ${XDG_CACHE_HOME:-$HOME/.cache}/lathe/interop-HASH/main        torch, transformers, gguf, llama.cpp, ...
#   ${XDG_CACHE_HOME:-$HOME/.cache}/lathe/interop-HASH/converter   llama.cpp's own converter
#
# HASH covers the requirement files and the interpreter, so that another clone finds what this one made, and an old
# environment is never mistaken for a new one. A folder counts only with its `finished` file; what an interrupted
# run left is made again. Prints the two paths on stdout, one a line; everything else goes to stderr.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

say() { printf 'interop setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || die "no $python in PATH; Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$python is $("$python" -V 2>&1); Python 3.11 or newer is needed (choose one with PYTHON=...)"
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    die "$python has no venv module (Debian: apt-get install python3-venv)"
command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 ||
    die "no C++ compiler; llama-cpp-python is built from source (Debian: apt-get install g++)"
command -v flock >/dev/null 2>&1 || die "no flock (Debian: apt-get install util-linux)"

hash=$( { cat "$here/requirements.txt" "$here/requirements-converter.txt"
          "$python" -c 'import platform, sys; print(sys.version, sys.prefix, platform.machine())'; } |
        sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lathe
root=$cache/interop-$hash
main=$root/main
converter=$root/converter
mkdir -p "$root"

exec 9>"$root/lock"
flock -n 9 || { say "another run is making $root; waiting"; flock 9; }

pin() { sed -n "s/^$1==//p" "$here/requirements.txt"; }

pip_in() { # pip_in ENV ARGUMENTS...
    env=$1
    shift
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$env/bin/python" -m pip "$@" >&2
}

if [ ! -e "$main/finished" ]; then
    say "making $main (torch, transformers, llama.cpp from source: 10 to 20 minutes)"
    rm -rf "$main"
    "$python" -m venv "$main"
    # torch first, and alone: other packages would choose a build for it.
    torch=$(pin torch)
    pip_in "$main" install -q --no-deps "torch==$torch" || die "torch $torch cannot be installed"
    # What needs no compiler next, llama.cpp last.
    grep -v '^llama-cpp-python==' "$here/requirements.txt" >"$root/quick.txt"
    pip_in "$main" install -q --no-deps -r "$root/quick.txt" || die "pip failed, see above"
    CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} nice \
        "$main/bin/python" -m pip install -q --no-deps "llama-cpp-python==$(pin llama-cpp-python)" >&2 ||
        die "llama-cpp-python cannot be built, see above"
    "$main/bin/python" - >&2 <<'PY' || die "the environment is not usable, see above"
import gguf, llama_cpp, numpy, safetensors, sentencepiece, tokenizers, torch, transformers
assert torch.version.cuda is None or not torch.cuda.is_available()
llama_cpp.llama_backend_init()
PY
    : >"$main/finished"
fi

if [ ! -e "$converter/finished" ]; then
    say "making $converter"
    rm -rf "$converter"
    "$python" -m venv "$converter"
    pip_in "$converter" install -q --no-deps -r "$here/requirements-converter.txt" || die "pip failed, see above"
    site() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }
    site "$main" >"$(site "$converter")/main_environment.pth"
    "$converter/bin/python" -c 'import gguf, torch, transformers' >&2 || die "the converter's environment is not usable"
    : >"$converter/finished"
fi

printf '%s\n%s\n' "$main" "$converter"

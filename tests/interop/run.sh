#!/bin/sh
# usage: run.sh BIN_DIR: compares the tools in BIN_DIR with transformers, gguf and llama.cpp, in the environments that setup.sh makes.
# Prints a line per check and, last, `N passed, M failed`.
set -u
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
paths=$("$here/setup.sh") || exit 2
python=$(echo "$paths" | sed -n 1p)/bin/python
converter=$(echo "$paths" | sed -n 2p)/bin/python
scratch=$(mktemp -d "${TMPDIR:-/tmp}/lathe-interop-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
PYTHONDONTWRITEBYTECODE=1
HF_HUB_OFFLINE=1
export PYTHONDONTWRITEBYTECODE HF_HUB_OFFLINE
for script in "$here"/test_*.py; do
    name=$(basename "$script" .py)
    echo "--- $name"
    "$python" -W ignore "$script" "$bin" "$scratch/$name" "$converter" >"$scratch/log" 2>"$scratch/err"
    status=$?
    cat "$scratch/log"
    sum=$(tail -n 1 "$scratch/log")
    p=$(echo "$sum" | sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p')
    f=$(echo "$sum" | sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p')
    if [ -z "$f" ] || { [ "$status" != 0 ] && [ "$f" = 0 ]; }; then f=$((${f:-0} + 1)); fi
    [ "$f" = 0 ] || tail -n 20 "$scratch/err"
    passed=$((passed + ${p:-0}))
    failed=$((failed + f))
    rm -rf "${scratch:?}/$name"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

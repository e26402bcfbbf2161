#!/bin/sh
# usage: run.sh BIN_DIR: prints the tables of docs/results. Needs python3 (standard library) and about 7 GB of disk.
set -eu
bin=$1
here=$(dirname "$0")
echo "## Conversion"
echo
python3 "$here/convert.py" "$bin"
echo
echo "## Statistics"
echo
python3 "$here/weight_stats.py" "$bin"
# The others need peers: python of the environment that `make interop` makes runs bench/verify.py, bench/text_tokenize.py and bench/kl_by_type.py;
# bench/quantize.c is built by `make build/release/bench/quantize`.

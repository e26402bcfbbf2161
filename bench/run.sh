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

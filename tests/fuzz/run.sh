#!/bin/sh
# usage: run.sh BUILD_DIR SECONDS [TARGET...]: each target for so long, one process at a time, starting from the committed corpus. What it finds stays in
# BUILD_DIR/corpus/TARGET for the next run, what fails in BUILD_DIR/found. Prints a line for each target: executions, features, peak memory.
set -u
build=$(cd "$1" && pwd)
seconds=$2
shift 2
[ $# -gt 0 ] || set -- $(sed -n 's/^    {"\([a-z-]*\)", .*/\1/p' tests/fuzz/targets.c)
mkdir -p "$build/found"
ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1:max_allocation_size_mb=2048
TMPDIR=$(mktemp -d /dev/shm/lathe-fuzz-XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$TMPDIR"' EXIT
LATHE_ROOT=$(pwd)
export ASAN_OPTIONS TMPDIR LATHE_ROOT
total=0
bad=0
for target; do
    ln -f "$build/fuzz" "$build/fuzz_$target"
    mkdir -p "$build/corpus/$target"
    log=$build/$target.log
    dict=tests/fuzz/$target.dict
    mkdir -p "tests/fuzz/corpus/$target"
    "$build/fuzz_$target" "$build/corpus/$target" "tests/fuzz/corpus/$target" $([ -f "$dict" ] && echo "-dict=$dict") -max_total_time="$seconds" \
        -max_len=28000 -timeout=10 -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="$build/found/$target-" >"$log" 2>&1
    status=$?
    n=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
    mb=$(sed -n 's/^stat::peak_rss_mb: //p' "$log")
    ft=$(grep -o 'ft: [0-9]*' "$log" | tail -n 1)
    echo "$target: ${n:-0} executions, $ft, peak $(echo ${mb:-?}) MB$([ "$status" = 0 ] || echo ", FAILED: see $log")"
    total=$((total + ${n:-0}))
    [ "$status" = 0 ] || bad=$((bad + 1))
done
echo "$total executions, $bad targets failed"
[ "$bad" = 0 ]

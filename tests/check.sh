#!/bin/sh
# usage: check.sh BUILD_DIR: runs every unit test program and every tests/cli script of a build, prints what failed and, last,
# `N passed, M failed`.
set -u
build=$1
bin=$(cd "$build/bin" && pwd)
root=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
LATHE_ROOT=$root
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}
export LATHE_ROOT ASAN_OPTIONS

for test in "$build"/tests/test_*; do
    [ -x "$test" ] || continue
    case $test in *.d | *.o) continue ;; esac
    # A program left over from a source that is gone does not count.
    [ -f "tests/unit/$(basename "$test").c" ] || continue
    log=$scratch/log
    "$test" >"$log" 2>&1
    status=$?
    ok=$(sed -n 's/.*\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    bad=$(grep -ac '^\[  FAILED  \] [A-Za-z_]' "$log")
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$status" = 0 ] && [ "$ok" = 0 ]; then bad=1; fi
    if [ "$bad" != 0 ]; then
        echo "--- $(basename "$test"): exit status $status"
        grep -av '^\[  *\(RUN\|OK\) ' "$log" | tail -n 60
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    echo "$(basename "$test"): $ok passed, $bad failed"
done

for script in tests/cli/*.sh; do
    [ -f "$script" ] || continue
    case $(basename "$script") in lib.sh) continue ;; esac
    dir=$scratch/$(basename "$script" .sh)
    mkdir -p "$dir"
    log=$scratch/log
    sh "$script" "$bin" "$dir" >"$log" 2>&1 </dev/null
    status=$?
    ok=$(grep -ac '^ok ' "$log")
    bad=$(grep -ac '^FAIL ' "$log")
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$status" = 0 ] && [ "$ok" = 0 ]; then bad=1; fi
    if [ "$bad" != 0 ]; then
        echo "--- $(basename "$script"): exit status $status"
        grep -av '^ok ' "$log" | tail -n 60
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    echo "$(basename "$script"): $ok passed, $bad failed"
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

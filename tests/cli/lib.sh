# shellcheck shell=sh
# For the scripts beside it: `. tests/cli/lib.sh` after which BIN (folder of the tools) and DIR (own scratch folder) are set from
# $1 and $2. Every check prints one line, `ok NAME` or `FAIL NAME`; `finish` at the end sets the exit status.
BIN=$1
DIR=$2
DATA=tests/data
failures=0
ok() { echo "ok $1"; }
fail() {
    echo "FAIL $1${2:+: $2}"
    failures=$((failures + 1))
}
# check NAME COMMAND...: the command must succeed
check() {
    check_name=$1
    shift
    if "$@" >"$DIR/check.out" 2>&1; then ok "$check_name"; else fail "$check_name" "$(head -c 300 "$DIR/check.out")"; fi
}
# status NAME EXPECTED COMMAND...: its exit status; output is left in $DIR/out and $DIR/err
status() {
    status_name=$1
    status_expected=$2
    shift 2
    "$@" >"$DIR/out" 2>"$DIR/err"
    status_found=$?
    if [ "$status_found" = "$status_expected" ]; then
        ok "$status_name"
    else
        fail "$status_name" "exit $status_found, expected $status_expected: $(head -c 300 "$DIR/err")"
    fi
}
# equal NAME EXPECTED FOUND
equal() {
    if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "expected '$2', found '$3'"; fi
}
# contains NAME FILE TEXT
contains() {
    if grep -qF -- "$3" "$2"; then ok "$1"; else fail "$1" "no '$3' in: $(head -c 300 "$2")"; fi
}
finish() { [ "$failures" = 0 ]; }

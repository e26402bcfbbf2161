#!/bin/sh
# usage: run.sh TEST_FAULTS: all scenarios with every n, as many at once as there are processors; a line for each, and the sums.
set -u
test=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
start=$(date +%s)
"$test" --list | tac >"$scratch/list" # the last ones take longest
xargs -P "$(nproc)" -I{} sh -c '
    start=$(date +%s)
    "$1" --all "$2" >"$3/$2.log" 2>&1
    code=$?
    echo "$code" >"$3/$2.code"
    [ $code = 0 ] || grep -v "^count" "$3/$2.log"
    printf "%-24s %4d s  %s\n" "$2" $(($(date +%s) - start)) "$(sed -n "s/^[0-9]* points: /&/p" "$3/$2.log")"' - "$test" {} "$scratch" <"$scratch/list"
echo
cat "$scratch"/*.log | awk -F '\t' '
    $1 == "count" {
        if (!($2 in seen)) name[++n] = $2
        seen[$2] = 1
        for (i = 3; i <= 6; i++) { kind[$2, i] += $i; sum[i] += $i; total[$2] += $i; all += $i }
    }
    END {
        printf "%-26s %8s %8s %8s %8s %8s\n", "", "points", "the same", "refused", "stopped", "killed"
        for (k = 1; k <= n; k++) printf "%-26s %8d %8d %8d %8d %8d\n", name[k], total[name[k]], kind[name[k], 3], kind[name[k], 4], kind[name[k], 5], kind[name[k], 6]
        printf "%-26s %8d %8d %8d %8d %8d\n", "sum", all, sum[3], sum[4], sum[5], sum[6]
    }'
failed=$(cat "$scratch"/*.code | grep -vc '^0$')
echo "$(wc -l <"$scratch/list") scenarios, $failed failed, $(($(date +%s) - start)) s"
[ "$failed" = 0 ]

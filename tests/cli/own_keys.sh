# Every key that the writer puts into a file, and every key of our own that the source names, stands in docs/format.md; every limit of the readers
# in docs/security.md.
. tests/cli/lib.sh
# documented KEY: as it is, or as `.suffix` or a pattern of the tables
documented() {
    grep -qF "\`$1\`" docs/format.md && return 0
    case $1 in
    lathe.receipt.file.*) grep -qF '`lathe.receipt.file.NAME`' docs/format.md && return 0 ;;
    lathe.receipt.dropped.*) grep -qF '`lathe.receipt.dropped.' docs/format.md && return 0 ;;
    lathe.*) grep -F "\`${1%.*}." docs/format.md | grep -qF "\`.${1##*.}\`" && return 0 ;;
    esac
    return 1
}
missing=
n=0
for key in $(sed -n 's/.*"\(lathe\.[a-z_0-9.]*[a-z_0-9]\)".*/\1/p' base/*.c formats/*.c models/*.c core/*.c convert/*.c | LC_ALL=C sort -u); do
    n=$((n + 1))
    documented "$key" || missing="$missing $key"
done
equal "keys that the source names are documented" "" "$missing"
check "there are some" test "$n" -gt 10
missing=
written=0
for src in tests/data/tiny-llama tests/data/tiny-gpt2 tests/data/tiny-glm4 tests/vectors/families/llama-yarn; do
    "$BIN/lathe-convert" "$src" -o "$DIR/x.gguf" --force --quiet --type q8_0 || fail "convert $src"
    for key in $("$BIN/lathe-inspect" "$DIR/x.gguf" --metadata | grep -o '^ *lathe\.[a-zA-Z_0-9.]*'); do
        written=$((written + 1))
        documented "$key" || missing="$missing $key"
    done
done
equal "keys that it writes are documented" "" "$missing"
check "it writes some" test "$written" -gt 30
missing=
for limit in $(sed -n 's/^    \(LIMIT_[A-Z_]*\) = .*/\1/p' base/limits.h); do
    grep -qF "\`$limit\`" docs/security.md || missing="$missing $limit"
done
equal "limits are documented" "" "$missing"
finish

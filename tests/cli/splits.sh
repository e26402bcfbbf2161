# Models in several GGUF files: written, read, merged, split anew, quantized part by part; and what is wrong with a set is named.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
quantize=$BIN/lathe-quantize
inspect=$BIN/lathe-inspect
verify=$BIN/lathe-verify
llama=$DATA/tiny-llama
status "one file" 0 "$convert" "$llama" -o "$DIR/one.gguf" --quiet
mkdir "$DIR/p" "$DIR/r"
status "parts" 0 "$convert" "$llama" -o "$DIR/p/m.gguf" --split-max-size 300K --json
n=$(jq '.files | length' "$DIR/out")
last=$(printf %05d "$n")
first=$DIR/p/m-00001-of-$last.gguf
equal "parts: output is the first" "$first" "$(jq -r .output "$DIR/out")"
equal "parts: sizes" "$(cat "$DIR/p"/*.gguf | wc -c)" "$(jq .size_bytes "$DIR/out")"
equal "parts: nothing else" "$n" "$(ls -A "$DIR/p" | wc -l)"
equal "parts: named one after the other" "$n" "$(ls "$DIR/p" | grep -c "^m-0000[1-9]-of-$last.gguf\$")"
status "parts: dry run" 0 "$convert" "$llama" -o "$DIR/none.gguf" --split-max-size 300K --dry-run --json
equal "parts: dry run tells the size" "$(cat "$DIR/p"/*.gguf | wc -c)" "$(jq .size_bytes "$DIR/out")"
status "merged" 0 "$convert" "$first" -o "$DIR/merged.gguf" --quiet
check "merged: the same file" cmp "$DIR/one.gguf" "$DIR/merged.gguf"
status "split anew" 0 "$convert" "$first" -o "$DIR/r/m.gguf" --split-max-size 600K --quiet --threads 1
again=$(ls "$DIR/r"/m-00001-of-*)
check "split anew: fewer parts" test "$(ls "$DIR/r" | wc -l)" -lt "$n"
status "split anew and merged" 0 "$convert" "$again" -o "$DIR/merged.gguf" --force --quiet
check "split anew and merged: the same file" cmp "$DIR/one.gguf" "$DIR/merged.gguf"
status "back from parts" 0 "$convert" "$first" -o "$DIR/back" --quiet
check "back from parts: the same weights" cmp "$llama/model.safetensors" "$DIR/back/model.safetensors"
status "verify takes the first part" 0 "$verify" "$DIR/one.gguf" "$first" --tokens "$llama/tokens.txt" --quiet
status "inspect takes the first part" 0 "$inspect" "$first" --tensors --json
equal "inspect takes the first part: all tensors" 20 "$(jq '.tensors | length' "$DIR/out")"

# --- quantize ---
status "quantized from parts" 0 "$quantize" "$first" "$DIR/q.gguf" q8_0 --quiet
status "quantized from one file" 0 "$quantize" "$DIR/one.gguf" "$DIR/q1.gguf" q8_0 --quiet
check "quantized: the same file" cmp "$DIR/q.gguf" "$DIR/q1.gguf"
mkdir "$DIR/q"
status "quantized, parts kept" 0 "$quantize" "$first" "$DIR/q/m.gguf" q8_0 --keep-split --quiet
equal "quantized, parts kept: as many" "$n" "$(ls "$DIR/q" | wc -l)"
names() { "$inspect" "$1" --tensors --json 2>/dev/null | jq -r '.tensors[].name' | LC_ALL=C sort; }
"$inspect" "$DIR/q/m-00001-of-$last.gguf" --tensors --hash --json | jq -r '.tensors[] | "\(.name) \(.dtype) \(.sha256)"' | LC_ALL=C sort >"$DIR/parts.txt"
"$inspect" "$DIR/q1.gguf" --tensors --hash --json | jq -r '.tensors[] | "\(.name) \(.dtype) \(.sha256)"' | LC_ALL=C sort >"$DIR/whole.txt"
check "quantized, parts kept: the same tensors" cmp "$DIR/parts.txt" "$DIR/whole.txt"
status "keep-split and resume" 2 "$quantize" "$first" "$DIR/x.gguf" q8_0 --keep-split --resume

# --- what is wrong with a set ---
# broken NAME TEXT: the set in b does not open, and nothing is written
broken() {
    status "$1" 2 "$convert" "$DIR/b/m-00001-of-$last.gguf" -o "$DIR/x.gguf"
    contains "$1: text" "$DIR/err" "$2"
    check "$1: nothing left" test ! -e "$DIR/x.gguf"
}
part() { echo "$DIR/$1/m-0000$2-of-$last.gguf"; }
fresh() {
    rm -rf "$DIR/b"
    cp -r "$DIR/p" "$DIR/b"
}
fresh
rm "$(part b 3)"
broken "a missing part" "shard 'm-00003-of-$last.gguf' of this set is missing"
fresh
cp "$(part p 2)" "$(part b 3)"
broken "a part twice" "m-00003-of-$last.gguf: expected part 3 by its name, found that it is part 2"
fresh
cp "$(part p 2)" "$(part b 3)"
cp "$(part p 3)" "$(part b 2)"
broken "parts in another order" "expected part 2 by its name, found that it is part 3"
fresh
cp "$(part q 2)" "$(part b 2)"
broken "a part of another file" "m-00002-of-$last.gguf: is a part of another file"
fresh
cp "$DIR/one.gguf" "$(part b 2)"
broken "a whole file among parts" "is no part of a split file"
fresh
cp "$again" "$(part b 1)"
broken "a first part of fewer" "by its name, found split.count"
cp "$(part p 2)" "$DIR/lonely.gguf"
status "a part under another name" 2 "$inspect" "$DIR/lonely.gguf"
contains "a part under another name: text" "$DIR/err" "is part 2 of $n: expected a name that ends in -00002-of-$last.gguf"
echo precious >"$DIR/r/n-00002-of-00005.gguf"
status "a part's name is taken" 2 "$convert" "$first" -o "$DIR/r/n.gguf" --split-max-size 500K --quiet
contains "a part's name is taken: text" "$DIR/err" "n-00002-of-00005.gguf: exists already"
equal "a part's name is taken: untouched, and no other part" "n-00002-of-00005.gguf" "$(ls "$DIR/r" | grep '^n')"
status "parts onto themselves" 2 "$convert" "$first" -o "$DIR/p/m.gguf" --split-max-size 300K --force
contains "parts onto themselves: text" "$DIR/err" "is the same file as the source"
status "a size of nothing" 2 "$convert" "$first" -o "$DIR/x.gguf" --split-max-size 1X
equal "nothing left behind" "" "$(find "$DIR" -name '.*partial*')"
finish

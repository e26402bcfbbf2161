# Ways of shipping: Meta's folders against the Hugging Face folder that they were cut from, configurations that lie elsewhere.
. tests/cli/lib.sh
meta=tests/vectors/meta

# digests NAME: of every tensor of $DIR/NAME.gguf, with name, type and shape
digests() {
    "$BIN/lathe-inspect" "$DIR/$1.gguf" --tensors --hash --json | jq -c '.tensors[] | [.name, .dtype, .shape, .sha256]'
}

status "hugging face converts" 0 "$BIN/lathe-convert" "$meta/hf" -o "$DIR/hf.gguf" --json
digests hf >"$DIR/hf.txt"
for cut in llama2/two llama3; do
    name=$(basename $cut)
    status "$cut converts" 0 "$BIN/lathe-convert" "$meta/$cut" -o "$DIR/$name.gguf" --json
    digests "$name" >"$DIR/$name.txt"
    check "$cut: the same tensors as from hugging face" cmp "$DIR/hf.txt" "$DIR/$name.txt"
    status "$cut converts with one thread" 0 "$BIN/lathe-convert" "$meta/$cut" -o "$DIR/one.gguf" --threads 1 --force
    check "$cut: the same bytes with one thread" cmp "$DIR/$name.gguf" "$DIR/one.gguf"
    status "$cut agrees with hugging face" 0 "$BIN/lathe-verify" "$meta/$cut" "$meta/hf"
    status "$cut agrees with its file" 0 "$BIN/lathe-verify" "$meta/$cut" "$DIR/$name.gguf"
    status "$cut is listed" 0 "$BIN/lathe-inspect" "$meta/$cut" --tensors --hash --json
    equal "$cut: container" meta "$(jq -r .container "$DIR/out")"
    equal "$cut: recognised by" params.json "$(jq -r .recognised_by "$DIR/out")"
    equal "$cut: a joined tensor" "[32,88]" "$(jq -c '.tensors[] | select(.name == "layers.0.feed_forward.w2.weight") | .shape' "$DIR/out")"
    equal "$cut: copies of heads are one" "[16,32]" "$(jq -c '.tensors[] | select(.name == "layers.0.attention.wk.weight") | .shape' "$DIR/out")"
    status "$cut: the plan" 0 "$BIN/lathe-convert" "$meta/$cut" --dry-run --json
    equal "$cut: buffers are dropped" "rope.freqs buffer" "$(jq -r '.plan.dropped[] | .name + " " + .reason' "$DIR/out")"
done

# Damage that must show: two shards in each other's place, and one that comes from another cut.
cp -r "$meta/llama2/two" "$DIR/swapped"
mv "$DIR/swapped/consolidated.00.pth" "$DIR/swapped/x"
mv "$DIR/swapped/consolidated.01.pth" "$DIR/swapped/consolidated.00.pth"
mv "$DIR/swapped/x" "$DIR/swapped/consolidated.01.pth"
status "swapped shards do not agree" 1 "$BIN/lathe-verify" "$DIR/swapped" "$meta/hf"
cp "$meta/llama3/consolidated.01.pth" "$DIR/swapped/consolidated.01.pth"
status "a shard of another cut is refused" 2 "$BIN/lathe-convert" "$DIR/swapped" -o "$DIR/no.gguf"
check "and nothing is left" test ! -e "$DIR/no.gguf"
rm "$DIR/swapped/consolidated.01.pth"
status "half of a set is refused" 2 "$BIN/lathe-convert" "$DIR/swapped" -o "$DIR/no.gguf"
contains "with the size that is missing" "$DIR/err" "from config, found"
mv "$DIR/swapped/consolidated.00.pth" "$DIR/swapped/consolidated.01.pth"
status "the first shard missing" 2 "$BIN/lathe-convert" "$DIR/swapped" -o "$DIR/no.gguf"
contains "is named" "$DIR/err" "shard 'consolidated.00.pth' of this set is missing"

# A configuration that lies elsewhere, or says nothing about the family.
mkdir "$DIR/bare" "$DIR/thin"
cp "$meta/hf/model.safetensors" "$DIR/bare"
status "no configuration" 2 "$BIN/lathe-convert" "$DIR/bare/model.safetensors" -o "$DIR/no.gguf"
contains "says what is missing" "$DIR/err" "expected a config.json beside the weights, not found"
contains "and which option gives it" "$DIR/err" "config FILE"
status "--config gives it" 0 "$BIN/lathe-convert" "$DIR/bare/model.safetensors" -o "$DIR/bare.gguf" --config "$meta/hf/config.json"
digests bare >"$DIR/bare.txt"
check "and the tensors are the same" cmp "$DIR/hf.txt" "$DIR/bare.txt"
status "verify without" 2 "$BIN/lathe-verify" "$DIR/bare" "$DIR/bare.gguf"
status "verify with --config" 0 "$BIN/lathe-verify" "$DIR/bare" "$DIR/bare.gguf" --config "$meta/hf/config.json"
status "verify: --config for GGUF alone" 2 "$BIN/lathe-verify" "$DIR/bare.gguf" --config "$meta/hf/config.json"
status "inspect needs none" 0 "$BIN/lathe-inspect" "$DIR/bare" --json
equal "and tells the family" "llama names of tensors" "$(jq -r '.family + " " + .recognised_by' "$DIR/out")"
cp "$meta/hf/model.safetensors" "$DIR/thin"
jq 'del(.architectures, .model_type)' "$meta/hf/config.json" >"$DIR/thin/config.json"
status "a thin configuration" 0 "$BIN/lathe-convert" "$DIR/thin" -o "$DIR/thin.gguf" --json
check "is said" jq -e '[.warnings[].code] | index("family-from-tensors")' "$DIR/out"
digests thin >"$DIR/thin.txt"
check "and the tensors are the same still" cmp "$DIR/hf.txt" "$DIR/thin.txt"
finish

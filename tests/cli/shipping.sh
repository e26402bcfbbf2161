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

# The tokenizer of all sizes lies in the folder above.
mkdir "$DIR/up"
cp -r "$meta/llama2/two" "$DIR/up/7B"
cp tests/vectors/tokenizers/spm/tokenizer.model "$DIR/up"
status "a tokenizer one folder up" 0 "$BIN/lathe-inspect" "$DIR/up/7B"
contains "is told" "$DIR/out" "tokenizer   tokenizer.model"
status "and cuts text" 0 "$BIN/lathe-inspect" "$DIR/up/7B" --tokenize "hello" --json
cp "$DIR/out" "$DIR/below"
status "as it does by itself" 0 "$BIN/lathe-inspect" tests/vectors/tokenizers/spm --tokenize "hello" --json
check "with the same ids" cmp "$DIR/out" "$DIR/below"
status "and is converted" 0 "$BIN/lathe-convert" "$DIR/up/7B" -o "$DIR/up.gguf" --dry-run --json
equal "as sentencepiece's model" llama "$(jq -r '.plan.metadata[] | select(.key == "tokenizer.ggml.model") | .value' "$DIR/out")"
check "with its file in the receipt" jq -e '[.plan.metadata[].key] | index("lathe.receipt.file.tokenizer.model")' "$DIR/out"

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

# FP8 with scales against torch's own products.
fp8=tests/vectors/fp8
for layout in block block_ue8m0 row_bf16 tensor; do
    status "$layout converts to f32" 0 "$BIN/lathe-convert" "$fp8/$layout" -o "$DIR/scaled.gguf" --type f32 --force --json
    check "$layout: the rounding is named" jq -e '[.warnings[].code] | index("fp8-dequantized")' "$DIR/out"
    digests scaled >"$DIR/scaled.txt"
    status "$layout: torch's products convert" 0 "$BIN/lathe-convert" "$fp8/$layout-whole" -o "$DIR/whole.gguf" --type f32 --force
    digests whole >"$DIR/whole.txt"
    check "$layout: the same tensors as torch's products" cmp "$DIR/scaled.txt" "$DIR/whole.txt"
    status "$layout: verify reads the scales itself" 0 "$BIN/lathe-verify" "$fp8/$layout" "$fp8/$layout-whole" --json
    equal "$layout: and computes the same" 0 "$(jq .max_abs_diff "$DIR/out")"
    status "$layout converts" 0 "$BIN/lathe-convert" "$fp8/$layout" -o "$DIR/kept.gguf" --force --json
    status "$layout: torch's products to bf16" 0 "$BIN/lathe-convert" "$fp8/$layout-whole" -o "$DIR/whole.gguf" --type bf16 --force
    digests kept | grep -v 'BF16",\[18' >"$DIR/kept.txt"
    digests whole | grep -v 'BF16",\[18' >"$DIR/whole.txt"
    check "$layout: bf16 by default, rounded once" cmp "$DIR/kept.txt" "$DIR/whole.txt"
    status "$layout agrees with its file" 0 "$BIN/lathe-verify" "$fp8/$layout" "$DIR/kept.gguf"
    status "$layout in one thread" 0 "$BIN/lathe-convert" "$fp8/$layout" -o "$DIR/one.gguf" --force --threads 1
    check "$layout: the same bytes in one thread" cmp "$DIR/kept.gguf" "$DIR/one.gguf"
done
status "other scales do not agree" 1 "$BIN/lathe-verify" "$fp8/tensor" "$fp8/block_ue8m0-whole" --tolerance 1e-4
status "the plan names scales and what activations need" 0 "$BIN/lathe-convert" "$fp8/tensor" --dry-run --json
check "sources hold the scale" jq -e '[.plan.tensors[] | select(.name == "blk.0.attn_q.weight") | .sources[].name] | index("model.layers.0.self_attn.q_proj.weight_scale")' "$DIR/out"
equal "the block is told" "[32,32]" "$(jq -c '.plan.tensors[] | select(.name == "blk.0.attn_q.weight") | .block' "$DIR/out")"
equal "activations' scales are dropped for a reason" 7 "$(jq '[.plan.dropped[] | select(.reason == "scale of activations")] | length' "$DIR/out")"
cp -r "$fp8/block" "$DIR/gptq"
jq '.quantization_config = {"quant_method": "gptq", "bits": 4}' "$fp8/block/config.json" >"$DIR/gptq/config.json"
status "another scheme is refused" 2 "$BIN/lathe-convert" "$DIR/gptq" -o "$DIR/no.gguf"
contains "by its name" "$DIR/err" 'found "gptq"'
jq '.quantization_config.weight_block_size = [32, 24]' "$fp8/block/config.json" >"$DIR/gptq/config.json"
status "blocks of another size are refused" 2 "$BIN/lathe-convert" "$DIR/gptq" -o "$DIR/no.gguf"
contains "with both shapes" "$DIR/err" "or 1 x 2 for blocks of 32 x 24, found 2 x 2"
finish

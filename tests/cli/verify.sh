# lathe-verify: verdicts on honest and on damaged copies, what is said, and what is refused.
. tests/cli/lib.sh
verify=$BIN/lathe-verify
llama=$DATA/tiny-llama
gpt2=$DATA/tiny-gpt2
field() { jq -r "$1" "$DIR/out"; }

# --- honest copies agree, with the tolerance that their types deserve ---
for model in tiny-llama tiny-gpt2; do
    ids=$DATA/$model/tokens.txt
    for type in keep f32 f16 bf16 q8_0; do
        "$BIN/lathe-convert" "$DATA/$model" -o "$DIR/$model-$type.gguf" --type $type --quiet 2>/dev/null
        status "$model as $type agrees" 0 "$verify" "$DATA/$model" "$DIR/$model-$type.gguf" --tokens "$ids" --quiet
    done
    for type in Q4_0 Q6_K; do
        "$BIN/lathe-quantize" "$DIR/$model-f32.gguf" "$DIR/$model-$type.gguf" $type --quiet 2>/dev/null
        status "$model as $type agrees" 0 "$verify" "$DATA/$model" "$DIR/$model-$type.gguf" --tokens "$ids" --quiet
    done
    status "$model in f64" 0 "$verify" "$DATA/$model" "$DIR/$model-f32.gguf" --tokens "$ids" --precision f64 --json
    check "$model in f64: far below single precision" jq -e '.max_abs_diff < 1e-9 * .max_abs_logit and .tolerance < 1e-7' "$DIR/out"
done

# --- what is said ---
ids=$llama/tokens.txt
f32=$DIR/tiny-llama-f32.gguf
status "as far off as rounding can be" 1 "$verify" "$llama" "$f32" --tokens "$ids" --tolerance 1e-7
contains "... says how to tell it from a fault" "$DIR/out" "--precision f64 tells it from a fault"
status "further off" 1 "$verify" "$llama" "$f32" --tokens "$ids" --tolerance 1e-9
equal "... has no such excuse" 0 "$(grep -c 'precision f64' "$DIR/out")"
status "text" 0 "$verify" "$llama" "$f32" --tokens "$ids"
equal "the first word is the verdict" "agree:" "$(head -n 1 "$DIR/out" | cut -d' ' -f1)"
contains "the tolerance has its reason" "$DIR/out" "only F32 rounding over 2 layers"
equal "nothing on stderr" "" "$(cat "$DIR/err")"
status "json" 0 "$verify" "$llama" "$f32" --tokens "$ids" --json
for key in positions max_abs_diff rms_diff max_abs_logit kl_ab kl_ba kl_max top1_agreement perplexity_a perplexity_b tolerance agree; do
    check "json has $key" jq -e "has(\"$key\") and .$key != null" "$DIR/out"
done
equal "json positions" 128 "$(field .positions)"
check "perplexity of held-out text" jq -e '.perplexity_a > 10 and .perplexity_a < 16 and (.perplexity_a - .perplexity_b | fabs) < 1e-3' "$DIR/out"
status "bare" 0 "$verify" "$llama" "$f32"
contains "bare tells which ids" "$DIR/out" "built-in pseudo-random ids"
status "one side" 0 "$verify" "$llama" --tokens "$ids" --json
check "one side has perplexity and no verdict" jq -e '.perplexity_a > 10 and has("agree") == false and .b == null' "$DIR/out"
status "tolerance as asked" 1 "$verify" "$llama" "$DIR/tiny-llama-q8_0.gguf" --tokens "$ids" --tolerance 1e-4
equal "the verdict is no" "differ:" "$(head -n 1 "$DIR/out" | cut -d' ' -f1)"
status "original second" 1 "$verify" "$DIR/tiny-llama-q8_0.gguf" "$llama" --tokens "$ids" --tolerance 1e-4 --json
equal "json verdict" false "$(field .agree)"
status "help" 0 "$verify" --help
contains "help lists --tokens" "$DIR/out" "--tokens FILE"

# --- weights ---
status "weights of a cast" 0 "$verify" "$llama" "$f32" --weights --json
check "weights: every tensor is exact after its cast" jq -e '.agree and ([.tensors[].verdict] | unique == ["exact after cast"]) and (.tensors | length == 20)' "$DIR/out"
check "weights: names and sources" jq -e '[.tensors[] | select(.name == "blk.1.attn_k.weight")][0].source == "model.layers.1.self_attn.k_proj.weight"' "$DIR/out"
status "weights of a quantized file" 0 "$verify" "$llama" "$DIR/tiny-llama-q8_0.gguf" --weights --json
check "weights: quantized, with its error" jq -e '[.tensors[] | select(.verdict == "quantized")] | length == 15 and all(.rel > 0.003 and .rel < 0.008)' "$DIR/out"
status "weights the other way round" 0 "$verify" "$DIR/tiny-llama-q8_0.gguf" "$llama" --weights
# One element of one row: the last tensor of the file ends with it.
last=$("$BIN/lathe-inspect" "$f32" --tensors --json | jq -r '.tensors[-1].name')
cp "$f32" "$DIR/hurt.gguf"
printf '\0\0\200\077' | dd of="$DIR/hurt.gguf" bs=1 seek=$(($(wc -c <"$f32") - 4)) conv=notrunc 2>/dev/null
status "weights of a damaged file" 1 "$verify" "$llama" "$DIR/hurt.gguf" --weights --json
check "weights names the tensor and its row" jq -e --arg name "$last" '[.tensors[] | select(.verdict == "different")] | length == 1 and .[0].name == $name and .[0].rows_different == 1' "$DIR/out"
cp "$DIR/out" "$DIR/weights2"
status "weights with one thread" 1 "$verify" "$llama" "$DIR/hurt.gguf" --weights --json --threads 1
equal "weights do not depend on threads" "$(jq -c .tensors "$DIR/weights2")" "$(jq -c .tensors "$DIR/out")"
status "weights of another model" 2 "$verify" "$llama" "$gpt2" --weights

# --- trace ---
status "trace of what agrees" 0 "$verify" "$llama" "$f32" --tokens "$ids" --trace --json
check "trace finds nothing" jq -e '.first == null and .cause == null and .trace_operations == 33 and .nearest.worst_rel < .nearest.limit' "$DIR/out"
status "trace of an honest cast" 0 "$verify" "$llama" "$DIR/tiny-llama-q8_0.gguf" --tokens "$ids" --trace
contains "trace says so" "$DIR/out" "operations, each within its limit"
jq '.rope_theta = 10000 | .rope_scaling = {type: "linear", factor: 4}' "$llama/config.json" >"$DIR/scaled.json"
status "trace of a lost scaling" 1 "$verify" "$llama" "$f32" --config "$DIR/scaled.json" --tokens "$ids" --trace --json
equal "trace names rope_scaling" "q_rope 0 rope_scaling" "$(field '"\(.first.tap) \(.first.layer) \(.cause)"')"
jq '.rms_norm_eps = 0.01' "$llama/config.json" >"$DIR/eps.json"
status "trace of another epsilon" 1 "$verify" "$llama" "$f32" --config "$DIR/eps.json" --tokens "$ids" --trace --json
equal "trace names epsilon" "attn_norm epsilon" "$(field '"\(.first.tap) \(.cause)"')"
cp "$DIR/out" "$DIR/trace2"
status "trace with one thread" 1 "$verify" "$llama" "$f32" --config "$DIR/eps.json" --tokens "$ids" --trace --json --threads 1
equal "trace does not depend on threads" "$(jq -c .first "$DIR/trace2")" "$(jq -c .first "$DIR/out")"

# --- text: ids as transformers gave them for the same passage ---
"$BIN/lathe-inspect" "$llama" --detokenize "$(cat "$ids")" --no-special >"$DIR/passage"
truncate -s -1 "$DIR/passage" # the line end that inspect adds
tail -c +5 "$ids" >"$DIR/without_bos"
status "ids of the passage" 0 "$verify" "$llama" "$f32" --tokens "$DIR/without_bos" --json
by_ids=$(field '"\(.positions) \(.perplexity_a) \(.perplexity_b)"')
status "the passage as text" 0 "$verify" "$llama" "$f32" --text "$DIR/passage" --json
equal "text gives the figures of the ids" "$by_ids" "$(field '"\(.positions) \(.perplexity_a) \(.perplexity_b)"')"
status "the passage as a prompt, through the GGUF" 0 "$verify" "$f32" "$llama" --prompt "$(cat "$DIR/passage")" --json
equal "the GGUF's tokenizer gives the same ids" "$by_ids" "$(field '"\(.positions) \(.perplexity_b) \(.perplexity_a)"')"
status "second halves" 0 "$verify" "$llama" --text "$DIR/passage" --context 32 --ppl-style llama --json
equal "second halves count less" true "$(field '.scored < .positions * 0.6')"

# --- the same figures for any number of threads ---
status "one thread" 0 "$verify" "$llama" "$f32" --tokens "$ids" --json --threads 1 --save-logits "$DIR/one.npy"
jq 'del(.seconds, .peak_bytes, .logits)' "$DIR/out" >"$DIR/one.json"
status "three threads" 0 "$verify" "$llama" "$f32" --tokens "$ids" --json --threads 3 --save-logits "$DIR/three.npy"
jq 'del(.seconds, .peak_bytes, .logits)' "$DIR/out" >"$DIR/three.json"
check "same figures" cmp "$DIR/one.json" "$DIR/three.json"
check "same logits" cmp "$DIR/one.npy" "$DIR/three.npy"
equal "size of the logits" $((128 + 128 * 512 * 4)) "$(wc -c <"$DIR/one.npy" | tr -d ' ')"
contains "shape of the logits" "$DIR/one.npy" "'shape': (128, 512)"
status "logits in double" 0 "$verify" "$llama" --tokens "$ids" --precision f64 --save-logits "$DIR/one.npy"
equal "an existing file was replaced" $((128 + 128 * 512 * 8)) "$(wc -c <"$DIR/one.npy" | tr -d ' ')"
equal "no temporary file is left" "" "$(find "$DIR" -name '.*partial*')"

# --- windows ---
status "windows" 0 "$verify" "$llama" --tokens "$ids" --context 50 --json
equal "three windows" "3 128 125" "$(field '"\(.windows) \(.positions) \(.scored)"')"
status "beyond the trained context" 0 "$verify" "$llama" --tokens "$ids" --context 5000 --json
equal "one window" "1 5000" "$(field '"\(.windows) \(.context)"')"
status "beyond learned positions" 2 "$verify" "$gpt2" --tokens "$gpt2/tokens.txt" --context 129
contains "... says how many there are" "$DIR/err" "128 learned positions"

# --- ids from a NumPy file ---
{
    printf '\223NUMPY\001\000\166\000'
    printf "%-117s\n" "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }"
    printf '\007\000\000\000\377\001\000\000\000\000\000\000'
} >"$DIR/ids.npy"
printf '7 511\n0' >"$DIR/ids.txt"
status "ids from text" 0 "$verify" "$llama" --tokens "$DIR/ids.txt" --save-logits "$DIR/text.npy"
status "ids from an array" 0 "$verify" "$llama" --tokens "$DIR/ids.npy" --save-logits "$DIR/array.npy"
check "same logits from both" cmp "$DIR/text.npy" "$DIR/array.npy"

# --- damage: a copy of the folder in which some bytes of one tensor are others ---
# damage TENSOR OFFSET PRINTF-BYTES: at that byte of the tensor, in $DIR/hurt
st=$llama/model.safetensors
header=$(od -An -tu8 -N8 "$st" | tr -d ' ')
damage() {
    rm -rf "$DIR/hurt"
    cp -r "$llama" "$DIR/hurt"
    first=$(tail -c +9 "$st" | head -c "$header" | jq ".\"$1\".data_offsets[0]")
    # shellcheck disable=SC2059
    printf "$3" | dd of="$DIR/hurt/model.safetensors" bs=1 seek=$((8 + header + first + $2)) conv=notrunc 2>/dev/null
}
q=model.layers.1.self_attn.q_proj.weight
damage $q 1000 '\200\077' # 1.0 in one place
status "one weight" 1 "$verify" "$DIR/hurt" "$f32" --tokens "$ids"
damage model.layers.0.mlp.down_proj.weight 70000 '\200\077'
status "one weight of the feed-forward layer" 1 "$verify" "$DIR/hurt" "$f32" --tokens "$ids"
status "... also as the second side" 1 "$verify" "$f32" "$DIR/hurt" --tokens "$ids" --tolerance 1e-5
# two rows of k change places: rows are 512 bytes
k=model.layers.0.self_attn.k_proj.weight
first=$(tail -c +9 "$st" | head -c "$header" | jq ".\"$k\".data_offsets[0]")
damage $k 0 ''
dd if="$st" of="$DIR/hurt/model.safetensors" bs=1 skip=$((8 + header + first)) seek=$((8 + header + first + 512)) count=512 conv=notrunc 2>/dev/null
dd if="$st" of="$DIR/hurt/model.safetensors" bs=1 skip=$((8 + header + first + 512)) seek=$((8 + header + first)) count=512 conv=notrunc 2>/dev/null
status "two rows of k" 1 "$verify" "$DIR/hurt" "$f32" --tokens "$ids"
damage model.norm.weight 20 '\300\177' # NaN
status "a weight that is NaN" 1 "$verify" "$DIR/hurt" "$f32" --tokens "$ids" --tolerance 1e30
contains "... is said" "$DIR/out" "not all logits are numbers"
status "a weight that is NaN, json" 1 "$verify" "$DIR/hurt" "$f32" --tokens "$ids" --json
equal "... has no number" "null false" "$(field '"\(.max_abs_diff) \(.agree)"')"
status "a weight that is NaN, one side" 1 "$verify" "$DIR/hurt" --tokens "$ids"
status "another model" 1 "$verify" "$llama" "$gpt2"

# --- refusals: exit 2, one line, and no output ---
refuse() {
    refuse_name=$1
    refuse_text=$2
    shift 2
    status "$refuse_name" 2 "$verify" "$@" --save-logits "$DIR/none.npy"
    contains "$refuse_name: says why" "$DIR/err" "$refuse_text"
    equal "$refuse_name: stdout is empty" "" "$(cat "$DIR/out")"
}
refuse "two kinds of text" "only one of them" "$llama" --prompt hello --text "$ids"
refuse "an empty text" "no tokens" "$llama" --prompt ""
mkdir "$DIR/bare"
ln -s "$PWD/$llama/config.json" "$PWD/$llama/model.safetensors" "$DIR/bare"
refuse "text without a tokenizer" "no tokenizer" "$DIR/bare" --prompt hello
refuse "weights of one side" "two sides" "$llama" --weights
refuse "weights with a trace" "no forward pass" "$llama" "$f32" --weights --trace
refuse "trace of one side" "two sides" "$llama" --trace
refuse "three sides" "lathe-verify: " "$llama" "$f32" "$f32"
refuse "tolerance of one side" "two sides" "$llama" --tolerance 1
refuse "negative tolerance" "0 or more" "$llama" "$f32" --tolerance -1
refuse "context 0" "positive" "$llama" --context 0
refuse "no such model" "nowhere" "$DIR/nowhere"
refuse "no such tokens" "nowhere" "$llama" --tokens "$DIR/nowhere"
printf '1 512' >"$DIR/bad.txt"
refuse "id beyond the vocabulary" "token 1: expected an id from 0 to 511, found '512'" "$llama" --tokens "$DIR/bad.txt"
printf '1 two' >"$DIR/bad.txt"
refuse "no number" "found 'two'" "$llama" --tokens "$DIR/bad.txt"
: >"$DIR/bad.txt"
refuse "no ids" "found none" "$llama" --tokens "$DIR/bad.txt"
head -c 1000000 "$f32" >"$DIR/short.gguf"
refuse "truncated file" "short.gguf" "$llama" "$DIR/short.gguf"
equal "refusals leave no logits" "" "$(find "$DIR" -name '*none.npy*')"
status "a source is never replaced" 2 "$verify" "$f32" --save-logits "$f32"
status "... and still agrees" 0 "$verify" "$llama" "$f32" --quiet
status "error as json" 2 "$verify" "$DIR/nowhere" --json
check "error document" jq -e '.text != ""' "$DIR/out"
finish

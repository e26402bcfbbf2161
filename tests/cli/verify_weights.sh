# lathe-verify --weights between forms that hold the same weights in other files, names, types and tensors; damage is named.
. tests/cli/lib.sh
verify=$BIN/lathe-verify
gpt2=$DATA/tiny-gpt2
glm4=$DATA/tiny-glm4
meta=tests/vectors/meta
verdicts() { jq -rc '[.tensors[].verdict] | group_by(.) | map("\(.[0]) \(length)") | join(", ")' "$DIR/out"; }

# --- a .bin against GGUF files: Conv1D matrices are the other way round ---
"$BIN/lathe-convert" "$gpt2" -o "$DIR/f32.gguf" --type f32 --quiet 2>/dev/null
"$BIN/lathe-convert" "$gpt2" -o "$DIR/q4.gguf" --type Q4_K_M --quiet 2>/dev/null
blocks=$("$BIN/lathe-inspect" "$DIR/q4.gguf" --tensors --json | jq '[.tensors[] | select(.dtype | test("^Q"))] | length')
status ".bin and F32" 0 "$verify" "$gpt2" "$DIR/f32.gguf" --weights --json
equal ".bin and F32: verdicts" "exact after cast 28" "$(verdicts)"
status ".bin and Q4_K_M" 0 "$verify" "$gpt2" "$DIR/q4.gguf" --weights --json
equal ".bin and Q4_K_M: verdicts" "exact after cast $((28 - blocks)), quantized $blocks" "$(verdicts)"
check ".bin and Q4_K_M: errors and what the types explain" jq -e '[.tensors[] | select(.verdict == "quantized") | .rel > 0.01 and .rel < 0.1 and .worst_row_rel < .row_limit and .row_gain_min > .row_gain_least and .row_gain_max < .row_gain_most] | all' "$DIR/out"
status "Q4_K_M and .bin" 0 "$verify" "$DIR/q4.gguf" "$gpt2" --weights
contains "Q4_K_M and .bin: what comes closest" "$DIR/out" "of the quantized ones this comes closest to what its type explains"
status "two GGUF files" 0 "$verify" "$DIR/f32.gguf" "$DIR/q4.gguf" --weights --json
equal "two GGUF files: verdicts" "exact $((28 - blocks)), quantized $blocks" "$(verdicts)"

# --- Meta's folders against Hugging Face's ---
for m in llama2/two llama3; do
    status "Meta's $m and Hugging Face's" 0 "$verify" "$meta/$m" "$meta/hf" --weights --json
    equal "Meta's $m: verdicts" "exact 21" "$(verdicts)"
    "$BIN/lathe-convert" "$meta/$m" -o "$DIR/meta.gguf" --type f16 --force --quiet 2>/dev/null
    status "Hugging Face's and the GGUF of Meta's $m" 0 "$verify" "$meta/hf" "$DIR/meta.gguf" --weights
    status "Meta's $m through the forward pass" 0 "$verify" "$meta/$m" "$meta/hf"
done

# --- damage: named, with its row, exit 1, the same for any number of threads ---
cp "$DIR/f32.gguf" "$DIR/hurt.gguf"
n=$(wc -c <"$DIR/f32.gguf")
printf '\0\0\0\100' | dd of="$DIR/hurt.gguf" bs=1 seek=$((n - 400)) conv=notrunc 2>/dev/null # a 2.0 in the last tensor
name=$("$BIN/lathe-inspect" "$DIR/f32.gguf" --tensors --json | jq -r '.tensors[-1].name')
status "one number" 1 "$verify" "$gpt2" "$DIR/hurt.gguf" --weights
equal "one number: the verdict comes first" "differ:" "$(head -n 1 "$DIR/out" | cut -d' ' -f1)"
contains "one number: its tensor" "$DIR/out" "different        $name"
status "one number, one thread" 1 "$verify" "$gpt2" "$DIR/hurt.gguf" --weights --json --threads 1
jq .tensors "$DIR/out" >"$DIR/one"
status "one number, three threads" 1 "$verify" "$gpt2" "$DIR/hurt.gguf" --weights --json --threads 3
check "the same figures" sh -c "jq .tensors '$DIR/out' | cmp - '$DIR/one'"
check "one tensor, one row" jq -e '[.[] | select(.verdict == "different")] | length == 1 and .[0].rows_different == 1' "$DIR/one"

# --- what cannot be compared ---
status "another model" 2 "$verify" "$gpt2" "$glm4" --weights
contains "another model: says what is expected" "$DIR/err" "expected"
equal "another model: stdout is empty" "" "$(cat "$DIR/out")"
finish

# lathe-quantize on the embedded models.
. tests/cli/lib.sh
quantize=$BIN/lathe-quantize
size_of() { wc -c <"$1" | tr -d ' '; }
for model in tiny-llama tiny-gpt2; do
    status "$model to GGUF" 0 "$BIN/lathe-convert" "$DATA/$model" -o "$DIR/$model.gguf" --type f32
    for type in F32 F16 BF16 Q8_0 Q6_K Q4_0; do
        out=$DIR/$model-$type.gguf
        status "$model $type" 0 "$quantize" "$DIR/$model.gguf" "$out" $type --threads 1
        status "$model $type with 2 threads" 0 "$quantize" "$DIR/$model.gguf" "$DIR/two.gguf" $type --threads 2 --force
        check "$model $type: same bytes for 1 and 2 threads" cmp "$out" "$DIR/two.gguf"
        status "$model $type dry run" 0 "$quantize" "$DIR/$model.gguf" "$out" $type --dry-run
        equal "$model $type: promised size" "$(size_of "$out")" "$(sed -n 's/^total \([0-9]*\) bytes.*/\1/p' "$DIR/out")"
    done
done
in=$DIR/tiny-llama.gguf
for set in ref portable; do
    status "kernels $set" 0 "$quantize" "$in" "$DIR/set.gguf" Q4_K_M --kernels $set --force
    [ -e "$DIR/q4_k_m.gguf" ] || "$quantize" "$in" "$DIR/q4_k_m.gguf" Q4_K_M --quiet
    check "kernels $set: same bytes" cmp "$DIR/set.gguf" "$DIR/q4_k_m.gguf"
done
status "kernels that are none" 2 "$quantize" "$in" "$DIR/x.gguf" Q4_0 --kernels sse9
contains "those there are" "$DIR/err" "kernels 'sse9': expected one of auto, ref, portable"
status "LATHE_CPU hides instruction sets" 2 env LATHE_CPU=baseline "$quantize" "$in" "$DIR/x.gguf" Q4_0 --kernels avx2
equal "LATHE_CPU hides instruction sets: those there are" "lathe-quantize: kernels 'avx2': expected one of auto, ref, portable" "$(cat "$DIR/err")"
status "LATHE_CPU as a word that is none" 0 env LATHE_CPU=fast "$quantize" "$in" "$DIR/set.gguf" Q4_K_M --force
check "LATHE_CPU as a word that is none: same bytes" cmp "$DIR/set.gguf" "$DIR/q4_k_m.gguf"
status "lower case" 0 "$quantize" "$in" "$DIR/lower.gguf" q4_0
check "is the same recipe" cmp "$DIR/lower.gguf" "$DIR/tiny-llama-Q4_0.gguf"
contains "summary tells from and to" "$DIR/out" "lower.gguf: 20 tensors, 3.5 MiB to "
contains "summary names the next command" "$DIR/out" "next: lathe-verify $in $DIR/lower.gguf"

# BF16 is widened without loss, so quantizing from either gives the same blocks; file type and order are those of the recipe
status "json plan" 0 "$quantize" "$in" "$DIR/x.gguf" Q4_0 --dry-run --json
plan() { jq -r "$1" "$DIR/out"; }
equal "order: outside of blocks first, by name" "output_norm.weight token_embd.weight blk.0.attn_k.weight" "$(plan '[.plan.tensors[0:3][].name] | join(" ")')"
equal "tied table" Q6_K "$(plan '.plan.tensors[1].dtype')"
equal "last keys" "general.quantization_version 2 general.file_type 2" "$(plan '.plan.metadata[-3:-1] | map("\(.key) \(.value)") | join(" ")')"
equal "and our own" lathe.quantize.damage "$(plan '.plan.metadata[-1].key')"
equal "the receipt is carried over" 1 "$(plan '[.plan.metadata[] | select(.key == "lathe.receipt.sha256")] | length')"
check "nothing is written by a dry run" test ! -e "$DIR/x.gguf"
digests() { tail -c +$(($(grep -abo lathe.receipt.sha256 "$1" | head -n 1 | cut -d: -f1) + 20 + 4 + 8 + 1)) "$1" | head -c $((64 * 20)); }
equal "with its digests" "$(digests "$in")" "$(digests "$DIR/tiny-llama-Q4_0.gguf")"
check "which are no zeros" sh -c 'echo "$1" | grep -qv "^0000"' - "$(digests "$in")"
status "pure" 0 "$quantize" "$in" "$DIR/x.gguf" Q4_0 --dry-run --json --pure
equal "pure: tied table" Q4_0 "$(plan '.plan.tensors[1].dtype')"

status "gpt2: rows that fit no block" 0 "$quantize" "$DIR/tiny-gpt2.gguf" "$DIR/x.gguf" Q6_K --dry-run --json
equal "fallbacks are as many as tensors that wanted another type" \
    "$(plan '[.plan.tensors[] | select(.fallback_from)] | length > 0')" "$(plan '[.warnings[] | select(.code == "type-fallback")] | length > 0')"

status "types as text" 0 "$quantize" --list-types
contains "a recipe with its bits" "$DIR/out" "Q4_0      q4_0           4.5000"
status "types as json" 0 "$quantize" --list-types --json
equal "bits of Q6_K" 6.5625 "$(jq '.types[] | select(.name == "q6_k") | .bits_per_weight' "$DIR/out")"
equal "what --list-types promises can be written" "true" "$(jq '[.types[] | select(.name | IN("q8_0", "q6_k", "q4_0", "f16", "bf16", "f32")) | .can_write] | all' "$DIR/out")"
status "json" 0 "$quantize" "$in" "$DIR/j.gguf" Q8_0 --json
equal "json size" "$(size_of "$DIR/j.gguf")" "$(jq .size_bytes "$DIR/out")"

# --- refusals ---
mkdir "$DIR/o"
out=$DIR/o/x.gguf
refused() {
    refused_name=$1
    refused_text=$2
    shift 2
    status "$refused_name" 2 "$quantize" "$@"
    equal "$refused_name: text" "$refused_text" "$(head -n 1 "$DIR/err")"
    equal "$refused_name: nothing left" "" "$(ls -A "$DIR/o")"
}
refused "an unknown type" "lathe-quantize: type 'Q4_K_XL' is not known here" "$in" "$out" Q4_K_XL
refused "too few arguments" "lathe-quantize: expected IN.gguf, OUT.gguf and TYPE, found 2 arguments" "$in" "$out"
refused "a checkpoint that is no GGUF" "lathe-quantize: $DATA/tiny-llama: expected a GGUF file, found safetensors" "$DATA/tiny-llama" "$out" Q8_0
refused "quantized already" \
    "lathe-quantize: $DIR/tiny-llama-Q4_0.gguf: tensor 'blk.0.attn_k.weight': is Q4_0 already; a second quantization adds its error to the first's" \
    "$DIR/tiny-llama-Q4_0.gguf" "$out" Q6_K
status "quantized already, but wanted" 0 "$quantize" "$DIR/tiny-llama-Q4_0.gguf" "$DIR/re.gguf" Q6_K --allow-requantize
status "the type it has" 0 "$quantize" "$DIR/tiny-llama-Q8_0.gguf" "$DIR/same.gguf" Q8_0
check "is copied" cmp "$DIR/tiny-llama-Q8_0.gguf" "$DIR/same.gguf"
head -c 300000 "$in" >"$DIR/short.gguf"
status "a truncated file" 2 "$quantize" "$DIR/short.gguf" "$out" Q8_0
status "an existing output" 2 "$quantize" "$in" "$DIR/j.gguf" Q8_0
equal "an existing output: text" "lathe-quantize: $DIR/j.gguf: exists already" "$(head -n 1 "$DIR/err")"
cp "$in" "$DIR/copy.gguf"
ln "$in" "$DIR/hard.gguf"
ln -s tiny-llama.gguf "$DIR/soft.gguf"
for name in tiny-llama hard soft; do
    status "the input as $name" 2 "$quantize" "$in" "$DIR/$name.gguf" Q8_0 --force
    equal "the input as $name: text" "lathe-quantize: $DIR/$name.gguf: is the same file as the source '$in', which is never replaced" "$(head -n 1 "$DIR/err")"
    check "the input as $name: untouched" cmp "$in" "$DIR/copy.gguf"
done
# A weight that is not finite: the last of the file's data is a vector or matrix of floats; find the matrix by its offset in the plan.
status "offsets" 0 "$BIN/lathe-convert" "$DATA/tiny-llama" --type f32 --dry-run --json
at=$(jq '.plan.tensors[] | select(.name == "blk.1.ffn_up.weight") | .offset' "$DIR/out")
cp "$in" "$DIR/inf.gguf"
printf '\000\000\200\377' | dd of="$DIR/inf.gguf" bs=1 seek=$((at + 4 * (256 * 5 + 11))) conv=notrunc 2>/dev/null
for type in F16 Q8_0 F32; do
    refused "an infinite weight to $type" \
        "lathe-quantize: $DIR/inf.gguf: tensor 'blk.1.ffn_up.weight': row 5, column 11 is -inf; expected finite weights" "$DIR/inf.gguf" "$out" $type
done
printf '\000\000\200\111' | dd of="$DIR/inf.gguf" bs=1 seek=$((at + 4 * (256 * 5 + 11))) conv=notrunc 2>/dev/null # 2^20
refused "a weight beyond halves" "lathe-quantize: $DIR/inf.gguf: tensor 'blk.1.ffn_up.weight': row 5, column 11 is 1048576, which F16 cannot hold" \
    "$DIR/inf.gguf" "$out" F16
status "help" 0 "$quantize" --help
# A result that cannot be told is no result; what stood there before is not touched
if [ -e /dev/full ]; then
    "$quantize" "$in" "$out" Q8_0 >/dev/full 2>"$DIR/err"
    equal "full stdout: exit status" 2 $?
    equal "full stdout: one line" 1 "$(wc -l <"$DIR/err" | tr -d ' ')"
    equal "full stdout: nothing left" "" "$(ls -A "$DIR/o")"
    echo precious >"$out"
    "$quantize" "$in" "$out" Q8_0 --force >/dev/full 2>"$DIR/err"
    equal "full stdout with force: exit status" 2 $?
    equal "full stdout with force: untouched" precious "$(cat "$out")"
    rm "$out"
fi
"$quantize" "$in" "$out" Q8_0 >&- 2>"$DIR/err"
equal "closed stdout: exit status" 2 $?
equal "closed stdout: nothing left" "" "$(ls -A "$DIR/o")"

# --- importance matrix ---
seq 0 3 500 >"$DIR/ids"
status "an importance matrix" 0 "$quantize" --collect-imatrix "$in" --tokens "$DIR/ids" --context 32 -o "$DIR/im.gguf" --json
equal "its windows" "5 32 7 14" "$(jq -r '"\(.chunks) \(.chunk_size) \(.unused_ids) \(.entries)"' "$DIR/out")"
equal "its size" "$(size_of "$DIR/im.gguf")" "$(jq .size_bytes "$DIR/out")"
status "from the folder, one thread" 0 "$quantize" --collect-imatrix "$DATA/tiny-llama" --tokens "$DIR/ids" --context 32 -o "$DIR/im1.gguf" --threads 1
status "from the folder, two threads" 0 "$quantize" --collect-imatrix "$DATA/tiny-llama" --tokens "$DIR/ids" --context 32 -o "$DIR/im2.gguf" --threads 2
check "same bytes for 1 and 2 threads" cmp "$DIR/im1.gguf" "$DIR/im2.gguf"
status "the model as output" 2 "$quantize" --collect-imatrix "$in" --tokens "$DIR/ids" --context 32 -o "$in" --force
check "is not touched" cmp "$in" "$DIR/copy.gguf"
status "an existing matrix" 2 "$quantize" --collect-imatrix "$in" --tokens "$DIR/ids" --context 32 -o "$DIR/im.gguf"
status "from a text" 0 "$quantize" --collect-imatrix "$in" --text CONTRIBUTING.md --context 64 -o "$DIR/imt.gguf" --json
status "no ids" 2 "$quantize" --collect-imatrix "$in" -o "$out"
status "fewer ids than a window" 2 "$quantize" --collect-imatrix "$in" --tokens "$DIR/ids" --context 200 -o "$out"
equal "fewer ids than a window: text" "lathe-quantize: 167 token ids, fewer than one window of 200" "$(head -n 1 "$DIR/err")"
status "with a matrix" 0 "$quantize" "$in" "$DIR/w.gguf" Q4_K_M --imatrix "$DIR/im.gguf" --json
equal "no remark" "" "$(jq -r '.warnings[].code' "$DIR/out")"
equal "weights were used" "14 1" "$(jq -r '[.damage[] | select(.imatrix)] | length' "$DIR/out") $(jq -r '[.damage[] | select(.imatrix | not)] | length' "$DIR/out")"
status "keys of the matrix" 0 "$quantize" "$in" "$DIR/w.gguf" Q4_K_M --imatrix "$DIR/im.gguf" --dry-run --json
equal "keys of the matrix: values" "im.gguf ids 14 5 $(sha256sum <"$DIR/im.gguf" | cut -d' ' -f1)" \
    "$(plan '.plan.metadata | map(select(.key | test("imatrix")) | .value) | join(" ")')"
status "without the receipts" 0 "$quantize" "$in" "$DIR/w.gguf" Q4_K_M --imatrix "$DIR/im.gguf" --dry-run --json --receipt none
equal "no key of our own but the model's" "0" "$(plan '[.plan.metadata[].key | select(startswith("lathe.quantize.") or startswith("lathe.receipt."))] | length')"
refused "a type that needs weights" "lathe-quantize: $in: tensor 'blk.0.attn_k.weight': IQ2_XXS needs importance weights for this tensor, and there are none" \
    "$in" "$out" IQ2_XXS --pure --token-embedding-type q8_0
status "a matrix of another model" 0 "$BIN/lathe-convert" "$DATA/tiny-gpt2" -o "$DIR/g.gguf"
seq 0 3 200 >"$DIR/ids2"
status "a matrix of another model, made" 0 "$quantize" --collect-imatrix "$DIR/g.gguf" --tokens "$DIR/ids2" --context 16 -o "$DIR/img.gguf"
status "a matrix of another model, used" 0 "$quantize" "$in" "$DIR/w2.gguf" Q4_0 --imatrix "$DIR/img.gguf"
contains "is noticed by what it lacks" "$DIR/err" "8 tensors have no entry in the importance matrix and are quantized without: blk.0.attn_k.weight"
status "and refused with --strict" 2 "$quantize" "$in" "$out" Q4_0 --imatrix "$DIR/img.gguf" --strict
refused "a matrix that is none" "lathe-quantize: $in: a GGUF file without the keys of an importance matrix" "$in" "$out" Q4_0 --imatrix "$in"

# --- types by name ---
status "types by name" 0 "$quantize" "$in" "$DIR/y.gguf" Q4_K_M --dry-run --json --tensor-type 'blk\.1\.attn_[qk]=Q8_0' --tensor-type ffn_up=q6_k --token-embedding-type f16
equal "types by name: found" "Q8_0 Q8_0 Q6_K Q6_K F16" \
    "$(plan '[.plan.tensors[] | select(.name | IN("blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", "token_embd.weight"))] | sort_by(.dtype != "Q8_0", .dtype != "Q6_K") | map(.dtype) | join(" ")')"
equal "types by name: why" "--token-embedding-type" "$(plan '.plan.tensors[] | select(.name == "token_embd.weight") | .rule')"
status "a pattern for nothing" 0 "$quantize" "$in" "$out" Q4_0 --dry-run --json --tensor-type nothing=q8_0
equal "a pattern for nothing: told" tensor-type-unused "$(plan '.warnings[0].code')"
refused "a pattern that is none" "lathe-quantize: --tensor-type: pattern 'a(': Unmatched ( or \\(" "$in" "$out" Q4_0 --tensor-type 'a(=q8_0'
refused "a type that is none" "lathe-quantize: --output-tensor-type: 'q9' is no type of a matrix" "$in" "$out" Q4_0 --output-tensor-type q9
status "COPY" 0 "$quantize" "$in" "$DIR/same2.gguf" COPY
status "damage as a table" 0 "$quantize" "$in" "$DIR/d.gguf" Q4_0 --damage --threads 2
contains "damage as a table: a line" "$DIR/out" "blk.0.ffn_up.weight                Q4_0"
status "what memory and disk a plan needs" 0 "$quantize" "$in" "$out" Q4_0 --dry-run
contains "what memory and disk a plan needs: told" "$DIR/out" "needs "
finish

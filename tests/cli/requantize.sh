# lathe-verify --requantize: files derived again from their source.
. tests/cli/lib.sh
verify=$BIN/lathe-verify
quantize=$BIN/lathe-quantize
source=$DIR/source.gguf
status "the source" 0 "$BIN/lathe-convert" "$DATA/tiny-llama" -o "$source" --type f32
seq 0 3 300 >"$DIR/ids"
status "an importance matrix" 0 "$quantize" --collect-imatrix "$source" --tokens "$DIR/ids" --context 32 -o "$DIR/im.gguf"
for type in Q8_0 Q4_K_M Q2_K F16; do
    status "$type" 0 "$quantize" "$source" "$DIR/$type.gguf" $type
    status "$type from the source" 0 "$verify" --requantize "$source" "$DIR/$type.gguf"
    status "$type from the checkpoint" 0 "$verify" --requantize "$DATA/tiny-llama" "$DIR/$type.gguf" --json
    equal "$type from the checkpoint: told" "true identical 20 0" "$(jq -r '"\(.identical) \(.verdict) \(.tensors) \(.different_blocks)"' "$DIR/out")"
done
status "with weights" 0 "$quantize" "$source" "$DIR/w.gguf" Q4_0 --imatrix "$DIR/im.gguf"
status "without them it differs" 1 "$verify" --requantize "$source" "$DIR/w.gguf"
contains "and says which matrix is missing" "$DIR/out" "the importance matrix 'im.gguf': --imatrix FILE uses it here"
status "with them it does not" 0 "$verify" --requantize "$source" "$DIR/w.gguf" --imatrix "$DIR/im.gguf"

# One bit of one block: row 5, second of its blocks of 32
at=$("$quantize" "$source" "$DIR/x.gguf" Q8_0 --dry-run --json | jq '.plan.tensors[] | select(.name == "blk.1.ffn_up.weight") | .offset')
cp "$DIR/Q8_0.gguf" "$DIR/bad.gguf"
off=$((at + 34 * (5 * 8 + 1) + 7))
old=$(od -An -tu1 -j $off -N 1 "$DIR/bad.gguf" | tr -d ' ')
printf "$(printf '\\%03o' $((old ^ 1)))" | dd of="$DIR/bad.gguf" bs=1 seek=$off conv=notrunc 2>/dev/null
status "a flipped bit" 1 "$verify" --requantize "$source" "$DIR/bad.gguf" --json
equal "a flipped bit: where" "blk.1.ffn_up.weight Q8_0 5 1 7 1 different" \
    "$(jq -r '"\(.first.tensor) \(.first.dtype) \(.first.row) \(.first.block) \(.first.byte) \(.different_blocks) \(.verdict)"' "$DIR/out")"
status "a flipped bit, one thread" 1 "$verify" --requantize "$source" "$DIR/bad.gguf" --threads 1
contains "a flipped bit, in words" "$DIR/out" "tensor 'blk.1.ffn_up.weight' (Q8_0): row 5, block 1, byte 7; 1 of its 2048 blocks differ"

# Files of builds that fuse multiplications and additions
if grep -q -w fma /proc/cpuinfo 2>/dev/null; then
    for file in gcc-q4_k:GCC clang-q6_k:; do
        status "${file%:*}" 1 "$verify" --requantize "$source" "tests/vectors/fused/${file%:*}.gguf" --json
        equal "${file%:*}: recognised" "fused 0" "$(jq -r '"\(.verdict) \(.fused_different_blocks)"' "$DIR/out")"
    done
fi
status "one file" 2 "$verify" --requantize "$source"
status "no GGUF" 2 "$verify" --requantize "$source" "$DATA/tiny-llama"
status "another model" 1 "$verify" --requantize "$DATA/tiny-gpt2" "$DIR/Q8_0.gguf"
status "a matrix without --requantize" 2 "$verify" "$source" "$DIR/w.gguf" --imatrix "$DIR/im.gguf"
finish

# lathe-inspect --audit: what a pickle refers to, and bytes that no tensor owns. Nothing here is a Python program: pickles are bytes.
. tests/cli/lib.sh
INSPECT=$BIN/lathe-inspect

status "a torch file of weights" 0 "$INSPECT" "$DATA/tiny-gpt2" --audit --json
check "is clean" jq -e '.clean and (.files | length) == 1 and .files[0].container == "torch-zip" and .files[0].findings == []' "$DIR/out"
check "names are known" jq -e '[.files[0].pickles[].names[].standing] | unique == ["known"]' "$DIR/out"
check "opcodes add up" jq -e '.files[0].pickles[0] | .n_opcodes == ([.opcodes[]] | add) and .protocol == 2' "$DIR/out"
check "storages are counted" jq -e '.files[0].layout | .storages == 30 and .sharing == 1 and .tensors == 31' "$DIR/out"
status "every opcode" 0 "$INSPECT" "$DATA/tiny-gpt2" --audit --all --json
check "in order of the file" jq -e '.files[0].pickles[0] | .sequence[0] == "0 PROTO" and (.sequence | length) == .n_opcodes and (.sequence[-1] | endswith(" STOP"))' "$DIR/out"
status "safetensors" 0 "$INSPECT" "$DATA/tiny-llama" --audit --json
check "no gaps" jq -e '.files[0] | .clean and .layout.gaps == 0 and .layout.tensors == 20 and .layout.tensor_bytes + .layout.first_byte == .size_bytes' "$DIR/out"

printf '\200\002cposix\nsystem\nX\002\000\000\000ls\205R.' >"$DIR/evil.bin"
status "a pickle that runs something" 1 "$INSPECT" "$DIR/evil.bin" --audit
contains "the name is said" "$DIR/out" "refers to 'posix.system' at byte 2"
contains "the verdict comes first" "$DIR/out" "evil.bin: pickle, 26 B: NOT CLEAN"
equal "nothing on stderr" "" "$(cat "$DIR/err")"
status "... as JSON" 1 "$INSPECT" "$DIR/evil.bin" --audit --json
check "one name outside" jq -e '.clean == false and [.files[0].pickles[].names[] | select(.standing == "outside") | "\(.module).\(.name)"] == ["posix.system"]' "$DIR/out"
printf '\200\002cevil\033[2J\nx\001\n.' >"$DIR/escape.bin"
status "a name with control characters" 1 "$INSPECT" "$DIR/escape.bin" --audit
check "is escaped" sh -c '! grep -q "$(printf "\033")" "$1"' sh "$DIR/out"
status "... as JSON, too" 1 "$INSPECT" "$DIR/escape.bin" --audit --json
check "is one document" jq -e '.files[0].pickles[0].names[0].module == "evil\u001b[2J"' "$DIR/out"

# A folder: training's own pickles are not looked into, other weights are.
mkdir -p "$DIR/folder"
cp "$DATA/tiny-gpt2/pytorch_model.bin" "$DIR/folder/"
cp "$DIR/evil.bin" "$DIR/folder/training_args.bin"
status "a folder" 0 "$INSPECT" "$DIR/folder" --audit
cp "$DIR/evil.bin" "$DIR/folder/extra.bin"
status "a folder with one bad file" 1 "$INSPECT" "$DIR/folder" --audit --json
equal "both are told of" "false true" "$(jq -r '[.files[].clean] | join(" ")' "$DIR/out")"
status "several" 1 "$INSPECT" "$DATA/tiny-llama" "$DIR/evil.bin" --audit --json
equal "in one list" 2 "$(jq '.files | length' "$DIR/out")"

# What readers refuse is an answer, what cannot be read is none.
cp "$DATA/tiny-llama/model.safetensors" "$DIR/longer.safetensors"
chmod u+w "$DIR/longer.safetensors"
printf 'x' >>"$DIR/longer.safetensors"
status "bytes after the last tensor of safetensors" 1 "$INSPECT" "$DIR/longer.safetensors" --audit
contains "are refused" "$DIR/out" "(refused)"
"$BIN/lathe-convert" "$DATA/tiny-llama" -o "$DIR/x.gguf" --quiet
status "GGUF" 0 "$INSPECT" "$DIR/x.gguf" --audit --json
check "padding is gaps of zeros" jq -e '.files[0] | .layout.gaps_filled == 0 and .layout.trailing_bytes == 0 and .layout.alignment >= 32' "$DIR/out"
printf 'hidden' >>"$DIR/x.gguf"
status "GGUF with bytes behind" 0 "$INSPECT" "$DIR/x.gguf" --audit --json
check "are noted" jq -e '.files[0] | .layout.trailing_bytes == 6 and ([.notes[].code] | sort) == ["bytes-of-no-tensor", "trailing-bytes"]' "$DIR/out"
head -c 3000 "$DATA/tiny-gpt2/pytorch_model.bin" >"$DIR/cut.bin"
status "a torch file cut short" 1 "$INSPECT" "$DIR/cut.bin" --audit
equal "for one reason, said once" 1 "$(grep -c ' finding ' "$DIR/out")"
status "an index stands for its folder" 0 "$INSPECT" "$DATA/glm/chatglm2_1m_shards/model.safetensors.index.json" --audit --json
check "of several files" jq -e '.clean and (.files | length) > 1' "$DIR/out"
status "no checkpoint" 2 "$INSPECT" "$DATA/tiny-llama/config.json" --audit
status "no file" 2 "$INSPECT" "$DIR/nothing" --audit
equal "one error line" 1 "$(wc -l <"$DIR/err" | tr -d ' ')"
finish

# lathe-inspect --diff: metadata, hyperparameters and tensor lists of two forms, layouts undone.
. tests/cli/lib.sh
INSPECT=$BIN/lathe-inspect
llama=$DATA/tiny-llama
gpt2=$DATA/tiny-gpt2

# A source beside what lathe-convert makes of it: fused, transposed and permuted matrices are no difference.
for model in glm/chatglm1_1d glm/chatglm2_mqa glm/glm2021_text; do
    name=$(basename "$model")
    "$BIN/lathe-convert" "$DATA/$model" -o "$DIR/$name.gguf" --quiet 2>/dev/null
    status "$name and its GGUF" 0 "$INSPECT" "$DATA/$model" "$DIR/$name.gguf" --diff
    equal "$name: the verdict comes first" same "$(sed -n 1p "$DIR/out")"
    status "$name, the other way round" 0 "$INSPECT" "$DIR/$name.gguf" "$DATA/$model" --diff --json
    check "$name: as JSON" jq -e '.same and .b.as_converted and .tensors.common > 10 and .tensors.differ == []' "$DIR/out"
done
# Conv1D matrices of GPT-2 are stored the other way round; vectors become F32, as runtimes need them.
"$BIN/lathe-convert" "$gpt2" -o "$DIR/gpt2.gguf" --quiet
status "GPT-2 and its GGUF" 1 "$INSPECT" "$gpt2" "$DIR/gpt2.gguf" --diff --json
check "differ in types of vectors only" jq -e '.tensors.shapes_differ == 0 and .tensors.only_a == 0 and .tensors.only_b == 0 and .hparams == [] and .metadata == [] and ([.tensors.differ[] | "\(.a.dtype) \(.b.dtype)"] | unique) == ["F16 F32"]' "$DIR/out"
check "names of the source are told" jq -e '[.tensors.differ[] | select(.name == "blk.0.attn_norm.weight")][0].a.name == "transformer.h.0.ln_1.weight"' "$DIR/out"

# Two recipes
"$BIN/lathe-convert" "$llama" -o "$DIR/q4.gguf" --type Q4_K_M --quiet
"$BIN/lathe-convert" "$llama" -o "$DIR/q8.gguf" --type Q8_0 --quiet
status "two recipes" 1 "$INSPECT" "$DIR/q4.gguf" "$DIR/q8.gguf" --diff
contains "layers share a line" "$DIR/out" "blk.{0..1}.attn_q.weight         x2  Q4_K -> Q8_0"
contains "the key that differs" "$DIR/out" "general.file_type: u32 15 -> u32 7"
"$INSPECT" "$DIR/q4.gguf" --tensors --json >"$DIR/a.json"
"$INSPECT" "$DIR/q8.gguf" --tensors --json >"$DIR/b.json"
status "two recipes as JSON" 1 "$INSPECT" "$DIR/q4.gguf" "$DIR/q8.gguf" --diff --json
equal "the tensors that the lists say" "$(jq -n --slurpfile a "$DIR/a.json" --slurpfile b "$DIR/b.json" -c '[[$a[0].tensors, $b[0].tensors | sort_by(.name)] | transpose[] | select(.[0].dtype != .[1].dtype) | .[0].name] | sort')" \
    "$(jq -c '[.tensors.differ[].name] | sort' "$DIR/out")"
status "a file and itself" 0 "$INSPECT" "$DIR/q4.gguf" "$DIR/q4.gguf" --diff

# A changed configuration, a lost tensor
cp -r "$llama" "$DIR/changed"
chmod -R u+w "$DIR/changed"
sed 's/"max_position_embeddings": 256/"max_position_embeddings": 512/; s/"rope_theta": 10000.0/"rope_theta": 20000.0/' "$llama/config.json" >"$DIR/changed/config.json"
status "another configuration" 1 "$INSPECT" "$llama" "$DIR/changed" --diff --json
equal "is seen in both spellings" "n_ctx rope" "$(jq -r '[.hparams[].key] | join(" ")' "$DIR/out")"
check "with its value" jq -e '[.metadata[] | select(.key == "config.json: max_position_embeddings")][0] | .a == "256" and .b == "512"' "$DIR/out"
status "... beside a GGUF" 1 "$INSPECT" "$DIR/changed" "$DIR/q8.gguf" --diff --json
check "... too" jq -e '[.metadata[] | select(.key == "llama.context_length")][0] | .a == "u32 512" and .b == "u32 256"' "$DIR/out"
status "two families" 1 "$INSPECT" "$gpt2" "$llama" --diff
contains "are named" "$DIR/out" "different; families gpt2 and llama"
status "one only" 2 "$INSPECT" "$llama" --diff
status "a missing one" 2 "$INSPECT" "$llama" "$DIR/nothing" --diff
equal "nothing on stdout" "" "$(cat "$DIR/out")"
finish

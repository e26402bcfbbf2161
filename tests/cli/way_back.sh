# lathe-convert, GGUF to folder: what comes back is what was there, and nothing is left behind where it cannot.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
inspect=$BIN/lathe-inspect
# tensors FILE: name, type, shape and digest of each tensor, sorted
tensors() { "$inspect" "$1" --tensors --hash --json | jq -r '.tensors[] | "\(.name) \(.dtype) \(.shape) \(.sha256)"' | LC_ALL=C sort; }

# --- embedded models: every file again ---
for name in tiny-llama tiny-gpt2 tiny-glm4; do
    status "$name: there" 0 "$convert" "$DATA/$name" -o "$DIR/$name.gguf" --quiet
    status "$name: and back" 0 "$convert" "$DIR/$name.gguf" -o "$DIR/$name"
    equal "$name: no warning" 0 "$(grep -c warning: "$DIR/err")"
    for file in "$DATA/$name"/*; do
        base=$(basename "$file")
        case $base in
        tokens.txt | logits_f64.npy | pytorch_model.bin) ;;
        *) check "$name: $base" cmp "$file" "$DIR/$name/$base" ;;
        esac
    done
    tensors "$DIR/$name" >"$DIR/back.txt"
    tensors "$DATA/$name" >"$DIR/source.txt" # buffers too
    check "$name: tensors" cmp "$DIR/source.txt" "$DIR/back.txt"
    status "$name: once more gives the same file" 0 "$convert" "$DIR/$name" -o "$DIR/again.gguf" --force --quiet
    check "$name: the same GGUF but for the receipt of a .bin" sh -c 'case $1 in *gpt2*) ;; *) cmp "$1" "$2" ;; esac' - "$DIR/$name.gguf" "$DIR/again.gguf"
done
gguf=$DIR/tiny-llama.gguf

# --- Meta's folders: their names and params.json in one file; what shards hold in parts is whole ---
for name in llama2/two llama3; do
    source=tests/vectors/meta/$name
    status "meta $name: there" 0 "$convert" "$source" -o "$DIR/meta.gguf" --force --quiet
    rm -rf "$DIR/meta" "$DIR/meta-hf"
    status "meta $name: and back" 0 "$convert" "$DIR/meta.gguf" -o "$DIR/meta"
    equal "meta $name: no warning" 0 "$(grep -c warning: "$DIR/err")"
    equal "meta $name: its files" "consolidated.safetensors params.json" "$(cd "$DIR/meta" && echo *)"
    check "meta $name: params.json" cmp "$source/params.json" "$DIR/meta/params.json"
    tensors "$DIR/meta" >"$DIR/back.txt"
    tensors "$source" >"$DIR/source.txt"
    check "meta $name: tensors" cmp "$DIR/source.txt" "$DIR/back.txt"
    status "meta $name: read again" 0 "$convert" "$DIR/meta" -o "$DIR/again.gguf" --force --quiet --receipt none
    status "meta $name: without the name and a receipt" 0 "$convert" "$source" -o "$DIR/plain.gguf" --force --quiet --receipt none
    equal "meta $name: the same tensors in the GGUF" "$(tensors "$DIR/plain.gguf")" "$(tensors "$DIR/again.gguf")"
    # without a full receipt the names of Hugging Face's folder, whose config.json params.json becomes
    status "meta $name: rebuilt" 0 "$convert" "$DIR/plain.gguf" -o "$DIR/meta-hf" --quiet
    equal "meta $name: rebuilt: its files" "config.json model.safetensors" "$(cd "$DIR/meta-hf" && echo *)"
    status "meta $name: rebuilt: verified" 0 "$BIN/lathe-verify" "$source" "$DIR/meta-hf" --weights --quiet
done
mkdir "$DIR/with-tokenizer"
cp tests/vectors/meta/llama2/two/* "$DIR/with-tokenizer"
cp "$(find tests/vectors/tokenizers -name tokenizer.model | LC_ALL=C sort | head -n 1)" "$DIR/tokenizer.model"
"$convert" "$DIR/with-tokenizer" -o "$DIR/meta.gguf" --force --quiet
status "meta: with the tokenizer of the folder above" 0 "$convert" "$DIR/meta.gguf" -o "$DIR/meta-tokenizer" --quiet
check "meta: tokenizer.model" cmp "$DIR/tokenizer.model" "$DIR/meta-tokenizer/tokenizer.model"

# --- shards ---
status "shards" 0 "$convert" "$gguf" -o "$DIR/shards" --split-max-size 400K --threads 1
equal "shards: names" "config.json generation_config.json model-00001-of-00005.safetensors" "$(cd "$DIR/shards" && ls | head -n 3 | tr '\n' ' ' | sed 's/ $//')"
equal "shards: none larger than asked for" "" "$(find "$DIR/shards" -name '*.safetensors' -size +404k)"
tensors "$DIR/shards" >"$DIR/back.txt"
tensors "$DATA/tiny-llama" >"$DIR/source.txt"
check "shards: tensors" cmp "$DIR/source.txt" "$DIR/back.txt"
equal "shards: total_size" "$(jq .metadata.total_size "$DIR/shards/model.safetensors.index.json")" "$("$inspect" "$DIR/shards" --tensors --json | jq '[.tensors[].size_bytes] | add')"
status "shards: threads do not change bytes" 0 "$convert" "$gguf" -o "$DIR/shards3" --split-max-size 400K --threads 3
check "shards: the same folder" diff -r "$DIR/shards" "$DIR/shards3"

# --- what quantization and casts did is said ---
status "quantized" 0 "$convert" "$DATA/tiny-llama" -o "$DIR/q8.gguf" --type q8_0 --quiet
status "quantized and back" 0 "$convert" "$DIR/q8.gguf" -o "$DIR/q8"
contains "quantized and back: said" "$DIR/err" "[restored-rounded]"
check "quantized and back: config" cmp "$DATA/tiny-llama/config.json" "$DIR/q8/config.json"
status "quantized and back, strict" 2 "$convert" "$DIR/q8.gguf" -o "$DIR/q8s" --strict
check "quantized and back, strict: nothing left" test ! -e "$DIR/q8s"

# --- a weight that was changed since is seen ---
cp "$gguf" "$DIR/changed.gguf"
printf '\101\102' | dd of="$DIR/changed.gguf" bs=1 seek=$(($(wc -c <"$gguf") - 998)) conv=notrunc 2>/dev/null
status "changed" 0 "$convert" "$DIR/changed.gguf" -o "$DIR/changed"
contains "changed: said" "$DIR/err" "1 tensors ("
contains "changed: code" "$DIR/err" "[restored-differs]"
status "changed, strict" 2 "$convert" "$DIR/changed.gguf" -o "$DIR/changed-strict" --strict
check "changed, strict: nothing left" test ! -e "$DIR/changed-strict"

# --- without a receipt: what transformers would load, and lathe too ---
status "rebuilt" 0 "$convert" "$gguf" -o "$DIR/rebuilt" --receipt none --quiet
check "rebuilt: the same weights" cmp "$DATA/tiny-llama/model.safetensors" "$DIR/rebuilt/model.safetensors"
status "rebuilt: verified" 0 "$BIN/lathe-verify" "$DIR/rebuilt" "$gguf" --tokens "$DATA/tiny-llama/tokens.txt" --quiet
equal "rebuilt: token ids" "$("$inspect" "$DATA/tiny-llama" --tokenize "the quick brown fox")" "$("$inspect" "$DIR/rebuilt" --tokenize "the quick brown fox")"
for name in chatglm1_gmask_prompt chatglm2_mqa chatglm2x_norm_bias_residual glm2021_fill; do
    "$convert" "$DATA/glm/$name" -o "$DIR/glm.gguf" --force --quiet 2>/dev/null
    rm -rf "$DIR/glm"
    status "rebuilt $name" 0 "$convert" "$DIR/glm.gguf" -o "$DIR/glm" --receipt none --quiet
    status "rebuilt $name: verified" 0 "$BIN/lathe-verify" "$DIR/glm" "$DIR/glm.gguf" --weights --quiet
done

# --- refusals ---
mkdir "$DIR/full" "$DIR/empty"
echo mine >"$DIR/full/notes.txt"
status "an empty folder is taken" 0 "$convert" "$gguf" -o "$DIR/empty/" --quiet
status "a model's folder is not replaced" 2 "$convert" "$gguf" -o "$DIR/empty"
equal "a model's folder is not replaced: text" "lathe-convert: $DIR/empty: is a folder with files in it" "$(head -n 1 "$DIR/err")"
status "a model's folder is replaced by force" 0 "$convert" "$DIR/tiny-gpt2.gguf" -o "$DIR/empty" --force --quiet
check "a model's folder is replaced by force: whole" test ! -e "$DIR/empty/special_tokens_map.json"
status "somebody's folder is never replaced" 2 "$convert" "$gguf" -o "$DIR/full" --force
contains "somebody's folder is never replaced: text" "$DIR/err" "holds 'notes.txt', which is no file of a model"
equal "somebody's folder: untouched" "mine notes.txt" "$(cat "$DIR/full/notes.txt") $(ls "$DIR/full")"
status "a file in the way" 2 "$convert" "$gguf" -o "$DIR/full/notes.txt"
status "a checkpoint as source" 2 "$convert" "$DATA/tiny-llama" -o "$DIR/other"
contains "a checkpoint as source: text" "$DIR/err" "a folder is written from a GGUF file"
status "a block type for a folder" 2 "$convert" "$gguf" -o "$DIR/other" --type q4_0
status "resume for a folder" 2 "$convert" "$gguf" -o "$DIR/other" --resume
status "dry run" 0 "$convert" "$gguf" -o "$DIR/other" --dry-run --json
equal "dry run: size" "$("$convert" "$gguf" -o "$DIR/other2" --json | jq .size_bytes)" "$(jq .size_bytes "$DIR/out")"
equal "dry run: size is that of the files" "$(cat "$DIR/other2"/* | wc -c)" "$(jq .size_bytes "$DIR/out")"
check "dry run: nothing written" test ! -e "$DIR/other"
equal "nothing left behind" "" "$(find "$DIR" -name '.*partial*')"

# --- a signal in between removes the folder ---
for n in 1 2 3 4 5 6 7 8; do
    "$convert" "$gguf" -o "$DIR/killed" --split-max-size 100K --force >"$DIR/out" 2>&1 &
    pid=$!
    sleep "0.00$n"
    kill -TERM "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
done
equal "signals leave nothing" "" "$(find "$DIR" -name '.*partial*')"
finish

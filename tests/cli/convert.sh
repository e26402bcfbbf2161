# lathe-convert on the embedded models: plans that keep their promise, the same bytes every time, what the output holds.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
llama=$DATA/tiny-llama
gpt2=$DATA/tiny-gpt2
size_of() { wc -c <"$1" | tr -d ' '; }

for model in tiny-llama tiny-gpt2; do
    for type in keep f32 f16 bf16 q8_0 q6_k q4_0; do
        out=$DIR/$model-$type.gguf
        status "$model $type" 0 "$convert" "$DATA/$model" -o "$out" --type $type --threads 1
        status "$model $type with 2 threads" 0 "$convert" "$DATA/$model" -o "$DIR/two.gguf" --type $type --threads 2 --force
        check "$model $type: same bytes for 1 and 2 threads" cmp "$out" "$DIR/two.gguf"
        status "$model $type dry run" 0 "$convert" "$DATA/$model" -o "$out" --type $type --dry-run
        equal "$model $type: promised size" "$(size_of "$out")" "$(sed -n 's/^total \([0-9]*\) bytes.*/\1/p' "$DIR/out")"
    done
done
equal "no temporary file is left" "" "$(find "$DIR" -name '.*partial*')"

status "summary" 0 "$convert" "$llama" -o "$DIR/keep.gguf"
equal "summary is two lines" 2 "$(wc -l <"$DIR/out" | tr -d ' ')"
contains "summary tells tensors and types" "$DIR/out" "keep.gguf: 20 tensors, "
contains "summary names the next command" "$DIR/out" "next: lathe-verify $llama $DIR/keep.gguf"
equal "nothing on stderr" "" "$(cat "$DIR/err")"
status "quiet" 0 "$convert" "$llama" -o "$DIR/quiet.gguf" --quiet
equal "quiet says nothing" "" "$(cat "$DIR/out" "$DIR/err")"

status "json" 0 "$convert" "$llama" -o "$DIR/json.gguf" --json
check "json is one document" jq -e . "$DIR/out"
equal "json size" "$(size_of "$DIR/json.gguf")" "$(jq .size_bytes "$DIR/out")"
equal "json keys" "output size_bytes tensors warnings seconds peak_bytes" \
    "$(jq -r '[(to_entries[] | select(.key | IN("output","size_bytes","tensors","warnings","seconds","peak_bytes")) | .key)] | join(" ")' "$DIR/out")"
equal "json output" "$DIR/json.gguf" "$(jq -r .output "$DIR/out")"
equal "json tensors" 20 "$(jq .tensors "$DIR/out")"
check "same source, same bytes" cmp "$DIR/json.gguf" "$DIR/keep.gguf"

# The plan as JSON; shapes and transforms of a family with Conv1D
status "plan as json" 0 "$convert" "$gpt2" --dry-run --json
plan() { jq -r "$1" "$DIR/out"; }
equal "a transposed matrix" "transpose" "$(plan '.plan.tensors[] | select(.name == "blk.0.ffn_up.weight") | .transform')"
equal "its shape is reversed" "true" \
    "$(plan '.plan.tensors[] | select(.name == "blk.0.ffn_up.weight") | (.shape | reverse) == .sources[0].shape')"
equal "positions are F32" "F32" "$(plan '.plan.tensors[] | select(.name == "position_embd.weight") | .dtype')"
equal "vectors are F32" "true" "$(plan '[.plan.tensors[] | select(.shape | length == 1) | .dtype == "F32"] | all')"
equal "architecture comes first" "general.architecture gpt2" "$(plan '.plan.metadata[0] | .key + " " + .value')"
equal "tying is said" "true" "$(plan '.plan.metadata[] | select(.key == "lathe.tied_embeddings") | .value')"
equal "no output matrix" "0" "$(plan '[.plan.tensors[] | select(.name == "output.weight")] | length')"
equal "offsets are aligned" "true" "$(plan '[.plan.tensors[].offset % 32 == 0] | all')"
status "plan of a rotary model" 0 "$convert" "$llama" --dry-run --json --type q4_0
equal "query rows are reordered" "rope_rows 4" "$(plan '.plan.tensors[] | select(.name == "blk.1.attn_q.weight") | "\(.transform) \(.heads)"')"
equal "key rows by their own heads" "rope_rows 2" "$(plan '.plan.tensors[] | select(.name == "blk.1.attn_k.weight") | "\(.transform) \(.heads)"')"
equal "value rows are not" "none" "$(plan '.plan.tensors[] | select(.name == "blk.1.attn_v.weight") | .transform')"
equal "tied table of Q4_0" "Q6_K" "$(plan '.plan.tensors[] | select(.name == "token_embd.weight") | .dtype')"
equal "file type of Q4_0" "2" "$(plan '.plan.metadata[] | select(.key == "general.file_type") | .value')"
status "pure" 0 "$convert" "$llama" --dry-run --json --type q4_0 --pure
equal "pure has no exception" "Q4_0" "$(plan '.plan.tensors[] | select(.name == "token_embd.weight") | .dtype')"

# The receipt: files byte for byte, digests as sha256sum has them
unpack() { base64 -d | { printf '\037\213\010\0\0\0\0\0'; cat; } | gzip -dc 2>/dev/null; } # a gzip header before a zlib stream
status "full receipt" 0 "$convert" "$llama" --dry-run --json
for file in config.json tokenizer.json tokenizer_config.json; do
    plan ".plan.metadata[] | select(.key == \"lathe.receipt.file.$file\") | .value" | unpack >"$DIR/$file"
    check "receipt holds $file" cmp "$llama/$file" "$DIR/$file"
done
plan '.plan.metadata[] | select(.key == "lathe.receipt.tensors") | .value' | unpack >"$DIR/list.json"
equal "receipt lists the source's names" "model.layers.1.self_attn.k_proj.weight BF16 128x256 rope_rows 2" \
    "$(jq -r '.tensors[] | select(.name == "blk.1.attn_k.weight") | "\(.sources[0].name) \(.sources[0].dtype) \(.sources[0].shape | map(tostring) | join("x")) \(.transform) \(.heads)"' "$DIR/list.json")"
equal "receipt names no folder" "model.safetensors" "$(jq -r '.files | join(",")' "$DIR/list.json")"

st=$llama/model.safetensors
header=$(od -An -tu8 -N8 "$st" | tr -d ' ')
at=$(grep -abo lathe.receipt.sha256 "$DIR/keep.gguf" | head -n 1 | cut -d: -f1)
digest_of() {
    range=$(tail -c +9 "$st" | head -c "$header" | jq -r ".\"$1\".data_offsets | \"\(.[0]) \(.[1])\"")
    tail -c +$((9 + header + ${range% *})) "$st" | head -c $((${range#* } - ${range% *})) | sha256sum | cut -d' ' -f1
}
n=0
jq -r '.tensors[].sources[].name' "$DIR/list.json" >"$DIR/names"
while read -r name; do
    found=$(tail -c +$((at + 20 + 4 + 8 + 1 + 64 * n)) "$DIR/keep.gguf" | head -c 64)
    [ "$found" = "$(digest_of "$name")" ] || fail "digest of $name" "$found"
    n=$((n + 1))
done <"$DIR/names"
equal "every tensor has a digest that sha256sum confirms" 20 "$n"

status "lean receipt" 0 "$convert" "$llama" --dry-run --json --receipt lean
equal "lean keys" "lathe.receipt.version lathe.receipt.level lathe.receipt.tensors lathe.receipt.sha256" \
    "$(plan '[.plan.metadata[].key | select(startswith("lathe.receipt."))] | join(" ")')"
status "no receipt" 0 "$convert" "$llama" --dry-run --json --receipt none
equal "no receipt key" "0" "$(plan '[.plan.metadata[].key | select(startswith("lathe.receipt."))] | length')"

# GGUF to GGUF
status "GGUF to GGUF" 0 "$convert" "$DIR/keep.gguf" -o "$DIR/again.gguf"
check "keeping types keeps the bytes" cmp "$DIR/keep.gguf" "$DIR/again.gguf"
status "GGUF to F32" 0 "$convert" "$DIR/keep.gguf" -o "$DIR/wide.gguf" --type f32
status "the same as lathe-quantize" 0 "$BIN/lathe-quantize" "$DIR/keep.gguf" "$DIR/wide2.gguf" F32
check "in bytes" cmp "$DIR/wide.gguf" "$DIR/wide2.gguf"
status "a receipt can be taken away" 0 "$convert" "$DIR/keep.gguf" -o "$DIR/bare.gguf" --receipt none
equal "no receipt in the bytes" 0 "$(grep -c lathe.receipt "$DIR/bare.gguf")"

# One shard, one file, a folder: the same source
status "the file instead of the folder" 0 "$convert" "$llama/model.safetensors" -o "$DIR/file.gguf"
check "the same bytes" cmp "$DIR/keep.gguf" "$DIR/file.gguf"
status "another folder of the same name" 0 sh -c 'mkdir -p "$1/x" && cp -r "$2" "$1/x/tiny-llama" && "$3" "$1/x/tiny-llama" -o "$1/moved.gguf"' - "$DIR" "$llama" "$convert"
check "no path in the bytes" cmp "$DIR/keep.gguf" "$DIR/moved.gguf"

# One pass: straight to a recipe, the bytes of the way over an F32 file
for model in tiny-llama tiny-gpt2; do
    status "$model as F32" 0 "$convert" "$DATA/$model" -o "$DIR/wide.gguf" --type f32 --force
    for type in Q4_0 Q8_0 Q6_K Q4_K_M Q2_K; do
        status "$model to $type in one pass" 0 "$convert" "$DATA/$model" -o "$DIR/one.gguf" --type $type --force
        status "$model to $type in two" 0 "$BIN/lathe-quantize" "$DIR/wide.gguf" "$DIR/two.gguf" $type --force
        check "$model to $type: the same bytes" cmp "$DIR/one.gguf" "$DIR/two.gguf"
        status "$model to $type: the plan" 0 "$convert" "$DATA/$model" -o "$DIR/one.gguf" --type $type --dry-run --json
        equal "$model to $type: promised size" "$(wc -c <"$DIR/one.gguf" | tr -d ' ')" "$(jq .size_bytes "$DIR/out")"
    done
done
status "COPY is for GGUF" 2 "$convert" "$llama" -o "$DIR/x.gguf" --type copy
finish

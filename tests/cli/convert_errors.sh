# lathe-convert: what it refuses, in which words, and what it leaves behind: nothing.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
llama=$DATA/tiny-llama
mkdir "$DIR/o"
# refused NAME TEXT ARGUMENT...: exit 2, TEXT as the first line on stderr, no file in the output folder
refused() {
    refused_name=$1
    refused_text=$2
    shift 2
    status "$refused_name" 2 "$convert" "$@"
    equal "$refused_name: text" "$refused_text" "$(head -n 1 "$DIR/err")"
    equal "$refused_name: nothing on stdout" "" "$(cat "$DIR/out")"
    equal "$refused_name: nothing left" "" "$(ls -A "$DIR/o")"
}
out=$DIR/o/x.gguf
refused "no output" "lathe-convert: no output given" "$llama"
refused "another suffix" "lathe-convert: $DIR/o/x.bin: a folder is written from a GGUF file, and '$llama' is none" "$llama" -o "$DIR/o/x.bin"
refused "a folder as output" "lathe-convert: $DIR/o: a folder is written from a GGUF file, and '$llama' is none" "$llama" -o "$DIR/o"
mkdir "$DIR/adapter"
echo '{"peft_type": "LORA"}' >"$DIR/adapter/adapter_config.json"
refused "an adapter alone" "lathe-convert: $DIR/adapter: is an adapter: its base model is needed" "$DIR/adapter" -o "$out"
refused "an adapter without weights" "lathe-convert: $DIR/adapter: no weights in this folder: expected safetensors, PyTorch or GGUF files" \
    "$llama" -o "$out" --merge-lora "$DIR/adapter"
refused "an adapter and resume" "lathe-convert: --resume does not go with --merge-lora" "$llama" -o "$out" --merge-lora "$DIR/adapter" --resume
refused "parts and resume" "lathe-convert: --resume is for one file, not for parts" "$llama" -o "$out" --split-max-size 1M --resume
refused "an unknown type" "lathe-convert: type 'q4_q' is not known here" \
    "$llama" -o "$out" --type q4_q
refused "pure without a type" "lathe-convert: options about types need a --type" "$llama" -o "$out" --pure
refused "no such folder for the output" "lathe-convert: $DIR/none/x.gguf: the folder '$DIR/none' does not exist" "$llama" -o "$DIR/none/x.gguf"
status "no such source" 2 "$convert" "$DIR/none" -o "$out"
contains "no such source: text" "$DIR/err" "lathe-convert: $DIR/none: "
status "unknown option" 2 "$convert" "$llama" -o "$out" --outptu x
contains "a typo comes with a suggestion" "$DIR/err" "'--output'"
status "errors as json" 2 "$convert" "$llama" -o "$out" --type q4_q --json
equal "errors as json: status" usage "$(jq -r .status "$DIR/out")"
status "bare call" 2 "$convert"
status "help" 0 "$convert" --help
contains "help on stdout" "$DIR/out" "lathe-convert SRC -o OUT.gguf"
status "explain" 0 "$convert" --explain source-nan
contains "explain: text" "$DIR/out" "NaN"
status "explain something unknown" 2 "$convert" --explain nonsense

# --- existing outputs, sources as outputs ---
echo precious >"$out"
status "an existing output" 2 "$convert" "$llama" -o "$out"
equal "an existing output: text" "lathe-convert: $out: exists already" "$(head -n 1 "$DIR/err")"
equal "an existing output: hint" "  hint: --force replaces it" "$(sed -n 2p "$DIR/err")"
equal "an existing output: untouched" precious "$(cat "$out")"
status "replaced by force" 0 "$convert" "$llama" -o "$out" --force
cp "$out" "$DIR/copy.gguf"
ln "$out" "$DIR/o/hard.gguf"
ln -s x.gguf "$DIR/o/soft.gguf"
for name in x hard soft; do
    status "the source as $name" 2 "$convert" "$out" -o "$DIR/o/$name.gguf" --force --type f32
    equal "the source as $name: text" "lathe-convert: $DIR/o/$name.gguf: is the same file as the source '$out', which is never replaced" \
        "$(head -n 1 "$DIR/err")"
    check "the source as $name: untouched" cmp "$out" "$DIR/copy.gguf"
done
equal "the link is still a link" x.gguf "$(readlink "$DIR/o/soft.gguf")"
status "an output that was made for reading only" 0 sh -c 'chmod 444 "$1" && "$2" "$3" -o "$1" --force' - "$DIR/o/hard.gguf" "$convert" "$llama"
rm -f "$DIR/o"/*

# --- contents ---
cp -r "$llama" "$DIR/m"
chmod -R u+w "$DIR/m"
st=$DIR/m/model.safetensors
header=$(od -An -tu8 -N8 "$st" | tr -d ' ')
first=$(tail -c +9 "$st" | head -c "$header" | jq '."model.layers.1.mlp.up_proj.weight".data_offsets[0]')
# poke ROW COLUMN BYTES: a BF16 element of that matrix of 256 columns
poke() { printf "$3" | dd of="$st" bs=1 seek=$((8 + header + first + 2 * (256 * $1 + $2))) conv=notrunc 2>/dev/null; }
poke 17 3 '\000\307' # -32768, a half
poke 17 4 '\200\307' # -65536, beyond
refused "overflow" "lathe-convert: $st: tensor 'model.layers.1.mlp.up_proj.weight': row 17, column 4 is -65536, which F16 cannot hold" \
    "$DIR/m" -o "$out" --type f16
refused "overflow with one thread" "lathe-convert: $st: tensor 'model.layers.1.mlp.up_proj.weight': row 17, column 4 is -65536, which F16 cannot hold" \
    "$DIR/m" -o "$out" --type f16 --threads 1
status "overflow allowed" 0 "$convert" "$DIR/m" -o "$DIR/over.gguf" --type f16 --allow-overflow --json
equal "overflow is reported" "cast-overflow 1" \
    "$(jq -r '(.warnings[] | select(.code == "cast-overflow") | .code) + " " + (.casts[] | select(.overflow > 0) | .overflow | tostring)' "$DIR/out")"
status "strict, though allowed" 2 "$convert" "$DIR/m" -o "$out" --type f16 --allow-overflow --strict
equal "strict: nothing left" "" "$(ls -A "$DIR/o")"
status "BF16 has the range" 0 "$convert" "$DIR/m" -o "$DIR/bf16.gguf" --json
equal "BF16 has no warning" 0 "$(jq '.warnings | length' "$DIR/out")"
poke 30 9 '\300\177' # NaN
status "NaN is kept" 0 "$convert" "$DIR/m" -o "$DIR/nan.gguf"
contains "NaN is reported" "$DIR/err" "lathe-convert: warning: tensor 'model.layers.1.mlp.up_proj.weight': 1 of 65536 elements are NaN, stored as BF16 [source-nan]"
refused "NaN in a block" "lathe-convert: $st: tensor 'model.layers.1.mlp.up_proj.weight': row 30, column 9 is nan; expected finite weights" \
    "$DIR/m" -o "$out" --type q8_0

cp -r "$llama" "$DIR/k"
chmod -R u+w "$DIR/k"
jq '.surprise = 7' "$llama/config.json" >"$DIR/k/config.json"
status "a config key that is not used" 0 "$convert" "$DIR/k" -o "$DIR/k.gguf" --json
equal "is reported" config-key-unused "$(jq -r '.warnings[].code' "$DIR/out")"
refused "and an error with --strict" "lathe-convert: $DIR/k: --strict: config key 'surprise' = 7 is not used [config-key-unused]" "$DIR/k" -o "$out" --strict
rm "$DIR/k/config.json"
status "without config.json" 2 "$convert" "$DIR/k" -o "$out"
equal "without config.json: nothing left" "" "$(ls -A "$DIR/o")"
status "with --config" 0 "$convert" "$DIR/k" -o "$DIR/c.gguf" --config "$llama/config.json"
status "--config for a GGUF" 2 "$convert" "$DIR/c.gguf" -o "$out" --config "$llama/config.json"
jq '.hidden_size = 512' "$llama/config.json" >"$DIR/k/config.json"
status "a shape that contradicts the config" 2 "$convert" "$DIR/k" -o "$out"
contains "names the tensor" "$DIR/err" "tensor 'model.embed_tokens.weight': expected 512 x 512 from config, found 512 x 256"
cp "$llama/config.json" "$DIR/k/config.json"
rm "$DIR/k"/tokenizer*
status "without a tokenizer" 0 "$convert" "$DIR/k" -o "$DIR/notok.gguf" --json
equal "a warning" tokenizer-missing "$(jq -r '.warnings[].code' "$DIR/out")"
head -c 500000 "$llama/model.safetensors" >"$DIR/k/model.safetensors"
status "a truncated file" 2 "$convert" "$DIR/k" -o "$out"
equal "a truncated file: nothing left" "" "$(ls -A "$DIR/o")"

# --- requantizing ---
status "to blocks" 0 "$convert" "$llama" -o "$DIR/q.gguf" --type q4_0
refused "blocks to other blocks" \
    "lathe-convert: $DIR/q.gguf: tensor 'token_embd.weight': is Q6_K already; a second quantization adds its error to the first's" \
    "$DIR/q.gguf" -o "$out" --type q8_0
status "unless that is wanted" 0 "$convert" "$DIR/q.gguf" -o "$DIR/q8.gguf" --type q8_0 --allow-requantize
# A result that cannot be told is no result; what stood there before is not touched
if [ -e /dev/full ]; then
    "$convert" "$llama" -o "$out" >/dev/full 2>"$DIR/err"
    equal "full stdout: exit status" 2 $?
    equal "full stdout: one line" 1 "$(wc -l <"$DIR/err" | tr -d ' ')"
    equal "full stdout: nothing left" "" "$(ls -A "$DIR/o")"
    echo precious >"$out"
    "$convert" "$llama" -o "$out" --force >/dev/full 2>"$DIR/err"
    equal "full stdout with force: exit status" 2 $?
    equal "full stdout with force: untouched" precious "$(cat "$out")"
    rm "$out"
fi
"$convert" "$llama" -o "$out" >&- 2>"$DIR/err"
equal "closed stdout: exit status" 2 $?
equal "closed stdout: nothing left" "" "$(ls -A "$DIR/o")"
finish

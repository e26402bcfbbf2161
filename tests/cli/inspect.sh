# lathe-inspect on the embedded models and on what is no model.
. tests/cli/lib.sh
llama=$DATA/tiny-llama
gpt2=$DATA/tiny-gpt2

status "summary of a folder" 0 "$BIN/lathe-inspect" "$llama"
contains "summary names the family" "$DIR/out" "llama (safetensors"
contains "summary tells the context" "$DIR/out" "context     256; rope default, base 10000, 64 of a head's 64 dimensions"
contains "summary tells tying" "$DIR/out" "embeddings  tied"
equal "nothing on stderr" "" "$(cat "$DIR/err")"

status "summary of a torch file" 0 "$BIN/lathe-inspect" "$gpt2"
contains "torch file is recognised" "$DIR/out" "gpt2 (torch-zip"

cp -r "$llama" "$DIR/unknown"
chmod -R u+w "$DIR/unknown"
sed 's/"model_type": "llama"/"model_type": "some\\u001b[1mthing"/; s/LlamaForCausalLM/SomethingForCausalLM/' "$llama/config.json" >"$DIR/unknown/config.json"
status "an unknown family is listed" 0 "$BIN/lathe-inspect" "$DIR/unknown"
contains "as none" "$DIR/out" "no known model family (safetensors)"
contains "and told by its own name" "$DIR/out" "unknown     unknown model type 'some\x1b[1mthing' (architecture 'SomethingForCausalLM')"

status "json of one" 0 "$BIN/lathe-inspect" "$llama" --tensors --json
check "json is one document" jq -e . "$DIR/out"
equal "json container" safetensors "$(jq -r .container "$DIR/out")"
equal "json family" llama "$(jq -r .family "$DIR/out")"
equal "json dtype" BF16 "$(jq -r '.tensors[] | select(.name == "model.embed_tokens.weight") | .dtype' "$DIR/out")"
equal "json shape" "512 256" "$(jq -r '.tensors[] | select(.name == "model.embed_tokens.weight") | .shape | join(" ")' "$DIR/out")"
equal "json size" 262144 "$(jq -r '.tensors[] | select(.name == "model.embed_tokens.weight") | .size_bytes' "$DIR/out")"
status "json of two" 0 "$BIN/lathe-inspect" "$llama" "$gpt2" --json
equal "json of two is an array" 2 "$(jq '.files | length' "$DIR/out")"

check "bits by role" jq -e '[.files[0].bits_by_role[] | select(.role == "attn_q")][0] | .bits == 16 and .tensors == 2 and .weights == 131072' "$DIR/out"
status "several as a table" 2 "$BIN/lathe-inspect" "$llama" "$DIR/nothing" "$gpt2"
equal "a row each, and a head" 4 "$(wc -l <"$DIR/out" | tr -d ' ')"
check "rows tell family and bits" grep -Eq '^tests/data/tiny-llama +llama +918.8 K +1.75 MiB +16.00 +BF16 +256 +tokenizer.json +0$' "$DIR/out"
contains "the missing one has a row" "$DIR/out" "$DIR/nothing  "
contains "that says why" "$DIR/out" "error: cannot open: No such file or directory"
contains "and a line on stderr" "$DIR/err" "lathe-inspect: $DIR/nothing: cannot open"
status "several as JSON" 2 "$BIN/lathe-inspect" "$DIR/nothing" "$llama" --json --tensors
check "with the error in its place" jq -e '(.files | length) == 2 and .files[0].error.status == "notfound" and .files[1].family == "llama" and (.files[1].tensors | length) == 20' "$DIR/out"
status "several lists" 2 "$BIN/lathe-inspect" "$DIR/nothing" "$llama" --tensors
contains "go on after an error" "$DIR/out" "model.norm.weight"

# The digest of a safetensors tensor is that of a byte range of the file, which other tools can cut out.
st=$llama/model.safetensors
header=$(od -An -tu8 -N8 "$st" | tr -d ' ')
range=$(tail -c +9 "$st" | head -c "$header" | jq -r '."model.norm.weight".data_offsets | "\(.[0]) \(.[1])"')
first=${range% *}
last=${range#* }
expected=$(tail -c +$((9 + header + first)) "$st" | head -c $((last - first)) | sha256sum | cut -d' ' -f1)
status "hash" 0 "$BIN/lathe-inspect" "$llama" --hash --json
equal "hash equals sha256sum of the range" "$expected" "$(jq -r '.tensors[] | select(.name == "model.norm.weight") | .sha256' "$DIR/out")"
status "stats" 0 "$BIN/lathe-inspect" "$llama" --stats --json
check "stats are there and finite" jq -e '[.tensors[].stats | (.std >= 0) and (.nan == 0) and (.min <= .mean) and (.mean <= .max)] | all' "$DIR/out"
cp "$DIR/out" "$DIR/stats2"
status "stats with one thread" 0 "$BIN/lathe-inspect" "$llama" --stats --json --threads 1
check "stats do not depend on threads" cmp "$DIR/out" "$DIR/stats2"

check "stats of roles" jq -e '[.roles[] | select(.role == "attn_q" and .part == "weight")][0] | .tensors == 2 and .n == 131072' "$DIR/out"
equal "rows and columns are channels" "512 256" "$(jq -r '.tensors[] | select(.name == "model.embed_tokens.weight") | .stats | "\(.rows.channels) \(.columns.channels)"' "$DIR/out")"
status "csv" 0 "$BIN/lathe-inspect" "$llama" --csv --stats --hash
equal "csv has a line per tensor" "$(jq '.tensors | length + 1' "$DIR/stats2")" "$(wc -l <"$DIR/out" | tr -d ' ')"
equal "csv lines are equally long" 1 "$(awk -F, '{print NF}' "$DIR/out" | sort -u | wc -l | tr -d ' ')"
equal "csv has json's figures" "$(jq -r '.tensors[] | select(.name == "model.norm.weight") | .stats.mean' "$DIR/stats2")" \
    "$(awk -F, '$1 == "model.norm.weight" {printf "%s", $8}' "$DIR/out" | jq .)"
status "csv of two" 2 "$BIN/lathe-inspect" "$llama" "$gpt2" --csv
status "csv and json" 2 "$BIN/lathe-inspect" "$llama" --csv --json

status "heatmap" 0 "$BIN/lathe-inspect" "$llama" --heatmap model.embed_tokens.weight -o "$DIR/x.png"
equal "heatmap is a PNG" "89504e470d0a1a0a" "$(od -An -tx1 -N8 "$DIR/x.png" | tr -d ' ')"
cp "$DIR/x.png" "$DIR/y.png"
status "heatmap again replaces" 0 "$BIN/lathe-inspect" "$llama" --heatmap model.embed_tokens.weight -o "$DIR/x.png" --threads 1
check "heatmap bytes are equal" cmp "$DIR/x.png" "$DIR/y.png"
status "heatmap of no tensor" 2 "$BIN/lathe-inspect" "$llama" --heatmap embed_tokens -o "$DIR/z.png"
contains "error names the tensor" "$DIR/err" "tensor 'embed_tokens': no such tensor"
check "no picture is left" test ! -e "$DIR/z.png"
status "heatmap without -o" 0 "$BIN/lathe-inspect" "$llama" --heatmap model.embed_tokens.weight
contains "is printed" "$DIR/out" "weights of model.embed_tokens.weight"

status "missing file" 2 "$BIN/lathe-inspect" "$DIR/nothing.gguf"
contains "missing file is named" "$DIR/err" "lathe-inspect: $DIR/nothing.gguf: "
equal "one error line" 1 "$(wc -l <"$DIR/err" | tr -d ' ')"
: >"$DIR/empty"
status "empty file" 2 "$BIN/lathe-inspect" "$DIR/empty"
echo "no checkpoint" >"$DIR/text"
status "text file" 2 "$BIN/lathe-inspect" "$DIR/text"
mkfifo "$DIR/fifo"
status "fifo does not hang" 2 timeout 5 "$BIN/lathe-inspect" "$DIR/fifo"
mkdir "$DIR/folder"
status "empty folder" 2 "$BIN/lathe-inspect" "$DIR/folder"
status "bare call" 2 "$BIN/lathe-inspect"
status "unknown option" 2 "$BIN/lathe-inspect" --tensor "$llama"
contains "typo gets a suggestion" "$DIR/err" "did you mean '--tensors'?"
status "two answers at once" 2 "$BIN/lathe-inspect" "$llama" --audit --html "$DIR/x.html"
contains "are named" "$DIR/err" "--audit and --html: only one of them"
status "an answer and a list" 2 "$BIN/lathe-inspect" "$llama" --audit --stats
status "help" 0 "$BIN/lathe-inspect" --help
contains "help on stdout" "$DIR/out" "--heatmap"
status "version" 0 "$BIN/lathe-inspect" --version
status "by the front end" 0 "$BIN/lathe" inspect "$llama"
status "full disk on stdout" 2 sh -c '"$1" "$2" >/dev/full' sh "$BIN/lathe-inspect" "$llama"
"$BIN/lathe-inspect" "$llama" --color always >"$DIR/out" 2>&1 | cat
check "no escape bytes in pipes" sh -c '! grep -q "$(printf "\033")" "$1"' sh "$DIR/out"

# Every option of --help stands in the manual page.
for tool in convert inspect quantize verify; do
    "$BIN/lathe-$tool" --help >"$DIR/help"
    for option in $(grep -oE '^ +(-[a-z], )?--[a-z-]+' "$DIR/help" | grep -oE -- '--[a-z-]+' | sort -u); do
        if grep -qF -- "**$option**" "docs/lathe-$tool.md"; then ok "lathe-$tool page has $option"; else fail "lathe-$tool page has $option"; fi
    done
done

# --- text and ids: tokens.txt is what transformers made of a passage ---
for model in "$llama" "$gpt2"; do
    name=$(basename "$model")
    ids=$(tr -s ' \n' '  ' <"$model/tokens.txt" | sed 's/ $//')
    status "$name: detokenize" 0 "$BIN/lathe-inspect" "$model" --detokenize "$ids" --no-special
    text=$(cat "$DIR/out")
    status "$name: tokenize" 0 "$BIN/lathe-inspect" "$model" --tokenize "$text" --add-special --json
    equal "$name: the ids come back" "$ids" "$(jq -r '.ids | join(" ")' "$DIR/out")"
    check "$name: pieces make the text" test "$text" = "$(jq -r '[.pieces[] | select(startswith("<|") | not)] | join("")' "$DIR/out")"
done
printf 'and the\n\nof' >"$DIR/lines"
status "tokenize a file" 0 "$BIN/lathe-inspect" "$llama" --tokenize-file "$DIR/lines"
equal "one line of ids per line" 3 "$(wc -l <"$DIR/out" | tr -d ' ')"
equal "the empty line is empty" "" "$(sed -n 2p "$DIR/out")"
status "special tokens in the text" 0 "$BIN/lathe-inspect" "$llama" --tokenize 'a<|eot_id|>' --json
equal "are found" 2 "$(jq '.ids | length' "$DIR/out")"
status "... or are text" 0 "$BIN/lathe-inspect" "$llama" --tokenize 'a<|eot_id|>' --no-special --json
check "are text" jq -e '.ids | length > 4' "$DIR/out"
status "two at once" 2 "$BIN/lathe-inspect" "$llama" --tokenize a --detokenize 1
status "ids that are none" 2 "$BIN/lathe-inspect" "$llama" --detokenize "1 x"
status "an id outside the vocabulary" 2 "$BIN/lathe-inspect" "$llama" --detokenize 512
contains "says the range" "$DIR/err" "from 0 to 511"
mkdir -p "$DIR/bare-folder"
status "no tokenizer" 2 "$BIN/lathe-inspect" "$DIR/bare-folder" --tokenize a
contains "says so" "$DIR/err" "no tokenizer"

# --- the embedded tokenizer against the source's ---
status "convert for the check" 0 "$BIN/lathe-convert" "$llama" -o "$DIR/check.gguf" --quiet
status "summary of a quantized file" 0 "$BIN/lathe-inspect" "$DIR/check.gguf"
contains "tells the receipt" "$DIR/out" "receipt     full: SHA-256 of 20 source tensors; files config.json"
"$BIN/lathe-convert" "$llama" -o "$DIR/q4.gguf" --type Q4_K_M --quiet
status "summary of a recipe's" 0 "$BIN/lathe-inspect" "$DIR/q4.gguf"
contains "tells the recipe" "$DIR/out" "recipe      Q4_K_M (general.file_type 15)"
contains "tells bits by role" "$DIR/out" "6.56 token_embd"
status "source and GGUF" 0 "$BIN/lathe-inspect" "$llama" "$DIR/check.gguf" --tokenizer-check --json
check "all texts the same" jq -e '.same and .texts > 1500 and .embedded.mismatches == 0 and .runtime.mismatches == 0' "$DIR/out"
status "the receipt holds the source" 0 "$BIN/lathe-inspect" "$DIR/check.gguf" --tokenizer-check
contains "the answer" "$DIR/out" "same: "
mkdir "$DIR/tmp"
status "TMPDIR" 0 env TMPDIR="$DIR/tmp" "$BIN/lathe-inspect" "$DIR/check.gguf" --tokenizer-check
equal "nothing is left in it" "" "$(ls -A "$DIR/tmp")"
status "a TMPDIR that is not there" 2 env TMPDIR="$DIR/nowhere" "$BIN/lathe-inspect" "$DIR/check.gguf" --tokenizer-check
contains "is named" "$DIR/err" "$DIR/nowhere/lathe-tokenizer-"
status "another model's GGUF" 1 "$BIN/lathe-inspect" "$gpt2" "$DIR/check.gguf" --tokenizer-check
contains "the first mismatch" "$DIR/out" 'text   "The quick brown fox'
status "convert without a receipt" 0 "$BIN/lathe-convert" "$llama" -o "$DIR/bare.gguf" --quiet --receipt none
status "nothing to compare with" 2 "$BIN/lathe-inspect" "$DIR/bare.gguf" --tokenizer-check
contains "says so" "$DIR/err" "no files of its source"
status "no GGUF" 2 "$BIN/lathe-inspect" "$llama" --tokenizer-check
# An unknown splitter is embedded whole: the embedded tokenizer agrees, a runtime's cannot.
cp -r "$llama" "$DIR/odd"
chmod -R u+w "$DIR/odd"
sed 's/?\\\\p{L}+|/?\\\\p{L}{1,2}|/' "$llama/tokenizer.json" >"$DIR/odd/tokenizer.json"
status "convert an unknown splitter" 0 "$BIN/lathe-convert" "$DIR/odd" -o "$DIR/odd.gguf"
contains "the nearest is named" "$DIR/err" "Nearest is 'llama-bpe'"
status "unknown splitter, embedded" 0 "$BIN/lathe-inspect" "$DIR/odd.gguf" --tokenizer-check --json
check "the embedded one agrees, the runtime's differs" jq -e '.same and .runtime.mismatches > 0 and .runtime.first.position >= 0' "$DIR/out"
finish

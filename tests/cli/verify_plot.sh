# lathe-verify --plot, --points, worst positions with their tokens, peak memory.
. tests/cli/lib.sh
verify=$BIN/lathe-verify
llama=$DATA/tiny-llama
ids=$llama/tokens.txt
field() { jq -r "$1" "$DIR/out"; }
"$BIN/lathe-convert" "$llama" -o "$DIR/q4.gguf" --type Q4_0 --quiet 2>/dev/null

# --- the picture and the table ---
echo old >"$DIR/x.png"
status "picture and table" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --context 50 --plot "$DIR/x.png" --points "$DIR/x.csv" --json
equal "the picture is a PNG, in the old file's place" "$(printf '\211PNG')" "$(head -c 4 "$DIR/x.png")"
equal "indexed colour, eight bits" "8 3" "$(od -An -tu1 -j24 -N2 "$DIR/x.png" | tr -s ' ' | sed 's/^ //')"
check "its text has both names" grep -qa "how far q4.gguf (B) is from tiny-llama (A)" "$DIR/x.png"
equal "json names the files" "$DIR/x.png $DIR/x.csv" "$(field '"\(.plot) \(.points)"')"
equal "one line per position and a head" "129 $(head -n 1 "$DIR/x.csv")" "$(wc -l <"$DIR/x.csv" | tr -d ' ') position,window,token,kl_ab,kl_ba,max_abs_diff,nll_a,nll_b"
equal "tokens are those of the file" "$(tr -s ' \n' '\n' <"$ids" | grep .)" "$(tail -n +2 "$DIR/x.csv" | cut -d, -f3)"
equal "windows of 50" "0 50 1 50 2 28" "$(tail -n +2 "$DIR/x.csv" | cut -d, -f2 | uniq -c | awk '{printf "%s%s %s", s, $2, $1; s = " "}')"
worst=$(tail -n +2 "$DIR/x.csv" | sort -t, -k4,4gr | head -n 10 | cut -d, -f1 | tr '\n' ' ')
equal "worst positions of json are those of the table" "$worst" "$(field '[.worst[].position | tostring + " "] | add')"
check "mean of the table is the figure" awk -F, -v want="$(field .kl_ab)" 'NR > 1 {s += $4} END {d = s / (NR - 1) / want - 1; exit !(d < 1e-12 && d > -1e-12)}' "$DIR/x.csv"
check "perplexity of the table is the figure" awk -F, -v want="$(field .perplexity_b)" 'NR > 1 && $8 != "" {s += $8; n++} END {d = exp(s / n) / want - 1; exit !(d < 1e-6 && d > -1e-6)}' "$DIR/x.csv"
equal "no temporary file is left" "" "$(find "$DIR" -name '.*partial*')"
cp "$DIR/x.png" "$DIR/first.png"
status "picture again, one thread" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --context 50 --plot "$DIR/x.png" --threads 1 --quiet
check "the same picture" cmp "$DIR/first.png" "$DIR/x.png"
status "a picture of what differs" 1 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --tolerance 1e-6 --plot "$DIR/no.png" --quiet
check "... is drawn, too" test -s "$DIR/no.png"

# --- weights: in the report, and in a picture of their own ---
status "weights are looked at" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids"
contains "... and that is said" "$DIR/out" "  weights     20 tensors, no row further off than the types explain"
status "weights are looked at, json" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --json
check "... with what comes closest" jq -e '.weights | .agree and .tensors == 20 and .different == [] and .nearest.worst_row_rel < .nearest.row_limit' "$DIR/out"
"$BIN/lathe-convert" "$llama" -o "$DIR/f32.gguf" --type f32 --quiet 2>/dev/null
status "no need to look at weights" 0 "$verify" "$llama" "$DIR/f32.gguf" --tokens "$ids" --json
equal "... json has null" "null" "$(field .weights)"
status "a tolerance that is given" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --json --tolerance 0.5
equal "... needs no weights" "null as given by --tolerance" "$(field '"\(.weights) \(.tolerance_reason)"')"
# a damaged copy: a block of 32 weights begins with its scale. Tensors lie one behind the other up to the end; all sizes are multiples of 32.
behind=$("$BIN/lathe-inspect" "$DIR/q4.gguf" --tensors --json | jq '.tensors as $t | ($t | map(.name) | index("blk.1.ffn_up.weight")) as $i | $t[$i:] | map(.size_bytes) | add')
off=$(($(wc -c <"$DIR/q4.gguf") - behind))
cp "$DIR/q4.gguf" "$DIR/hurt.gguf"
printf '\000\000' | dd of="$DIR/hurt.gguf" bs=1 seek="$off" conv=notrunc 2>/dev/null # a scale of 0: a block of zeros
status "one block of zeros" 1 "$verify" "$llama" "$DIR/hurt.gguf" --tokens "$ids"
contains "... differs, though logits are close" "$DIR/out" "within the tolerance"
contains "... by its name" "$DIR/out" "different        blk.1.ffn_up.weight"
contains "... and row" "$DIR/out" " rows, the first is 0"
status "one block of zeros, json" 1 "$verify" "$llama" "$DIR/hurt.gguf" --tokens "$ids" --json
check "... with the tensor" jq -e '(.agree | not) and (.weights.agree | not) and (.weights.different | map(.name)) == ["blk.1.ffn_up.weight"] and .weights.different[0].first_row == 0' "$DIR/out"
status "a picture of weights" 1 "$verify" "$llama" "$DIR/hurt.gguf" --weights --plot "$DIR/w.png"
check "... says what it is" grep -qa "how far the weights of hurt.gguf (B) are from those of tiny-llama (A)" "$DIR/w.png"

# --- worst positions ---
status "worst positions" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids" --json
at=$(field '.worst[0].position')
id=$(tr -s ' \n' '\n' <"$ids" | grep . | sed -n "$((at + 1))p")
equal "the token is that of the position" "$id" "$(field '.worst[0].token')"
text=$(field '.worst[0].text')
top=$(field '.worst[0].top1_text_a')
equal "its text is what the tokenizer says" "$("$BIN/lathe-inspect" "$llama" --detokenize "$id")" "$text"
status "worst positions as text" 0 "$verify" "$llama" "$DIR/q4.gguf" --tokens "$ids"
contains "... with tokens" "$DIR/out" "after \"$(echo "$text" | sed 's/ /␣/g')\": \"$(echo "$top" | sed 's/ /␣/g')\" first"
equal "the last line is memory" "memory" "$(tail -n 1 "$DIR/out" | awk '{print $1}')"
check "peak memory is said" grep -Eq '^  memory      peak [0-9.]+ [KMG]iB, for [0-9.]+ [KMG]iB of weights; [0-9.e-]+ s$' "$DIR/out"
cp "$DIR/out" "$DIR/by_folder"
mkdir "$DIR/bare" "$DIR/bare2"
for d in bare bare2; do ln -s "$PWD/$llama/config.json" "$PWD/$llama/model.safetensors" "$DIR/$d"; done
status "tokens by the GGUF, where the folder has no tokenizer" 0 "$verify" "$DIR/bare" "$DIR/q4.gguf" --tokens "$ids"
equal "... are the same" "$(grep ' after ' "$DIR/by_folder")" "$(grep ' after ' "$DIR/out")"
status "without any tokenizer" 0 "$verify" "$DIR/bare" "$DIR/bare2" --tokens "$ids" --json
equal "equal sides have no worst position" 0 "$(field '.worst | length')"
"$BIN/lathe-convert" "$DIR/bare" -o "$DIR/bare.gguf" --type Q4_0 --quiet 2>/dev/null
status "ids alone" 0 "$verify" "$DIR/bare" "$DIR/bare.gguf" --tokens "$ids" --plot "$DIR/ids.png"
contains "... are said as ids" "$DIR/out" "after #$id: #"
status "ids alone, json" 0 "$verify" "$DIR/bare" "$DIR/bare.gguf" --tokens "$ids" --json
equal "... have no text" "null" "$(field '.worst[0].text')"

# --- refusals: before the work, nothing written ---
refuse() {
    refuse_name=$1
    refuse_text=$2
    shift 2
    status "$refuse_name" 2 "$verify" "$@"
    contains "$refuse_name: says why" "$DIR/err" "$refuse_text"
    equal "$refuse_name: stdout is empty" "" "$(cat "$DIR/out")"
}
refuse "picture of one side" "--plot shows how two sides differ" "$llama" --plot "$DIR/none.png"
refuse "points of one side" "--points shows how two sides differ" "$llama" --points "$DIR/none.csv"
refuse "points without a forward pass" "no forward pass" "$llama" "$DIR/q4.gguf" --weights --points "$DIR/none.csv"
refuse "picture of weights that do not fit" "expected" "$llama" "$DATA/tiny-gpt2" --weights --plot "$DIR/none.png"
refuse "picture in no folder" "nowhere" "$llama" "$DIR/q4.gguf" --plot "$DIR/nowhere/none.png"
cp "$DIR/q4.gguf" "$DIR/copy.gguf"
refuse "picture over a source" "q4.gguf" "$llama" "$DIR/q4.gguf" --plot "$DIR/q4.gguf"
ln -s "$DIR/q4.gguf" "$DIR/link.csv"
refuse "points over a source" "link.csv" "$llama" "$DIR/q4.gguf" --points "$DIR/link.csv"
check "the source is untouched" cmp "$DIR/q4.gguf" "$DIR/copy.gguf"
equal "refusals leave nothing" "" "$(find "$DIR" -name '*none*' -o -name '.*partial*')"
finish

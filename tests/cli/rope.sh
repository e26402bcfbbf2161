# RoPE scaling through convert and verify: what is written, what is warned about, and that a scaling that was lost is seen without any option.
. tests/cli/lib.sh
verify=$BIN/lathe-verify
convert=$BIN/lathe-convert
llama=$DATA/tiny-llama
O='"original_max_position_embeddings": 64'

# config NAME KEY=JSON...: the model's config with those keys instead of its RoPE block
config() {
    config_name=$DIR/$1.json
    shift
    jq 'del(.rope_parameters)' "$llama/config.json" >"$config_name"
    for pair in "$@"; do
        jq --argjson v "${pair#*=}" ".${pair%%=*} = \$v" "$config_name" >"$config_name.new" && mv "$config_name.new" "$config_name"
    done
}
config plain
config linear 'rope_scaling={"type": "linear", "factor": 4.0}'
config dynamic 'rope_scaling={"type": "dynamic", "factor": 4.0}' max_position_embeddings=128
config yarn "rope_scaling={\"type\": \"yarn\", \"factor\": 4.0, $O}"
config odd "rope_scaling={\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 16, \"attention_factor\": 1.3, \"truncate\": false, $O}"
config llama3 "rope_parameters={\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, $O, \"rope_theta\": 500000.0}"
ones=$(jq -nc '[range(32) | 1 + . / 20]')
longs=$(jq -nc '[range(32) | 1 + .]')
config longrope "rope_scaling={\"type\": \"su\", \"short_factor\": $ones, \"long_factor\": $longs}" original_max_position_embeddings=64
jq '.rope_theta = 500000.0' "$DIR/plain.json" >"$DIR/base.json"
jq 'del(.rope_theta) | .rope_theta = 500000.0 | del(.rope_parameters)' "$DIR/llama3.json" >"$DIR/llama3-lost.json"

for kind in linear dynamic yarn odd llama3 longrope; do
    status "$kind converts" 0 "$convert" "$llama" -o "$DIR/$kind.gguf" --config "$DIR/$kind.json" --json
    jq -r '.warnings[]?.code' "$DIR/out" | sort -u | tr '\n' ' ' >"$DIR/codes"
    case $kind in
    dynamic) equal "$kind: warned about" "runtime-ignores-rope " "$(cat "$DIR/codes")" ;;
    *) equal "$kind: nothing to warn about" "" "$(cat "$DIR/codes")" ;;
    esac
    status "$kind: both sides agree" 0 "$verify" "$llama" "$DIR/$kind.gguf" --config "$DIR/$kind.json" --json
    check "$kind: far positions were probed" jq -e '.probe.agree and .probe.last > .probe.original_context and .probe.positions == 64' "$DIR/out"
    lost=plain
    [ "$kind" != llama3 ] || lost=llama3-lost
    "$convert" "$llama" -o "$DIR/lost.gguf" --force --quiet --config "$DIR/$lost.json"
    status "$kind: lost, and seen" 1 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/$kind.json" --json
    check "$kind: seen at far positions" jq -e '.agree == false and .probe.agree == false' "$DIR/out"
done
status "dynamic: within the trained context nothing is lost" 0 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/plain.json" --json
check "no scaling, no probe" jq -e '.probe == null' "$DIR/out"
"$convert" "$llama" -o "$DIR/lost.gguf" --force --quiet --config "$DIR/plain.json"
status "dynamic: short positions do not show it" 0 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/dynamic.json" --positions 0:128 --json
check "where the ids stood" jq -e '.placed_at == {"first": 0, "last": 127, "step": 1} and .positions == 128 and .probe == null' "$DIR/out"
status "dynamic: one more does" 1 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/dynamic.json" --positions 0:129
status "dynamic: text" 1 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/dynamic.json"
contains "the verdict says where" "$DIR/out" "at positions beyond the original context, above the tolerance"
contains "the probe is described" "$DIR/out" "64 positions from 0 to 252 in steps of 4, beyond the original context of 128"
status "another base is seen" 1 "$verify" "$llama" "$DIR/lost.gguf" --config "$DIR/base.json"
status "--strict refuses dynamic" 2 "$convert" "$llama" -o "$DIR/strict.gguf" --config "$DIR/dynamic.json" --strict
contains "--strict: says why" "$DIR/err" "runtime-ignores-rope"

# --- --rope-context ---
status "a baked file" 0 "$convert" "$llama" -o "$DIR/baked.gguf" --config "$DIR/dynamic.json" --rope-context 200 --strict --json
check "baked: no warning" jq -e '(.warnings // []) == []' "$DIR/out"
status "baked: keys" 0 "$BIN/lathe-inspect" "$DIR/baked.gguf" --metadata --json
check "baked: context and base" jq -e '[.. | objects | select(.key? == "llama.context_length") | .value] == [200]' "$DIR/out"
status "baked: agrees for its length" 0 "$verify" "$llama" "$DIR/baked.gguf" --config "$DIR/dynamic.json" --json
check "baked: probed to its end" jq -e '.probe.last < 200 and .probe.last > 128' "$DIR/out"
status "baked: and beyond it not" 1 "$verify" "$llama" "$DIR/baked.gguf" --config "$DIR/dynamic.json" --positions 0:256
status "a plain model is not changed" 0 "$convert" "$llama" -o "$DIR/same.gguf" --config "$DIR/plain.json" --rope-context 200 --strict --quiet
check "a plain model: the same bytes" cmp "$DIR/same.gguf" "$DIR/lost.gguf"
status "--rope-context 0" 2 "$convert" "$llama" -o "$DIR/no.gguf" --rope-context 0
contains "--rope-context 0: says why" "$DIR/err" "expected 1 to"
status "--rope-context of a GGUF" 2 "$convert" "$DIR/same.gguf" -o "$DIR/no.gguf" --rope-context 9
contains "--rope-context of a GGUF: says why" "$DIR/err" "--rope-context is for checkpoints"

# --- damage to one side of the description in the file ---
"$convert" "$llama" -o "$DIR/a.gguf" --force --quiet --config "$DIR/linear.json" --receipt none
sed 's/llama\.rope\.scaling\.factor/llama.rope.scaling.fuctor/' "$DIR/a.gguf" >"$DIR/b.gguf"
status "a key that was lost is seen" 1 "$verify" "$DIR/a.gguf" "$DIR/b.gguf" --json
check "and named" jq -e '[.warnings[].code] | index("rope-source-differs")' "$DIR/out"
sed 's/lathe\.rope\.source/lathe.rope.saurce/' "$DIR/odd.gguf" >"$DIR/b.gguf"
status "without the source's block the tensors tell" 0 "$verify" "$DIR/odd.gguf" "$DIR/b.gguf" --tolerance 1e-4

# --- --positions ---
for bad in 5 5:5 7:3 1:9:0 a:b -1:4 1:2:3:4 1:99999999999; do
    status "--positions $bad" 2 "$verify" "$llama" "--positions=$bad"
    contains "--positions $bad: says why" "$DIR/err" "START:END or START:END:STEP"
done
status "--positions beside --context" 2 "$verify" "$llama" --positions 0:9 --context 9
status "learned positions end" 2 "$verify" "$DATA/tiny-gpt2" --positions 250:260
contains "learned positions: says which" "$DIR/err" "learned positions, position"
finish

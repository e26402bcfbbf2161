# lathe-convert stopped in the middle: no output, no temporary file, 128 plus the signal's number.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
# A model that takes a second or more: 32 million weights that look like trained ones, quantized by one thread.
mkdir "$DIR/m" "$DIR/o"
rows=131072
jq -n --argjson v $rows '{architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_size: 256, intermediate_size: 256, num_hidden_layers: 1,
    num_attention_heads: 4, num_key_value_heads: 4, vocab_size: $v, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000.0,
    tie_word_embeddings: true, hidden_act: "silu"}' >"$DIR/m/config.json"
layer='["input_layernorm.weight", [256]], ["post_attention_layernorm.weight", [256]], ["self_attn.q_proj.weight", [256, 256]],
    ["self_attn.k_proj.weight", [256, 256]], ["self_attn.v_proj.weight", [256, 256]], ["self_attn.o_proj.weight", [256, 256]],
    ["mlp.gate_proj.weight", [256, 256]], ["mlp.up_proj.weight", [256, 256]], ["mlp.down_proj.weight", [256, 256]]'
jq -cjn --argjson v $rows "[[\"model.embed_tokens.weight\", [\$v, 256]], [\"model.norm.weight\", [256]]] + ([$layer] | map([\"model.layers.0.\" + .[0], .[1]]))
    | reduce .[] as \$t ({at: 0, out: {}}; (\$t[1] | reduce .[] as \$d (2; . * \$d)) as \$n
    | .out[\$t[0]] = {dtype: \"BF16\", shape: \$t[1], data_offsets: [.at, .at + \$n]} | .at += \$n) | .out" >"$DIR/header"
bytes=$(jq '[.[].data_offsets[1]] | max' "$DIR/header")
n=$(wc -c <"$DIR/header" | tr -d ' ')
b() { printf "\\$(printf %03o $(($1 & 255)))"; }
{
    b "$n"
    b $((n >> 8))
    b $((n >> 16))
    printf '\0\0\0\0\0'
    cat "$DIR/header"
    # BF16 with the high byte '<' lie between 2^-7 and 2^-6
    yes 'a<b<c<d<e<f<g<h<i<j<k<l<m<n<o<p<q<r<s<t<u<' | tr -d '\n' | head -c "$bytes"
} >"$DIR/m/model.safetensors"
status "the model is one" 0 "$convert" "$DIR/m" --dry-run

run() { exec "$convert" "$DIR/m" -o "$DIR/o/x.gguf" --type q6_k --threads 1 --quiet; }
for number in 15 1; do
    run 2>"$DIR/err" &
    pid=$!
    tries=0
    while [ -z "$(ls -A "$DIR/o")" ] && [ $tries -lt 500 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -$number $pid
    wait $pid
    equal "signal $number: exit status" $((128 + number)) $?
    equal "signal $number: nothing left" "" "$(ls -A "$DIR/o")"
done
timeout --preserve-status -s INT 0.3 "$convert" "$DIR/m" -o "$DIR/o/x.gguf" --type q6_k --threads 1 --quiet
equal "INT: exit status" 130 $?
equal "INT: nothing left" "" "$(ls -A "$DIR/o")"
echo precious >"$DIR/o/x.gguf"
timeout --preserve-status -s INT 0.3 "$convert" "$DIR/m" -o "$DIR/o/x.gguf" --type q6_k --threads 1 --quiet --force
equal "INT: exit status before a replacement" 130 $?
equal "INT: what was there stays" precious "$(cat "$DIR/o/x.gguf")"
equal "INT: alone" x.gguf "$(ls -A "$DIR/o")"
rm "$DIR/o/x.gguf"
(
    ulimit -f 1000
    exec "$convert" "$DIR/m" -o "$DIR/o/x.gguf" --quiet
) 2>"$DIR/err"
code=$?
case $code in 2 | 153) ok "file size limit: exit status" ;; *) fail "file size limit: exit status" "$code" ;; esac
equal "file size limit: nothing left" "" "$(ls -A "$DIR/o")"
status "and it works undisturbed" 0 "$convert" "$DIR/m" -o "$DIR/o/x.gguf" --type q6_k
finish

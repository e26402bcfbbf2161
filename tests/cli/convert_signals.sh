# lathe-convert stopped in the middle: no output, no temporary file, 128 plus the signal's number.
. tests/cli/lib.sh
convert=$BIN/lathe-convert
b() { printf "\\$(printf %03o $(($1 & 255)))"; }
# model DIR ROWS: a LLaMA with ROWS x 1024 embeddings, all zero, in a file that takes no room on the disk.
model() {
    mkdir "$1"
    jq -n --argjson v "$2" '{architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_size: 1024, intermediate_size: 256, num_hidden_layers: 1,
        num_attention_heads: 4, num_key_value_heads: 4, vocab_size: $v, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000.0,
        tie_word_embeddings: true, hidden_act: "silu"}' >"$1/config.json"
    layer='["input_layernorm.weight", [1024]], ["post_attention_layernorm.weight", [1024]], ["self_attn.q_proj.weight", [1024, 1024]],
        ["self_attn.k_proj.weight", [1024, 1024]], ["self_attn.v_proj.weight", [1024, 1024]], ["self_attn.o_proj.weight", [1024, 1024]],
        ["mlp.gate_proj.weight", [256, 1024]], ["mlp.up_proj.weight", [256, 1024]], ["mlp.down_proj.weight", [1024, 256]]'
    jq -cjn --argjson v "$2" "[[\"model.embed_tokens.weight\", [\$v, 1024]], [\"model.norm.weight\", [1024]]]
        + ([$layer] | map([\"model.layers.0.\" + .[0], .[1]]))
        | reduce .[] as \$t ({at: 0, out: {}}; (\$t[1] | reduce .[] as \$d (2; . * \$d)) as \$n
        | .out[\$t[0]] = {dtype: \"BF16\", shape: \$t[1], data_offsets: [.at, .at + \$n]} | .at += \$n) | .out" >"$DIR/header"
    n=$(wc -c <"$DIR/header" | tr -d ' ')
    {
        b "$n"
        b $((n >> 8))
        b $((n >> 16))
        printf '\0\0\0\0\0'
        cat "$DIR/header"
    } >"$1/model.safetensors"
    truncate -s +"$(jq '[.[].data_offsets[1]] | max' "$DIR/header")" "$1/model.safetensors"
}
# A gigabyte takes every machine a good part of a second, and is stopped long before.
model "$DIR/large" 524288
model "$DIR/small" 1024
mkdir "$DIR/o"
status "the model is one" 0 "$convert" "$DIR/large" --dry-run

# interrupt NUMBER OPTION...: the signal comes as soon as the temporary file is there. A shell starts background commands with INT
# ignored, and an ignored signal stays ignored: hence env.
interrupt() {
    number=$1
    shift
    before=$(ls -A "$DIR/o")
    env --default-signal "$convert" "$DIR/large" -o "$DIR/o/x.gguf" --type q6_k --threads 1 --quiet "$@" 2>"$DIR/err" &
    pid=$!
    tries=0
    while [ "$(ls -A "$DIR/o")" = "$before" ] && [ $tries -lt 1000 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -"$number" $pid
    wait $pid
}
for number in 15 1 2; do
    interrupt $number
    equal "signal $number: exit status" $((128 + number)) $?
    equal "signal $number: nothing left" "" "$(ls -A "$DIR/o")"
done
echo precious >"$DIR/o/x.gguf"
interrupt 2 --force
equal "INT: exit status before a replacement" 130 $?
equal "INT: what was there stays" precious "$(head -c 100 "$DIR/o/x.gguf" | tr -d '\0')"
equal "INT: alone" x.gguf "$(ls -A "$DIR/o")"
rm "$DIR/o/x.gguf"
(
    ulimit -f 1000
    exec "$convert" "$DIR/large" -o "$DIR/o/x.gguf" --quiet
) 2>"$DIR/err"
code=$?
case $code in 2 | 153) ok "file size limit: exit status" ;; *) fail "file size limit: exit status" "$code" ;; esac
equal "file size limit: nothing left" "" "$(ls -A "$DIR/o")"
status "and it works undisturbed" 0 "$convert" "$DIR/small" -o "$DIR/o/x.gguf" --type q6_k
finish

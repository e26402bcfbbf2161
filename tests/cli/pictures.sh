#!/bin/sh
# lathe-inspect's pictures: what goes with what, where they go, and that nothing colours a pipe. Values are checked in tests/unit and interop.
. tests/cli/lib.sh
llama=$DATA/tiny-llama
inspect=$BIN/lathe-inspect
prompt='The library reads a file and'

# attention: misuse
status "attention without a text" 2 "$inspect" "$llama" --attention
contains "and says which" "$DIR/err" "--prompt, --text and --tokens"
status "attention with two texts" 2 "$inspect" "$llama" --attention --prompt a --tokens "$llama/tokens.txt"
status "attention of two files" 2 "$inspect" "$llama" "$llama" --attention --prompt a
status "layer beyond the last" 2 "$inspect" "$llama" --attention --prompt "$prompt" --layer 2
contains "is named" "$DIR/err" "layer 2: expected 0 to 1"
status "head beyond the last" 2 "$inspect" "$llama" --attention --prompt "$prompt" --head 4
status "a prompt alone" 2 "$inspect" "$llama" --prompt "$prompt"
contains "belongs to attention" "$DIR/err" "--prompt goes with --attention"
for stray in "--clip 50" "--reduce rms" "--context 5" "--precision f64" "--positions causal" "--layer 1" "--against $llama"; do
    # shellcheck disable=SC2086
    status "$stray alone" 2 "$inspect" "$llama" $stray
    contains "is named" "$DIR/err" "${stray%% *} goes with"
done
status "reduce with attention" 2 "$inspect" "$llama" --attention --prompt a --reduce rms
status "an unknown kind of picture" 2 "$inspect" "$llama" --attention --prompt "$prompt" -o "$DIR/x.jpg"
contains "is named, too" "$DIR/err" ".png, .svg or .npy"
status "clip of nothing" 2 "$inspect" "$llama" --attention --prompt "$prompt" --clip 0
status "attention of other layers" 2 "$inspect" "$llama" --attention --prompt "$prompt" --against "$DATA/glm/chatglm1_gmask_prompt"
printf '1 2 99999' >"$DIR/ids"
status "an id outside the vocabulary" 2 "$inspect" "$llama" --attention --tokens "$DIR/ids" -o "$DIR/no.png"
check "leaves no picture" test ! -e "$DIR/no.png"

# attention: where it goes
for o in "--layer 1 --head 2" "--layer 1" "--head 2" ""; do
    for end in png svg npy; do
        # shellcheck disable=SC2086
        status "attention $o .$end" 0 "$inspect" "$llama" --attention --prompt "$prompt" $o -o "$DIR/a.$end" --threads 2
        [ $end != svg ] || continue
        cp "$DIR/a.$end" "$DIR/b.$end"
        # shellcheck disable=SC2086
        status "attention $o .$end again" 0 "$inspect" "$llama" --attention --prompt "$prompt" $o -o "$DIR/a.$end" --threads 1
        check "the same bytes" cmp "$DIR/a.$end" "$DIR/b.$end"
    done
done
equal "a PNG" "89504e470d0a1a0a" "$(od -An -tx1 -N8 "$DIR/a.png" | tr -d ' ')"
contains "an SVG" "$DIR/a.svg" '<svg xmlns="http://www.w3.org/2000/svg"'
contains "an array" "$DIR/a.npy" "'shape': (2, 4, "
esc=$(printf '\033')
status "attention on a pipe" 0 env COLORTERM=truecolor TERM=xterm-256color "$inspect" "$llama" --attention --prompt "$prompt" --layer 0 --head 0
check "has no escapes" sh -c "! grep -q '$esc' '$DIR/out'"
contains "has labels" "$DIR/out" "␣a"
status "attention in colour" 0 env COLORTERM=truecolor "$inspect" "$llama" --attention --prompt "$prompt" --color always
contains "true colour" "$DIR/out" "[48;2;"
status "attention in 256 colours" 0 env -u COLORTERM TERM=xterm-256color "$inspect" "$llama" --attention --prompt "$prompt" --color always
contains "256 colours" "$DIR/out" "[48;5;"
status "attention without colour" 0 env COLORTERM=truecolor "$inspect" "$llama" --attention --prompt "$prompt" --color never
check "none at all" sh -c "! grep -q '$esc' '$DIR/out'"
printf 'a\033[2J\tb\n\377' >"$DIR/odd.txt"
status "a text with controls" 0 "$inspect" "$llama" --attention --text "$DIR/odd.txt" --layer 0 --head 0
check "prints no control" sh -c "! grep -q '$esc' '$DIR/out'"

# attention: figures
status "attention as JSON" 0 "$inspect" "$llama" --attention --prompt "$prompt" --against "$llama" --json --context 5
status "attention of a form and itself" 0 "$inspect" "$llama" --attention --prompt "$prompt" --against "$llama"
contains "does not differ" "$DIR/out" 'no difference'
status "attention as JSON" 0 "$inspect" "$llama" --attention --prompt "$prompt" --against "$llama" --json --context 5
contains "no difference from itself" "$DIR/out" '"difference": 0,'
contains "the ids that were given" "$DIR/out" '"positions": 5'
if command -v jq >/dev/null; then
    check "JSON is one document" jq -e '.layers | length == 2 and (.[0].heads | length == 4)' "$DIR/out"
fi

# weights
"$BIN/lathe-convert" "$llama" -o "$DIR/l.gguf" --quiet && "$BIN/lathe-quantize" "$DIR/l.gguf" "$DIR/q.gguf" Q4_0 --quiet
q=model.layers.1.self_attn.q_proj.weight
status "two pictures at once" 2 "$inspect" "$llama" --heatmap $q --grid attn_q
status "reduce alone is a picture's" 2 "$inspect" "$llama" --heatmap $q --prompt a
status "a grid of no role" 2 "$inspect" "$llama" --grid attn_qkv
contains "says what there is" "$DIR/err" "attn_q, attn_k, attn_v"
mkdir "$DIR/alone" && cp "$llama/model.safetensors" "$DIR/alone"
status "a grid of no model" 2 "$inspect" "$DIR/alone" --grid attn_q
status "a second form without the tensor" 2 "$inspect" "$llama" --heatmap nothing --against "$DIR/q.gguf"
status "a second form of another model" 2 "$inspect" "$llama" --heatmap $q --against "$DATA/tiny-gpt2"
check "leaves nothing behind" test ! -e "$DIR/w.png"
for how in "--heatmap $q" "--heatmap $q --reduce absmax" "--heatmap $q --reduce rms --clip 99" "--grid ffn_down --reduce mean" "--grid attn_norm" "--histogram $q"; do
    for against in "" "--against $DIR/q.gguf"; do
        for end in png svg npy; do
            case $how-$end in --histogram*npy) continue ;; esac
            # shellcheck disable=SC2086
            status "$how $against .$end" 0 "$inspect" "$llama" $how $against -o "$DIR/w.$end" --threads 3
            [ $end = png ] || continue
            mv "$DIR/w.$end" "$DIR/v.$end"
            # shellcheck disable=SC2086
            status "$how $against .$end again" 0 "$inspect" "$llama" $how $against -o "$DIR/w.$end" --threads 1
            check "the same bytes" cmp "$DIR/w.$end" "$DIR/v.$end"
        done
        # shellcheck disable=SC2086
        status "$how $against as text" 0 "$inspect" "$llama" $how $against
        check "has no escapes" sh -c "! grep -q '$esc' '$DIR/out'"
        # shellcheck disable=SC2086
        status "$how $against as JSON" 0 "$inspect" "$llama" $how $against --json
        if command -v jq >/dev/null; then check "is one document" jq -e type "$DIR/out"; fi
    done
done
status "the GGUF's name, and sides turned" 0 "$inspect" "$DIR/q.gguf" --heatmap blk.1.attn_q.weight --against "$llama"
contains "names both" "$DIR/out" "blk.1.attn_q.weight: A and B"
"$BIN/lathe-convert" "$DATA/tiny-gpt2" -o "$DIR/g.gguf" --type f32 --quiet
for name in attn.c_attn.weight mlp.c_fc.weight ln_1.bias; do
    status "gpt2 $name, transposed, against its GGUF" 0 "$inspect" "$DATA/tiny-gpt2" --heatmap "transformer.h.1.$name" --against "$DIR/g.gguf" --json
    contains "is the same" "$DIR/out" '"max_abs_diff": 0,'
done
status "a form against itself" 0 "$inspect" "$llama" --heatmap $q --against "$llama" --json
contains "does not differ" "$DIR/out" '"max_abs_diff": 0,'
status "a histogram into numbers" 2 "$inspect" "$llama" --histogram $q -o "$DIR/h.npy"
finish

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
contains "no difference from itself" "$DIR/out" '"difference": 0,'
contains "the ids that were given" "$DIR/out" '"positions": 5'
if command -v jq >/dev/null; then
    check "JSON is one document" jq -e '.layers | length == 2 and (.[0].heads | length == 4)' "$DIR/out"
fi
finish

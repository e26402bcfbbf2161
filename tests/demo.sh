#!/bin/sh
# usage: demo.sh BIN_DIR: the main job on an embedded model, as a user would run it.
set -eu
bin=$1
model=tests/data/tiny-llama
out=build/demo
rm -rf "$out"
mkdir -p "$out"
run() {
    printf '\n$ %s\n' "$*"
    tool=$1
    shift
    "$bin/$tool" "$@"
}
echo "A real small model (trained on the King James Bible, see $model/../README.md) goes through all four tools."
run lathe-convert "$model" -o "$out/tiny.gguf"
run lathe-inspect "$out/tiny.gguf"
run lathe-verify "$model" "$out/tiny.gguf" --tokens "$model/tokens.txt"
run lathe-quantize "$out/tiny.gguf" "$out/tiny-q4_0.gguf" Q4_0
# Four bits are not the original: the tolerance says how much is acceptable here.
run lathe-verify "$model" "$out/tiny-q4_0.gguf" --tokens "$model/tokens.txt"
run lathe-inspect "$out/tiny-q4_0.gguf" --heatmap blk.0.attn_q.weight -o "$out/attn_q.png"
run lathe-inspect "$model" --attention --layer 1 --prompt "In the beginning God created the heaven and the earth." -o "$out/attention.png"
run lathe-inspect "$model" --against "$out/tiny-q4_0.gguf" --prompt "And God said, Let there be light." --html "$out/report.html"
echo
echo "A second family, GLM-4 (trained on classical Chinese poems), the same way."
glm=tests/data/tiny-glm4
run lathe-convert "$glm" -o "$out/poems.gguf"
run lathe-verify "$glm" "$out/poems.gguf" --tokens "$glm/tokens.txt"
printf '\nThe files are in %s.\n' "$out"

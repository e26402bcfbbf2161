#!/bin/sh
# usage: docs/gallery.sh BIN_DIR [SMOLLM2_DIR]: makes the pictures of docs/gallery.md in docs/pictures. SMOLLM2_DIR: SmolLM2-135M-Instruct as a
# Hugging Face folder; by default the one that tests/interop makes (its environment is installed if need be). The same inputs give the same bytes.
set -eu
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
smollm2=${2:-}
if [ -z "$smollm2" ]; then
    python=$(sh tests/interop/setup.sh | sed -n 1p)/bin/python
    smollm2=$("$python" tests/interop/smollm2.py)
fi
out=docs/pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
ln -s "$(cd "$smollm2" && pwd)" "$work/SmolLM2-135M" # a name for the titles
cd "$work"
inspect() { "$bin/lathe-inspect" "$@" --quiet; }
"$bin/lathe-convert" SmolLM2-135M -o smollm2-bf16.gguf --quiet
"$bin/lathe-quantize" smollm2-bf16.gguf smollm2-q4_0.gguf Q4_0 --quiet
"$bin/lathe-quantize" smollm2-bf16.gguf smollm2-q2_k.gguf Q2_K --quiet
capitals='The capital of France is Paris. The capital of Italy is Rome. The capital of Spain is'
# a long text of equal sentences, twice over
for country in Paris/France Rome/Italy Madrid/Spain Lisbon/Portugal Athens/Greece Vienna/Austria Berlin/Germany Warsaw/Poland Prague/Czechia \
    Budapest/Hungary Sofia/Bulgaria Bucharest/Romania Oslo/Norway Stockholm/Sweden Helsinki/Finland Copenhagen/Denmark Dublin/Ireland \
    London/England Brussels/Belgium Amsterdam/Holland Bern/Switzerland Kyiv/Ukraine Tokyo/Japan Seoul/Korea Beijing/China Hanoi/Vietnam \
    Bangkok/Thailand Manila/Philippines Delhi/India Kabul/Afghanistan Tehran/Iran Baghdad/Iraq Cairo/Egypt Nairobi/Kenya Lagos/Nigeria \
    Accra/Ghana Dakar/Senegal Lima/Peru Quito/Ecuador Santiago/Chile Havana/Cuba Ottawa/Canada Washington/America Canberra/Australia; do
    printf 'The capital of %s is %s. ' "${country#*/}" "${country%/*}"
done >once
for i in 1 2 3 4 5 6; do cat once; done >long

inspect SmolLM2-135M --heatmap model.layers.0.self_attn.k_proj.weight -o weights.png
inspect SmolLM2-135M --heatmap model.layers.3.self_attn.k_proj.weight --against smollm2-q4_0.gguf -o weights_against.png
inspect SmolLM2-135M --grid attn_k --reduce rms -o grid.png
inspect SmolLM2-135M --grid attn_norm --reduce absmax -o grid_norm.png
inspect SmolLM2-135M --histogram model.layers.3.self_attn.k_proj.weight --against smollm2-q4_0.gguf -o histogram.png
inspect SmolLM2-135M --attention --prompt "$capitals" --layer 17 --head 5 -o attention_head.png
inspect SmolLM2-135M --attention --prompt "$capitals" --layer 17 -o attention_layer.png
inspect SmolLM2-135M --attention --prompt "$capitals" -o attention_all.png
inspect SmolLM2-135M --attention --prompt "$capitals" --against smollm2-q2_k.gguf --layer 17 --head 5 -o attention_against.png
inspect SmolLM2-135M --attention --prompt "$capitals" --against smollm2-q2_k.gguf -o attention_against_all.png
inspect SmolLM2-135M --attention --text long --layer 17 --head 5 -o attention_long.png
inspect SmolLM2-135M --attention --layer 12 --head 4 -o attention_labels.png \
    --prompt "$(printf 'The capital is Paris. \345\267\264\351\273\216\346\230\257\346\263\225\345\233\275\347\232\204\351\246\226\351\203\275\343\200\202\360\237\230\200\tna\303\257ve\nline')"
# a sliding window, which the embedded model has not
cp -r "$OLDPWD/tests/data/tiny-llama" tiny-mistral
sed -i 's/LlamaForCausalLM/MistralForCausalLM/; s/"model_type": "llama"/"model_type": "mistral", "sliding_window": 6/' tiny-mistral/config.json
inspect tiny-mistral --attention --prompt 'The library reads a file and writes it' --layer 1 --head 0 -o attention_window.png
cd "$OLDPWD"
for picture in "$work"/*.png; do cp "$picture" "$out/"; done
ls -l "$out"/*.png | awk '{n += $5} END {print NR " pictures, " n " bytes"}'

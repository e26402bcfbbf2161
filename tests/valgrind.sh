#!/bin/sh
# usage: valgrind.sh BUILD_DIR [TEST...]: memcheck over the malformed files and the fuzz corpus (in one process each), a share of the malformed files
# through the tools, and the main jobs of each tool on tiny models; with TESTS only those programs of BUILD_DIR/tests. An invalid or uninitialised access
# and a block that is definitely lost are errors. Prints a line for each, and how many failed.
# The baseline's code runs: valgrind 3.19 does not know all of AVX2, nor AVX-512. What the sets have alike is compared elsewhere, under sanitizers too.
set -u
build=$(cd "$1" && pwd)
shift
bin=$build/bin
models=tests/vectors/families
tiny=tests/data/tiny-llama
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
LATHE_ROOT=$(pwd)
LATHE_CPU=baseline
LATHE_HOSTILE_SHARE=40
export LATHE_ROOT LATHE_CPU LATHE_HOSTILE_SHARE scratch

# Sources of the jobs, made undisturbed
"$bin/lathe-convert" "$models/llama-biases" -o "$scratch/llama.gguf" --quiet || exit 2
"$bin/lathe-convert" "$models/gpt2-scales" -o "$scratch/gpt2.gguf" --receipt none --quiet || exit 2
"$bin/lathe-convert" "$tiny" -o "$scratch/tiny.gguf" --type q8_0 --quiet || exit 2
"$bin/lathe-convert" "$scratch/llama.gguf" -o "$scratch/part.gguf" --split-max-size 8K --quiet || exit 2
seq 1 20 >"$scratch/ids"

# NAME COMMAND...; %s is the scratch folder
jobs() {
    if [ $# -gt 0 ]; then
        for test; do echo "$test $build/tests/$test"; done
        return
    fi
    cat <<JOBS
malformed $build/tests/test_hostile
corpus $build/tests/test_fuzz_corpus
tools $build/tests/test_hostile_tools
convert $bin/lathe-convert $models/llama-biases -o %s/o1.gguf
convert-gpt $bin/lathe-convert $models/gptneox -o %s/o2.gguf --type f16
convert-types $bin/lathe-convert $models/gpt2-scales -o %s/o3.gguf --type bf16 --receipt lean --json
convert-tokenizer $bin/lathe-convert $tiny -o %s/o4.gguf --type q4_k_m
convert-torch $bin/lathe-convert tests/data/tiny-gpt2 -o %s/o5.gguf
convert-split $bin/lathe-convert $models/llama-biases -o %s/o6.gguf --split-max-size 8K
merge-parts $bin/lathe-convert %s/part-00001-of-00003.gguf -o %s/o7.gguf
dry-run $bin/lathe-convert $models/llama-biases -o %s/o8.gguf --dry-run
resume $bin/lathe-convert $models/llama-biases -o %s/o9.gguf --resume
back $bin/lathe-convert %s/llama.gguf -o %s/back1
back-rebuilt $bin/lathe-convert %s/gpt2.gguf -o %s/back2
back-quantized $bin/lathe-convert %s/tiny.gguf -o %s/back3 --split-max-size 100K
quantize $bin/lathe-quantize %s/llama.gguf %s/q1.gguf q8_0 --damage
quantize-k $bin/lathe-quantize %s/tiny.gguf %s/q2.gguf q4_k_m --allow-requantize --threads 2
quantize-i $bin/lathe-quantize %s/tiny.gguf %s/q3.gguf iq4_nl --allow-requantize --kernels ref
collect-imatrix $bin/lathe-quantize --collect-imatrix $models/llama-biases --tokens %s/ids --context 16 -o %s/imatrix.gguf
inspect $bin/lathe-inspect $models/llama-biases
inspect-gguf $bin/lathe-inspect %s/tiny.gguf --metadata --tensors --config --json
stats $bin/lathe-inspect %s/tiny.gguf --stats --hash
audit $bin/lathe-inspect tests/data/tiny-gpt2/pytorch_model.bin --audit --all
diff $bin/lathe-inspect %s/llama.gguf %s/llama.gguf --diff
tokenize $bin/lathe-inspect %s/tiny.gguf --tokenize Hello
tokenizer-check $bin/lathe-inspect --tokenizer-check $tiny %s/tiny.gguf
heatmap $bin/lathe-inspect $models/llama-biases --heatmap model.norm.weight -o %s/h.png
attention $bin/lathe-inspect $models/llama-biases --attention --tokens %s/ids -o %s/a.svg
html $bin/lathe-inspect $models/llama-biases --html %s/r.html --against %s/llama.gguf --tokens %s/ids
verify $bin/lathe-verify $models/llama-biases %s/llama.gguf --tokens %s/ids --save-logits %s/l.npy
verify-f64 $bin/lathe-verify $models/gptneox --tokens %s/ids --precision f64
verify-plot $bin/lathe-verify $models/llama-biases %s/llama.gguf --tokens %s/ids --plot %s/p.png --points %s/p.csv
weights $bin/lathe-verify $models/llama-biases %s/llama.gguf --weights --json
trace $bin/lathe-verify $models/llama-biases %s/llama.gguf --trace --tokens %s/ids
JOBS
}

cat >"$scratch/one" <<'ONE'
name=$1
shift
log=$scratch/$name.log
valgrind -q --trace-children=yes --error-exitcode=97 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite --num-callers=16 \
    --log-file="$scratch/$name.memcheck.%p" "$@" >"$log" 2>&1
status=$?
cat "$scratch/$name.memcheck".* >"$scratch/$name.memcheck" 2>/dev/null
if [ "$status" = 0 ] && [ ! -s "$scratch/$name.memcheck" ]; then
    echo "ok $name"
else
    echo "FAIL $name: exit status $status"
    head -n 60 "$scratch/$name.memcheck"
    tail -n 20 "$log"
fi
ONE
jobs "$@" | sed "s|%s|$scratch|g" | xargs -P "$(nproc)" -I LINE sh -c "sh '$scratch/one' LINE" | tee "$scratch/lines"
bad=$(grep -ac '^FAIL ' "$scratch/lines")
echo "$(grep -ac '^ok ' "$scratch/lines") passed, $bad failed"
[ "$bad" = 0 ] && grep -aq '^ok ' "$scratch/lines"

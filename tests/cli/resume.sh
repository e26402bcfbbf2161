# --resume: a run that was killed goes on from OUT.partial and its journal, and ends with the same bytes.
. tests/cli/lib.sh
quantize=$BIN/lathe-quantize
in=$DIR/in.gguf
out=$DIR/o/out.gguf
mkdir "$DIR/o"
status "the source" 0 "$BIN/lathe-convert" "$DATA/tiny-llama" -o "$in" --type f32
seq 0 3 300 >"$DIR/ids"
status "an importance matrix" 0 "$quantize" --collect-imatrix "$in" --tokens "$DIR/ids" --context 32 -o "$DIR/im.gguf"
set -- Q8_0 --imatrix "$DIR/im.gguf" --tensor-type 'attn_[qo]=iq2_xs' # four tensors slow enough to be killed at
status "without interruption" 0 "$quantize" "$in" "$DIR/whole.gguf" "$@"
lines() { { wc -l <"$out.partial.journal"; } 2>/dev/null || echo 0; }
# interrupted SIGNAL N ARGUMENTS...: killed as soon as N tensors are noted
interrupted() {
    interrupted_signal=$1
    interrupted_n=$2
    shift 2
    "$@" >/dev/null 2>&1 &
    interrupted_pid=$!
    while [ "$(lines)" -le "$interrupted_n" ] && kill -0 $interrupted_pid 2>/dev/null; do sleep 0.005; done
    kill -"$interrupted_signal" $interrupted_pid 2>/dev/null
    wait $interrupted_pid 2>/dev/null
}
for case in KILL:1 TERM:5 KILL:10; do
    n=${case#*:}
    interrupted ${case%:*} $n "$quantize" "$in" "$out" "$@" --resume --threads 1
    check "$case: no output yet" test ! -e "$out"
    check "$case: the partial file stays" test -e "$out.partial"
    check "$case: with its journal" test "$(lines)" -gt "$n"
    status "$case: resumed" 0 "$quantize" "$in" "$out" "$@" --resume --threads 2
    check "$case: the same bytes" cmp "$DIR/whole.gguf" "$out"
    equal "$case: nothing else is left" out.gguf "$(ls -A "$DIR/o")"
    rm "$out"
done
# What does not fit is not used
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
printf X | dd of="$out.partial" bs=1 seek=200000 conv=notrunc 2>/dev/null # somewhere in the data
status "a changed partial file" 0 "$quantize" "$in" "$out" "$@" --resume
check "a changed partial file: the same bytes" cmp "$DIR/whole.gguf" "$out"
rm "$out"
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
truncate -s 1000 "$out.partial"
status "a short partial file" 0 "$quantize" "$in" "$out" "$@" --resume
check "a short partial file: the same bytes" cmp "$DIR/whole.gguf" "$out"
rm "$out"
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
sed -i '3s/1/2/;4s/^.*$/junk/' "$out.partial.journal"
status "a damaged journal" 0 "$quantize" "$in" "$out" "$@" --resume
check "a damaged journal: the same bytes" cmp "$DIR/whole.gguf" "$out"
rm "$out"
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
head -c 100000 /dev/urandom >"$out.partial.journal"
status "a journal of noise" 0 "$quantize" "$in" "$out" "$@" --resume
check "a journal of noise: the same bytes" cmp "$DIR/whole.gguf" "$out"
rm "$out"
# Each malformed journal of the table (tests/hostile/cases_small.c) behind a first line that fits
"$BIN/../tests/test_hostile" --dump "$DIR/hostile" journal
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
cp "$out.partial" "$DIR/partial"
head -n 1 "$out.partial.journal" >"$DIR/first"
while read -r _ case file _; do
    cp "$DIR/partial" "$out.partial"
    cat "$DIR/first" "$DIR/hostile/journal/$case/$file" >"$out.partial.journal"
    status "journal $case" 0 "$quantize" "$in" "$out" "$@" --resume
    check "journal $case: the same bytes" cmp "$DIR/whole.gguf" "$out"
    equal "journal $case: nothing else is left" out.gguf "$(ls -A "$DIR/o")"
    rm "$out"
done <"$DIR/hostile/LIST"
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
touch "$in"
status "a touched source" 0 "$quantize" "$in" "$out" "$@" --resume
check "a touched source: the same bytes" cmp "$DIR/whole.gguf" "$out"
rm "$out"
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
status "another recipe" 0 "$quantize" "$in" "$out" Q4_0 --resume
status "another recipe, alone" 0 "$quantize" "$in" "$DIR/k.gguf" Q4_0
check "another recipe: its bytes" cmp "$DIR/k.gguf" "$out"
rm "$out"
# A run without --resume leaves nothing and does not look
interrupted KILL 4 "$quantize" "$in" "$out" "$@" --resume --threads 1
cp "$out.partial.journal" "$DIR/j"
status "a run without --resume" 0 "$quantize" "$in" "$out" "$@"
check "a run without --resume: the same bytes" cmp "$DIR/whole.gguf" "$out"
check "a run without --resume: the notes are not touched" cmp "$DIR/j" "$out.partial.journal"
status "an existing output" 2 "$quantize" "$in" "$out" "$@" --resume
rm -rf "$DIR/o"
mkdir "$DIR/o"
# From a checkpoint, with a receipt of digests
status "convert without interruption" 0 "$BIN/lathe-convert" "$DATA/tiny-llama" -o "$DIR/c.gguf" --type "$@"
interrupted KILL 5 "$BIN/lathe-convert" "$DATA/tiny-llama" -o "$out" --type "$@" --resume --threads 1
status "convert resumed" 0 "$BIN/lathe-convert" "$DATA/tiny-llama" -o "$out" --type "$@" --resume
check "convert resumed: the same bytes" cmp "$DIR/c.gguf" "$out"
equal "convert resumed: nothing else is left" out.gguf "$(ls -A "$DIR/o")"
rm "$out"
ln -s "$DIR/elsewhere" "$out.partial"
status "a link in place of the partial file" 2 "$quantize" "$in" "$out" "$@" --resume
check "a link in place of the partial file: not followed" test ! -e "$DIR/elsewhere"
finish

# Disks that are full for real, outputs that are sources, folders that cannot be written, runs that meet, sources that change meanwhile.
# (Every call that can fail, one at a time: tests/unit/test_faults.c. Signals: convert_signals.sh.)
. tests/cli/lib.sh
convert=$BIN/lathe-convert
quantize=$BIN/lathe-quantize
inspect=$BIN/lathe-inspect
verify=$BIN/lathe-verify
src=tests/vectors/families/llama-biases
status "a source" 0 "$convert" "$src" -o "$DIR/a.gguf" --quiet
sum=$(sha256sum <"$DIR/a.gguf")
mkdir "$DIR/o"

# refused NAME TEXT COMMAND...: exit 2, a line that names the tool and holds TEXT, the source as it was
refused() {
    refused_name=$1
    refused_text=$2
    shift 2
    status "$refused_name" 2 "$@"
    contains "$refused_name: says why" "$DIR/err" "$refused_text"
    equal "$refused_name: names the tool" 1 "$(head -n 1 "$DIR/err" | grep -c '^lathe-[a-z]*: ')"
    equal "$refused_name: the source is whole" "$sum" "$(sha256sum <"$DIR/a.gguf")"
}

# The output is the source, whatever it is called
ln "$DIR/a.gguf" "$DIR/o/hard.gguf"
ln -s "$DIR/a.gguf" "$DIR/o/soft.gguf"
refused "output is the source" "source" "$quantize" "$DIR/a.gguf" "$DIR/a.gguf" q8_0 --force --quiet
refused "by hard link" "source" "$quantize" "$DIR/a.gguf" "$DIR/o/hard.gguf" q8_0 --force --quiet
refused "by symbolic link" "source" "$quantize" "$DIR/a.gguf" "$DIR/o/soft.gguf" q8_0 --force --quiet
refused "source by symbolic link" "source" "$quantize" "$DIR/o/soft.gguf" "$DIR/a.gguf" q8_0 --force --quiet
refused "by another way through the folders" "source" "$convert" "$DIR/a.gguf" -o "$DIR/o/../a.gguf" --force --quiet
seq 1 30 >"$DIR/ids"
status "an importance matrix" 0 "$quantize" --collect-imatrix "$DIR/a.gguf" --tokens "$DIR/ids" --context 16 -o "$DIR/im.gguf" --quiet
cp "$DIR/im.gguf" "$DIR/o/im.gguf"
refused "output is the importance matrix" "source" "$quantize" "$DIR/a.gguf" "$DIR/o/im.gguf" q8_0 --imatrix "$DIR/o/im.gguf" --force --quiet
check "... which is whole" cmp "$DIR/im.gguf" "$DIR/o/im.gguf"
for name in x.png x.svg x.npy; do
    ln "$DIR/a.gguf" "$DIR/o/$name"
    refused "a picture is the source: $name" "source" "$inspect" "$DIR/a.gguf" --heatmap output_norm.weight -o "$DIR/o/$name"
    rm "$DIR/o/$name"
    ln -s "$DIR/a.gguf" "$DIR/o/$name"
    refused "a picture is the source by symbolic link: $name" "source" "$inspect" "$DIR/a.gguf" --heatmap output_norm.weight -o "$DIR/o/$name"
    rm "$DIR/o/$name"
done
refused "a page is the source" "source" "$inspect" "$DIR/a.gguf" --html "$DIR/a.gguf"
refused "logits are the source" "source" "$verify" "$src" "$DIR/a.gguf" --tokens "$src/tokens.txt" --save-logits "$DIR/a.gguf"
refused "an importance matrix is the source" "source" "$quantize" --collect-imatrix "$DIR/a.gguf" --tokens "$DIR/ids" --context 16 -o "$DIR/a.gguf" --force
rm "$DIR/o/im.gguf" "$DIR/o/hard.gguf" "$DIR/o/soft.gguf"

# Standard output that takes nothing: whoever asked gets an answer, or 2
refused "a full standard output" "space" sh -c "$BIN/lathe-inspect '$DIR/a.gguf' --tensors >/dev/full"
# untold NAME COMMAND...: what cannot be told leaves no file: 2 for a full device and where PIPE is ignored, else PIPE's number
untold() {
    untold_name=$1
    shift
    refused "$untold_name, a full standard output" "space" sh -c '"$@" >/dev/full' - "$@"
    equal "$untold_name, a full standard output: no file" "" "$(ls -A "$DIR/o")"
    sh -c 'sleep 0.05; "$@"; echo $? >"$0"' "$DIR/code" "$@" 2>/dev/null | :
    equal "$untold_name, a closed pipe" 141 "$(cat "$DIR/code")"
    sh -c 'trap "" PIPE; sleep 0.05; "$@"; echo $? >"$0"' "$DIR/code" "$@" 2>"$DIR/err" | :
    equal "$untold_name, a closed pipe that is ignored" 2 "$(cat "$DIR/code")"
    contains "$untold_name, a closed pipe that is ignored: says why" "$DIR/err" "standard output"
    equal "$untold_name, a closed pipe: no file" "" "$(ls -A "$DIR/o")"
}
untold convert "$convert" "$DIR/a.gguf" -o "$DIR/o/x.gguf"
untold "parts" "$convert" "$DIR/a.gguf" -o "$DIR/o/x.gguf" --split-max-size 8K --json
untold "a folder" "$convert" "$DIR/a.gguf" -o "$DIR/o/x"
untold quantize "$quantize" "$DIR/a.gguf" "$DIR/o/x.gguf" q8_0 --json
untold "an importance matrix" "$quantize" --collect-imatrix "$DIR/a.gguf" --tokens "$DIR/ids" --context 16 -o "$DIR/o/x.gguf"
untold "a picture" "$inspect" "$DIR/a.gguf" --heatmap output_norm.weight -o "$DIR/o/x.svg"
untold "a page" "$inspect" "$DIR/a.gguf" --html "$DIR/o/x.html" --json
untold "logits" "$verify" "$src" "$DIR/a.gguf" --tokens "$src/tokens.txt" --save-logits "$DIR/o/x.npy" --points "$DIR/o/x.csv"

# A name that another kind of thing has
mkdir "$DIR/o/folder.gguf"
refused "a folder has the name" "folder" "$quantize" "$DIR/a.gguf" "$DIR/o/folder.gguf" q8_0 --force --quiet
rmdir "$DIR/o/folder.gguf"
refused "the folder is not there" "folder" "$convert" "$DIR/a.gguf" -o "$DIR/none/x.gguf" --quiet
for kind in fifo /dev/null; do
    name=$DIR/o/$kind
    if [ $kind = fifo ]; then mkfifo "$name"; else name=/dev/null; fi
    status "a source that is no file: $kind" 2 timeout 20 "$BIN/lathe-inspect" "$name"
done
rm "$DIR/o/fifo"

# Two runs onto one output: one of them is told, and what is there is whole
"$convert" "$src" -o "$DIR/o/x.gguf" --quiet 2>"$DIR/err1" &
first=$!
"$convert" "$src" -o "$DIR/o/x.gguf" --quiet 2>"$DIR/err2"
code2=$?
wait $first
code1=$?
case $code1$code2 in 02 | 20) ok "two runs: one is refused" ;; *) fail "two runs: one is refused" "$code1 and $code2" ;; esac
equal "two runs: alone" x.gguf "$(ls -A "$DIR/o")"
equal "two runs: whole" "$sum" "$(sha256sum <"$DIR/o/x.gguf")"
rm "$DIR/o/x.gguf"

# Parts that were being replaced when the run was killed: every mixture of old and new ones is refused, and the next run puts it right
mkdir "$DIR/old" "$DIR/new"
status "old parts" 0 "$convert" "$DIR/a.gguf" -o "$DIR/old/x.gguf" --split-max-size 8K --receipt none --quiet
status "new parts" 0 "$convert" "$DIR/a.gguf" -o "$DIR/new/x.gguf" --split-max-size 8K --quiet
last=$(ls "$DIR/new" | tail -n 1)
for renamed in "$last" "$(ls "$DIR/new" | tail -n 2)"; do
    cp "$DIR"/old/* "$DIR/o"
    for part in $renamed; do cp "$DIR/new/$part" "$DIR/o"; done
    status "a mixture of parts" 2 "$inspect" "$DIR/o/$(ls "$DIR/o" | head -n 1)"
    rm -f "$DIR"/o/*
done

# What killed runs leave: other processes' names go, those of living ones and of other outputs stay
: >"$DIR/o/.x.gguf.partial.4194303999-0"
: >"$DIR/o/.x.gguf.partial.999999999-7"
: >"$DIR/o/.y.gguf.partial.999999999-7"
: >"$DIR/o/.x.gguf.partial.$$-0"
: >"$DIR/o/.x.gguf.partial.999999999-7.txt"
status "a run after killed ones" 0 "$convert" "$src" -o "$DIR/o/x.gguf" --quiet
# the number of this shell has no place of its own among the names: it is told apart
check "... keeps a living one's" test -e "$DIR/o/.x.gguf.partial.$$-0"
equal "takes away what is nobody's" ".x.gguf.partial.4194303999-0 .x.gguf.partial.999999999-7.txt .y.gguf.partial.999999999-7 x.gguf" \
    "$(ls -A "$DIR/o" | grep -vxF ".x.gguf.partial.$$-0" | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')"
rm -r "$DIR/o"
mkdir "$DIR/o"

# A source that is cut, replaced or written to while it is read: never an output made of two
changes() {
    cp "$DIR/a.gguf" "$DIR/s.gguf"
    (
        n=0
        while [ $n -lt 60 ]; do
            case $1 in
            shrinks) truncate -s 20000 "$DIR/s.gguf" && truncate -s 26624 "$DIR/s.gguf" ;;
            written) printf x | dd of="$DIR/s.gguf" bs=1 seek=20000 conv=notrunc 2>/dev/null ;;
            esac
            n=$((n + 1))
        done
    ) &
    changer=$!
    bad=
    for i in 1 2 3 4; do
        "$quantize" "$DIR/s.gguf" "$DIR/o/x.gguf" f32 --force --quiet 2>"$DIR/err"
        code=$?
        case $code in
        0) "$BIN/lathe-inspect" "$DIR/o/x.gguf" --tensors >/dev/null 2>&1 || bad="$bad unreadable" ;;
        2) [ "$(grep -c '^lathe-quantize: ' "$DIR/err")" = 1 ] || bad="$bad silent" ;;
        *) bad="$bad $code" ;;
        esac
    done
    wait $changer
    equal "a source that $1: 0 or 2" "" "$bad"
    rm -f "$DIR/o/x.gguf"
    equal "a source that $1: nothing left" "" "$(ls -A "$DIR/o")"
}
changes shrinks
changes "written"

# A small disk and a read-only one, where the system lets us mount them
if unshare -rm sh -c "mount -t tmpfs -o size=1m none '$DIR/o'" 2>/dev/null; then
    cat >"$DIR/small.sh" <<'END'
size=$1 convert=$2 src=$3 dir=$4 sum=$5
mount -t tmpfs -o size="$size" none "$dir/o" || exit 9
"$convert" "$src" -o "$dir/o/x.gguf" --quiet 2>"$dir/err"
code=$?
left=$(ls -A "$dir/o")
case $code in
0) [ "$left" = x.gguf ] && [ "$(sha256sum <"$dir/o/x.gguf")" = "$sum" ] || exit 8 ;;
2) [ -z "$left" ] && grep -q 'no space left' "$dir/err" || exit 7 ;;
*) exit 6 ;;
esac
exit $code
END
    fits=0
    for size in 4k 8k 16k 20k 24k 28k 32k 64k; do
        unshare -rm sh "$DIR/small.sh" $size "$convert" "$src" "$DIR" "$sum"
        case $? in 0) fits=$((fits + 1)) ;; 2) ok "a disk of $size: refused, nothing left" ;; *) fail "a disk of $size" "$(cat "$DIR/err")" ;; esac
    done
    equal "disks that are large enough" 3 $fits
    unshare -rm sh -c "mount -t tmpfs -o size=1m none '$DIR/o' && mount -o remount,ro '$DIR/o' && '$convert' '$src' -o '$DIR/o/x.gguf' --quiet" 2>"$DIR/err"
    equal "a read-only disk" 2 $?
    contains "a read-only disk: says why" "$DIR/err" "ead-only"
    # read_only NAME ARGUMENTS...: the tool of that name there
    read_only() {
        read_only_name=$1
        shift
        unshare -rm sh -c 'mount -t tmpfs -o size=1m none "$0" && mount -o remount,ro "$0" && "$@"' "$DIR/o" "$BIN/lathe-$read_only_name" "$@" >/dev/null 2>"$DIR/err"
        equal "a read-only disk, $read_only_name: $1 $2" 2 $?
        contains "a read-only disk, $read_only_name: says why" "$DIR/err" "ead-only"
    }
    read_only convert "$DIR/a.gguf" -o "$DIR/o/x"
    read_only convert "$DIR/a.gguf" -o "$DIR/o/x.gguf" --split-max-size 8K
    read_only quantize "$DIR/a.gguf" "$DIR/o/x.gguf" q8_0
    read_only quantize "$DIR/a.gguf" "$DIR/o/x.gguf" q8_0 --resume
    read_only quantize --collect-imatrix "$DIR/a.gguf" --tokens "$DIR/ids" --context 16 -o "$DIR/o/x.gguf"
    read_only inspect "$DIR/a.gguf" --heatmap output_norm.weight -o "$DIR/o/x.png"
    read_only inspect "$DIR/a.gguf" --html "$DIR/o/x.html"
    read_only verify "$src" "$DIR/a.gguf" --tokens "$src/tokens.txt" --save-logits "$DIR/o/x.npy"
    read_only verify "$src" "$DIR/a.gguf" --tokens "$src/tokens.txt" --plot "$DIR/o/x.png"
else
    ok "no mounts here: small disks are left out"
fi
finish

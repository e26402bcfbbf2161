#!/bin/sh
# usage: front_end.sh BIN DIR: what all tools share on the command line, called by both of their names.
. tests/cli/lib.sh

status "help" 0 "$BIN/lathe" help
cp "$DIR/out" "$DIR/help"
equal "help is silent on stderr" "" "$(cat "$DIR/err")"
for word in --help -h; do
    status "lathe $word" 0 "$BIN/lathe" "$word"
    check "lathe $word is the same text" cmp "$DIR/out" "$DIR/help"
done
status "bare call" 2 "$BIN/lathe"
check "bare call helps on stderr" cmp "$DIR/err" "$DIR/help"
equal "bare call is silent on stdout" "" "$(cat "$DIR/out")"
status "version" 0 "$BIN/lathe" --version
equal "version text" "lathe 0.1.0" "$(cat "$DIR/out")"
status "mistyped tool" 2 "$BIN/lathe" quantise x
equal "mistyped tool: suggestion" "lathe: unknown tool 'quantise'; did you mean 'quantize'?" "$(cat "$DIR/err")"
status "unknown tool" 2 "$BIN/lathe" "$(printf 'a\033b')"
contains "unknown tool: escaped" "$DIR/err" "lathe: unknown tool 'a\\x1bb'"
status "help on an unknown tool" 2 "$BIN/lathe" help frobnicate
contains "help on an unknown tool: text" "$DIR/err" "lathe: unknown tool 'frobnicate'"

for tool in convert inspect quantize verify; do
    name=lathe-$tool
    contains "$tool is in the help" "$DIR/help" "  $tool "
    status "$name --help" 0 "$BIN/$name" --help
    cp "$DIR/out" "$DIR/tool"
    equal "$name --help is silent on stderr" "" "$(cat "$DIR/err")"
    equal "$name --help begins with its usage" "usage: $name" "$(head -n 1 "$DIR/tool" | cut -d ' ' -f 1-2)"
    contains "$name --help has examples" "$DIR/tool" "examples:"
    contains "$name --help ends with the exit statuses" "$DIR/tool" "exit status:"
    equal "$name --help fits 100 columns" "" "$(awk 'length > 100' "$DIR/tool")"
    status "lathe $tool --help" 0 "$BIN/lathe" "$tool" --help
    check "lathe $tool --help is the same text" cmp "$DIR/out" "$DIR/tool"
    status "lathe help $tool" 0 "$BIN/lathe" help "$tool"
    check "lathe help $tool is the same text" cmp "$DIR/out" "$DIR/tool"
    status "$name --version" 0 "$BIN/$name" --version
    equal "$name --version text" "$name 0.1.0" "$(head -n 1 "$DIR/out")"
    status "$name bare" 2 "$BIN/$name"
    equal "$name bare: silent on stdout" "" "$(cat "$DIR/out")"
    contains "$name bare: usage on stderr" "$DIR/err" "usage: $name"
    status "$name with a mistyped option" 2 "$BIN/$name" --quite x
    equal "$name with a mistyped option: text" "$name: unknown option '--quite'; did you mean '--quiet'?" "$(cat "$DIR/err")"
    status "$name with a mistyped option and --json" 2 "$BIN/$name" --quite --json x
    contains "$name: the error as JSON" "$DIR/out" '"status": "usage"'
    "$BIN/$name" --help >/dev/full 2>"$DIR/err"
    equal "$name --help to a full disk" 2 $?
    contains "$name --help to a full disk: text" "$DIR/err" "$name: cannot write to standard output"
    "$BIN/$name" --help >&- 2>"$DIR/err"
    equal "$name --help with stdout closed" 2 $?
    contains "$name --help with stdout closed: text" "$DIR/err" "$name: cannot write to standard output"
done
finish

# lathe-inspect --html: one page that loads nothing, whatever the names in a file are. What it does in a browser: tests/interop/test_html.py.
. tests/cli/lib.sh
INSPECT=$BIN/lathe-inspect
llama=$DATA/tiny-llama

# Elements open and close in pairs, apart from those that have no end; scripts and styles are left out, a page has one style and two scripts.
balanced() {
    awk 'BEGIN { RS = "<" }
        NR == 1 { next }
        {
            tag = $0; sub(/[ \t\n>].*/, "", tag); tag = tolower(tag)
            if (skip != "") { if (tag == "/" skip) { skip = ""; n-- } ; next }
            if (tag == "!doctype" || tag == "meta" || tag == "input") next
            if (tag ~ /^\//) { if (n < 1 || stack[n] != substr(tag, 2)) { print "</" substr(tag, 2) "> closes <" stack[n] ">"; exit 1 } ; n--; next }
            if (tag !~ /^[a-z][a-z0-9]*$/) { print "odd tag <" tag; exit 1 }
            stack[++n] = tag
            if (tag == "script" || tag == "style") skip = tag
        }
        END { if (n != 0 || skip != "") { print n " elements are open"; exit 1 } }' "$1"
}
# The tags alone, without what stands between them
tags() { awk 'BEGIN { RS = "<" } NR > 1 { sub(/>.*/, ""); print }' "$1"; }
# page NAME FILE: what holds for every page
page() {
    check "$1: elements are balanced" balanced "$2"
    equal "$1: two scripts, no more" "2 2" "$(grep -c '<script' "$2") $(grep -o '</script' "$2" | wc -l | tr -d ' ')"
    tags "$2" >"$DIR/tags"
    equal "$1: no tag loads anything" 0 "$(grep -cE '^(img|link|iframe|object|embed|base|video|audio|source|svg)| src(set)?=| action=|http-equiv="refresh|url\(| on[a-z]+=' "$DIR/tags")"
    equal "$1: nor does style or script" 0 "$(grep -cE '@import|url\(|fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(' "$2")"
    equal "$1: links stay on the page" 0 "$(grep -oE 'href="[^"]*"' "$DIR/tags" | grep -cv '^href="#')"
    equal "$1: no address anywhere" 0 "$(grep -cE 'https?://' "$2")"
    contains "$1: a policy that forbids the rest" "$2" "default-src 'none'"
    sed -n 's/.*<script type="application\/json" id="data">\(.*\)<\/script>/\1/p' "$2" >"$DIR/data.json"
    check "$1: the data are JSON" jq -e '.palettes.viridis and (.heat | type == "array")' "$DIR/data.json"
}

status "a folder" 0 "$INSPECT" "$llama" --html "$DIR/a.html"
contains "says what it wrote" "$DIR/out" "$DIR/a.html: 20 tensors"
page "a folder" "$DIR/a.html"
equal "a row for each tensor" 20 "$(grep -c '^<tr data-type="BF16"' "$DIR/a.html")"
check "no attention without a text" sh -c '! grep -q "id=\"attention\"" "$1"' sh "$DIR/a.html"
status "with a text and another form" 0 "$BIN/lathe-convert" "$llama" -o "$DIR/q4.gguf" --type Q4_K_M --quiet
status "of it" 0 "$INSPECT" "$llama" --html "$DIR/b.html" --against "$DIR/q4.gguf" --prompt "the king of the land" --json
check "JSON names the page" jq -e --arg p "$DIR/b.html" '.output == $p and .size_bytes > 50000' "$DIR/out"
page "with a text and another form" "$DIR/b.html"
n=$(jq .attention.n "$DIR/data.json")
equal "every layer's heads" "2 4" "$(jq -r '.attention | "\(.layers) \(.heads)"' "$DIR/data.json")"
equal "of both models" "$((4 * n * (n + 1) / 2)) $((4 * n * (n + 1) / 2))" \
    "$(jq -r '.attention.a[1]' "$DIR/data.json" | base64 -d | wc -c | tr -d ' ') $(jq -r '.attention.b[0]' "$DIR/data.json" | base64 -d | wc -c | tr -d ' ')"
# Rows sum to 1, which is 255: the last query of the first head
sum=$(jq -r '.attention.a[0]' "$DIR/data.json" | base64 -d | head -c $((n * (n + 1) / 2)) | tail -c "$n" | od -An -v -tu1 | awk '{for (i = 1; i <= NF; i++) s += $i} END {print s}')
check "a row's probabilities sum to 1" test "$sum" -ge $((255 - n)) -a "$sum" -le $((255 + n))
check "a text for each token" jq -e '.attention | (.tokens | length) == .n and all(.tokens[]; length > 0)' "$DIR/data.json"
contains "verify's figures" "$DIR/b.html" "KL(A‖B)"
contains "errors" "$DIR/b.html" ">largest error</th>"

# Where a query sees what comes after it, rows are whole: each of them sums to 1.
status "a prefix that all queries see" 0 "$INSPECT" "$DATA/glm/glm2021_gmask" --tokens "$DATA/glm/glm2021_gmask/input_ids.npy" --html "$DIR/p.html"
page "a prefix that all queries see" "$DIR/p.html"
check "is told" jq -e '.attention | .full and .prefix == 8 and .n == 16' "$DIR/data.json"
equal "rows that sum to 1" "64 of 64" "$(jq -r '.attention.a[2]' "$DIR/data.json" | base64 -d | od -An -v -tu1 -w16 | awk '{s = 0; for (i = 1; i <= NF; i++) s += $i; n += s > 239 && s < 271} END {print n " of " NR}')"

# The same bytes for any number of threads, and from wherever the model is named
status "again with one thread" 0 "$INSPECT" "$PWD/$llama" --html "$DIR/c.html" --against "$DIR/q4.gguf" --prompt "the king of the land" --threads 1
check "the same bytes" cmp "$DIR/b.html" "$DIR/c.html"

# Names that want out
header='{"</script><script>x()</script>":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"\"><img src=x onerror=x()>":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]},"<!--":{"dtype":"F32","shape":[1],"data_offsets":[32,36]},"{{data}}":{"dtype":"I64","shape":[0],"data_offsets":[36,36]},"__metadata__":{"<b>":"</table>&amp;"}}'
{
    printf "\\$(printf %o $((${#header} % 256)))\\$(printf %o $((${#header} / 256)))\\0\\0\\0\\0\\0\\0"
    printf %s "$header"
    head -c 36 /dev/zero
} >"$DIR/hostile.safetensors"
status "hostile names" 0 "$INSPECT" "$DIR/hostile.safetensors" --html "$DIR/h.html"
page "hostile names" "$DIR/h.html"
contains "are shown as text" "$DIR/h.html" '<th scope="row">&lt;/script&gt;&lt;script&gt;x()&lt;/script&gt;</th>'
contains "metadata, too" "$DIR/h.html" '&lt;/table&gt;&amp;amp;'
equal "whole in the data" '</script><script>x()</script>' "$(jq -r '.heat[0].name' "$DIR/data.json")"
status "a hostile text" 0 "$INSPECT" "$llama" --html "$DIR/t.html" --prompt '</script><!-- <script>'
page "a hostile text" "$DIR/t.html"

status "a page is replaced" 0 "$INSPECT" "$llama" --html "$DIR/a.html" --quiet
equal "quietly" "" "$(cat "$DIR/out")"
cp "$DIR/hostile.safetensors" "$DIR/own.safetensors"
status "never its own source" 2 "$INSPECT" "$DIR/own.safetensors" --html "$DIR/own.safetensors"
check "which stays" cmp "$DIR/hostile.safetensors" "$DIR/own.safetensors"
status "nor the other's" 2 "$INSPECT" "$llama" --against "$DIR/q4.gguf" --html "$DIR/q4.gguf"
status "no such folder" 2 "$INSPECT" "$llama" --html "$DIR/nothing/x.html"
status "two checkpoints" 2 "$INSPECT" "$llama" "$DATA/tiny-gpt2" --html "$DIR/x.html"
status "a text and no model" 2 "$INSPECT" "$DIR/hostile.safetensors" --html "$DIR/x.html" --prompt a
status "with another picture" 2 "$INSPECT" "$llama" --html "$DIR/x.html" --heatmap model.norm.weight
status "one head of it" 2 "$INSPECT" "$llama" --html "$DIR/x.html" --prompt a --head 1
equal "no page and nothing half-written" "" "$(ls -A "$DIR" | grep -E '^x.html|partial')"
finish

"""Text that is hard on tokenizers, the same at every run: lines of all Unicode blocks, code, numbers, runs of white space, control characters,
emoji, words of many languages, broken UTF-8."""
import random
import unicodedata

SEED = 20
SENTENCES = [
    "The quick brown fox jumps over the lazy dog, doesn't it?", "It's 7:30pm; we'll've been there -- I'd say they're LATE, aren't THEY'RE?",
    "Über den Wölken muß die Freiheit wohl grenzenlos sein.", "El veloz murciélago hindú comía feliz cardillo y kiwi.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.", "Zażółć gęślą jaźń.", "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.", "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.", "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر", "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "你好，世界！天地玄黃，宇宙洪荒。", "いろはにほへと ちりぬるを わかよたれそ", "키스의 고유조건은 입술끼리 만나야 하고", "Chào mừng bạn đến với Việt Nam, đất nước tươi đẹp.",
    "Türkçe: İstanbul'da ığdır ısı, I i İ ı.", "ﬁne ﬂuffy oﬃce, ① ② ½ ⅓ Ⅷ ㎏ ℃ ﷺ", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇯🇵 ☺️ 🤖🚀 ❤️‍🔥", "a̐é̂x̌ e\u0301 n\u0303 o\u0308 \u1100\u1161\u11a8 \u0915\u093c",
    "https://example.org/a/b?c=d&e=%20f#g user@mail.example.com C:\\Users\\x", "x = (a+b)*c/d - 1.5e-10 % 3 ** 2 // 4 != 0x7fFF & ~y | z ^ 1 << 3;",
    "1 12 123 1234 12345 1,234,567.89 ١٢٣ ৪৫৬ ²³ Ⅳ 1st 2nd 3.14159 2024-01-31T23:59:59Z", "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D 'ſ x'sy it'S I'LL",
]
CODE = [
    "def f(x, *args, **kw) -> int:", "    return {k: v for k, v in x.items() if v is not None}  # comment", "\t\tif (a[i] >= b->c && !(*p++)) { goto out; }",
    "#include <stdio.h>", "for (int i = 0; i < n; ++i) printf(\"%d\\n\", i);", "SELECT * FROM t WHERE a='b' AND c IN (1,2,3);--x", "<div class=\"a b\">&nbsp;</div><!-- x -->",
    "fn main() -> Result<(), Box<dyn Error>> { println!(\"{:?}\", vec![1u8; 4]); Ok(()) }", "$ git log --oneline | head -n 3 && echo \"$HOME\" > /dev/null 2>&1",
    "{\"key\": [1, 2.5e3, null, true, \"\\u00e9\\n\"]}", "\\begin{equation} \\sum_{i=0}^{n} x_i^2 \\end{equation}", "@@ -1,3 +1,4 @@ fooBar snake_case CamelCase SCREAMING_CASE kebab-case",
]
SPACES = [" ", "\t", "\r", "\x0b", "\x0c", "\u00a0", "\u2003", "\u3000", "\u200b", "\u1680", "\u2028", "\u180e", "\u0085", "\ufeff"]
CONTROLS = ["\x00", "\x01", "\x07", "\x08", "\x1b", "\x1c", "\x1f", "\x7f", "\x9f", "\u200d", "\u200e", "\u202e", "\ufffd", "\ufffe", "\U0010ffff", "\ue000"]


def assigned():
    """All characters that this Python knows, but surrogates, in blocks of 128."""
    blocks = []
    for start in range(0, 0x110000, 128):
        if 0xAC80 <= start < 0xD780 and start % 1024 or 0x4E80 <= start < 0x9F80 and start % 1024 or 0x17080 <= start < 0x18800 and start % 1024:
            continue  # the middle of Hangul, Han and Tangut is more of the same
        if 0x20080 <= start < 0x31380 and start % 8192 or 0xF0000 <= start:
            continue
        chars = [chr(c) for c in range(start, start + 128) if unicodedata.category(chr(c)) not in ("Cn", "Cs") and c != 10]
        if chars:
            blocks.append(chars)
    return blocks


def _mix(r, blocks):
    kind = r.randrange(8)
    if kind == 0:
        return r.choice(SENTENCES)
    if kind == 1:
        return r.choice(CODE)
    if kind == 2:
        return r.choice(SPACES) * r.randrange(1, 40)
    if kind == 3:
        return "".join(r.choice("0123456789") for _ in range(r.randrange(1, 24)))
    if kind == 4:
        return "".join(r.choice(r.choice(blocks)) for _ in range(r.randrange(1, 12)))
    if kind == 5:
        return r.choice(CONTROLS)
    if kind == 6:
        return "".join(r.choice("aeioutnshrdlABCXYZ'-_.,!?") for _ in range(r.randrange(1, 30)))
    return r.choice(["'", "''", "\"", "...", "——", "…", "‘s", "’s", "’ll", " ", "  ", "   ", "\t", "\r", "_", "▁", "Ġ", "</w>", "##", "##a", "<0x41>"])


def lines(n=6000, specials=()):
    """n lines of valid text without line feeds. `specials` are strewn in where given."""
    r = random.Random(SEED)
    blocks = assigned()
    out = [s for s in SENTENCES + CODE]
    for chars in blocks:  # every block: as a word, spaced, and beside ASCII
        out.append("".join(chars))
        out.append(" ".join(chars[:48]) + " ")
        out.append("a" + "b1 ".join(r.choice(chars) for _ in range(12)))
    out += [c * k for c in SPACES for k in (1, 2, 3, 7, 16, 17, 80, 81, 255)]
    out += [a + c * k + b for c in SPACES[:8] for k in (1, 2, 5) for a, b in (("x", "y"), ("", "y"), ("x", ""), ("1", "."), (".", "1"))]
    out += ["", "a", "'", "é", "▁", "a" * 300, "ab" * 400, "é" * 200, "!" * 100, "1" * 100, " a" * 100, "\r\r\r", "x\r\r y", "\r x"]
    while len(out) < n:
        line = "".join(_mix(r, blocks) + r.choice(["", "", " ", " "]) for _ in range(r.randrange(1, 9)))
        if specials and r.randrange(3) == 0:
            at = r.randrange(len(line) + 1)
            line = line[:at] + r.choice(["", " ", "  "]) + r.choice(list(specials)) + r.choice(["", " ", "\t"]) + line[at:]
        out.append(line)
    return out


def broken(n=400):
    """Lines of bytes that are no UTF-8, without line feeds."""
    r = random.Random(SEED + 1)
    parts = [b"\x80", b"\xbf", b"\xc0\xaf", b"\xc3", b"\xe2\x82", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf5", b"\xf4\x90\x80\x80",
             b"\xff", b"\xfe\xff", b"\xf0\x9f", b"\xe4\xbd", b"\xf8\x88\x80\x80\x80"]
    out = []
    for _ in range(n):
        line = b""
        for _ in range(r.randrange(1, 6)):
            line += r.choice(SENTENCES).encode()[: r.randrange(0, 40)].replace(b"\n", b"") + r.choice(parts) + r.choice([b"", b" ", b"a", b"\xc3\xa9"])
        out.append(line)
    return out

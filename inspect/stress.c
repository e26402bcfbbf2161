#include "inspect/stress.h"

#include "base/utf8.h"

#include <string.h>

enum { SWEEP_END = 0x32000, SWEEP_LINE = 24, ADDED_MAX = 400 };

struct stress {
    enum status (*take)(void *arg, const char *text, size_t n, struct error *err);
    void *arg;
    struct error *err;
};

static const char *const texts[] = {
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "It's 7:30pm; we'll've been there -- I'd say they're LATE, aren't THEY'RE? 'S 'LL '\u017f",
    "Über den Wölken muß die Freiheit grenzenlos sein. Le cœur déçu mais l'âme plutôt naïve. Zażółć gęślą jaźń.",
    "Съешь же ещё этих мягких французских булок. Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.",
    "דג סקרן שט בים מאוכזב. نص حكيم له سر قاطع وذو شأن عظيم",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा. เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "你好，世界！天地玄黃，宇宙洪荒。いろはにほへと ちりぬるを カタカナ。 키스의 고유조건은",
    "Chào mừng bạn đến với Việt Nam. İstanbul'da ığdır ısı, I i İ ı.",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇯🇵 ☺️ 🤖🚀 ❤️‍🔥", "ﬁne ﬂuffy oﬃce ① ② ½ ⅓ Ⅷ ㎏ ℃ ﷺ e\u0301 n\u0303 \u1112\u1161\u11ab",
    "1 12 123 1234 12345 1,234,567.89 ١٢٣ ৪৫৬ ²³ 0x7fFF 1e-10 2024-01-31T23:59:59Z",
    "def f(x, *args, **kw) -> int:\n    return {k: v for k, v in x.items()}  # comment\n\n\n",
    "\t\tif (a[i] >= b->c && !(*p++)) { goto out; }\r\n\r\n#include <stdio.h>\r\n",
    "{\"key\": [1, 2.5e3, null, true, \"\\u00e9\\n\"]} <div class=\"a b\">&nbsp;</div> \\begin{equation}",
    "https://example.org/a/b?c=d&e=%20f#g C:\\Users\\x snake_case CamelCase kebab-case",
    "\u2581 \u2581\u2581a \u0120x </w> ##ing <0x41> <|none|> [X]", "", " ", "\n", " \n ", "a", " a", "a ", "'", "\xc2\xa0", "\xe3\x80\x80",
};
static const char *const blanks[] = {" ", "\t", "\n", "\r", "\r\n", "\x0b", "\xc2\xa0", "\xe2\x80\x83", "\xe3\x80\x80", "\xe2\x80\xa8", "\xc2\x85"};
static const char *const broken[] = {("a\xff" "b"), "\x80", "\xc3", "x \xe2\x82 y", "\xe0\x80\xaf", "\xed\xa0\x80z", "\xf0\x9f\x98", "\xf4\x90\x80\x80 \xfe",
                                     "caf\xc3 au lait", "\xe4\xbd\xa0\xe5\xa5"};

static enum status take(const struct stress *s, const struct buf *b)
{
    TRY(buf_check(b, s->err));
    return s->take(s->arg, b->data ? b->data : "", b->len, s->err);
}

static enum status take_texts(const struct stress *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) TRY(s->take(s->arg, list[i], strlen(list[i]), s->err));
    return STATUS_OK;
}

static enum status take_runs(const struct stress *s, struct buf *b)
{
    static const size_t lengths[] = {1, 2, 3, 4, 7, 16, 17, 80, 81, 300};
    for (size_t i = 0; i < sizeof blanks / sizeof blanks[0]; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            b->len = 0;
            if (k % 2 == 0) buf_puts(b, "x");
            for (size_t j = 0; j < lengths[k]; j++) buf_puts(b, blanks[i]);
            if (k % 3 != 0) buf_puts(b, "y1");
            TRY(take(s, b));
        }
    return STATUS_OK;
}

/* Every third character from the first to the last plane with letters, in lines, now and then beside ASCII; NUL and controls are among them. */
static enum status take_sweep(const struct stress *s, struct buf *b)
{
    uint32_t code = 0;
    while (code < SWEEP_END) {
        b->len = 0;
        for (int i = 0; i < SWEEP_LINE && code < SWEEP_END; i++, code += code < 0x3400 ? 1 : 7) {
            char utf8[4];
            if (code >= 0xD800 && code < 0xE000) code = 0xE000;
            if (code >= 0x3400 && i % 5 == 0) buf_puts(b, i % 2 ? " a" : "1");
            buf_append(b, utf8, utf8_encode(code, utf8));
        }
        TRY(take(s, b));
    }
    return STATUS_OK;
}

static enum status take_added(const struct stress *s, const struct tokenizer *t, struct buf *b)
{
    for (size_t i = 0; i < t->n_added && i < ADDED_MAX; i++) {
        const struct kv_string *text = &t->added[i].text;
        static const char *const around[][2] = {{"", ""}, {"a ", " b"}, {"a", "b"}, {"\n ", "\t"}};
        b->len = 0;
        for (size_t k = 0; k < sizeof around / sizeof around[0]; k++) {
            buf_puts(b, around[k][0]);
            buf_append(b, text->s, text->len);
            buf_puts(b, around[k][1]);
        }
        TRY(take(s, b));
    }
    return STATUS_OK;
}

enum status stress_texts(const struct tokenizer *t,
                         enum status (*take_one)(void *arg, const char *text, size_t n, struct error *err), void *arg,
                         struct error *err)
{
    const struct stress s = {take_one, arg, err};
    struct buf b = {0};
    enum status st = take_texts(&s, texts, sizeof texts / sizeof texts[0]);
    if (st == STATUS_OK) st = take_texts(&s, broken, sizeof broken / sizeof broken[0]);
    if (st == STATUS_OK) st = take_runs(&s, &b);
    if (st == STATUS_OK) st = take_sweep(&s, &b);
    if (st == STATUS_OK) st = take_added(&s, t, &b);
    buf_clear(&b);
    return st;
}

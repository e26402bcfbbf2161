#include "formats/tok_normalize.h"

#include "base/utf8.h"
#include "formats/tok_charsmap.h"
#include "formats/tok_regex.h"
#include "formats/tok_unicode.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 128 };

struct norm_step;
typedef enum status norm_fn(struct norm_step *s, const char *text, size_t n, struct buf *out,
                            struct error *err);
struct norm_step {
    norm_fn *run;
    enum normal_form form;
    bool left, right;                                  /* Strip */
    bool clean, spaces, accents, lower;                /* BertNormalizer */
    char *text;                                        /* Prepend, Replace */
    char *literal;                                     /* Replace: pattern */
    struct regex *regex;                               /* or this */
    unsigned char *table;                              /* Precompiled */
    struct charsmap map;
    struct buf out;
};
struct normalizer {
    struct norm_step steps[STEPS_MAX];
    size_t n_steps;
};

static bool is(const char *s, const char *want)
{
    return s && strcmp(s, want) == 0;
}

static bool is_ascii(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 0x80) return false;
    return true;
}

/* --- one character after the other --- */

static enum status run_form(struct norm_step *s, const char *text, size_t n, struct buf *out,
                            struct error *err)
{
    if (!is_ascii(text, n)) return unicode_normalize(s->form, text, n, out, err);
    buf_append(out, text, n);
    return buf_check(out, err);
}

static enum status run_lowercase(struct norm_step *s, const char *text, size_t n, struct buf *out,
                                 struct error *err)
{
    uint32_t code;
    (void)s;
    for (size_t i = 0; i < n; i += utf8_decode(text + i, n - i, NULL)) {
        utf8_decode(text + i, n - i, &code);
        unicode_lower(code, out);
    }
    return buf_check(out, err);
}

/* Copies the characters that have none of the classes. */
static enum status copy_without(unsigned classes, const char *text, size_t n, struct buf *out,
                                struct error *err)
{
    uint32_t code;
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_decode(text + i, n - i, &code);
        if (!(uclass_of(code) & classes)) buf_append(out, text + i, len);
    }
    return buf_check(out, err);
}

static enum status run_strip_accents(struct norm_step *s, const char *text, size_t n, struct buf *out,
                                     struct error *err)
{
    (void)s;
    return copy_without(UCLASS_MARK, text, n, out, err);
}

static enum status run_strip(struct norm_step *s, const char *text, size_t n, struct buf *out,
                             struct error *err)
{
    uint32_t code;
    size_t first = n, end = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_decode(text + i, n - i, &code);
        if (uclass_of(code) & UCLASS_SPACE) continue;
        if (first == n) first = i;
        end = i + len;
    }
    if (!s->left) first = 0;
    if (!s->right) end = n;
    if (end > first) buf_append(out, text + first, end - first);
    return buf_check(out, err);
}

static enum status run_prepend(struct norm_step *s, const char *text, size_t n, struct buf *out,
                               struct error *err)
{
    if (n > 0) buf_puts(out, s->text);
    buf_append(out, text, n);
    return buf_check(out, err);
}

static enum status run_replace(struct norm_step *s, const char *text, size_t n, struct buf *out,
                               struct error *err)
{
    size_t at = 0, start = 0, end = 0, literal = s->literal ? strlen(s->literal) : 0;
    for (bool found = true; found && at < n;) {
        if (s->regex) {
            TRY(regex_next(s->regex, text, n, at, &start, &end, &found, err));
        } else {
            const char *hit = memmem(text + at, n - at, s->literal, literal);
            found = hit != NULL;
            start = hit ? (size_t)(hit - text) : n;
            end = start + literal;
        }
        if (!found) break;
        buf_append(out, text + at, start - at);
        buf_puts(out, s->text);
        at = end;
    }
    buf_append(out, text + at, n - at);
    return buf_check(out, err);
}

/* --- BertNormalizer --- */

static bool is_chinese(uint32_t c)
{
    static const uint32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                         {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static enum status bert_clean(const struct norm_step *s, const char *text, size_t n, struct buf *out,
                              struct error *err)
{
    uint32_t c;
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_decode(text + i, n - i, &c);
        unsigned class = uclass_of(c);
        bool blank = c == '\t' || c == '\n' || c == '\r';
        if (s->clean && (c == 0 || c == 0xFFFD || ((class & UCLASS_OTHER) && !blank))) continue;
        bool pad = s->spaces && is_chinese(c);
        if (pad) buf_puts(out, " ");
        if (s->clean && (blank || (class & UCLASS_SPACE)))
            buf_puts(out, " ");
        else
            buf_append(out, text + i, len);
        if (pad) buf_puts(out, " ");
    }
    return buf_check(out, err);
}

static enum status run_bert(struct norm_step *s, const char *text, size_t n, struct buf *out,
                            struct error *err)
{
    struct buf clean = {0}, forms = {0}, bare = {0};
    enum status st;
    TRY_OUT(bert_clean(s, text, n, &clean, err));
    struct buf *from = &clean;
    if (s->accents && clean.len > 0 && !is_ascii(clean.data, clean.len)) {
        TRY_OUT(unicode_normalize(FORM_NFD, clean.data, clean.len, &forms, err));
        TRY_OUT(copy_without(UCLASS_NONSPACING, forms.data, forms.len, &bare, err));
        from = &bare;
    }
    if (s->lower)
        st = run_lowercase(s, from->data, from->len, out, err);
    else
        buf_append(out, from->data ? from->data : "", from->len);
    if (st == STATUS_OK) st = buf_check(out, err);
out:
    buf_clear(&clean);
    buf_clear(&forms);
    buf_clear(&bare);
    return st;
}

/* --- Nmt, Precompiled --- */

static enum status run_nmt(struct norm_step *s, const char *text, size_t n, struct buf *out,
                           struct error *err)
{
    uint32_t c;
    (void)s;
    for (size_t i = 0, len; i < n; i += len) {
        len = utf8_decode(text + i, n - i, &c);
        if ((c >= 1 && c <= 8) || c == 11 || (c >= 14 && c <= 31) || c == 127 || c == 143 || c == 159)
            continue;
        bool blank = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
        if (blank)
            buf_puts(out, " ");
        else
            buf_append(out, text + i, len);
    }
    return buf_check(out, err);
}

/* A short cluster that begins with a text of the table becomes its replacement, whatever follows in it: so does the library, and
 * vocabularies were made with it. */
static enum status run_precompiled(struct norm_step *s, const char *text, size_t n, struct buf *out,
                                   struct error *err)
{
    const char *to = NULL;
    size_t to_len = 0;
    for (size_t i = 0; i < n;) {
        size_t cluster = unicode_grapheme(text + i, n - i);
        if (cluster < 6 && charsmap_find(&s->map, text + i, cluster, true, &to, &to_len) > 0) {
            buf_append(out, to, to_len);
            i += cluster;
            continue;
        }
        for (size_t end = i + cluster, len; i < end; i += len) {
            len = utf8_decode(text + i, end - i, NULL);
            bool hit = charsmap_find(&s->map, text + i, len, true, &to, &to_len) > 0;
            buf_append(out, hit ? to : text + i, hit ? to_len : len);
        }
    }
    return buf_check(out, err);
}

/* --- from JSON --- */

static enum status copy_string(char **dst, const char *text, const char *what, struct error *err)
{
    if (!text) return error_set(err, STATUS_FORMAT, "normalizer: %s, expected a string", what);
    *dst = strdup(text);
    return *dst ? STATUS_OK : error_nomem(err, strlen(text));
}

static enum status read_replace(struct norm_step *s, const struct jvalue *v, struct error *err)
{
    const struct jvalue *pattern = json_get(v, "pattern");
    const char *regex = json_string(json_get(pattern, "Regex")),
               *literal = json_string(json_get(pattern, "String"));
    s->run = run_replace;
    TRY(copy_string(&s->text, json_string(json_get(v, "content")), "content of Replace", err));
    if (regex) return regex_new(&s->regex, regex, err);
    TRY(copy_string(&s->literal, literal, "pattern of Replace", err));
    return *literal ? STATUS_OK : error_set(err, STATUS_FORMAT, "normalizer: an empty pattern");
}

static enum status read_bert(struct norm_step *s, const struct jvalue *v, struct error *err)
{
    const struct jvalue *accents = json_get(v, "strip_accents");
    (void)err;
    s->run = run_bert;
    s->clean = json_is_true(json_get(v, "clean_text"));
    s->spaces = json_is_true(json_get(v, "handle_chinese_chars"));
    s->lower = json_is_true(json_get(v, "lowercase"));
    s->accents = json_is(accents, JTYPE_BOOL) ? json_is_true(accents) : s->lower;
    return STATUS_OK;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

static enum status read_precompiled(struct norm_step *s, const struct jvalue *v, struct error *err)
{
    const char *text = json_string(json_get(v, "precompiled_charsmap"));
    if (!text) return error_set(err, STATUS_FORMAT, "normalizer: Precompiled without its table");
    size_t len = strlen(text), n = 0;
    while (len > 0 && text[len - 1] == '=') len--;
    s->table = malloc(len / 4 * 3 + 4);
    if (!s->table) return error_nomem(err, len);
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        int d = base64_digit(text[i]);
        if (d < 0) return error_set(err, STATUS_FORMAT, "normalizer: the table of Precompiled is no base64");
        bits = bits << 6 | (uint32_t)d;
        if (i % 4 != 0) s->table[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    s->run = run_precompiled;
    return charsmap_open(&s->map, s->table, n, err);
}

static enum status read_step(struct norm_step *s, const char *type, const struct jvalue *v, struct error *err)
{
    static const struct {
        const char *type;
        norm_fn *run;
        enum normal_form form;
    } plain[] = {{"NFC", run_form, FORM_NFC},
                 {"NFD", run_form, FORM_NFD},
                 {"NFKC", run_form, FORM_NFKC},
                 {"NFKD", run_form, FORM_NFKD},
                 {"Lowercase", run_lowercase, FORM_NFC},
                 {"StripAccents", run_strip_accents, FORM_NFC},
                 {"Nmt", run_nmt, FORM_NFC}};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (is(type, plain[i].type)) {
            s->run = plain[i].run;
            s->form = plain[i].form;
            return STATUS_OK;
        }
    if (is(type, "Replace")) return read_replace(s, v, err);
    if (is(type, "BertNormalizer")) return read_bert(s, v, err);
    if (is(type, "Precompiled")) return read_precompiled(s, v, err);
    if (is(type, "Prepend")) {
        s->run = run_prepend;
        return copy_string(&s->text, json_string(json_get(v, "prepend")), "text of Prepend", err);
    }
    if (is(type, "Strip")) {
        s->run = run_strip;
        s->left = json_is_true(json_get(v, "strip_left"));
        s->right = json_is_true(json_get(v, "strip_right"));
        return STATUS_OK;
    }
    return error_set(err, STATUS_UNSUPPORTED, "normalizer: kind '%.60s' is not known here",
                     type ? type : "(none)");
}

static enum status add_steps(struct normalizer *z, const struct jvalue *v, int depth, struct error *err)
{
    const char *type = json_string(json_get(v, "type"));
    if (is(type, "Sequence") && depth < 4) {
        for (const struct jvalue *e = json_first(json_get(v, "normalizers")); e; e = json_next(e))
            TRY(add_steps(z, e, depth + 1, err));
        return STATUS_OK;
    }
    if (z->n_steps == STEPS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "normalizer: more than %d steps", STEPS_MAX);
    return read_step(&z->steps[z->n_steps++], type, v, err);
}

enum status normalizer_new(struct normalizer **out, const struct jvalue *v, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct normalizer), err));
    struct normalizer *z = mem;
    enum status st = v && !json_is(v, JTYPE_NULL) ? add_steps(z, v, 0, err) : STATUS_OK;
    if (st != STATUS_OK) {
        normalizer_free(z);
        return st;
    }
    *out = z;
    return STATUS_OK;
}

void normalizer_free(struct normalizer *z)
{
    if (!z) return;
    for (size_t i = 0; i < z->n_steps; i++) {
        struct norm_step *s = &z->steps[i];
        free(s->text);
        free(s->literal);
        regex_free(s->regex);
        free(s->table);
        buf_clear(&s->out);
    }
    free(z);
}

enum status normalizer_run(struct normalizer *z, const char **s, size_t *n, struct error *err)
{
    for (size_t i = 0; i < z->n_steps; i++) {
        struct buf *out = &z->steps[i].out;
        out->len = 0;
        TRY(z->steps[i].run(&z->steps[i], *s, *n, out, err));
        *s = out->data ? out->data : "";
        *n = out->len;
    }
    return STATUS_OK;
}

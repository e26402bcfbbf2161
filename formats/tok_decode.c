#include "formats/tok_decode.h"

#include "base/utf8.h"
#include "formats/tok_bytes.h"
#include "formats/tok_regex.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 128 };
static const char unknown_surface[] = " \u2047 ";

/* Texts of the tokens on their way through the steps */
struct texts {
    struct kv_string *items;
    size_t n;
    struct arena mem;
};
struct decode_step;
typedef enum status decode_fn(const struct decoder *d, const struct decode_step *s, struct texts *t,
                              struct error *err);
struct decode_step {
    decode_fn *run;
    char *pattern, *content; /* Replace; Strip: content; BPEDecoder, WordPiece: pattern */
    struct regex *regex;
    double start, stop;      /* Strip: how many at most */
    bool prefixed, squeezed; /* Metaspace, SentencePiece: text began with a mark of its own; all marks there go */
    bool cleanup;
};
struct decoder {
    const struct tokenizer *t;
    struct decode_step steps[STEPS_MAX];
    size_t n_steps;
    const int32_t *ids; /* of the run */
    int32_t *added;     /* by id: index into t->added, -1 */
};

static bool is(const char *s, const char *want)
{
    return s && strcmp(s, want) == 0;
}

static enum status set_text(struct texts *t, size_t i, struct buf *b, struct error *err)
{
    TRY(buf_check(b, err));
    char *copy = arena_strndup(&t->mem, b->data ? b->data : "", b->len);
    if (!copy) return error_nomem(err, b->len);
    t->items[i] = (struct kv_string){copy, b->len};
    return STATUS_OK;
}

/* All texts as one */
static enum status fuse(struct texts *t, struct buf *b, struct error *err)
{
    if (t->n == 0) return STATUS_OK;
    t->n = 1;
    return set_text(t, 0, b, err);
}

/* --- steps --- */

static enum status run_byte_level(const struct decoder *d, const struct decode_step *s, struct texts *t,
                                  struct error *err)
{
    struct buf b = {0};
    (void)d, (void)s;
    for (size_t i = 0; i < t->n; i++)
        if (!bytes_from_alphabet(t->items[i].s, t->items[i].len, &b))
            buf_append(&b, t->items[i].s, t->items[i].len);
    enum status st = fuse(t, &b, err);
    buf_clear(&b);
    return st;
}

static void flush_bytes(struct buf *bytes, struct buf *out)
{
    if (bytes->len > 0 && utf8_check(bytes->data, bytes->len) == bytes->len)
        buf_append(out, bytes->data, bytes->len);
    else
        for (size_t i = 0; i < bytes->len; i++) buf_puts(out, "\uFFFD");
    bytes->len = 0;
}

/* Neighbouring byte tokens become one text; the others keep theirs. */
static enum status run_byte_fallback(const struct decoder *d, const struct decode_step *s, struct texts *t,
                                     struct error *err)
{
    struct buf bytes = {0}, out = {0};
    enum status st = STATUS_OK;
    size_t kept = 0;
    (void)d, (void)s;
    for (size_t i = 0; i <= t->n && st == STATUS_OK; i++) {
        int byte = i < t->n ? byte_token_value(t->items[i].s, t->items[i].len) : -1;
        if (byte >= 0) {
            buf_append(&bytes, &(char){(char)byte}, 1);
            continue;
        }
        struct kv_string other = i < t->n ? t->items[i] : (struct kv_string){NULL, 0};
        if (bytes.len > 0) {
            out.len = 0;
            flush_bytes(&bytes, &out);
            st = set_text(t, kept++, &out, err);
        }
        if (other.s) t->items[kept++] = other;
    }
    t->n = kept;
    if (st == STATUS_OK) st = buf_check(&bytes, err);
    buf_clear(&bytes);
    buf_clear(&out);
    return st;
}

static enum status run_fuse(const struct decoder *d, const struct decode_step *s, struct texts *t, struct error *err)
{
    struct buf b = {0};
    (void)d, (void)s;
    for (size_t i = 0; i < t->n; i++) buf_append(&b, t->items[i].s, t->items[i].len);
    enum status st = fuse(t, &b, err);
    buf_clear(&b);
    return st;
}

static enum status replace_one(const struct decode_step *s, const struct kv_string *text, struct buf *b,
                               struct error *err)
{
    if (!s->regex) {
        text_replace(text->s, text->len, s->pattern, s->content, b);
        return STATUS_OK;
    }
    if (utf8_check(text->s, text->len) != text->len)
        return error_set(err, STATUS_FORMAT, "decoder: a token is not UTF-8, and a pattern is to be found in it");
    size_t at = 0, start, end;
    for (bool found = true; at < text->len; at = end) {
        TRY(regex_next(s->regex, text->s, text->len, at, &start, &end, &found, err));
        if (!found) break;
        buf_append(b, text->s + at, start - at);
        buf_puts(b, s->content);
    }
    buf_append(b, text->s + at, text->len - at);
    return STATUS_OK;
}

static enum status run_replace(const struct decoder *d, const struct decode_step *s, struct texts *t,
                               struct error *err)
{
    struct buf b = {0};
    enum status st = STATUS_OK;
    (void)d;
    for (size_t i = 0; i < t->n && st == STATUS_OK; i++) {
        b.len = 0;
        st = replace_one(s, &t->items[i], &b, err);
        if (st == STATUS_OK) st = set_text(t, i, &b, err);
    }
    buf_clear(&b);
    return st;
}

static enum status run_strip(const struct decoder *d, const struct decode_step *s, struct texts *t, struct error *err)
{
    size_t len = strlen(s->content);
    (void)d, (void)err;
    for (size_t i = 0; i < t->n; i++) {
        struct kv_string *text = &t->items[i];
        for (double k = 0; k < s->start && text->len >= len && memcmp(text->s, s->content, len) == 0; k++) {
            text->s += len;
            text->len -= len;
        }
        for (double k = 0; k < s->stop && text->len >= len &&
                           memcmp(text->s + text->len - len, s->content, len) == 0;
             k++)
            text->len -= len;
    }
    return STATUS_OK;
}

static enum status run_metaspace(const struct decoder *d, const struct decode_step *s, struct texts *t,
                                 struct error *err)
{
    struct buf b = {0};
    enum status st = STATUS_OK;
    (void)d;
    for (size_t i = 0; i < t->n && st == STATUS_OK; i++) {
        b.len = 0;
        text_replace(t->items[i].s, t->items[i].len, s->pattern, i == 0 && s->prefixed ? "" : " ", &b);
        st = set_text(t, i, &b, err);
    }
    buf_clear(&b);
    return st;
}

static enum status run_bpe(const struct decoder *d, const struct decode_step *s, struct texts *t, struct error *err)
{
    struct buf b = {0};
    enum status st = STATUS_OK;
    (void)d;
    for (size_t i = 0; i < t->n && st == STATUS_OK; i++) {
        b.len = 0;
        text_replace(t->items[i].s, t->items[i].len, s->pattern, i + 1 == t->n ? "" : " ", &b);
        st = set_text(t, i, &b, err);
    }
    buf_clear(&b);
    return st;
}

static void flush_sentence_bytes(struct buf *bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes->len;) {
        size_t len = utf8_decode(bytes->data + i, bytes->len - i, NULL);
        if (len > 0)
            buf_append(out, bytes->data + i, len);
        else
            buf_puts(out, "\uFFFD");
        i += len > 0 ? len : 1;
    }
    bytes->len = 0;
}

/* Control tokens have no text, byte tokens are put together, a mark at the start is the dummy prefix. */
static enum status run_sentence_piece(const struct decoder *d, const struct decode_step *s, struct texts *t,
                                      struct error *err)
{
    struct buf bytes = {0}, out = {0};
    bool at_start = true, seen = false;
    for (size_t i = 0; i < t->n; i++) {
        struct kv_string text = t->items[i];
        int32_t type = d->t->types ? d->t->types[d->ids[i]] : TOKEN_NORMAL;
        if (type == TOKEN_BYTE) {
            buf_append(&bytes, &(char){(char)byte_token_value(text.s, text.len)}, 1);
            continue;
        }
        flush_sentence_bytes(&bytes, &out);
        if (seen || out.len > 0) at_start = false;
        seen = false;
        if (type == TOKEN_CONTROL || type == TOKEN_UNUSED) continue;
        if (type == TOKEN_UNKNOWN) {
            buf_puts(&out, unknown_surface);
            continue;
        }
        bool mark = at_start && (s->prefixed || s->squeezed) && text.len >= SPACE_MARK_LEN &&
                    memcmp(text.s, SPACE_MARK, SPACE_MARK_LEN) == 0;
        seen = mark && !s->squeezed;
        size_t skip = mark ? SPACE_MARK_LEN : 0;
        text_replace(text.s + skip, text.len - skip, SPACE_MARK, " ", &out);
    }
    flush_sentence_bytes(&bytes, &out);
    enum status st = buf_check(&bytes, err);
    if (st == STATUS_OK) st = fuse(t, &out, err);
    buf_clear(&bytes);
    buf_clear(&out);
    return st;
}

/* A text that begins with the prefix goes on with the word, any other begins one. */
static enum status run_word_piece(const struct decoder *d, const struct decode_step *s, struct texts *t,
                                  struct error *err)
{
    static const char *const tidy[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
                                          {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
                                          {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    struct buf b = {0}, other = {0};
    enum status st = STATUS_OK;
    size_t len = strlen(s->pattern);
    (void)d;
    for (size_t i = 0; i < t->n && st == STATUS_OK; i++) {
        const struct kv_string text = t->items[i];
        bool inside = text.len >= len && memcmp(text.s, s->pattern, len) == 0;
        b.len = 0;
        if (i > 0 && !inside) buf_puts(&b, " ");
        buf_append(&b, text.s + (i > 0 && inside ? len : 0), text.len - (i > 0 && inside ? len : 0));
        for (size_t k = 0; s->cleanup && k < sizeof tidy / sizeof tidy[0]; k++) {
            other.len = 0;
            text_replace(b.data ? b.data : "", b.len, tidy[k][0], tidy[k][1], &other);
            struct buf swap = b;
            b = other;
            other = swap;
        }
        st = set_text(t, i, &b, err);
    }
    buf_clear(&b);
    buf_clear(&other);
    return st;
}

/* --- from JSON --- */

static enum status copy_string(char **dst, const char *text, const char *what, struct error *err)
{
    if (!text || !*text) return error_set(err, STATUS_FORMAT, "decoder: %s, expected a text", what);
    *dst = strdup(text);
    return *dst ? STATUS_OK : error_nomem(err, strlen(text));
}

static enum status read_replace(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    const struct jvalue *pattern = json_get(v, "pattern");
    const char *regex = json_string(json_get(pattern, "Regex")), *content = json_string(json_get(v, "content"));
    if (!content) return error_set(err, STATUS_FORMAT, "decoder: Replace without its content");
    s->content = strdup(content);
    if (!s->content) return error_nomem(err, strlen(content));
    if (regex) return regex_new(&s->regex, regex, err);
    return copy_string(&s->pattern, json_string(json_get(pattern, "String")), "pattern of Replace", err);
}

static enum status read_strip(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    if (json_is(json_get(v, "start"), JTYPE_NUMBER)) TRY(json_double(NULL, json_get(v, "start"), &s->start, err));
    if (json_is(json_get(v, "stop"), JTYPE_NUMBER)) TRY(json_double(NULL, json_get(v, "stop"), &s->stop, err));
    return copy_string(&s->content, json_string(json_get(v, "content")), "content of Strip", err);
}

static enum status read_metaspace(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    const char *scheme = json_string(json_get(v, "prepend_scheme")),
               *mark = json_string(json_get(v, "replacement"));
    const struct jvalue *prefix = json_get(v, "add_prefix_space");
    s->prefixed = scheme ? strcmp(scheme, "never") != 0 : !prefix || json_is_true(prefix);
    return copy_string(&s->pattern, mark ? mark : SPACE_MARK, "replacement of Metaspace", err);
}

static enum status read_suffix(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    return copy_string(&s->pattern, json_string(json_get(v, "suffix")), "suffix of BPEDecoder", err);
}

static enum status read_word_piece(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    s->cleanup = json_is_true(json_get(v, "cleanup"));
    return copy_string(&s->pattern, json_string(json_get(v, "prefix")), "prefix of WordPiece", err);
}

static enum status read_sentence_piece(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    (void)err;
    s->prefixed = json_is_true(json_get(v, "add_dummy_prefix"));
    s->squeezed = json_is_true(json_get(v, "remove_extra_whitespaces"));
    return STATUS_OK;
}

static enum status read_nothing(struct decode_step *s, const struct jvalue *v, struct error *err)
{
    (void)s, (void)v, (void)err;
    return STATUS_OK;
}

static enum status add_steps(struct decoder *d, const struct jvalue *v, int depth, struct error *err)
{
    static const struct {
        const char *type;
        decode_fn *run;
        enum status (*read)(struct decode_step *, const struct jvalue *, struct error *);
    } kinds[] = {
        {"ByteLevel", run_byte_level, read_nothing},
        {"ByteFallback", run_byte_fallback, read_nothing},
        {"Fuse", run_fuse, read_nothing},
        {"Replace", run_replace, read_replace},
        {"Strip", run_strip, read_strip},
        {"Metaspace", run_metaspace, read_metaspace},
        {"BPEDecoder", run_bpe, read_suffix},
        {"WordPiece", run_word_piece, read_word_piece},
        {"SentencePiece", run_sentence_piece, read_sentence_piece},
    };
    const char *type = json_string(json_get(v, "type"));
    if (is(type, "Sequence") && depth < 4) {
        for (const struct jvalue *e = json_first(json_get(v, "decoders")); e; e = json_next(e))
            TRY(add_steps(d, e, depth + 1, err));
        return STATUS_OK;
    }
    if (d->n_steps == STEPS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "decoder: more than %d steps", STEPS_MAX);
    if (is(type, "SentencePiece") && d->n_steps > 0)
        return error_set(err, STATUS_FORMAT, "decoder: SentencePiece after another step");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!is(type, kinds[i].type)) continue;
        struct decode_step *s = &d->steps[d->n_steps++];
        s->run = kinds[i].run;
        return kinds[i].read(s, v, err);
    }
    return error_set(err, STATUS_UNSUPPORTED, "decoder: kind '%.60s' is not known here", type ? type : "(none)");
}

enum status decoder_new(struct decoder **out, const struct tokenizer *t, const struct jvalue *v,
                        struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct decoder), err));
    struct decoder *d = mem;
    d->t = t;
    d->added = malloc((t->n_tokens + 1) * sizeof *d->added);
    enum status st = d->added ? STATUS_OK : error_nomem(err, t->n_tokens);
    for (size_t i = 0; st == STATUS_OK && i < t->n_tokens; i++) d->added[i] = -1;
    for (size_t i = 0; st == STATUS_OK && i < t->n_added; i++) d->added[t->added[i].id] = (int32_t)i;
    if (st == STATUS_OK && v && !json_is(v, JTYPE_NULL)) st = add_steps(d, v, 0, err);
    if (st != STATUS_OK) {
        decoder_free(d);
        return st;
    }
    *out = d;
    return STATUS_OK;
}

void decoder_free(struct decoder *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->n_steps; i++) {
        free(d->steps[i].pattern);
        free(d->steps[i].content);
        regex_free(d->steps[i].regex);
    }
    free(d->added);
    free(d);
}

static enum status run_steps(struct decoder *d, struct texts *t, struct buf *out, struct error *err)
{
    for (size_t i = 0; i < d->n_steps; i++) TRY(d->steps[i].run(d, &d->steps[i], t, err));
    for (size_t i = 0; i < t->n; i++) {
        if (i > 0 && d->n_steps == 0) buf_puts(out, " ");
        buf_append(out, t->items[i].s, t->items[i].len);
    }
    return buf_check(out, err);
}

enum status decoder_run(struct decoder *d, const int32_t *ids, size_t n, struct buf *out, struct error *err)
{
    struct texts t = {.n = n};
    t.items = arena_array(&t.mem, n + 1, sizeof *t.items);
    if (!t.items) return error_nomem(err, n * sizeof *t.items);
    d->ids = ids;
    for (size_t i = 0; i < n; i++) {
        int32_t a = d->added[ids[i]];
        t.items[i] = a >= 0 ? d->t->added[a].text : d->t->tokens[ids[i]];
    }
    enum status st = run_steps(d, &t, out, err);
    arena_clear(&t.mem);
    return st;
}

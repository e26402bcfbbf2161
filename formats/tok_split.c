#include "formats/tok_split.h"

#include "base/utf8.h"
#include "formats/tok_patterns.h"
#include "formats/tok_regex.h"
#include "formats/tok_unicode.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 24 };

enum behavior { BEHAVE_REMOVED, BEHAVE_ISOLATED, BEHAVE_PREVIOUS, BEHAVE_NEXT, BEHAVE_CONTIGUOUS };
enum step_kind { STEP_SCAN, STEP_REGEX, STEP_LITERAL, STEP_CLASS, STEP_METASPACE, STEP_PREFIX };

struct step {
    enum step_kind kind;
    enum behavior behavior;
    bool invert;
    tok_scan_fn *scan;
    struct regex *regex;
    char *literal; /* of STEP_LITERAL; the replacement of STEP_METASPACE */
    size_t literal_len;
    unsigned classes;        /* STEP_CLASS: one character of these is a match */
    bool ascii_symbols;      /* and ASCII symbols, which BERT takes for punctuation */
    int prepend;             /* STEP_METASPACE: 0 never, 1 at the start of the text, 2 always */
    bool split;              /* STEP_METASPACE */
    struct buf scratch;      /* changed text */
};
struct splitter {
    struct step steps[STEPS_MAX];
    size_t n_steps;
    bool byte_level;
};

static bool scans_forbidden;

void splitter_forbid_scans(bool forbid)
{
    scans_forbidden = forbid;
}

/* --- from JSON --- */

static bool is(const char *s, const char *want)
{
    return s && strcmp(s, want) == 0;
}

static enum status unsupported(const char *what, const char *found, struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, "pre-tokenizer: %s '%.60s' is not known here", what,
                     found ? found : "(none)");
}

static enum status step_new(struct splitter *p, enum step_kind kind, struct step **out, struct error *err)
{
    if (p->n_steps == STEPS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "pre-tokenizer: more than %d steps", STEPS_MAX);
    if (p->byte_level)
        return error_set(err, STATUS_UNSUPPORTED, "pre-tokenizer: a step after ByteLevel");
    *out = &p->steps[p->n_steps++];
    (*out)->kind = kind;
    (*out)->behavior = BEHAVE_ISOLATED;
    return STATUS_OK;
}

static enum status set_literal(struct step *s, const char *text, struct error *err)
{
    s->literal = strdup(text);
    if (!s->literal) return error_nomem(err, strlen(text));
    s->literal_len = strlen(text);
    return s->literal_len > 0 ? STATUS_OK
                              : error_set(err, STATUS_FORMAT, "pre-tokenizer: an empty pattern");
}

static enum status set_regex(struct step *s, const char *pattern, struct error *err)
{
    struct buf spelled = {0};
    tok_pattern_spelling(pattern, &spelled);
    enum status st = buf_check(&spelled, err);
    bool plain = (s->behavior == BEHAVE_ISOLATED && !s->invert) ||
                 (s->behavior == BEHAVE_REMOVED && s->invert); /* the same where everything matches */
    if (st == STATUS_OK && plain && !scans_forbidden && spelled.data) s->scan = tok_scan_find(spelled.data);
    buf_clear(&spelled);
    if (st != STATUS_OK) return st;
    if (!s->scan) return regex_new(&s->regex, pattern, err);
    s->kind = STEP_SCAN;
    return STATUS_OK;
}

static enum status read_behavior(struct step *s, const struct jvalue *v, struct error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    const char *name = json_string(json_get(v, "behavior"));
    if (!name) return STATUS_OK;
    for (int i = 0; i < 5; i++)
        if (is(name, names[i])) {
            s->behavior = (enum behavior)i;
            return STATUS_OK;
        }
    return unsupported("behavior", name, err);
}

static enum status add_split(struct splitter *p, const struct jvalue *v, struct error *err)
{
    const struct jvalue *pattern = json_get(v, "pattern");
    const char *regex = json_string(json_get(pattern, "Regex")),
               *literal = json_string(json_get(pattern, "String"));
    if (!literal) literal = json_string(pattern);
    if (!regex && !literal) return error_set(err, STATUS_FORMAT, "pre-tokenizer: Split without a pattern");
    struct step *s = NULL;
    TRY(step_new(p, regex ? STEP_REGEX : STEP_LITERAL, &s, err));
    TRY(read_behavior(s, v, err));
    s->invert = json_is_true(json_get(v, "invert"));
    return regex ? set_regex(s, regex, err) : set_literal(s, literal, err);
}

/* Absent in old files: true */
static bool true_or_absent(const struct jvalue *v, const char *key)
{
    const struct jvalue *m = json_get(v, key);
    return !m || json_is_true(m);
}

static enum status add_byte_level(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    if (json_is_true(json_get(v, "add_prefix_space"))) TRY(step_new(p, STEP_PREFIX, &s, err));
    if (true_or_absent(v, "use_regex")) {
        TRY(step_new(p, STEP_REGEX, &s, err));
        TRY(set_regex(s, REGEX_GPT2, err));
    }
    p->byte_level = true;
    return STATUS_OK;
}

static enum status add_class(struct splitter *p, unsigned classes, enum behavior behavior, struct step **out,
                             struct error *err)
{
    TRY(step_new(p, STEP_CLASS, out, err));
    (*out)->classes = classes;
    (*out)->behavior = behavior;
    return STATUS_OK;
}

static enum status add_digits(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    bool individual = json_is_true(json_get(v, "individual_digits"));
    return add_class(p, UCLASS_NUMBER, individual ? BEHAVE_ISOLATED : BEHAVE_CONTIGUOUS, &s, err);
}

static enum status add_punctuation(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    TRY(add_class(p, UCLASS_PUNCT, BEHAVE_ISOLATED, &s, err));
    s->ascii_symbols = true;
    return read_behavior(s, v, err);
}

static enum status add_whitespace_split(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    (void)v;
    return add_class(p, UCLASS_SPACE, BEHAVE_REMOVED, &s, err);
}

static enum status add_bert(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    TRY(add_whitespace_split(p, v, err));
    TRY(add_class(p, UCLASS_PUNCT, BEHAVE_ISOLATED, &s, err));
    s->ascii_symbols = true;
    return STATUS_OK;
}

static enum status add_whitespace(struct splitter *p, const struct jvalue *v, struct error *err)
{
    struct step *s = NULL;
    (void)v;
    TRY(step_new(p, STEP_REGEX, &s, err));
    s->behavior = BEHAVE_REMOVED;
    s->invert = true;
    return set_regex(s, "\\w+|[^\\w\\s]+", err);
}

static enum status add_delimiter(struct splitter *p, const struct jvalue *v, struct error *err)
{
    const char *text = json_string(json_get(v, "delimiter"));
    struct step *s = NULL;
    if (!text) return error_set(err, STATUS_FORMAT, "pre-tokenizer: CharDelimiterSplit without a delimiter");
    TRY(step_new(p, STEP_LITERAL, &s, err));
    s->behavior = BEHAVE_REMOVED;
    return set_literal(s, text, err);
}

static enum status add_metaspace(struct splitter *p, const struct jvalue *v, struct error *err)
{
    const char *scheme = json_string(json_get(v, "prepend_scheme")),
               *mark = json_string(json_get(v, "replacement"));
    struct step *s = NULL;
    TRY(step_new(p, STEP_METASPACE, &s, err));
    s->split = true_or_absent(v, "split");
    if (scheme)
        s->prepend = is(scheme, "always") ? 2 : is(scheme, "first") ? 1 : 0;
    else
        s->prepend = true_or_absent(v, "add_prefix_space") ? 2 : 0;
    return set_literal(s, mark ? mark : "\u2581", err);
}

static enum status add_step(struct splitter *p, const struct jvalue *v, int depth, struct error *err);

static enum status add_sequence(struct splitter *p, const struct jvalue *v, int depth, struct error *err)
{
    for (const struct jvalue *e = json_first(json_get(v, "pretokenizers")); e; e = json_next(e))
        TRY(add_step(p, e, depth + 1, err));
    return STATUS_OK;
}

static enum status add_step(struct splitter *p, const struct jvalue *v, int depth, struct error *err)
{
    static const struct {
        const char *type;
        enum status (*add)(struct splitter *, const struct jvalue *, struct error *);
    } kinds[] = {
        {"Split", add_split},
        {"ByteLevel", add_byte_level},
        {"Digits", add_digits},
        {"Punctuation", add_punctuation},
        {"WhitespaceSplit", add_whitespace_split},
        {"Whitespace", add_whitespace},
        {"BertPreTokenizer", add_bert},
        {"CharDelimiterSplit", add_delimiter},
        {"Metaspace", add_metaspace},
    };
    const char *type = json_string(json_get(v, "type"));
    if (is(type, "Sequence") && depth < 4) return add_sequence(p, v, depth, err);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (is(type, kinds[i].type)) return kinds[i].add(p, v, err);
    return unsupported("kind", type, err);
}

enum status splitter_new(struct splitter **out, const struct jvalue *pre, struct error *err)
{
    void *mem;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof(struct splitter), err));
    struct splitter *p = mem;
    enum status st = pre && !json_is(pre, JTYPE_NULL) ? add_step(p, pre, 0, err) : STATUS_OK;
    if (st != STATUS_OK) {
        splitter_free(p);
        return st;
    }
    *out = p;
    return STATUS_OK;
}

void splitter_free(struct splitter *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n_steps; i++) {
        regex_free(p->steps[i].regex);
        free(p->steps[i].literal);
        buf_clear(&p->steps[i].scratch);
    }
    free(p);
}

bool splitter_is_byte_level(const struct splitter *p)
{
    return p->byte_level;
}

/* --- running --- */

struct run {
    struct splitter *p;
    word_fn *emit;
    void *arg;
    struct error *err;
};

/* A piece of text on its way through the steps: recursion as deep as there are steps. */
struct piece {
    const char *s;
    size_t n;
    bool at_start;
};
static enum status run_step(const struct run *r, size_t k, struct piece t);

static enum status pass(const struct run *r, size_t k, struct piece t, size_t start, size_t end)
{
    if (start >= end) return STATUS_OK;
    if (k + 1 == r->p->n_steps) return r->emit(r->arg, t.s + start, end - start, r->err);
    return run_step(r, k + 1, (struct piece){t.s + start, end - start, t.at_start && start == 0});
}

static enum status run_scan(const struct run *r, size_t k, struct piece t)
{
    tok_scan_fn *scan = r->p->steps[k].scan;
    for (size_t at = 0; at < t.n;) {
        size_t end = scan(t.s, t.n, at);
        TRY(pass(r, k, t, at, end));
        at = end;
    }
    return STATUS_OK;
}

static bool in_classes(const struct step *s, uint32_t code)
{
    unsigned c = uclass_of(code);
    return (c & s->classes) || (s->ascii_symbols && code < 128 && (c & UCLASS_SYMBOL));
}

/* The next match of a step at or after `from` */
static enum status next_match(struct step *s, struct piece t, size_t from, size_t *start, size_t *end,
                              bool *found, struct error *err)
{
    if (s->kind == STEP_REGEX) return regex_next(s->regex, t.s, t.n, from, start, end, found, err);
    *found = false;
    if (s->kind == STEP_LITERAL) {
        const char *at = memmem(t.s + from, t.n - from, s->literal, s->literal_len);
        if (!at) return STATUS_OK;
        *start = (size_t)(at - t.s);
        *end = *start + s->literal_len;
        *found = true;
        return STATUS_OK;
    }
    for (size_t at = from, len; at < t.n; at += len) {
        uint32_t code;
        len = utf8_decode(t.s + at, t.n - at, &code);
        if (!in_classes(s, code)) continue;
        *start = at;
        *end = at + len;
        *found = true;
        return STATUS_OK;
    }
    return STATUS_OK;
}

/* Matches and what lies between come one by one; pieces are put together as the behavior wants and passed on. */
struct joiner {
    size_t start, end; /* the piece that is not passed on yet */
    bool pending, match;
};

static enum status join(const struct run *r, size_t k, struct piece t, struct joiner *j, size_t start,
                        size_t end, bool match)
{
    const struct step *s = &r->p->steps[k];
    if (start == end) return STATUS_OK;
    if (s->invert) match = !match;
    if (s->behavior == BEHAVE_REMOVED) return match ? STATUS_OK : pass(r, k, t, start, end);
    if (s->behavior == BEHAVE_ISOLATED) return pass(r, k, t, start, end);
    bool grow = j->pending && ((s->behavior == BEHAVE_CONTIGUOUS && match == j->match) ||
                               (s->behavior == BEHAVE_PREVIOUS && match && !j->match) ||
                               (s->behavior == BEHAVE_NEXT && !match && j->match));
    if (grow) {
        j->end = end;
        j->match = match;
        return STATUS_OK;
    }
    if (j->pending) TRY(pass(r, k, t, j->start, j->end));
    *j = (struct joiner){start, end, true, match};
    return STATUS_OK;
}

static enum status run_matches(const struct run *r, size_t k, struct piece t)
{
    struct joiner j = {0};
    size_t at = 0, start, end;
    bool found = true;
    while (at < t.n) {
        TRY(next_match(&r->p->steps[k], t, at, &start, &end, &found, r->err));
        if (!found) break;
        TRY(join(r, k, t, &j, at, start, false));
        TRY(join(r, k, t, &j, start, end, true));
        at = end;
    }
    TRY(join(r, k, t, &j, at, t.n, false));
    return j.pending ? pass(r, k, t, j.start, j.end) : STATUS_OK;
}

static bool starts_with(struct piece t, const char *s, size_t n)
{
    return t.n >= n && memcmp(t.s, s, n) == 0;
}

static enum status run_prefix(const struct run *r, size_t k, struct piece t)
{
    struct buf *b = &r->p->steps[k].scratch;
    if (t.s[0] == ' ') return pass(r, k, t, 0, t.n);
    b->len = 0;
    buf_puts(b, " ");
    buf_append(b, t.s, t.n);
    TRY(buf_check(b, r->err));
    return pass(r, k, (struct piece){b->data, b->len, t.at_start}, 0, b->len);
}

static enum status run_metaspace(const struct run *r, size_t k, struct piece t)
{
    struct step *s = &r->p->steps[k];
    struct buf *b = &s->scratch;
    b->len = 0;
    bool marked = t.s[0] == ' ' || starts_with(t, s->literal, s->literal_len);
    if (!marked && (s->prepend == 2 || (s->prepend == 1 && t.at_start)))
        buf_append(b, s->literal, s->literal_len);
    for (size_t i = 0; i < t.n;) {
        const char *space = memchr(t.s + i, ' ', t.n - i);
        size_t end = space ? (size_t)(space - t.s) : t.n;
        buf_append(b, t.s + i, end - i);
        if (space) buf_append(b, s->literal, s->literal_len);
        i = end + (space ? 1 : 0);
    }
    TRY(buf_check(b, r->err));
    t = (struct piece){b->data, b->len, t.at_start};
    if (!s->split) return pass(r, k, t, 0, t.n);
    for (size_t at = 0; at < t.n;) { /* each mark begins a piece */
        size_t skip = starts_with((struct piece){t.s + at, t.n - at, false}, s->literal, s->literal_len)
                          ? s->literal_len
                          : 0;
        const char *next = memmem(t.s + at + skip, t.n - at - skip, s->literal, s->literal_len);
        size_t end = next ? (size_t)(next - t.s) : t.n;
        TRY(pass(r, k, t, at, end));
        at = end;
    }
    return STATUS_OK;
}

static enum status run_step(const struct run *r, size_t k, struct piece t)
{
    switch (r->p->steps[k].kind) {
    case STEP_SCAN:
        return run_scan(r, k, t);
    case STEP_METASPACE:
        return run_metaspace(r, k, t);
    case STEP_PREFIX:
        return run_prefix(r, k, t);
    default:
        return run_matches(r, k, t);
    }
}

enum status splitter_run(struct splitter *p, const char *text, size_t n, bool at_start, word_fn *emit,
                         void *arg, struct error *err)
{
    const struct run r = {p, emit, arg, err};
    if (p->n_steps == 0) return emit(arg, text, n, err);
    return run_step(&r, 0, (struct piece){text, n, at_start});
}

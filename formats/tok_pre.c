/* Which of llama.cpp's pre-tokenizers is it? llama.cpp knows them by name only, and its converter finds the
 * name by the hash of an encoded text. Here the rule itself is compared: the pre_tokenizer block becomes a
 * list of steps in one spelling, which a table turns into the name. */
#include "formats/tok_blocks.h"
#include "formats/tok_patterns.h"

#include <assert.h>
#include <string.h>

enum { STEPS_MAX = 16, TEXT_MAX = 8192 };

/* What decides between names that split alike. */
enum feature {
    HAS_NFC = 1,           /* the normalizer is NFC */
    HAS_IGNORE_MERGES = 2, /* model.ignore_merges */
    HAS_TOKEN = 4,         /* the vocabulary holds `token` */
    HAS_GLM = 8,           /* tokenizer.json of a GLM model */
};
/* Several rows may have the same steps: the first whose wanted features are all there wins, so rows that want
 * more come first. */
static const struct known {
    const char *name;
    const char *steps[5];
    unsigned wants;
    const char *token;
    bool ignores_merges; /* what llama.cpp does under this name */
} known[] = {
    {"olmo", {REGEX_GPT2}, HAS_NFC, NULL, false},
    {"gpt-2", {REGEX_GPT2}, 0, NULL, false},
    {"glm4", {REGEX_CL100K(REGEX_DIGITS3)}, HAS_TOKEN | HAS_IGNORE_MERGES, "[gMASK]", true},
    {"glm4", {REGEX_CL100K(REGEX_DIGITS3)}, HAS_TOKEN | HAS_GLM, "[gMASK]", true},
    {"chatglm-bpe", {REGEX_CL100K(REGEX_DIGITS3)}, HAS_TOKEN, "[gMASK]", false},
    {"llama-bpe", {REGEX_CL100K(REGEX_DIGITS3)}, HAS_IGNORE_MERGES, NULL, true},
    {"dbrx", {REGEX_CL100K(REGEX_DIGITS3)}, 0, NULL, false},
    {"qwen2", {REGEX_CL100K(REGEX_DIGIT)}, 0, NULL, false},
    {"qwen35",
     {REGEX_QWEN35},
     0,
     NULL,
     false},
    {"tekken", {REGEX_CASED("", REGEX_DIGIT)}, 0, NULL, true},
    {"gpt-4o", {REGEX_CASED(REGEX_SUFFIXES "?", REGEX_DIGITS3)}, 0, NULL, false},
    {"command-r", {REGEX_DIGIT, REGEX_GPT2}, HAS_NFC, NULL, false},
    {"starcoder", {REGEX_DIGIT, REGEX_GPT2}, HAS_TOKEN, "<fim_prefix>", false},
    {"smollm", {REGEX_DIGIT, REGEX_GPT2}, 0, NULL, false},
    {"deepseek-v3",
     {REGEX_DIGITS3, "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
      "?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     0,
     NULL,
     false},
    {"deepseek-coder",
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", REGEX_DIGIT},
     0,
     NULL,
     false},
    {"bloom", {" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"}, 0, NULL, false},
};
enum { N_KNOWN = sizeof known / sizeof known[0], KNOWN_STEPS = 5 };

/* --- the block as steps --- */

struct steps {
    struct pre_step items[STEPS_MAX];
    size_t n;
    bool too_many, prefix_space;
    struct buf text; /* scratch */
};

static enum status step_add(struct tok_build *b, struct steps *s, const char *text, size_t n,
                            struct error *err)
{
    if (s->n == STEPS_MAX) {
        s->too_many = true;
        return STATUS_OK;
    }
    struct kv_string copy = tok_text(b, text, n);
    if (!copy.s) return error_nomem(err, n);
    s->items[s->n++].text = copy.s;
    return STATUS_OK;
}

static enum status step_puts(struct tok_build *b, struct steps *s, const char *text, struct error *err)
{
    return step_add(b, s, text, strlen(text), err);
}

static enum status step_regex(struct tok_build *b, struct steps *s, const char *regex, struct error *err)
{
    s->text.len = 0;
    tok_pattern_spelling(regex, &s->text);
    TRY(buf_check(&s->text, err));
    return step_add(b, s, s->text.len > 0 ? s->text.data : "", s->text.len, err);
}

/* Something that is no isolated regex, as its JSON between < and >. */
static enum status step_other(struct tok_build *b, struct steps *s, const struct jvalue *v, struct error *err)
{
    s->text.len = 0;
    buf_puts(&s->text, "<");
    json_print(v, &s->text);
    buf_puts(&s->text, ">");
    TRY(buf_check(&s->text, err));
    return step_add(b, s, s->text.data, s->text.len, err);
}

static bool is(const char *s, const char *want)
{
    return s && strcmp(s, want) == 0;
}

static enum status step_split(struct tok_build *b, struct steps *s, const struct jvalue *v, struct error *err)
{
    const char *regex = json_string(json_get(json_get(v, "pattern"), "Regex"));
    const char *behavior = json_string(json_get(v, "behavior"));
    bool invert = json_is_true(json_get(v, "invert"));
    /* Removing what the pattern does not match comes to the same when it matches everything, as the known
     * ones do. */
    bool isolated = (is(behavior, "Isolated") && !invert) || (is(behavior, "Removed") && invert);
    return regex && isolated ? step_regex(b, s, regex, err) : step_other(b, s, v, err);
}

static enum status step_one(struct tok_build *b, struct steps *s, const struct jvalue *v, struct error *err)
{
    const char *type = json_string(json_get(v, "type"));
    if (is(type, "Split")) return step_split(b, s, v, err);
    if (is(type, "Digits"))
        return step_puts(b, s, json_is_true(json_get(v, "individual_digits")) ? REGEX_DIGIT : REGEX_DIGIT "+", err);
    if (is(type, "ByteLevel")) {
        const struct jvalue *use_regex = json_get(v, "use_regex"); /* absent in old files: true */
        return !use_regex || json_is_true(use_regex) ? step_puts(b, s, REGEX_GPT2, err) : STATUS_OK;
    }
    return step_other(b, s, v, err);
}

static enum status steps_of(struct tok_build *b, struct steps *s, const struct jvalue *pre, struct error *err)
{
    if (!pre || json_is(pre, JTYPE_NULL)) return STATUS_OK;
    if (!is(json_string(json_get(pre, "type")), "Sequence")) return step_one(b, s, pre, err);
    for (const struct jvalue *e = json_first(json_get(pre, "pretokenizers")); e; e = json_next(e))
        TRY(step_one(b, s, e, err));
    return STATUS_OK;
}

/* Files other than tokenizer.json come without the block: the rule is in the code of the tokenizer's class. */
static enum status pre_of_class(struct tok_build *b, struct steps *s, struct error *err)
{
    const char *class = b->config ? json_string(json_get(json_root(b->config), "tokenizer_class")) : NULL;
    bool qwen = is(class, "Qwen2Tokenizer") || is(class, "Qwen2TokenizerFast");
    const char *regex = b->from_ranks ? REGEX_CL100K(REGEX_DIGITS3) : qwen ? REGEX_CL100K(REGEX_DIGIT) : REGEX_GPT2;
    TRY(tok_blocks_byte_level(b->t, &regex, 1, b->from_ranks, err));
    if (qwen) b->t->blocks[BLOCK_NORMALIZER] = "{\"type\":\"NFC\"}";
    return step_puts(b, s, regex, err);
}

enum status tok_read_pre(struct tok_build *b, const struct jvalue *pre, const struct jvalue *normalizer,
                         struct error *err)
{
    struct steps s = {.n = 0};
    enum status st =
        b->from_tokenizer_json ? steps_of(b, &s, pre, err) : pre_of_class(b, &s, err);
    buf_clear(&s.text);
    if (st != STATUS_OK) return st;
    struct pre_step *items = arena_array(&b->t->mem, s.n + 1, sizeof *items);
    if (!items) return error_nomem(err, s.n * sizeof *items);
    memcpy(items, s.items, s.n * sizeof *items);
    b->t->steps = items;
    b->t->n_steps = s.n;
    b->steps_cut = s.too_many;
    if (is(json_string(json_get(normalizer, "type")), "Sequence") &&
        json_count(json_get(normalizer, "normalizers")) == 1)
        normalizer = json_first(json_get(normalizer, "normalizers"));
    b->nfc = is(json_string(json_get(normalizer, "type")), "NFC");
    return STATUS_OK;
}

/* --- the name --- */

static size_t known_count(const struct known *k)
{
    size_t n = 0;
    while (n < KNOWN_STEPS && k->steps[n]) n++;
    return n;
}

/* Bytes between the common start and the common end: a measure of how much of a text differs. */
static size_t text_distance(const char *a, const char *b)
{
    size_t na = strnlen(a, TEXT_MAX), nb = strnlen(b, TEXT_MAX), least = na < nb ? na : nb, head = 0,
           tail = 0;
    while (head < least && a[head] == b[head]) head++;
    while (tail < least - head && a[na - 1 - tail] == b[nb - 1 - tail]) tail++;
    return (na > nb ? na : nb) - head - tail;
}

static size_t steps_distance(const struct tokenizer *t, const struct known *k)
{
    size_t n = known_count(k), sum = 0;
    for (size_t i = 0; i < n || i < t->n_steps; i++)
        sum += text_distance(i < t->n_steps ? t->steps[i].text : "", i < n ? k->steps[i] : "");
    return sum;
}

static bool features_fit(const struct tok_build *b, const struct known *k)
{
    unsigned has = (b->nfc ? HAS_NFC : 0u) | (b->t->ignore_merges ? HAS_IGNORE_MERGES : 0u) |
                   (b->glm == GLM_4_JSON ? HAS_GLM : 0u);
    size_t id;
    if (k->token && strmap_find(&b->by_text, k->token, &id)) has |= HAS_TOKEN;
    return (k->wants & ~has) == 0;
}

/* There is always one: some rows want nothing. */
static const struct known *nearest(const struct tok_build *b, size_t *distance)
{
    const struct known *best = NULL;
    for (size_t i = 0; i < N_KNOWN; i++) {
        size_t d = steps_distance(b->t, &known[i]);
        if (!features_fit(b, &known[i]) || (best && d >= *distance)) continue;
        best = &known[i];
        *distance = d;
    }
    assert(best);
    return best;
}

/* More of it differs than agrees. */
static bool is_far(const struct tokenizer *t, size_t distance)
{
    size_t length = 0;
    for (size_t i = 0; i < t->n_steps; i++) length += strnlen(t->steps[i].text, TEXT_MAX);
    return 2 * distance > length;
}

static void warn_nearest(struct tok_build *b, const struct known *k)
{
    const struct tokenizer *t = b->t;
    size_t n = known_count(k), i = 0;
    while (i < n && i < t->n_steps && strcmp(t->steps[i].text, k->steps[i]) == 0) i++;
    warnings_add(b->warnings, "tokenizer-pre-unknown",
                 "the pre-tokenizer is none that llama.cpp knows; '%s' is written. Nearest is '%s': step %zu "
                 "is '%.300s', expected '%.300s'",
                 t->pre, k->name, i + 1, i < t->n_steps ? t->steps[i].text : "(none)",
                 i < n ? k->steps[i] : "(none)");
}

void tok_settle_pre(struct tok_build *b)
{
    struct tokenizer *t = b->t;
    size_t distance = 0;
    const struct known *k = nearest(b, &distance);
    t->pre_exact = distance == 0 && !b->steps_cut;
    t->pre = t->pre_exact || !is_far(t, distance) ? k->name : "default";
    if (!t->pre_exact) warn_nearest(b, k);
    if (t->pre_exact && t->ignore_merges != k->ignores_merges)
        warnings_add(b->warnings, "tokenizer-ignore-merges",
                     "ignore_merges is %s, but llama.cpp takes it as %s for the pre-tokenizer '%s'",
                     t->ignore_merges ? "true" : "false", k->ignores_merges ? "true" : "false", k->name);
    if (t->blocks[BLOCK_NORMALIZER])
        warnings_add(b->warnings, "tokenizer-normalizer",
                     "the normalizer %.200s is not applied by llama.cpp: text in another form may be encoded "
                     "differently",
                     t->blocks[BLOCK_NORMALIZER]);
    if (t->n_merges == 0)
        warnings_add(b->warnings, "tokenizer-no-merges",
                     "the tokenizer has no merges: text is encoded byte by byte");
}

/* --- the way back: from the name to patterns --- */

size_t tok_pre_patterns(const char *name, const char *const **regexes)
{
    static const char *const other_names[][2] = {
        {"llama3", "llama-bpe"},     {"llama-v3", "llama-bpe"},   {"falcon3", "llama-bpe"},  {"pixtral", "llama-bpe"},
        {"gpt2", "gpt-2"},           {"phi-2", "gpt-2"},          {"mpt", "gpt-2"},          {"roberta-bpe", "gpt-2"},
        {"jina-es", "gpt-2"},        {"jina-de", "gpt-2"},        {"jina-v1-en", "gpt-2"},   {"refact", "smollm"},
        {"codeshell", "smollm"},     {"megrez", "qwen2"},         {"deepseek-r1-qwen", "qwen2"}, {"stablelm2", "qwen2"},
        {"llama4", "gpt-4o"},        {"glm5", "glm4"},            {"smaug-bpe", "llama-bpe"},
    };
    /* What llama.cpp cuts with when no name is given */
    static const char *const fallback[] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", REGEX_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"};
    if (!name || is(name, "default")) {
        *regexes = fallback;
        return sizeof fallback / sizeof fallback[0];
    }
    for (size_t i = 0; i < sizeof other_names / sizeof other_names[0]; i++)
        if (is(name, other_names[i][0])) name = other_names[i][1];
    for (size_t i = 0; i < N_KNOWN; i++)
        if (is(name, known[i].name)) {
            *regexes = known[i].steps;
            return known_count(&known[i]);
        }
    return 0;
}

#include "formats/tok_regex.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    PATTERN_BYTES_MAX = 64 << 10,
    MATCH_LIMIT = 20 << 20, /* steps of the interpreter for one match */
    DEPTH_LIMIT = 20 << 10,
    HEAP_LIMIT_KIB = 64 << 10,
    JIT_STACK_BYTES = 1 << 20,
};

struct regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* --- spelling --- */

static bool put_escape(char c, bool in_class, struct buf *out)
{
    static const struct {
        char letter;
        const char *outside, *inside;
    } map[] = {
        /* PCRE2's \s and \h know U+180E, which is no white space since Unicode 6.3 */
        {'s', "\\p{wspace}", "\\p{wspace}"},
        {'S', "\\P{wspace}", "\\P{wspace}"},
        {'w', "[\\p{L}\\p{M}\\p{Nd}\\p{Pc}]", "\\p{L}\\p{M}\\p{Nd}\\p{Pc}"},
        {'W', "[^\\p{L}\\p{M}\\p{Nd}\\p{Pc}]", NULL},
        {'h', "[0-9a-fA-F]", "0-9a-fA-F"}, /* hexadecimal digits there */
        {'H', "[^0-9a-fA-F]", NULL},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        if (map[i].letter != c) continue;
        const char *text = in_class ? map[i].inside : map[i].outside;
        if (!text) return false;
        buf_puts(out, text);
        return true;
    }
    buf_append(out, "\\", 1);
    buf_append(out, &c, 1);
    return true;
}

enum status regex_translate(const char *pattern, struct buf *out, struct error *err)
{
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && p[1]) {
            if (!put_escape(*++p, in_class, out))
                return error_set(err, STATUS_UNSUPPORTED, "\\%c inside a class of the pattern '%.200s'", *p,
                                 pattern);
            continue;
        }
        if (in_class && p[0] == '&' && p[1] == '&')
            return error_set(err, STATUS_UNSUPPORTED,
                             "an intersection of classes (&&) in the pattern '%.200s'", pattern);
        if (in_class && *p == '[' && p[1] != ':')
            return error_set(err, STATUS_UNSUPPORTED, "a class within a class in the pattern '%.200s'",
                             pattern);
        buf_append(out, p, 1);
        if (!in_class && *p == '[') {
            in_class = true;
            if (p[1] == '^') buf_append(out, ++p, 1);
            if (p[1] == ']') buf_append(out, ++p, 1);
        } else if (in_class && *p == '[') { /* [:name:] */
            const char *close = strstr(p, ":]");
            if (!close)
                return error_set(err, STATUS_FORMAT, "unclosed class in the pattern '%.200s'", pattern);
            buf_append(out, p + 1, (size_t)(close + 2 - (p + 1)));
            p = close + 1;
        } else if (in_class && *p == ']') {
            in_class = false;
        }
    }
    return buf_check(out, err);
}

/* --- compiling --- */

static void *limited_malloc(size_t n, void *unused)
{
    (void)unused;
    return malloc(n);
}

static void limited_free(void *p, void *unused)
{
    (void)unused;
    free(p);
}

static enum status make_context(struct regex *re, struct error *err)
{
    pcre2_general_context *general = pcre2_general_context_create(limited_malloc, limited_free, NULL);
    if (!general) return error_nomem(err, 1);
    re->context = pcre2_match_context_create(general);
    re->match = re->context ? pcre2_match_data_create(1, general) : NULL;
    if (re->match && pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0)
        re->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_BYTES, general);
    pcre2_general_context_free(general);
    if (!re->match) return error_nomem(err, 1);
    pcre2_set_match_limit(re->context, MATCH_LIMIT);
    pcre2_set_depth_limit(re->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(re->context, HEAP_LIMIT_KIB);
    if (re->stack) pcre2_jit_stack_assign(re->context, NULL, re->stack);
    return STATUS_OK;
}

static enum status compile(struct regex *re, const char *pattern, struct error *err)
{
    struct buf text = {0};
    int code = 0;
    size_t off = 0;
    enum status st = regex_translate(pattern, &text, err);
    if (st == STATUS_OK) {
        re->code = pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""), text.len,
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &off, NULL);
        if (!re->code) {
            char reason[128];
            pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
            st = code == PCRE2_ERROR_HEAP_FAILED ? error_nomem(err, text.len) : error_set(err, STATUS_FORMAT, "pattern '%.200s': %s at byte %zu", pattern, reason, off);
        }
    }
    buf_clear(&text);
    return st;
}

enum status regex_new(struct regex **out, const char *pattern, struct error *err)
{
    void *mem;
    *out = NULL;
    if (strnlen(pattern, PATTERN_BYTES_MAX + 1) > PATTERN_BYTES_MAX)
        return error_set(err, STATUS_RANGE, "a pattern of more than %d bytes", PATTERN_BYTES_MAX);
    TRY(mem_alloc(&mem, 1, sizeof(struct regex), err));
    struct regex *re = mem;
    enum status st = compile(re, pattern, err);
    if (st == STATUS_OK) st = make_context(re, err);
    if (st != STATUS_OK) {
        regex_free(re);
        return st;
    }
    *out = re;
    return STATUS_OK;
}

void regex_free(struct regex *re)
{
    if (!re) return;
    pcre2_match_data_free(re->match);
    pcre2_jit_stack_free(re->stack);
    pcre2_match_context_free(re->context);
    pcre2_code_free(re->code);
    free(re);
}

/* --- matching --- */

enum status regex_next(struct regex *re, const char *text, size_t n, size_t from, size_t *start, size_t *end,
                       bool *found, struct error *err)
{
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    *found = false;
    int rc = pcre2_match(re->code, (PCRE2_SPTR)text, n, from, options, re->match, re->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter takes its memory from the heap */
        rc = pcre2_match(re->code, (PCRE2_SPTR)text, n, from, options | PCRE2_NO_JIT, re->match, re->context);
    if (rc == PCRE2_ERROR_NOMATCH) return STATUS_OK;
    if (rc == PCRE2_ERROR_NOMEMORY) return error_nomem(err, n);
    if (rc < 0) {
        char reason[128];
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)reason, sizeof reason);
        return error_set(err, STATUS_RANGE, "a pattern of the tokenizer at byte %zu of the text: %s", from,
                         reason);
    }
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(re->match);
    *start = v[0];
    *end = v[1];
    if (*end <= *start) /* \K or a lookbehind could turn it around */
        return error_set(err, STATUS_UNSUPPORTED, "a pattern of the tokenizer matches backwards");
    *found = true;
    return STATUS_OK;
}

#include "base/json_lex.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    const char *text;
    size_t n, pos;
    const char *path;
    struct error *err;
    uint64_t is_object; /* bit d: the container at depth d is an object */
    unsigned depth;
};
_Static_assert(LIMIT_JSON_DEPTH <= 64, "one bit per level");

enum status json_error_at(const char *text, size_t n, size_t pos, const char *path, struct error *err,
                          const char *fmt, ...)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < pos && i < n; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { /* characters, not bytes */
            column++;
        }
    }
    char what[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(what, sizeof what, fmt, args) < 0) what[0] = 0;
    va_end(args);
    return error_at(err, STATUS_FORMAT, path, NULL, "line %zu, column %zu: %s", line, column, what);
}

static enum status refuse(struct lexer *l, const char *expected)
{
    char found[32];
    unsigned char c = l->pos < l->n ? (unsigned char)l->text[l->pos] : 0;
    if (l->pos >= l->n) {
        snprintf(found, sizeof found, "the end of the text");
    } else if (c > 0x20 && c < 0x7f) {
        snprintf(found, sizeof found, "'%c'", c);
    } else {
        snprintf(found, sizeof found, "byte 0x%02x", c);
    }
    return json_error_at(l->text, l->n, l->pos, l->path, l->err, "expected %s, found %s", expected, found);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static char peek(const struct lexer *l)
{
    return l->pos < l->n ? l->text[l->pos] : 0;
}

size_t json_skip_space(const char *text, size_t n, size_t pos)
{
    while (pos < n && (text[pos] == ' ' || text[pos] == '\n' || text[pos] == '\r' || text[pos] == '\t'))
        pos++;
    return pos;
}

/* Four hexadecimal digits at pos + offset, or -1. */
static int hex4(const struct lexer *l, size_t offset)
{
    int v = 0;
    for (size_t i = l->pos + offset; i < l->pos + offset + 4; i++) {
        char c = i < l->n ? l->text[i] : 0;
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* At a backslash: the whole escape, a pair of surrogates together. */
static enum status lex_escape(struct lexer *l)
{
    char c = l->pos + 1 < l->n ? l->text[l->pos + 1] : 0;
    if (c != 'u') {
        if (c == 0 || !strchr("\"\\/bfnrt", c)) {
            l->pos++;
            return refuse(l, "one of \"\\/bfnrtu after a backslash");
        }
        l->pos += 2;
        return STATUS_OK;
    }
    int code = hex4(l, 2);
    bool high = code >= 0xd800 && code < 0xdc00, low = code >= 0xdc00 && code < 0xe000;
    if (code < 0)
        return json_error_at(l->text, l->n, l->pos, l->path, l->err,
                             "expected four hexadecimal digits after \\u");
    if (code == 0)
        return json_error_at(l->text, l->n, l->pos, l->path, l->err, "\\u0000 in a string is not supported");
    l->pos += 6;
    if (high && peek(l) == '\\' && l->pos + 1 < l->n && l->text[l->pos + 1] == 'u') {
        int second = hex4(l, 2);
        if (second >= 0xdc00 && second < 0xe000) {
            l->pos += 6;
            return STATUS_OK;
        }
    }
    if (!high && !low) return STATUS_OK;
    l->pos -= 6;
    return json_error_at(l->text, l->n, l->pos, l->path, l->err, "surrogate \\u%04x without its other half",
                         (unsigned)code);
}

static enum status lex_string(struct lexer *l)
{
    l->pos++;
    for (;;) {
        while (l->pos < l->n && (unsigned char)l->text[l->pos] >= 0x20 && l->text[l->pos] != '"' &&
               l->text[l->pos] != '\\') {
            l->pos++;
        }
        if (l->pos < l->n && l->text[l->pos] == '\\') {
            TRY(lex_escape(l));
            continue;
        }
        if (peek(l) != '"') return refuse(l, "'\"' at the end of a string");
        l->pos++;
        return STATUS_OK;
    }
}

static enum status lex_digits(struct lexer *l)
{
    if (!is_digit(peek(l))) return refuse(l, "a digit");
    while (is_digit(peek(l))) l->pos++;
    return STATUS_OK;
}

static enum status lex_number(struct lexer *l)
{
    size_t start = l->pos;
    bool has_exponent = false;
    if (peek(l) == '-') l->pos++;
    if (peek(l) == '0') {
        l->pos++;
        if (is_digit(peek(l))) return refuse(l, "a number without leading zeros");
    } else {
        TRY(lex_digits(l));
    }
    if (peek(l) == '.') {
        l->pos++;
        TRY(lex_digits(l));
    }
    if (peek(l) == 'e' || peek(l) == 'E') {
        has_exponent = true;
        l->pos++;
        if (peek(l) == '+' || peek(l) == '-') l->pos++;
        TRY(lex_digits(l));
    }
    size_t len = l->pos - start;
    if (len > LIMIT_JSON_NUMBER) {
        return json_error_at(l->text, l->n, start, l->path, l->err,
                             "a number of %zu characters; at most %d are supported", len, LIMIT_JSON_NUMBER);
    }
    if (!has_exponent) return STATUS_OK; /* 63 digits are far below the largest double */
    char copy[LIMIT_JSON_NUMBER + 1];
    memcpy(copy, l->text + start, len);
    copy[len] = 0;
    if (isfinite(strtod(copy, NULL))) return STATUS_OK;
    return json_error_at(l->text, l->n, start, l->path, l->err, "the number %s is too large", copy);
}

static enum status lex_literal(struct lexer *l)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if (l->n - l->pos < len || memcmp(l->text + l->pos, words[i], len) != 0) continue;
        l->pos += len;
        return STATUS_OK;
    }
    return refuse(l, "a value");
}

static enum status lex_scalar(struct lexer *l)
{
    char c = peek(l);
    if (c == '"') return lex_string(l);
    if (c == '-' || is_digit(c)) return lex_number(l);
    return lex_literal(l);
}

static bool in_object(const struct lexer *l)
{
    return l->is_object >> (l->depth - 1) & 1;
}

static enum status open_container(struct lexer *l, bool object)
{
    if (l->depth == LIMIT_JSON_DEPTH) {
        return json_error_at(l->text, l->n, l->pos, l->path, l->err, "nested deeper than %d levels",
                             LIMIT_JSON_DEPTH);
    }
    uint64_t bit = (uint64_t)1 << l->depth++;
    l->is_object = object ? l->is_object | bit : l->is_object & ~bit;
    l->pos = json_skip_space(l->text, l->n, l->pos + 1);
    return STATUS_OK;
}

static enum status lex_key(struct lexer *l)
{
    l->pos = json_skip_space(l->text, l->n, l->pos);
    if (peek(l) != '"') return refuse(l, "a key in double quotes");
    TRY(lex_string(l));
    l->pos = json_skip_space(l->text, l->n, l->pos);
    if (peek(l) != ':') return refuse(l, "':'");
    l->pos++;
    return STATUS_OK;
}

/* After a value: closing brackets, then a comma (*more) or the end of the document. */
static enum status lex_after(struct lexer *l, bool *more)
{
    *more = false;
    while (l->depth > 0) {
        l->pos = json_skip_space(l->text, l->n, l->pos);
        char c = peek(l);
        if (c == ',') {
            l->pos++;
            *more = true;
            return in_object(l) ? lex_key(l) : STATUS_OK;
        }
        if (c != (in_object(l) ? '}' : ']')) return refuse(l, in_object(l) ? "',' or '}'" : "',' or ']'");
        l->pos++;
        l->depth--;
    }
    return STATUS_OK;
}

static enum status lex_document(struct lexer *l)
{
    for (bool more = true; more;) {
        l->pos = json_skip_space(l->text, l->n, l->pos);
        char c = peek(l);
        if (c == '{' || c == '[') {
            TRY(open_container(l, c == '{'));
            if (peek(l) != (c == '{' ? '}' : ']')) {
                if (c == '{') TRY(lex_key(l));
                continue;
            }
        } else {
            TRY(lex_scalar(l));
        }
        TRY(lex_after(l, &more));
    }
    l->pos = json_skip_space(l->text, l->n, l->pos);
    return l->pos == l->n ? STATUS_OK : refuse(l, "the end of the text after the value");
}

enum status json_check(const char *text, size_t n, const char *path, struct error *err)
{
    struct lexer l = {.text = text, .n = n, .path = path, .err = err};
    size_t bad = utf8_check(text, n);
    if (bad < n) {
        return json_error_at(text, n, bad, path, err, "byte 0x%02x: not valid UTF-8",
                             (unsigned char)text[bad]);
    }
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        return json_error_at(text, n, 0, path, err, "expected a value, found a byte order mark");
    }
    return lex_document(&l);
}

size_t json_skip_string(const char *text, size_t pos)
{
    for (pos++; text[pos] != '"'; pos++) {
        if (text[pos] == '\\') pos++;
    }
    return pos + 1;
}

size_t json_skip_number(const char *text, size_t n, size_t pos)
{
    while (pos < n && (is_digit(text[pos]) || memchr("+-.eE", text[pos], 5))) pos++;
    return pos;
}

size_t json_skip_value(const char *text, size_t n, size_t pos)
{
    size_t depth = 0;
    do {
        char c = text[pos];
        if (c == '"') {
            pos = json_skip_string(text, pos);
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        if (depth == 0 && c != '}' && c != ']') { /* a number or a word by itself */
            while (pos < n && !memchr(" \t\r\n,]}", text[pos], 7)) pos++;
            return pos;
        }
        pos++;
    } while (depth > 0 && pos < n);
    return pos;
}

#include "base/json.h"
#include "base/json_text.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_format_double(char dst[JSON_DOUBLE_SIZE], double v)
{
    /* %g drops trailing zeros, so 15 digits give every shorter form too; only subnormals may need fewer than
     * 15 to be told apart. */
    int digits = v != 0 && fabs(v) < DBL_MIN ? 1 : 15;
    for (; digits <= 17; digits++) {
        snprintf(dst, JSON_DOUBLE_SIZE, "%.*g", digits, v);
        if (!(strtod(dst, NULL) < v || strtod(dst, NULL) > v)) return;
    }
}

/* What must be escaped, and what could disturb a terminal that the text is shown on. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

static void append_escape(struct buf *b, uint32_t c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c < 0x80 && c != 0 ? strchr(from, (int)c) : NULL;
    if (known) {
        buf_printf(b, "\\%c", to[known - from]);
    } else {
        buf_printf(b, "\\u%04x", (unsigned)c);
    }
}

static void append_text(struct buf *b, const char *s, size_t n)
{
    size_t plain = 0; /* s[plain..i) is copied as it stands */
    buf_append(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        size_t len = utf8_decode(s + i, n - i, &code);
        if (len > 0 && !needs_escape(code)) {
            i += len;
            continue;
        }
        buf_append(b, s + plain, i - plain);
        if (len == 0) {
            buf_puts(b, "\xef\xbf\xbd");
            len = 1;
        } else {
            append_escape(b, code);
        }
        i += len;
        plain = i;
    }
    buf_append(b, s + plain, n - plain);
    buf_append(b, "\"", 1);
}

void json_append_string(struct buf *b, const char *s)
{
    append_text(b, s, strlen(s));
}

static void new_line(struct jwriter *w)
{
    buf_append(w->out, "\n", 1);
    for (unsigned i = 0; i < w->depth; i++) buf_append(w->out, "  ", 2);
}

static void begin_value(struct jwriter *w, const char *key)
{
    if (w->need_comma) buf_append(w->out, ",", 1);
    w->need_comma = true;
    if (w->pretty && w->depth > 0) new_line(w);
    if (!key) return;
    json_append_string(w->out, key);
    buf_puts(w->out, w->pretty ? ": " : ":");
}

static void open_container(struct jwriter *w, const char *key, const char *bracket)
{
    begin_value(w, key);
    buf_puts(w->out, bracket);
    w->depth++;
    w->need_comma = false;
}

static void close_container(struct jwriter *w, const char *bracket)
{
    w->depth--;
    if (w->pretty && w->need_comma) new_line(w);
    buf_puts(w->out, bracket);
    w->need_comma = true;
}

void jw_begin_object(struct jwriter *w, const char *key)
{
    open_container(w, key, "{");
}
void jw_end_object(struct jwriter *w)
{
    close_container(w, "}");
}
void jw_begin_array(struct jwriter *w, const char *key)
{
    open_container(w, key, "[");
}
void jw_end_array(struct jwriter *w)
{
    close_container(w, "]");
}

void jw_string(struct jwriter *w, const char *key, const char *value)
{
    if (!value) {
        jw_null(w, key);
        return;
    }
    begin_value(w, key);
    json_append_string(w->out, value);
}

void jw_string_n(struct jwriter *w, const char *key, const char *value, size_t n)
{
    begin_value(w, key);
    append_text(w->out, value, n);
}

void jw_int(struct jwriter *w, const char *key, int64_t value)
{
    begin_value(w, key);
    buf_printf(w->out, "%" PRId64, value);
}

void jw_uint(struct jwriter *w, const char *key, uint64_t value)
{
    begin_value(w, key);
    buf_printf(w->out, "%" PRIu64, value);
}

void jw_double(struct jwriter *w, const char *key, double value)
{
    if (!isfinite(value)) {
        jw_null(w, key);
        return;
    }
    char number[JSON_DOUBLE_SIZE];
    json_format_double(number, value);
    begin_value(w, key);
    buf_puts(w->out, number);
}

void jw_bool(struct jwriter *w, const char *key, bool value)
{
    begin_value(w, key);
    buf_puts(w->out, value ? "true" : "false");
}

void jw_null(struct jwriter *w, const char *key)
{
    begin_value(w, key);
    buf_puts(w->out, "null");
}

void jw_raw(struct jwriter *w, const char *key, const char *text)
{
    begin_value(w, key);
    buf_puts(w->out, text);
}

void jw_raw_buf(struct jwriter *w, const char *key, const struct buf *text)
{
    w->out->failed |= text->failed;
    jw_raw(w, key, text->data ? text->data : "null");
}

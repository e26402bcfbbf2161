#include "base/status.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const names[STATUS_COUNT] = {
    [STATUS_OK] = "ok",         [STATUS_USAGE] = "usage",       [STATUS_IO] = "io",
    [STATUS_NOMEM] = "nomem",   [STATUS_FORMAT] = "format",     [STATUS_UNSUPPORTED] = "unsupported",
    [STATUS_RANGE] = "range",   [STATUS_MISMATCH] = "mismatch", [STATUS_NOTFOUND] = "notfound",
    [STATUS_EXISTS] = "exists",
};

bool status_of_machine(enum status s)
{
    return s == STATUS_IO || s == STATUS_NOMEM;
}

const char *status_name(enum status s)
{
    return (unsigned)s < STATUS_COUNT ? names[s] : "unknown";
}

/* Built aside and copied at the end: the arguments may well be fields of *err. */
static enum status fill(struct error *err, enum status s, const char *path, const char *tensor,
                        const char *suffix, const char *fmt, va_list args)
{
    struct error e;
    e.status = s;
    e.hint[0] = 0;
    snprintf(e.path, sizeof e.path, "%s", path ? path : "");
    snprintf(e.tensor, sizeof e.tensor, "%s", tensor ? tensor : "");
    if (vsnprintf(e.text, sizeof e.text, fmt, args) < 0) e.text[0] = 0;
    if (suffix) {
        size_t used = strlen(e.text);
        snprintf(e.text + used, sizeof e.text - used, "%s%s", used ? ": " : "", suffix);
    }
    *err = e;
    return s;
}

enum status error_set(struct error *err, enum status s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, s, NULL, NULL, NULL, fmt, args);
    va_end(args);
    return s;
}

enum status error_at(struct error *err, enum status s, const char *path, const char *tensor, const char *fmt,
                     ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, s, path, tensor, NULL, fmt, args);
    va_end(args);
    return s;
}

enum status error_errno(struct error *err, const char *path, const char *fmt, ...)
{
    int code = errno;
    char space[128];
    const char *why = strerror_r(code, space, sizeof space);
    va_list args;
    va_start(args, fmt);
    fill(err, code == ENOENT ? STATUS_NOTFOUND : STATUS_IO, path, NULL, why, fmt, args);
    va_end(args);
    errno = code;
    return err->status;
}

enum status error_nomem(struct error *err, size_t n)
{
    return error_set(err, STATUS_NOMEM, "out of memory: %zu bytes could not be had", n);
}

enum status error_hint(struct error *err, const char *fmt, ...)
{
    char hint[sizeof err->hint];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(hint, sizeof hint, fmt, args) < 0) hint[0] = 0;
    va_end(args);
    memcpy(err->hint, hint, sizeof hint);
    return err->status;
}

enum status error_in(struct error *err, const char *path)
{
    if (!err->path[0]) snprintf(err->path, sizeof err->path, "%s", path);
    return err->status;
}

/* What could move a terminal's cursor, colour it or reorder the line: C0, DEL, C1, bidirectional controls,
 * line separators. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029;
}

void text_escape(const char *text, char *dst, size_t dst_size)
{
    size_t n = strlen(text), used = 0;
    if (dst_size == 0) return;
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t len = utf8_decode(text + i, n - i, &code);
        if (len > 0 && !is_control(code)) {
            if (used + len >= dst_size) break;
            memcpy(dst + used, text + i, len);
            used += len;
            i += len;
            continue;
        }
        for (size_t end = i + (len ? len : 1); i < end; i++) {
            if (used + 4 >= dst_size) goto full;
            used += (size_t)snprintf(dst + used, dst_size - used, "\\x%02x", (unsigned char)text[i]);
        }
    }
full:
    dst[used] = 0;
}

void error_format(const struct error *err, const char *tool, char *dst, size_t dst_size)
{
    char line[sizeof(struct error) + 128];
    int n = snprintf(line, sizeof line, "%s: ", tool);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (err->path[0]) used += (size_t)snprintf(line + used, sizeof line - used, "%s: ", err->path);
    if (used >= sizeof line) used = sizeof line - 1;
    if (err->tensor[0])
        used += (size_t)snprintf(line + used, sizeof line - used, "tensor '%s': ", err->tensor);
    if (used >= sizeof line) used = sizeof line - 1;
    snprintf(line + used, sizeof line - used, "%s", err->text);
    text_escape(line, dst, dst_size);
}

#include "core/name_pattern.h"
#include "base/memory.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum status matrix_type_parse(enum dtype *out, const char *option, const char *name, struct error *err)
{
    *out = dtype_from_name(name);
    const struct dtype_info *info = *out == DTYPE_COUNT ? NULL : dtype_info(*out);
    if (info && info->ggml_id >= 0 && (info->is_float || info->block_len > 1)) return STATUS_OK;
    error_set(err, STATUS_USAGE, "%s: '%s' is no type of a matrix", option, name);
    return error_hint(err, "--list-types shows them");
}

/* POSIX's own spelling of the escapes that people bring along from other dialects. */
static enum status translate(struct buf *b, const char *pattern, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (pattern[i] == '\\' && i + 1 < n) {
            i++;
            if (pattern[i] == 'd')
                buf_puts(b, "[0-9]");
            else if (pattern[i] == 'D')
                buf_puts(b, "[^0-9]");
            else
                buf_printf(b, "\\%c", pattern[i]);
        } else if (pattern[i] == '(' && i + 1 < n && pattern[i + 1] == '?') {
            return error_set(err, STATUS_USAGE,
                             "--tensor-type: '(?' in '%.*s' is not known; patterns are POSIX extended ones",
                             (int)n, pattern);
        } else {
            buf_append(b, pattern + i, 1);
        }
    }
    return buf_check(b, err);
}

static enum status compile(struct name_pattern *p, size_t n, struct error *err)
{
    struct buf text = {0};
    regex_t *regex = calloc(1, sizeof *regex);
    if (!regex) return error_nomem(err, sizeof *regex);
    enum status st = translate(&text, p->text, n, err);
    int code = st == STATUS_OK ? regcomp(regex, text.data, REG_EXTENDED | REG_ICASE | REG_NOSUB) : 0;
    buf_clear(&text);
    if (st != STATUS_OK || code != 0) free(regex);
    if (code != 0) {
        char why[128];
        regerror(code, NULL, why, sizeof why);
        return error_set(err, STATUS_USAGE, "--tensor-type: pattern '%.*s': %s", (int)n, p->text, why);
    }
    if (st == STATUS_OK) p->regex = regex;
    return st;
}

enum status name_patterns_add(struct name_patterns *p, const char *text, struct error *err)
{
    struct name_pattern item = {.text = text};
    const char *equal = strrchr(text, '=');
    if (!equal || equal == text || !equal[1])
        return error_set(err, STATUS_USAGE, "--tensor-type: expected REGEX=TYPE, found '%s'", text);
    TRY(matrix_type_parse(&item.type, "--tensor-type", equal + 1, err));
    TRY(compile(&item, (size_t)(equal - text), err));
    struct name_pattern *items = realloc(p->items, (p->count + 1) * sizeof *items);
    if (!items) {
        regfree(item.regex);
        free(item.regex);
        return error_nomem(err, (p->count + 1) * sizeof *items);
    }
    p->items = items;
    p->items[p->count++] = item;
    return STATUS_OK;
}

struct name_pattern *name_patterns_match(const struct name_patterns *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (regexec(p->items[i].regex, name, 0, NULL, 0) == 0) {
            p->items[i].used = true;
            return &p->items[i];
        }
    return NULL;
}

void name_patterns_clear(struct name_patterns *p)
{
    for (size_t i = 0; i < p->count; i++) {
        regfree(p->items[i].regex);
        free(p->items[i].regex);
    }
    free(p->items);
    *p = (struct name_patterns){0};
}

#include "inspect/layer_names.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t layer_split(const char *name, struct arena *a, const char **pattern)
{
    *pattern = NULL;
    for (const char *p = name; *p; p++) {
        if (!isdigit((unsigned char)*p) || (p > name && p[-1] != '.')) continue;
        size_t n = strspn(p, "0123456789");
        if (n < 10 && (p[n] == '.' || p[n] == '\0')) {
            *pattern = arena_printf(a, "%.*s{}%s", (int)(p - name), name, p + n);
            return strtoll(p, NULL, 10);
        }
        p += n - 1;
    }
    return -1;
}

void layer_group_add(struct layer_group *g, int64_t layer)
{
    g->first = layer < g->first ? layer : g->first;
    g->last = layer > g->last ? layer : g->last;
    g->count++;
}

void layer_group_name(const struct layer_group *g, char dst[320])
{
    char name[256];
    if (g->count == 1 || !g->pattern) {
        text_escape(g->name, dst, 320);
        return;
    }
    text_escape(g->pattern, name, sizeof name);
    char *at = strstr(name, "{}");
    bool gaps = g->last - g->first + 1 != (int64_t)g->count;
    if (at)
        snprintf(dst, 320, "%.*s{%" PRId64 "%s%" PRId64 "}%s", (int)(at - name), name, g->first, gaps ? ",...," : "..", g->last, at + 2);
    else /* cut before it: a very long name */
        snprintf(dst, 320, "%s", name);
}

#include "base/json.h"
#include "base/file.h"
#include "base/json_lex.h"
#include "base/json_text.h"
#include "base/limits.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cJSON keeps a number as a double alone. Each number node gets the place of its source text in
 * `valuestring`; the "reference" bit keeps cJSON_Delete from freeing it. */
struct json {
    char *text; /* owned, terminated */
    size_t n;
    char *path;
    cJSON *root;
};

static const cJSON *node_of(const struct jvalue *v)
{
    return (const cJSON *)(const void *)v;
}
static const struct jvalue *value_of(const cJSON *node)
{
    return (const struct jvalue *)(const void *)node;
}

struct walk {
    struct json *doc;
    size_t pos;
    struct error *err;
};

static void step(struct walk *w)
{
    w->pos = json_skip_space(w->doc->text, w->doc->n, w->pos + 1);
}

/* Small objects are compared pair by pair, large ones through a map. */
enum { PAIRWISE_MAX = 8 };

static enum status check_key(struct walk *w, struct strmap *seen, const cJSON *object, const cJSON *member,
                             size_t index)
{
    bool twice = false;
    if (index < PAIRWISE_MAX) {
        for (const cJSON *m = object->child; m != member && !twice; m = m->next) {
            twice = strcmp(m->string, member->string) == 0;
        }
    }
    if (!twice && index == PAIRWISE_MAX) {
        for (const cJSON *m = object->child; m != member; m = m->next)
            TRY(strmap_add(seen, m->string, 0, NULL, w->err));
    }
    if (!twice && index >= PAIRWISE_MAX) {
        enum status st = strmap_add(seen, member->string, 0, NULL, w->err);
        if (st != STATUS_OK && st != STATUS_EXISTS) return st;
        twice = st == STATUS_EXISTS;
    }
    if (!twice) return STATUS_OK;
    return json_error_at(w->doc->text, w->doc->n, w->pos, w->doc->path, w->err, "duplicate key '%s'",
                         member->string);
}

/* Walks text and tree side by side; recursion is bounded by LIMIT_JSON_DEPTH, which the text has passed. */
static enum status index_value(struct walk *w, cJSON *node)
{
    const char *text = w->doc->text;
    struct strmap seen = {0};
    enum status st = STATUS_OK;
    size_t index = 0;
    switch (node->type) {
    case cJSON_Object:
    case cJSON_Array:
        step(w);
        for (cJSON *m = node->child; m && st == STATUS_OK; m = m->next, index++) {
            if (node->type == cJSON_Object) {
                st = check_key(w, &seen, node, m, index);
                w->pos = json_skip_space(text, w->doc->n, json_skip_string(text, w->pos));
                step(w);
            }
            if (st == STATUS_OK) st = index_value(w, m);
            w->pos = json_skip_space(text, w->doc->n, w->pos);
            if (text[w->pos] == ',') step(w);
        }
        strmap_clear(&seen);
        w->pos++;
        return st;
    case cJSON_Number:
        node->valuestring = w->doc->text + w->pos;
        node->type |= cJSON_IsReference;
        break;
    default:
        break;
    }
    w->pos = json_skip_value(text, w->doc->n, w->pos);
    return STATUS_OK;
}

/* Takes over text, which is terminated by a 0 byte at text[n]. */
static enum status parse_owned(struct json **out, char *text, size_t n, const char *path, struct error *err)
{
    *out = NULL;
    struct json *doc = calloc(1, sizeof *doc);
    if (!doc) {
        free(text);
        return error_nomem(err, sizeof *doc);
    }
    doc->text = text;
    doc->n = n;
    doc->path = strdup(path);
    enum status st;
    if (!doc->path) {
        st = error_nomem(err, strlen(path) + 1);
        goto out;
    }
    TRY_OUT(json_check(text, n, path, err));
    doc->root = cJSON_ParseWithLengthOpts(text, n + 1, NULL, 1);
    if (!doc->root) { /* the text is sound, so memory is what was missing */
        st = error_at(err, STATUS_NOMEM, path, NULL, "out of memory for a JSON document of %zu bytes", n);
        goto out;
    }
    struct walk w = {.doc = doc, .pos = json_skip_space(text, n, 0), .err = err};
    TRY_OUT(index_value(&w, doc->root));
    *out = doc;
    return STATUS_OK;
out:
    json_free(doc);
    return st;
}

enum status json_parse(struct json **out, const char *text, size_t n, const char *path, struct error *err)
{
    *out = NULL;
    char *copy = n < PTRDIFF_MAX ? malloc(n + 1) : NULL;
    if (!copy) return error_nomem(err, n);
    if (n > 0) memcpy(copy, text, n);
    copy[n] = 0;
    return parse_owned(out, copy, n, path, err);
}

enum status json_load(struct json **out, const char *path, uint64_t max_bytes, struct error *err)
{
    struct buf text = {0};
    *out = NULL;
    TRY(file_read_all(&text, path, max_bytes, err));
    return parse_owned(out, text.data, text.len, path, err);
}

void json_free(struct json *doc)
{
    if (!doc) return;
    cJSON_Delete(doc->root);
    free(doc->text);
    free(doc->path);
    free(doc);
}

const struct jvalue *json_root(const struct json *doc)
{
    return value_of(doc->root);
}
const char *json_path(const struct json *doc)
{
    return doc->path;
}

enum jtype json_type(const struct jvalue *v)
{
    switch (node_of(v)->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JTYPE_BOOL;
    case cJSON_Number:
        return JTYPE_NUMBER;
    case cJSON_String:
        return JTYPE_STRING;
    case cJSON_Array:
        return JTYPE_ARRAY;
    case cJSON_Object:
        return JTYPE_OBJECT;
    default:
        return JTYPE_NULL;
    }
}

const struct jvalue *json_get(const struct jvalue *v, const char *key)
{
    if (!json_is(v, JTYPE_OBJECT)) return NULL;
    const cJSON *m = node_of(v)->child;
    while (m && strcmp(m->string, key) != 0) m = m->next;
    return value_of(m);
}

const struct jvalue *json_first(const struct jvalue *v)
{
    return json_is(v, JTYPE_OBJECT) || json_is(v, JTYPE_ARRAY) ? value_of(node_of(v)->child) : NULL;
}

const struct jvalue *json_next(const struct jvalue *v)
{
    return v ? value_of(node_of(v)->next) : NULL;
}
const char *json_key(const struct jvalue *v)
{
    return v ? node_of(v)->string : NULL;
}

size_t json_count(const struct jvalue *v)
{
    size_t n = 0;
    for (const struct jvalue *m = json_first(v); m; m = json_next(m)) n++;
    return n;
}

bool json_is(const struct jvalue *v, enum jtype t)
{
    return v && json_type(v) == t;
}
bool json_is_true(const struct jvalue *v)
{
    return v && (node_of(v)->type & 0xff) == cJSON_True;
}
const char *json_string(const struct jvalue *v)
{
    return json_is(v, JTYPE_STRING) ? node_of(v)->valuestring : NULL;
}

/* Number node: its source text, with '-' and digits only? */
static size_t number_text(const cJSON *node, const char **start, bool *is_integer)
{
    *start = node->valuestring;
    size_t n = json_skip_number(*start, LIMIT_JSON_NUMBER + 1, 0);
    *is_integer = !memchr(*start, '.', n) && !memchr(*start, 'e', n) && !memchr(*start, 'E', n);
    return n;
}

/* "expected ..., found ..." for a value of another kind. */
static enum status wrong_kind(const struct json *doc, const struct jvalue *v, const char *expected,
                              struct error *err)
{
    struct buf found = {0};
    if (v) json_print(v, &found);
    if (found.len > 80) {
        static const char *const names[] = {"null",          "a bool",   "a number",
                                            "a long string", "an array", "an object"};
        buf_clear(&found);
        buf_puts(&found, names[json_type(v)]);
    }
    const char *key = json_key(v);
    error_at(err, STATUS_FORMAT, doc->path, NULL, "%s%s%sexpected %s, found %s", key ? "'" : "",
             key ? key : "", key ? "': " : "", expected, !v || found.failed ? "nothing" : found.data);
    buf_clear(&found);
    return STATUS_FORMAT;
}

enum status json_int(const struct json *doc, const struct jvalue *v, int64_t *out, struct error *err)
{
    const int64_t limit = (int64_t)1 << 53;
    const char *start;
    bool is_integer;
    if (!json_is(v, JTYPE_NUMBER)) return wrong_kind(doc, v, "an integer", err);
    size_t n = number_text(node_of(v), &start, &is_integer);
    if (!is_integer || (n == 2 && memcmp(start, "-0", 2) == 0)) return wrong_kind(doc, v, "an integer", err);
    bool negative = start[0] == '-';
    int64_t value = 0;
    for (size_t i = negative; i < n && value <= limit; i++) value = value * 10 + (start[i] - '0');
    if (value > limit) return wrong_kind(doc, v, "an integer of at most 2^53", err);
    *out = negative ? -value : value;
    return STATUS_OK;
}

enum status json_double(const struct json *doc, const struct jvalue *v, double *out, struct error *err)
{
    if (!json_is(v, JTYPE_NUMBER)) return wrong_kind(doc, v, "a number", err);
    *out = node_of(v)->valuedouble;
    return STATUS_OK;
}

bool json_raw_member(const struct json *doc, const char *key, const char **start, size_t *n)
{
    if (!json_is(json_root(doc), JTYPE_OBJECT)) return false;
    const char *text = doc->text;
    size_t pos = json_skip_space(text, doc->n, 0) + 1;
    for (const cJSON *m = doc->root->child; m; m = m->next) {
        pos = json_skip_string(text, json_skip_space(text, doc->n, pos)); /* key */
        pos = json_skip_space(text, doc->n, pos) + 1;                     /* ':' */
        pos = json_skip_space(text, doc->n, pos);
        size_t end = json_skip_value(text, doc->n, pos);
        if (strcmp(m->string, key) == 0) {
            *start = text + pos;
            *n = end - pos;
            return true;
        }
        pos = json_skip_space(text, doc->n, end) + 1; /* ',' */
    }
    return false;
}

static void print_number(const cJSON *node, struct buf *b)
{
    const char *start;
    bool is_integer;
    size_t n = number_text(node, &start, &is_integer);
    if (is_integer) { /* as it stood: a double might not hold it */
        buf_append(b, start, n);
        return;
    }
    char number[JSON_DOUBLE_SIZE];
    json_format_double(number, node->valuedouble);
    buf_puts(b, number);
    if (!strpbrk(number, ".e")) buf_puts(b, ".0"); /* stays a fraction for readers that tell them apart */
}

void json_print(const struct jvalue *v, struct buf *b)
{
    const cJSON *node = node_of(v);
    enum jtype type = json_type(v);
    switch (type) {
    case JTYPE_NULL:
        buf_puts(b, "null");
        return;
    case JTYPE_BOOL:
        buf_puts(b, json_is_true(v) ? "true" : "false");
        return;
    case JTYPE_NUMBER:
        print_number(node, b);
        return;
    case JTYPE_STRING:
        json_append_string(b, node->valuestring);
        return;
    case JTYPE_ARRAY:
    case JTYPE_OBJECT:
        break;
    }
    buf_puts(b, type == JTYPE_OBJECT ? "{" : "[");
    for (const cJSON *m = node->child; m; m = m->next) {
        if (type == JTYPE_OBJECT) {
            json_append_string(b, m->string);
            buf_puts(b, ":");
        }
        json_print(value_of(m), b);
        if (m->next) buf_puts(b, ",");
    }
    buf_puts(b, type == JTYPE_OBJECT ? "}" : "]");
}

/* JSON in and out. Reading is cJSON behind one lexical pass that refuses what cJSON would let through:
 * invalid UTF-8, wrong number forms, depth beyond LIMIT_JSON_DEPTH, duplicate keys in an object, text after the
 * end, \u0000.
 *
 *     struct json *doc;
 *     TRY(json_parse(&doc, text, n, "config.json", err));
 *     const struct jvalue *v = json_get(json_root(doc), "hidden_size");
 *     int64_t d;
 *     TRY(json_int(v, &d, err));
 *     json_free(doc);
 *
 * Values live as long as their document. Objects and arrays are linked lists: walk them once with json_first
 * / json_next; json_get is linear and meant for small objects.
 */
#ifndef LATHE_JSON_H
#define LATHE_JSON_H

#include "base/limits.h"
#include "base/memory.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum jtype { JTYPE_NULL, JTYPE_BOOL, JTYPE_NUMBER, JTYPE_STRING, JTYPE_ARRAY, JTYPE_OBJECT };

struct json;
struct jvalue; /* opaque: a node of the document */

/* text need not be terminated; it is copied where needed. `path` names the document in errors (with line and
 * column). */
enum status json_parse(struct json **out, const char *text, size_t n, const char *path, struct error *err);
/* file_read_all + json_parse */
enum status json_load(struct json **out, const char *path, uint64_t max_bytes, struct error *err);
void json_free(struct json *doc);
const struct jvalue *json_root(const struct json *doc);
const char *json_path(const struct json *doc);

enum jtype json_type(const struct jvalue *v);
/* Member of an object; NULL if absent, or if v is NULL or no object. */
const struct jvalue *json_get(const struct jvalue *v, const char *key);
/* First element or member, the next one; NULL at the end. */
const struct jvalue *json_first(const struct jvalue *v);
const struct jvalue *json_next(const struct jvalue *v);
const char *json_key(const struct jvalue *v); /* key of a member */
size_t json_count(const struct jvalue *v);

bool json_is(const struct jvalue *v, enum jtype t); /* false for NULL */
bool json_is_true(const struct jvalue *v);
const char *json_string(const struct jvalue *v); /* NULL unless a string */
/* The exact integer, read from its digits; STATUS_FORMAT for anything else (1.0, 1e3, -0, beyond ±2^53, no
 * number), naming the document and key. */
enum status json_int(const struct json *doc, const struct jvalue *v, int64_t *out, struct error *err);
enum status json_double(const struct json *doc, const struct jvalue *v, double *out, struct error *err);
/* Source text of the value of a top-level member, byte for byte as it stood in the document; false if absent.
 */
bool json_raw_member(const struct json *doc, const char *key, const char **start, size_t *n);
/* Compact text of a value appended to b: integers as they stood, other numbers with the fewest digits that
 * read back equal. */
void json_print(const struct jvalue *v, struct buf *b);

/* Writing: commas and escaping are handled; numbers with the fewest digits that read back equal (NaN and Inf
 * become null). key is NULL in arrays. Control characters, DEL and C1 included, are escaped: the text may go
 * to a terminal. */
struct jwriter {
    struct buf *out;
    unsigned depth;
    bool need_comma, pretty;
};
void jw_begin_object(struct jwriter *w, const char *key);
void jw_end_object(struct jwriter *w);
void jw_begin_array(struct jwriter *w, const char *key);
void jw_end_array(struct jwriter *w);
void jw_string(struct jwriter *w, const char *key,
               const char *value); /* invalid UTF-8 becomes U+FFFD; NULL becomes null */
void jw_string_n(struct jwriter *w, const char *key, const char *value, size_t n); /* NUL among it: \u0000 */
void jw_int(struct jwriter *w, const char *key, int64_t value);
void jw_uint(struct jwriter *w, const char *key, uint64_t value);
void jw_double(struct jwriter *w, const char *key, double value);
void jw_bool(struct jwriter *w, const char *key, bool value);
void jw_null(struct jwriter *w, const char *key);
/* JSON text as it is: of json_print, say */
void jw_raw(struct jwriter *w, const char *key, const char *text);
/* The same from a buffer: null where it is empty; one that failed makes the output fail. */
void jw_raw_buf(struct jwriter *w, const char *key, const struct buf *text);

#endif

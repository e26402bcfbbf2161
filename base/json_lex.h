/* Inside of json.c: the lexical pass, and walking text that has passed it. */
#ifndef LATHE_JSON_LEX_H
#define LATHE_JSON_LEX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Longest number that is accepted; the library below would cut longer ones. */

/* STATUS_OK if text is one JSON value by RFC 8259 in valid UTF-8, within the limits of json.h (duplicate keys
 * are not looked at). */
enum status json_check(const char *text, size_t n, const char *path, struct error *err);
/* STATUS_FORMAT with "line L, column C: " in front, for the byte at pos. */
enum status json_error_at(const char *text, size_t n, size_t pos, const char *path, struct error *err,
                          const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* On checked text: the offset after white space, after the string or number that begins at pos, after the
 * value that begins at pos. */
size_t json_skip_space(const char *text, size_t n, size_t pos);
size_t json_skip_string(const char *text, size_t pos);
size_t json_skip_number(const char *text, size_t n, size_t pos);
size_t json_skip_value(const char *text, size_t n, size_t pos);

#endif

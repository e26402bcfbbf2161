/* Regular expressions of tokenizer files, in Oniguruma's and Rust's spelling, run by PCRE2.
 *
 *     struct regex *re;
 *     TRY(regex_new(&re, "\\p{N}{1,3}", err));
 *     while (... regex_next(re, text, n, from, &start, &end, &found, err) == STATUS_OK && found) from = end ...
 *     regex_free(re);
 *
 * Patterns come from files: the work that one match may cost is bounded, a pattern that needs more gives STATUS_RANGE. What means something
 * else to PCRE2 is translated (\s, \w, \h); what it has no form for (&& in a class) is STATUS_UNSUPPORTED. A struct regex is used by one
 * thread at a time.
 */
#ifndef LATHE_TOK_REGEX_H
#define LATHE_TOK_REGEX_H

#include "base/memory.h"

struct regex;
enum status regex_new(struct regex **out, const char *pattern, struct error *err);
void regex_free(struct regex *re); /* NULL is allowed */
/* The first match at or after `from` in n bytes of valid UTF-8; empty matches are passed over. */
enum status regex_next(struct regex *re, const char *text, size_t n, size_t from, size_t *start, size_t *end,
                       bool *found, struct error *err);
/* The pattern as it is handed to PCRE2 */
enum status regex_translate(const char *pattern, struct buf *out, struct error *err);

#endif

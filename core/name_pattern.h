/* Types that a command line gives to tensors by name: REGEX=TYPE, as llama-quantize's --tensor-type.
 *
 *     struct name_patterns p = {0};
 *     TRY(name_patterns_add(&p, "ffn_down=q6_k", err)); ...
 *     const struct name_pattern *m = name_patterns_match(&p, "blk.3.ffn_down.weight");   first one that matches, or NULL
 *     name_patterns_clear(&p);
 *
 * The pattern is a POSIX extended regular expression, with \d for a digit, that is searched for anywhere in the name, in any case. llama-quantize
 * takes ECMAScript's, in lower case: what both know means the same.
 */
#ifndef LATHE_NAME_PATTERN_H
#define LATHE_NAME_PATTERN_H

#include "dtypes/dtype.h"

struct name_pattern {
    const char *text; /* as given; not copied */
    enum dtype type;
    bool used; /* matched a tensor */
    void *regex;
};
struct name_patterns {
    struct name_pattern *items;
    size_t count;
};
/* STATUS_USAGE for a missing '=', an unknown type or a pattern that is none. `text` must outlive the list. */
enum status name_patterns_add(struct name_patterns *p, const char *text, struct error *err);
/* Marks it as used. */
struct name_pattern *name_patterns_match(const struct name_patterns *p, const char *name);
void name_patterns_clear(struct name_patterns *p);

/* A type that a matrix can be stored as, by its name in any case; STATUS_USAGE names the option. */
enum status matrix_type_parse(enum dtype *out, const char *option, const char *name, struct error *err);

#endif

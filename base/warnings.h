/* Remarks that do not stop the work: a list of {code, text}, printed by the tool, turned into errors by
 * --strict.
 *
 *     struct warnings w = {0};
 *     warnings_add(&w, "tokenizer-pre-unknown", "nearest that llama.cpp knows is %s", name);
 *     TRY(warnings_check(&w, err));
 *     for (size_t i = 0; i < w.count; i++) ... w.items[i].code, w.items[i].text
 *     warnings_clear(&w);
 *
 * Codes are stable kebab-case words that scripts and --explain rely on; texts may change. Texts may quote
 * what a file says: whoever prints them escapes control bytes. The list owns everything in it; order is the
 * order of adding. Not shared between threads.
 */
#ifndef LATHE_WARNINGS_H
#define LATHE_WARNINGS_H

#include "base/memory.h"

#include <stdbool.h>

struct warning {
    const char *code; /* as passed: a string literal */
    const char *text;
    bool note; /* said for completeness: nothing is lost or in doubt, --strict lets it pass */
};
struct warnings {
    struct warning *items; /* in mem */
    size_t count, cap;
    struct arena mem;
    bool failed; /* memory ran out: at least one warning is missing */
};
void warnings_add(struct warnings *w, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void warnings_note(struct warnings *w, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* STATUS_NOMEM if an addition failed: a warning must not be lost in silence. */
enum status warnings_check(const struct warnings *w, struct error *err);
/* true if a warning with this code is in the list */
bool warnings_has(const struct warnings *w, const char *code);
void warnings_clear(struct warnings *w);

#endif

/* Text that is hard on tokenizers, the same every time. */
#ifndef LATHE_STRESS_H
#define LATHE_STRESS_H

#include "formats/tokenizer.h"

/* Calls take(arg, text, n, err) for every text: sentences in many scripts, code, numbers, runs of white space, control characters, emoji, a
 * sweep over Unicode, the tokenizer's own added tokens among text, broken UTF-8. Ends early with the first status that is not STATUS_OK. */
enum status stress_texts(const struct tokenizer *t,
                         enum status (*take)(void *arg, const char *text, size_t n, struct error *err), void *arg,
                         struct error *err);

#endif

/* Text and ids through a checkpoint's own tokenizer. */
#ifndef LATHE_TOKENS_H
#define LATHE_TOKENS_H

#include "base/json.h"

struct tokens_request {
    const char *text, *file; /* --tokenize, --tokenize-file; one of them, or ids */
    const char *ids;         /* --detokenize: numbers, anything between them */
    bool add_special, no_special;
};
/* Into `out` as text, or as the document that w writes. */
enum status tokens_run(const char *path, const struct tokens_request *r, struct buf *out, struct jwriter *w,
                       struct error *err);

#endif

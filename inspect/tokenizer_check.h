/* Does the embedded tokenizer give the ids of the source's? */
#ifndef LATHE_TOKENIZER_CHECK_H
#define LATHE_TOKENIZER_CHECK_H

#include "base/json.h"

/* paths: the source and the GGUF, or the GGUF alone, whose receipt then holds the source's files. *code: 0 the ids are the same, 1 they are
 * not. STATUS_NOTFOUND when there is nothing to compare with. */
enum status tokenizer_check_run(const char *const *paths, int n_paths, int *code, struct buf *out,
                                struct jwriter *w, struct error *err);

#endif

/* --attention: what the heads of a model look at, over a text; or how that differs between two forms of it. One head, one layer's heads, one
 * head in every layer, or all, as a picture, on the terminal, as JSON, or as an array of numbers. */
#ifndef LATHE_INSPECT_ATTENTION_H
#define LATHE_INSPECT_ATTENTION_H

#include "base/json.h"
#include "base/options.h"
#include "core/attention.h"

struct attention_options {
    bool wanted;
    int64_t layer, head; /* -1: all */
    const char *prompt, *text, *tokens; /* one of them */
    int64_t context;                    /* ids from the start; 0: as many as the model and a picture take */
    int causal;                         /* --positions: 0 model, 1 causal */
    int precision;       /* enum precision */
    const char *against; /* NULL: one model */
    const char *output;  /* NULL: the terminal */
    double clip;         /* quantile of the cells where a difference's colours end */
};
/* The result for people goes to `out`, or with --json to w. */
enum status attention_show(const struct tool *t, const struct attention_options *o, struct workers *w,
                           struct buf *out, struct jwriter *json, struct error *err);

#endif

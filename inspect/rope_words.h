/* Rotary positions in words: base, share of the head, and what the scaling does to which frequencies, with every number it depends on. */
#ifndef LATHE_ROPE_WORDS_H
#define LATHE_ROPE_WORDS_H

#include "base/memory.h"
#include "models/hparams.h"

/* Without newline; "learned positions, no rotary embedding" for a model without. */
void rope_words(const struct hparams *h, struct buf *out);

#endif

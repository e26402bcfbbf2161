/* The receipt: what the source of a converted file was, exactly enough to go back. docs/format.md is the normative text.
 *
 *     TRY(receipt_put(&plan, model, RECEIPT_FULL, err));      before plan_layout: keys and room for the digests
 *     ... plan_layout, writer_run with .hash = true ...
 *     receipt_patch(&plan);                                   the digests, into the header, whose size does not change
 *
 * Same source, same bytes: no time, host, user or folder is recorded.
 */
#ifndef LATHE_RECEIPT_H
#define LATHE_RECEIPT_H

#include "core/plan.h"
#include "models/model.h"

enum receipt_level { RECEIPT_NONE, RECEIPT_LEAN, RECEIPT_FULL };
enum { RECEIPT_VERSION = 1 };

/* After all plan_add and plan_drop. RECEIPT_NONE puts nothing. RECEIPT_FULL reads the model's configuration and the tokenizer files of its
 * folder. */
enum status receipt_put(struct plan *p, const struct model *m, enum receipt_level level, struct error *err);
/* Nothing when the plan has no receipt. */
void receipt_patch(struct plan *p);
/* true for a key of a receipt */
bool receipt_key(const char *key);

/* Packed texts: zlib stream in base64 (RFC 4648, with padding, no line breaks). A string, because array readers of other tools build one object
 * per element. */
enum status receipt_pack(struct buf *out, const void *src, size_t n, struct error *err);
/* STATUS_FORMAT for anything receipt_pack does not write; STATUS_RANGE beyond max_bytes. */
enum status receipt_unpack(struct buf *out, const char *text, size_t n, size_t max_bytes, struct error *err);

#endif

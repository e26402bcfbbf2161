/* Lists: tensors (with statistics and digests on request), metadata, configuration. */
#ifndef LATHE_LISTING_H
#define LATHE_LISTING_H

#include "base/json.h"
#include "core/scan.h"
#include "inspect/subject.h"

struct listing {
    bool stats, hash;
    bool all; /* every layer on a line of its own, arrays whole */
    struct workers *workers;
    struct progress *progress;
};
/* Tensors in file order; without stats, hash and all, layers of equal type and shape share a line: blk.{0..29}.attn_q.weight ×30. */
enum status listing_tensors_text(const struct subject *s, const struct listing *o, struct buf *out,
                                 struct error *err);
/* Comma-separated values (RFC 4180, but lines end in LF) with a head line, one tensor a line. */
enum status listing_tensors_csv(const struct subject *s, const struct listing *o, struct buf *out,
                                struct error *err);
/* "tensors": array of {name, dtype, shape, size_bytes[, stats{}][, sha256]}; with stats of a model also "roles" */
enum status listing_tensors_json(const struct subject *s, const struct listing *o, struct jwriter *w,
                                 struct error *err);
/* Metadata keys of GGUF and safetensors in file order: key, type, value (arrays cut after a few elements unless `all`). */
void listing_metadata_text(const struct subject *s, const struct listing *o, struct buf *out);
void listing_metadata_json(const struct subject *s, const struct listing *o, struct jwriter *w);
/* One value as the list shows it (cut unless `whole`, control characters escaped), and its type: "u32", "string[8]". */
void listing_value_text(const struct kv *kv, bool whole, struct buf *out);
void listing_type_text(const struct kv *kv, char dst[32]);
/* config.json as it stands; for GGUF the architecture's keys. */
void listing_config_text(const struct subject *s, struct buf *out);

#endif

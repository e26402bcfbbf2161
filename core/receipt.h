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
/* true for the name of a configuration or tokenizer file that a full receipt may hold */
bool receipt_file_name(const char *name);

/* A receipt being read. Nothing in it is trusted: names, shapes and numbers are what the file says, of the right kind and within limits. */
struct receipt_source {
    const char *name;
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_DIMS_MAX];
    int64_t n_elements;
    uint8_t sha256[SHA256_BYTES];
};
struct receipt_tensor {
    const char *name; /* in the GGUF */
    enum transform transform;
    struct transform_args args;
    double scale; /* of the first scaled_rows rows of the GGUF's tensor */
    int64_t scaled_rows;
    struct receipt_source *sources;
    size_t n_sources;
    bool had_scales; /* what the file holds are products: the source's bytes do not follow */
};
struct receipt_dropped {
    struct receipt_source source;
    const char *reason;
};
struct receipt {
    bool full;
    const char *format; /* of the source: "safetensors", ... */
    struct receipt_tensor *tensors;
    size_t n_tensors;
    struct receipt_dropped *dropped;
    size_t n_dropped;
    const struct container *gguf; /* outlives the receipt */
    struct arena mem;
};
/* *out is NULL, and STATUS_OK, for a file without one. STATUS_UNSUPPORTED for a higher version. */
enum status receipt_read(struct receipt **out, const struct container *gguf, struct error *err);
void receipt_free(struct receipt *r); /* NULL is allowed */
/* Number i of the files of a full receipt; *name is NULL behind the last. STATUS_FORMAT for a name that no receipt has. */
enum status receipt_read_file(const struct receipt *r, size_t i, const char **name, struct buf *out, struct error *err);
/* The bytes of number i of the dropped tensors; *stored is false where the receipt does not have them. */
enum status receipt_read_dropped(const struct receipt *r, size_t i, bool *stored, struct buf *out, struct error *err);

/* Packed texts: zlib stream in base64 (RFC 4648, with padding, no line breaks). A string, because array readers of other tools build one object
 * per element. */
enum status receipt_pack(struct buf *out, const void *src, size_t n, struct error *err);
/* STATUS_FORMAT for anything receipt_pack does not write; STATUS_RANGE beyond max_bytes. */
enum status receipt_unpack(struct buf *out, const char *text, size_t n, size_t max_bytes, struct error *err);

#endif

/* Everything about an output file before any of its data is touched: metadata, tensors, where each comes from, exact offsets and size.
 *
 *     struct plan p = {0};
 *     gguf_put_string(&p.out, "general.architecture", "llama"); ...
 *     TRY(plan_add(&p, &(struct plan_tensor){.name = ..., .sources = ..., .to = DTYPE_BF16, .why = "matrix"}, err)); ...
 *     TRY(plan_layout(&p, err));                  p.size_bytes is the size the file will have
 *     plan_print(&p, &text);                      or plan_print_json: what --dry-run shows
 *     TRY(writer_run(...))                        core/writer.h
 *     plan_clear(&p);
 *
 * Sources stay owned by their checkpoint and must outlive the plan. Names and texts given to plan_add are copied where that is said.
 */
#ifndef LATHE_PLAN_H
#define LATHE_PLAN_H

#include "base/digest.h"
#include "base/json.h"
#include "core/damage.h"
#include "core/imatrix.h"
#include "core/transform.h"

struct plan_source {
    const struct ckpt_tensor *t;
    uint8_t sha256[SHA256_BYTES]; /* of its bytes in row-major order; a result of writer_run */
};
/* What the elements of a matrix are multiplied with, block by block of the source: core/dequant.h */
struct plan_scales {
    const struct ckpt_tensor *t; /* NULL: none */
    int64_t block_rows, block_cols, grid_cols;
    uint8_t sha256[SHA256_BYTES]; /* a result of writer_run */
};
/* Results of plan_layout. Offsets count through all files of the output, in their order. */
struct plan_place {
    uint64_t off_file, size_bytes, padded_bytes;
};
/* What is added to a matrix: scale * B A, (out, r) times (r, in), or its transpose: core/lora.h */
struct plan_lora {
    const struct ckpt_tensor *a, *b;
    bool embedding; /* the transpose: a is (r, out), b is (in, r) */
    double scale;
    struct transform_spec rows; /* from rows of (out, r) to the target's */
    struct plan_lora *next;     /* of another adapter */
};
struct plan_tensor {
    const char *name; /* in the output; copied */
    /* One source, or several that follow each other along the outermost dimension; all of one type. Copied. None: `data`. */
    struct plan_source *sources;
    size_t n_sources;
    const void *data; /* bytes of a tensor that no source holds, in the target's type; copied */
    bool stacked;     /* ... along a new outermost dimension instead; all of one shape */
    int n_dims;       /* of the source as a whole */
    int64_t shape[TENSOR_DIMS_MAX];
    enum dtype from; /* set by plan_add from the sources */
    enum dtype to;
    enum dtype
        wanted; /* what the recipe would have used if the rows were a multiple of its block; `to` otherwise */
    enum transform transform;
    struct transform_args args; /* of the transform */
    /* The first rows of the target are multiplied by a number, in double, before they are rounded to `to`; scaled_rows 0: none. */
    double scale;
    int64_t scaled_rows;
    bool scaled_source; /* those of the source instead */
    struct plan_scales scales;
    const struct tensor_rule *rule; /* of the family, and the layer that it was for; NULL: none */
    int64_t layer;
    const char *why; /* the rule that chose `to`; a literal, or a text of the command line */
    struct plan_lora *lora; /* NULL: nothing is added */
    const struct imatrix_entry *weights; /* importance weights for a block type, from the plan's imatrix; NULL: none */

    struct transform_spec spec; /* filled by plan_add */
    bool decoded; /* filled by plan_add: blocks become floats before they are rearranged, because they would be cut */
    struct plan_place place;
    size_t order;               /* place among the tensors as they were added */
    struct cast_audit audit;    /* a result of writer_run; indices are those of the target */
    struct damage *damage;      /* likewise; NULL: not measured */
};
/* A source tensor that the output leaves out. */
struct plan_dropped {
    const struct ckpt_tensor *t;
    const char *why; /* a literal */
};
/* A file of an output that is more than one: a header, then tensors. A file without tensors is all header. */
struct plan_part {
    const char *name; /* without folder */
    uint64_t off, size_bytes; /* its place among the bytes of all */
    struct buf header;        /* of the first part of a split GGUF: empty here, it is out.header */
    size_t first, n_tensors;
};
enum plan_format { PLAN_GGUF, PLAN_SAFETENSORS };
struct plan {
    enum plan_format format; /* before the first plan_add */
    struct gguf_writer
        out; /* GGUF: metadata is put here directly; its tensors are those of `tensors`, in the same order */
    uint64_t size_bytes;     /* of all files; a result of plan_layout */
    struct plan_part *parts; /* in the order of their bytes; core/parts.h makes them. None: one file */
    size_t n_parts, cap_parts;
    struct plan_tensor *tensors;
    size_t n_tensors, cap_tensors;
    struct plan_dropped *dropped;
    size_t n_dropped, cap_dropped;
    size_t *as_added; /* where the tensor that was added as number i stands now; NULL: still there */
    const struct imatrix *imatrix;
    uint64_t source_bytes; /* of all tensors; a result of plan_layout */
    struct arena mem;
};

/* For a tensor with exactly one source, shape and type are taken from it: t->sources and t->n_dims may be left 0 and `source` given. */
enum status plan_add(struct plan *p, const struct plan_tensor *t, const struct ckpt_tensor *source,
                     struct error *err);
enum status plan_drop(struct plan *p, const struct ckpt_tensor *source, const char *why, struct error *err);
/* The list of tensors for the header anew, after types or order were changed. */
enum status plan_rebuild(struct plan *p, struct error *err);
/* Of one GGUF file: gguf_layout, and everything a run relies on. STATUS_NOTFOUND for a plan without tensors. For more files: core/parts.h. */
enum status plan_layout(struct plan *p, struct error *err);
/* For layouts: fills source_bytes. */
enum status plan_count_sources(struct plan *p, struct error *err);
void plan_clear(struct plan *p);

/* Index of the tensor that holds file offset off, or the padding behind it. After plan_layout; off lies among the tensors. */
size_t plan_tensor_at(const struct plan *p, uint64_t off);
/* File offset of the bytes of a string value in the header, for values that are patched in place; 0 if there is no such key. After plan_layout. */
uint64_t plan_string_offset(const struct plan *p, const char *key);
/* Bytes that tensor i has more (fewer: negative) than it would have in the wanted type, if its rows could be cut anywhere. */
int64_t plan_fallback_cost(const struct plan *p, size_t i);
/* Type that most elements of matrices have in the output. */
enum dtype plan_main_type(const struct plan *p);

/* Name of a type in the output: ggml's. Of a source: safetensors', else ggml's, else our own. */
const char *plan_source_type_name(enum dtype t);
/* Members "transform" and what it needs, of the current object of w: the same words in plans and receipts. */
void plan_put_transform(struct jwriter *w, const struct plan_tensor *t);
/* Every metadata key, every tensor, the exact size. Two runs can be compared with diff. Text from files is escaped. */
void plan_print(const struct plan *p, struct buf *b);
/* Members "header_bytes", "metadata", "tensors", "dropped" of the current object of w, under the key "plan". */
void plan_print_json(const struct plan *p, struct jwriter *w);

#endif

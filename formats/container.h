/* One checkpoint file of any supported format: open, list tensors, read bytes.
 *
 *     struct container *c;
 *     TRY(container_open(&c, "model.safetensors", err));
 *     for (size_t i = 0; i < c->n_tensors; i++) printf("%s\n", c->tensors[i].name);
 *     st = container_read(c, &c->tensors[0], 0, dst, n, err);
 *     container_close(c);
 *
 * The format is recognised by content, never by suffix. After a successful open: names are unique and valid UTF-8 without NUL, every
 * size_bytes matches shape × dtype, every byte range lies inside the file. Readers keep the file open and pread it: container_read is
 * thread-safe. Nothing in a file is ever executed.
 * Adding a format: one file with a `const struct container_format`, one line in the list in container.c.
 */
#ifndef LATHE_CONTAINER_H
#define LATHE_CONTAINER_H

#include "base/file.h"
#include "base/memory.h"
#include "dtypes/dtype.h"

enum { TENSOR_DIMS_MAX = 8 };

struct tensor {
    const char *name;
    enum dtype dtype;
    int n_dims;                     /* 0: a scalar */
    int64_t shape[TENSOR_DIMS_MAX]; /* outermost dimension first, as in PyTorch (GGUF's ne reversed); a zero dimension is legal */
    int64_t n_elements;
    uint64_t size_bytes; /* of the elements in row-major order */
    /* how the format finds it; callers do not look */
    uint64_t off_file;
    int64_t stride[TENSOR_DIMS_MAX]; /* in elements, for views of a storage; used when !contiguous */
    bool contiguous;
    bool swapped;        /* big-endian source: elements are byte-swapped while reading */
    uint64_t storage_id; /* tensors of one file that share bytes have equal ids and overlapping ranges (torch); 0: none */
};

/* A metadata value of GGUF, or one string pair of safetensors' __metadata__ (type string). */
enum kv_type { KV_U8, KV_I8, KV_U16, KV_I16, KV_U32, KV_I32, KV_F32, KV_BOOL, KV_STRING, KV_ARRAY, KV_U64, KV_I64, KV_F64, KV_TYPE_COUNT };
struct kv_string {
    const char *s; /* terminated for convenience; may hold NUL bytes before its end */
    uint64_t len;
};
struct kv {
    const char *key;
    enum kv_type type; /* values are GGUF's type numbers */
    union {
        uint64_t u; /* unsigned integers and bool (0, 1) */
        int64_t i;  /* signed integers */
        double f;   /* F32 and F64; an F32 is exact */
        struct kv_string str;
        struct {
            enum kv_type type; /* no arrays of arrays */
            uint64_t n;
            const void *data; /* packed elements of the C type, native order; struct kv_string[] for strings; uint8_t for bool */
        } array;
    } v;
};

struct container_format;
struct container {
    const struct container_format *format;
    struct file file;
    struct tensor *tensors; /* in file order */
    size_t n_tensors;
    struct kv *kvs; /* metadata in file order; empty for torch */
    size_t n_kvs;
    uint64_t alignment;   /* GGUF: of tensor data; else 1 */
    uint32_t version;     /* GGUF: 2 or 3; else 0 */
    uint64_t off_data;    /* where tensor data begins (GGUF, safetensors) */
    struct arena mem;     /* owns names, kvs, tensors */
    struct strmap by_name;
    void *priv;
};
struct container_format {
    const char *name; /* "safetensors", "torch-zip", "torch-legacy", "gguf" */
    /* Looks at the first bytes (head_size ≤ 512, fewer in a short file) and the size. Must not be fooled into two formats. */
    bool (*probe)(const unsigned char *head, size_t head_size, uint64_t file_size);
    /* c->file is open; fills the rest. On failure container_open closes. */
    enum status (*open)(struct container *c, struct error *err);
    /* Row-major logical bytes [off, off + n) of tensor t; bounds were checked. NULL: plain pread at t->off_file + off. */
    enum status (*read)(struct container *c, const struct tensor *t, uint64_t off, void *dst, size_t n, struct error *err);
    void (*close)(struct container *c); /* frees priv; may be NULL */
};

/* STATUS_FORMAT "not a checkpoint: ..." when no format knows the content. */
enum status container_open(struct container **out, const char *path, struct error *err);
/* The same for a name that came from an index file: a bare name inside `dir`. */
enum status container_open_in(struct container **out, const char *dir, const char *name, struct error *err);
void container_close(struct container *c); /* NULL is allowed */
/* The format that the first bytes of a file announce, without opening it as one; NULL when none does. Fails where the file cannot be read. */
enum status container_probe(const struct container_format **format, const char *path, struct error *err);

/* Bytes [off, off + n) of the tensor's elements in row-major order. STATUS_RANGE when outside. off and n need not be element-aligned
 * for contiguous tensors; for views they must be. Thread-safe. */
enum status container_read(struct container *c, const struct tensor *t, uint64_t off, void *dst, size_t n, struct error *err);
const struct tensor *container_find(const struct container *c, const char *name); /* NULL if absent */
const struct kv *container_kv(const struct container *c, const char *key);       /* NULL if absent */

/* For format readers: fills n_elements and size_bytes from shape and dtype with checked arithmetic. */
enum status tensor_set_size(struct tensor *t, const char *path, struct error *err);
/* For format readers: after c->tensors is filled: names unique and valid UTF-8; builds by_name. */
enum status container_index(struct container *c, struct error *err);
bool utf8_valid(const char *s, size_t n); /* also refuses NUL */

#endif

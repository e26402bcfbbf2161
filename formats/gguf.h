/* Writing GGUF v3: metadata and tensor list first, then data in any order.
 *
 *     struct gguf_writer w = {.alignment = 32};
 *     gguf_put_string(&w, "general.architecture", "llama");
 *     gguf_put_u32(&w, "llama.block_count", 30);
 *     gguf_add_tensor(&w, "token_embd.weight", DTYPE_BF16, 2, (int64_t[]){49152, 576});
 *     TRY(gguf_layout(&w, err));               offsets and total size are now known and final
 *     ... outfile_create(size = w.size_bytes), write w.header at 0, tensor i at w.tensors[i].off_file
 *     gguf_writer_clear(&w);
 *
 * Layout of a file (numbers little-endian):
 *   1. "GGUF", u32 version 3, u64 n_tensors, u64 n_kv
 *   2. n_kv × { string key, i32 type, value }            string = u64 length, bytes
 *   3. n_tensors × { string name, u32 n_dims, u64 ne[n_dims] innermost first, i32 type, u64 offset from the data section }
 *   4. zeros up to the alignment; tensor data, each padded with zeros to the alignment, the last one too
 * The gguf_put_* functions never fail at once: an allocation failure is remembered and returned by gguf_layout.
 * Putting a key that exists replaces its value and moves it to the end (as ggml's gguf_set_val does).
 */
#ifndef LATHE_GGUF_H
#define LATHE_GGUF_H

#include "formats/container.h"

struct gguf_out_tensor {
    const char *name; /* copied */
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_DIMS_MAX]; /* outermost first; at most 4 dimensions; written without leading 1s (ggml's trailing ones), at least 1 */
    uint64_t size_bytes, padded_bytes, off_file;
};
struct gguf_writer {
    uint32_t alignment; /* power of two; 0 means 32. general.alignment is written only if it is not 32 */
    struct kv *kvs;
    size_t n_kvs, cap_kvs;
    struct gguf_out_tensor *tensors;
    size_t n_tensors, cap_tensors;
    struct buf header;   /* result of gguf_layout: parts 1–3 and padding */
    uint64_t size_bytes; /* result: the whole file */
    struct arena mem;
    bool failed;
};
void gguf_put_u8(struct gguf_writer *w, const char *key, uint8_t v);
void gguf_put_u16(struct gguf_writer *w, const char *key, uint16_t v);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_f64(struct gguf_writer *w, const char *key, double v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_string(struct gguf_writer *w, const char *key, const char *v);
/* data as in struct kv: copied, strings too */
void gguf_put_array(struct gguf_writer *w, const char *key, enum kv_type type, uint64_t n, const void *data);
/* any value read from another file */
void gguf_put_kv(struct gguf_writer *w, const struct kv *kv);
void gguf_remove(struct gguf_writer *w, const char *key);
/* Nothing if there is no such key. */
void gguf_move_to_end(struct gguf_writer *w, const char *key);
/* STATUS_RANGE for a name of 64 bytes or more, more than 4 dimensions, or a row that is no multiple of the type's block. */
enum status gguf_add_tensor(struct gguf_writer *w, const char *name, enum dtype t, int n_dims, const int64_t *shape, struct error *err);
enum status gguf_layout(struct gguf_writer *w, struct error *err);
void gguf_writer_clear(struct gguf_writer *w);
/* Bytes one key-value pair takes in the file. */
uint64_t gguf_kv_bytes(const struct kv *kv);

/* Values of a kv in the wanted form; false when the kv is NULL or of another kind (integers of any width and sign are accepted when they fit). */
bool kv_get_int(const struct kv *kv, int64_t *out);
bool kv_get_double(const struct kv *kv, double *out); /* integers too */
bool kv_get_bool(const struct kv *kv, bool *out);
const char *kv_get_string(const struct kv *kv); /* NULL if no string, or if it holds a NUL */
const char *kv_type_name(enum kv_type t);        /* "u32", "string", ... */
size_t kv_type_size(enum kv_type t);              /* bytes in the file of a scalar; 0 for string and array */

#endif

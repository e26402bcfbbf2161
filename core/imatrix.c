/* Layout of the older form, all numbers little-endian and 32 bits:
 *   1. number of entries, at least 1
 *   2. of each entry: length of the name, name, number of calls, number of values (at least 1), values as floats
 *   3. perhaps: number of chunks, length and text of the data set's name
 * The GGUF form: tensors NAME.in_sum2 and NAME.counts, F32, for each matrix; keys imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size. */
#include "core/imatrix.h"
#include "formats/gguf.h"

#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_MIN_BYTES = 4 + 1 + 4 + 4 + 4 };

static const struct file *file_of(const struct imatrix *im)
{
    return im->gguf ? &im->gguf->file : &im->file;
}

/* --- the whole file, once --- */

static enum status read_file(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    return file_read_at(ctx, off, dst, n, err);
}

static enum status digest_file(struct imatrix *im, struct error *err)
{
    const struct file *f = file_of(im);
    uint8_t digest[SHA256_BYTES];
    TRY(sha256_of(read_file, f, f->size_bytes, digest, err));
    sha256_hex(digest, im->sha256);
    return STATUS_OK;
}

/* Numbers i to i + n of an entry as the file has them. */
static enum status read_values(const struct imatrix *im, const struct imatrix_entry *e, int64_t i, int64_t n, float *dst, struct error *err)
{
    uint64_t off = sizeof *dst * (uint64_t)i;
    size_t n_bytes = sizeof *dst * (size_t)n;
    if (im->gguf) return container_read(im->gguf, e->sums, off, dst, n_bytes, err);
    return file_read_at(&im->file, e->off_file + off, dst, n_bytes, err);
}

static enum status check_finite(const struct imatrix *im, const struct imatrix_entry *e, struct error *err)
{
    enum { N = 4096 };
    float v[N];
    for (int64_t i = 0; i < e->n_values; i += N) {
        int64_t n = e->n_values - i < N ? e->n_values - i : N;
        TRY(read_values(im, e, i, n, v, err));
        for (int64_t k = 0; k < n; k++)
            if (!isfinite(v[k]))
                return error_at(err, STATUS_RANGE, im->path, e->name, "importance of value %lld is %g; expected finite numbers",
                                (long long)(i + k), (double)v[k]);
    }
    return STATUS_OK;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct imatrix_entry *)a)->name, ((const struct imatrix_entry *)b)->name);
}

/* Sorts, checks names and values. */
static enum status finish(struct imatrix *im, struct error *err)
{
    if (im->n_entries == 0) return error_at(err, STATUS_FORMAT, im->path, NULL, "an importance matrix without entries");
    qsort(im->entries, im->n_entries, sizeof *im->entries, compare_entries);
    for (size_t i = 0; i < im->n_entries; i++) {
        if (strmap_add(&im->by_name, im->entries[i].name, i, NULL, err) != STATUS_OK) {
            if (err->status == STATUS_NOMEM) return err->status;
            return error_at(err, STATUS_FORMAT, im->path, im->entries[i].name, "has two entries");
        }
        TRY(check_finite(im, &im->entries[i], err));
    }
    return digest_file(im, err);
}

/* --- GGUF form --- */

/* "x.weight" of "x.weight.in_sum2" */
/* *out: the name without it; NULL: it does not end so. */
static enum status without_suffix(struct imatrix *im, const char **out, const char *name, const char *suffix, struct error *err)
{
    size_t n = strlen(name), k = strlen(suffix);
    *out = NULL;
    if (n <= k || strcmp(name + n - k, suffix) != 0) return STATUS_OK;
    *out = arena_strndup(&im->mem, name, n - k);
    return *out ? STATUS_OK : error_nomem(err, n);
}

static enum status add_sums(struct imatrix *im, const struct tensor *sums, const char *name, struct error *err)
{
    char *counts_name = arena_printf(&im->mem, "%s.counts", name);
    if (!counts_name) return error_nomem(err, strlen(name));
    const struct tensor *counts = container_find(im->gguf, counts_name);
    if (!counts) return error_at(err, STATUS_FORMAT, im->path, name, "has sums and no counts");
    if (sums->dtype != DTYPE_F32 || counts->dtype != DTYPE_F32)
        return error_at(err, STATUS_FORMAT, im->path, name, "expected F32 sums and counts, found %s and %s",
                        dtype_info(sums->dtype)->name, dtype_info(counts->dtype)->name);
    if (counts->n_elements < 1 || sums->n_elements < 1 || sums->n_elements % counts->n_elements != 0)
        return error_at(err, STATUS_FORMAT, im->path, name, "%lld counts for %lld sums", (long long)counts->n_elements,
                        (long long)sums->n_elements);
    im->entries[im->n_entries++] = (struct imatrix_entry){
        .name = name, .n_values = sums->n_elements, .n_counts = counts->n_elements, .sums = sums, .counts = counts};
    return STATUS_OK;
}

static enum status read_gguf(struct imatrix *im, struct error *err)
{
    const struct container *c = im->gguf;
    const struct kv *datasets = container_kv(c, "imatrix.datasets"), *chunks = container_kv(c, "imatrix.chunk_count");
    if (!datasets || !chunks || !container_kv(c, "imatrix.chunk_size")) {
        error_at(err, STATUS_FORMAT, im->path, NULL, "a GGUF file without the keys of an importance matrix");
        return error_hint(err, "expected imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size");
    }
    if (!kv_get_int(chunks, &im->n_chunks) || im->n_chunks < 0) im->n_chunks = 0;
    if (datasets->type == KV_ARRAY && datasets->v.array.type == KV_STRING && datasets->v.array.n > 0)
        im->dataset = ((const struct kv_string *)datasets->v.array.data)[0].s;
    im->entries = arena_array(&im->mem, c->n_tensors + 1, sizeof *im->entries);
    if (!im->entries) return error_nomem(err, c->n_tensors * sizeof *im->entries);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const char *name;
        TRY(without_suffix(im, &name, c->tensors[i].name, ".in_sum2", err));
        if (name) {
            TRY(add_sums(im, &c->tensors[i], name, err));
            continue;
        }
        TRY(without_suffix(im, &name, c->tensors[i].name, ".counts", err));
        if (!name) continue;
        char *sums_name = arena_printf(&im->mem, "%s.in_sum2", name);
        if (!sums_name) return error_nomem(err, strlen(name));
        if (!container_find(c, sums_name)) return error_at(err, STATUS_FORMAT, im->path, name, "has counts and no sums");
    }
    return STATUS_OK;
}

/* --- older form --- */

static enum status read_i32(const struct imatrix *im, uint64_t *at, int32_t *v, struct error *err)
{
    TRY(file_read_at(&im->file, *at, v, 4, err));
    *at += 4;
    return STATUS_OK;
}

/* A length, and that many bytes. */
static enum status read_text(struct imatrix *im, uint64_t *at, const char **text, struct error *err)
{
    int32_t len;
    TRY(read_i32(im, at, &len, err));
    if (len < 0 || len > LIMIT_IMATRIX_NAME || (uint64_t)len > im->file.size_bytes - *at)
        return error_at(err, STATUS_FORMAT, im->path, NULL, "a name of %d bytes at offset %llu", (int)len, (unsigned long long)*at - 4);
    char *s = arena_alloc(&im->mem, (size_t)len + 1);
    if (!s) return error_nomem(err, (size_t)len + 1);
    if (len > 0) TRY(file_read_at(&im->file, *at, s, (size_t)len, err));
    *at += (uint64_t)len;
    *text = s;
    return utf8_valid(s, (size_t)len) ? STATUS_OK : error_at(err, STATUS_FORMAT, im->path, NULL, "a name that is no UTF-8");
}

static enum status read_entry(struct imatrix *im, uint64_t *at, struct error *err)
{
    struct imatrix_entry *e = &im->entries[im->n_entries];
    int32_t n_values;
    TRY(read_text(im, at, &e->name, err));
    TRY(read_i32(im, at, &e->n_calls, err));
    TRY(read_i32(im, at, &n_values, err));
    if (!e->name[0] || n_values < 1 || (uint64_t)n_values > (im->file.size_bytes - *at) / 4)
        return error_at(err, STATUS_FORMAT, im->path, e->name, "%d values at offset %llu, %llu bytes are left", (int)n_values,
                        (unsigned long long)*at, (unsigned long long)(im->file.size_bytes - *at));
    e->n_values = n_values;
    e->n_counts = 1;
    e->off_file = *at;
    *at += 4 * (uint64_t)n_values;
    im->n_entries++;
    return STATUS_OK;
}

static enum status read_legacy(struct imatrix *im, struct error *err)
{
    uint64_t at = 0;
    int32_t n_entries = 0, n_chunks = 0;
    if (im->file.size_bytes >= 4) TRY(read_i32(im, &at, &n_entries, err));
    if (n_entries < 1 || (uint64_t)n_entries > (im->file.size_bytes - at) / ENTRY_MIN_BYTES) {
        error_at(err, STATUS_FORMAT, im->path, NULL, "is no importance matrix: neither GGUF nor the older form");
        return err->status;
    }
    im->entries = arena_array(&im->mem, (uint64_t)n_entries, sizeof *im->entries);
    if (!im->entries) return error_nomem(err, (size_t)n_entries * sizeof *im->entries);
    for (int32_t i = 0; i < n_entries; i++) TRY(read_entry(im, &at, err));
    if (at == im->file.size_bytes) return STATUS_OK;
    TRY(read_i32(im, &at, &n_chunks, err));
    im->n_chunks = n_chunks > 0 ? n_chunks : 0;
    if (at < im->file.size_bytes) TRY(read_text(im, &at, &im->dataset, err));
    if (at == im->file.size_bytes) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, im->path, NULL, "%llu bytes follow the last entry",
                    (unsigned long long)(im->file.size_bytes - at));
}

/* --- both --- */

static enum status open_either(struct imatrix *im, const char *path, struct error *err)
{
    const struct container_format *format;
    TRY(container_probe(&format, path, err));
    im->path = arena_strndup(&im->mem, path, strlen(path));
    if (!im->path) return error_nomem(err, strlen(path));
    if (format && strcmp(format->name, "gguf") == 0) {
        TRY(container_open(&im->gguf, path, err));
        TRY(read_gguf(im, err));
    } else {
        im->legacy = true;
        TRY(file_open(&im->file, path, err));
        TRY(read_legacy(im, err));
    }
    return finish(im, err);
}

enum status imatrix_open(struct imatrix **out, const char *path, struct error *err)
{
    void *p;
    *out = NULL;
    TRY(mem_alloc(&p, 1, sizeof **out, err));
    struct imatrix *im = p;
    im->file.fd = -1;
    enum status st = open_either(im, path, err);
    if (st == STATUS_OK) {
        *out = im;
        return STATUS_OK;
    }
    error_in(err, path);
    imatrix_close(im);
    return st;
}

void imatrix_close(struct imatrix *im)
{
    if (!im) return;
    container_close(im->gguf);
    if (im->legacy) file_close(&im->file);
    strmap_clear(&im->by_name);
    arena_clear(&im->mem);
    free(im);
}

const struct imatrix_entry *imatrix_find(const struct imatrix *im, const char *tensor_name)
{
    size_t i;
    return strmap_find(&im->by_name, tensor_name, &i) ? &im->entries[i] : NULL;
}

/* Sums become means, in llama-quantize's arithmetic. */
static enum status divide_by_counts(const struct imatrix *im, const struct imatrix_entry *e, float *values, struct error *err)
{
    int64_t n = e->n_values / e->n_counts;
    for (int64_t k = 0; k < e->n_counts; k++) {
        float count;
        TRY(container_read(im->gguf, e->counts, sizeof count * (uint64_t)k, &count, sizeof count, err));
        /* counts are whole numbers that were stored as floats */
        count = isfinite(count) ? roundf(count) : 0;
        for (int64_t i = 0; i < n; i++) values[k * n + i] = count > 0 ? values[k * n + i] / count : 1;
    }
    return STATUS_OK;
}

enum status imatrix_read(const struct imatrix *im, const struct imatrix_entry *e, float *values, struct error *err)
{
    TRY(read_values(im, e, 0, e->n_values, values, err));
    if (!im->legacy) return divide_by_counts(im, e, values, err);
    for (int64_t i = 0; i < e->n_values && e->n_calls > 0; i++) values[i] /= (float)e->n_calls;
    return STATUS_OK;
}

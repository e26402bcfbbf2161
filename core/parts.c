#include "core/parts.h"

#include "base/json.h"
#include "core/receipt.h"
#include "formats/safetensors_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the row of files --- */

static enum status add_part(struct plan *p, const char *name, struct plan_part **out, struct error *err)
{
    if (p->n_parts == p->cap_parts) {
        size_t cap = p->cap_parts ? 2 * p->cap_parts : 16;
        struct plan_part *parts = realloc(p->parts, cap * sizeof *parts);
        if (!parts) return error_nomem(err, cap * sizeof *parts);
        p->parts = parts;
        p->cap_parts = cap;
    }
    *out = &p->parts[p->n_parts];
    **out = (struct plan_part){.name = arena_strndup(&p->mem, name, strlen(name)), .off = p->size_bytes};
    if (!(*out)->name) return error_nomem(err, strlen(name));
    p->n_parts++;
    return STATUS_OK;
}

/* The part's own bytes are known: the row grows by them. */
static enum status close_part(struct plan *p, struct plan_part *part, uint64_t size_bytes, struct error *err)
{
    part->size_bytes = size_bytes;
    if (size_add(p->size_bytes, size_bytes, &p->size_bytes) && p->size_bytes <= INT64_MAX) return STATUS_OK;
    return error_set(err, STATUS_RANGE, "the output would pass 2^63 bytes");
}

enum status parts_add_file(struct plan *p, const char *name, const void *src, size_t n, struct error *err)
{
    struct plan_part *part;
    for (size_t i = 0; i < p->n_parts; i++)
        if (strcmp(p->parts[i].name, name) == 0) return error_at(err, STATUS_RANGE, name, NULL, "two files of the output have this name");
    TRY(add_part(p, name, &part, err));
    part->first = p->n_tensors;
    buf_append(&part->header, src, n);
    TRY(buf_check(&part->header, err));
    return close_part(p, part, n, err);
}

bool model_file_name(const char *name)
{
    static const char suffix[] = ".safetensors";
    size_t n = strlen(name), k = sizeof suffix - 1;
    if (n > k && strcmp(name + n - k, suffix) == 0) return true;
    static const char index[] = ".safetensors.index.json";
    size_t i = sizeof index - 1;
    return (n > i && strcmp(name + n - i, index) == 0) || receipt_file_name(name);
}

size_t parts_at(const struct plan *p, uint64_t off)
{
    size_t low = 0, high = p->n_parts;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (p->parts[middle].off <= off)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const struct buf *parts_header(const struct plan *p, size_t i)
{
    return i == 0 && p->format == PLAN_GGUF ? &p->out.header : &p->parts[i].header;
}

/* Number of the part of each tensor, and of parts: a part is closed before it would be larger than max_bytes. */
static size_t fill_parts(const struct plan *p, uint64_t max_bytes, size_t *number)
{
    uint64_t used = 0;
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        uint64_t size = p->tensors[i].place.padded_bytes;
        if (max_bytes > 0 && i > 0 && (used > max_bytes || size > max_bytes - used)) {
            n++;
            used = 0;
        }
        number[i] = n;
        used += size; /* a sum of sizes in memory's reach: checked by the layout */
    }
    return n + 1;
}

/* --- safetensors --- */


static void describe(struct tensor *d, const struct plan_tensor *t)
{
    *d = (struct tensor){.name = t->name, .dtype = t->to, .n_dims = t->spec.n_dims, .size_bytes = t->place.size_bytes};
    memcpy(d->shape, t->spec.shape, sizeof d->shape);
}

/* One shard: its tensors, which stand together from `first` on, in the format's order. */
static enum status lay_out_shard(struct plan *p, size_t first, size_t n, const char *name, struct error *err)
{
    void *mem;
    struct plan_part *part;
    TRY(mem_alloc(&mem, n, sizeof(struct safetensors_out) + sizeof(struct tensor) + sizeof(struct plan_tensor), err));
    struct safetensors_out *outs = mem;
    struct tensor *described = (struct tensor *)(void *)(outs + n);
    struct plan_tensor *sorted = (struct plan_tensor *)(void *)(described + n);
    for (size_t i = 0; i < n; i++) {
        describe(&described[i], &p->tensors[first + i]);
        outs[i] = (struct safetensors_out){.t = &described[i], .owner = &p->tensors[first + i]};
    }
    qsort(outs, n, sizeof *outs, safetensors_compare);
    enum status st = add_part(p, name, &part, err);
    if (st == STATUS_OK) st = safetensors_header(&part->header, outs, n, err);
    uint64_t size = st == STATUS_OK ? part->header.len : 0;
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        sorted[i] = *(const struct plan_tensor *)outs[i].owner;
        sorted[i].place.off_file = part->off + outs[i].off;
        size = outs[i].off + outs[i].t->size_bytes;
    }
    if (st == STATUS_OK) {
        memcpy(&p->tensors[first], sorted, n * sizeof *sorted);
        part->first = first;
        part->n_tensors = n;
        st = close_part(p, part, size, err);
    }
    free(mem);
    return st;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(((const struct plan_tensor *const *)a)[0]->name, ((const struct plan_tensor *const *)b)[0]->name);
}

static const struct plan_part *part_of(const struct plan *p, size_t tensor)
{
    size_t i = 0;
    while (tensor - p->parts[i].first >= p->parts[i].n_tensors) i++;
    return &p->parts[i];
}

/* As Python's json with indent=2 and sorted keys writes it. */
static enum status add_index(struct plan *p, const char *stem, struct error *err)
{
    struct buf text = {0}, key = {0};
    char name[64];
    snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    uint64_t total = 0, n_elements = 0;
    void *mem;
    TRY(mem_alloc(&mem, p->n_tensors, sizeof(struct plan_tensor *), err));
    const struct plan_tensor **sorted = mem;
    for (size_t i = 0; i < p->n_tensors; i++) {
        sorted[i] = &p->tensors[i];
        total += p->tensors[i].place.size_bytes;
        n_elements += (uint64_t)p->tensors[i].spec.n_elements;
    }
    qsort(sorted, p->n_tensors, sizeof *sorted, compare_text);
    buf_printf(&text, "{\n  \"metadata\": {\n    \"total_parameters\": %" PRIu64 ",\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {\n",
               n_elements, total);
    for (size_t i = 0; i < p->n_tensors; i++) {
        struct jwriter w = {.out = &key};
        key.len = 0;
        jw_string(&w, NULL, sorted[i]->name);
        buf_printf(&text, "    %s: \"%s\"%s\n", key.data ? key.data : "", part_of(p, (size_t)(sorted[i] - p->tensors))->name,
                   i + 1 < p->n_tensors ? "," : "");
    }
    buf_puts(&text, "  }\n}\n");
    enum status st = buf_check(&text, err);
    if (st == STATUS_OK) st = buf_check(&key, err);
    if (st == STATUS_OK) st = parts_add_file(p, name, text.data, text.len, err);
    buf_clear(&key);
    buf_clear(&text);
    free(mem);
    return st;
}

static enum status check_unique(const struct plan *p, struct error *err)
{
    struct strmap names = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < p->n_tensors && st == STATUS_OK; i++)
        if ((st = strmap_add(&names, p->tensors[i].name, i, NULL, err)) == STATUS_EXISTS)
            st = error_at(err, STATUS_RANGE, "", p->tensors[i].name, "two tensors of the output have this name");
    strmap_clear(&names);
    return st;
}

enum status parts_safetensors(struct plan *p, const char *stem, uint64_t max_bytes, struct error *err)
{
    void *mem;
    if (p->n_tensors == 0) return error_set(err, STATUS_NOTFOUND, "there is no tensor to write");
    TRY(check_unique(p, err));
    TRY(mem_alloc(&mem, p->n_tensors, sizeof(size_t), err));
    size_t *number = mem, n_parts = fill_parts(p, max_bytes, number);
    enum status st = STATUS_OK;
    for (size_t i = 0, n; i < p->n_tensors && st == STATUS_OK; i += n) {
        char name[64];
        for (n = 1; i + n < p->n_tensors && number[i + n] == number[i];) n++;
        if (n_parts == 1)
            snprintf(name, sizeof name, "%s.safetensors", stem);
        else
            snprintf(name, sizeof name, "%s-%05zu-of-%05zu.safetensors", stem, number[i] + 1, n_parts);
        st = lay_out_shard(p, i, n, name, err);
    }
    free(mem);
    if (st == STATUS_OK && n_parts > 1) st = add_index(p, stem, err);
    return st == STATUS_OK ? plan_count_sources(p, err) : st;
}

/* --- numbered parts of a GGUF --- */

static const char key_first[] = "lathe.split.first";
enum { DIGEST_HEX = 2 * SHA256_BYTES };

/* What the parts of one file have in common. */
struct splitting {
    const char *stem;
    const size_t *number; /* of each tensor's part */
    size_t n_parts;
    bool count_last; /* gguf-split's order of keys; llama-quantize's is another */
};

/* Keys; and room for what the first part's header is. */
static void put_keys(struct gguf_writer *w, size_t i, const struct splitting *s, size_t n_tensors)
{
    char zeros[DIGEST_HEX + 1];
    memset(zeros, '0', DIGEST_HEX);
    zeros[DIGEST_HEX] = 0;
    gguf_put_u16(w, "split.no", (uint16_t)i);
    gguf_put_u16(w, "split.count", (uint16_t)s->n_parts);
    gguf_put_i32(w, "split.tensors.count", (int32_t)n_tensors);
    if (s->count_last) gguf_move_to_end(w, "split.count");
    if (i > 0) gguf_put_string(w, key_first, zeros);
}

enum status parts_seal(struct plan *p, struct error *err)
{
    struct sha256 *sha;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    if (p->format != PLAN_GGUF || p->n_parts < 2) return STATUS_OK;
    TRY(sha256_new(&sha, err));
    sha256_update(sha, p->out.header.data, p->out.header.len);
    sha256_finish(sha, digest);
    sha256_free(sha);
    sha256_hex(digest, hex);
    for (size_t i = 1; i < p->n_parts; i++) {
        struct buf *header = &p->parts[i].header;
        char *key = memmem(header->data, header->len, key_first, sizeof key_first - 1);
        if (key) memcpy(key + sizeof key_first - 1 + 4 + 8, hex, DIGEST_HEX); /* behind type and length */
    }
    return STATUS_OK;
}

/* Header and places of one part; w holds its keys and the part's tensors from now on. */
static enum status lay_out_part(struct plan *p, struct gguf_writer *w, struct plan_part *part, struct error *err)
{
    w->n_tensors = 0;
    for (size_t i = part->first; i < part->first + part->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        TRY(gguf_add_tensor(w, t->name, t->to, t->spec.n_dims, t->spec.shape, err));
    }
    TRY(gguf_layout(w, err));
    for (size_t i = 0; i < part->n_tensors; i++) {
        const struct gguf_out_tensor *out = &w->tensors[i];
        p->tensors[part->first + i].place = (struct plan_place){part->off + out->off_file, out->size_bytes, out->padded_bytes};
    }
    return close_part(p, part, w->size_bytes, err);
}

static enum status lay_out_later_part(struct plan *p, size_t i, const struct splitting *s, struct plan_part *part, struct error *err)
{
    struct gguf_writer w = {0};
    put_keys(&w, i, s, p->n_tensors);
    enum status st = lay_out_part(p, &w, part, err);
    part->header = w.header;
    w.header = (struct buf){0};
    gguf_writer_clear(&w);
    return st;
}

static enum status split(struct plan *p, const struct splitting *s, struct error *err)
{
    size_t first = 0;
    for (size_t k = 0; k < s->n_parts; k++) {
        struct plan_part *part;
        char *name = arena_printf(&p->mem, "%s-%05zu-of-%05zu.gguf", s->stem, k + 1, s->n_parts);
        if (!name) return error_nomem(err, strlen(s->stem));
        TRY(add_part(p, name, &part, err));
        part->first = first;
        while (first < p->n_tensors && s->number[first] == k) first++;
        part->n_tensors = first - part->first;
        if (k == 0) put_keys(&p->out, 0, s, p->n_tensors);
        TRY(k == 0 ? lay_out_part(p, &p->out, part, err) : lay_out_later_part(p, k, s, part, err));
    }
    return plan_count_sources(p, err);
}

enum status parts_keep_gguf(struct plan *p, const char *stem, const struct checkpoint *c, struct error *err)
{
    void *mem;
    TRY(plan_layout(p, err));
    if (c->n_files == 1) return STATUS_OK;
    p->size_bytes = 0;
    TRY(mem_alloc(&mem, p->n_tensors, sizeof(size_t), err));
    size_t *number = mem;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct container *source = p->tensors[i].sources[0].t->container;
        size_t k = 0;
        while (k + 1 < c->n_files && c->files[k] != source) k++;
        number[i] = k;
    }
    enum status st = split(p, &(struct splitting){stem, number, c->n_files, false}, err);
    free(mem);
    return st;
}

enum status parts_place(struct plan *p, const char *output, const char **folder, const char **stem, struct error *err)
{
    static const char suffix[] = ".gguf";
    const char *base = path_base(output);
    size_t n = strlen(base), k = sizeof suffix - 1, above = (size_t)(base - output);
    if (n > k && strcmp(base + n - k, suffix) == 0) n -= k;
    while (above > 1 && output[above - 1] == '/') above--;
    *stem = arena_strndup(&p->mem, base, n);
    *folder = arena_strndup(&p->mem, output, above);
    return *stem && *folder ? STATUS_OK : error_nomem(err, n);
}

enum status parts_split_gguf(struct plan *p, const char *stem, uint64_t max_bytes, struct error *err)
{
    void *mem;
    if (p->n_tensors == 0 || p->n_tensors > INT32_MAX) return error_set(err, STATUS_RANGE, "cannot split %zu tensors", p->n_tensors);
    TRY(plan_layout(p, err)); /* names, padded sizes */
    p->size_bytes = 0;
    TRY(mem_alloc(&mem, p->n_tensors, sizeof(size_t), err));
    size_t n_parts = fill_parts(p, max_bytes, mem);
    enum status st = n_parts <= UINT16_MAX ? split(p, &(struct splitting){stem, mem, n_parts, true}, err)
                                            : error_set(err, STATUS_RANGE, "%zu parts, expected at most %d: --split-max-size is too small", n_parts, UINT16_MAX);
    free(mem);
    return st;
}

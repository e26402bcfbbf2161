#include "formats/checkpoint.h"

#include "formats/ckpt_build.h"
#include "formats/meta_folder.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

enum status names_add(struct names *l, const char *name, struct error *err)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        const char **items = realloc(l->items, cap * sizeof *items);
        if (!items) return error_nomem(err, cap * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->count++] = name;
    return STATUS_OK;
}

bool names_have(const struct names *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i], name) == 0) return true;
    return false;
}

enum status ckpt_add_note(struct checkpoint *c, const char *note, struct error *err)
{
    const char **items = arena_array(&c->mem, c->notes.count + 1, sizeof *items);
    if (!note || !items) return error_nomem(err, 256);
    if (c->notes.count) memcpy(items, c->notes.items, c->notes.count * sizeof *items);
    items[c->notes.count++] = note;
    c->notes.items = items;
    return STATUS_OK;
}

/* ---- opening files and putting their tensors into one list ---- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status add_container(struct checkpoint *c, struct container *f, struct error *err)
{
    for (size_t j = 0; j < f->n_tensors; j++) {
        size_t other;
        c->tensors[c->n_tensors] = (struct ckpt_tensor){&f->tensors[j], f};
        enum status st = strmap_add(&c->by_name, f->tensors[j].name, c->n_tensors, &other, err);
        if (st == STATUS_EXISTS)
            return error_at(err, STATUS_MISMATCH, f->file.path, f->tensors[j].name,
                            "another shard has it too: %s", c->tensors[other].container->file.path);
        TRY(st);
        c->n_tensors++;
    }
    return STATUS_OK;
}

enum status ckpt_add_tensors(struct checkpoint *c, struct error *err)
{
    size_t total = c->joined ? c->joined->n_tensors : 0;
    for (size_t i = 0; i < c->n_files && !c->joined; i++) total += c->files[i]->n_tensors;
    c->tensors = arena_array(&c->mem, total, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, total * sizeof *c->tensors);
    if (c->joined) return add_container(c, c->joined, err);
    for (size_t i = 0; i < c->n_files; i++) TRY(add_container(c, c->files[i], err));
    return STATUS_OK;
}

enum status ckpt_missing_shard(const char *set, const char *name, struct error *err)
{
    return error_at(err, STATUS_NOTFOUND, set, NULL, "shard '%s' of this set is missing", name);
}

static enum status add_file(struct checkpoint *c, struct container *f, struct error *err)
{
    c->files[c->n_files++] = f;
    if (!c->format) c->format = f->format->name;
    if (strcmp(c->format, f->format->name) == 0) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, f->file.path, NULL,
                    "expected %s as in the other files of the set, found %s", c->format, f->format->name);
}

/* Opens `names` of c->dir, sorted; `set` is what they belong to, for messages. */
enum status ckpt_open_names(struct checkpoint *c, struct names *names, const char *set, struct error *err)
{
    qsort(names->items, names->count, sizeof *names->items, by_bytes);
    c->files = arena_array(&c->mem, names->count, sizeof *c->files);
    if (!c->files) return error_nomem(err, names->count * sizeof *c->files);
    for (size_t i = 0; i < names->count; i++) {
        struct container *f;
        enum status st = container_open_in(&f, c->dir, names->items[i], err);
        if (st == STATUS_NOTFOUND) return ckpt_missing_shard(set, names->items[i], err);
        TRY(st);
        TRY(add_file(c, f, err));
    }
    return STATUS_OK;
}

enum status ckpt_open_files(struct checkpoint *c, struct names *names, const char *set, struct error *err)
{
    TRY(ckpt_open_names(c, names, set, err));
    TRY(ckpt_check_parts(c, err));
    return ckpt_add_tensors(c, err);
}

static enum status ckpt_open_single(struct checkpoint *c, struct error *err)
{
    struct container *f;
    c->files = arena_array(&c->mem, 1, sizeof *c->files);
    if (!c->files) return error_nomem(err, sizeof *c->files);
    TRY(container_open(&f, c->path, err));
    TRY(add_file(c, f, err));
    TRY(ckpt_check_parts(c, err));
    return ckpt_add_tensors(c, err);
}

/* ---- single files ---- */

static enum status looks_like_json(const char *path, bool *yes, struct error *err)
{
    struct file f;
    char head[16];
    TRY(file_open(&f, path, err));
    size_t n = f.size_bytes < sizeof head ? (size_t)f.size_bytes : sizeof head, i = 0;
    enum status st = file_read_at(&f, 0, head, n, err);
    while (st == STATUS_OK && i < n && memchr(" \t\r\n", head[i], 4)) i++;
    file_close(&f);
    const struct container_format *format = NULL;
    if (st == STATUS_OK) st = container_probe(&format, path, err);
    *yes = st == STATUS_OK && i < n && head[i] == '{' && !format;
    return st;
}

static enum status open_file(struct checkpoint *c, struct error *err)
{
    const char *name = path_base(c->path);
    bool yes;
    struct part p;
    TRY(looks_like_json(c->path, &yes, err));
    if (yes) {
        TRY(ckpt_load_index(c, c->path, err));
        return ckpt_open_index(c, err);
    }
    TRY(ckpt_find_index(c, name, &yes, err));
    if (yes) return ckpt_open_index(c, err);
    unsigned number;
    if (meta_is_shard(name, &number)) {
        char **names;
        size_t n;
        TRY(dir_list(c->dir, &c->mem, &names, &n, err));
        return ckpt_try_meta(c, names, n, &yes, err);
    }
    if (!part_parse(name, &p)) return ckpt_open_single(c, err);
    struct names files = {0};
    enum status st = part_names(c, name, &p, &files, err);
    if (st == STATUS_OK) st = ckpt_open_files(c, &files, c->path, err);
    free(files.items);
    return st;
}

/* ---- public ---- */

static enum status set_paths(struct checkpoint *c, const char *path, bool is_dir, struct error *err)
{
    const char *base = path_base(path);
    size_t n = strlen(path);
    c->path = arena_strndup(&c->mem, path, n);
    if (is_dir) {
        while (n > 1 && path[n - 1] == '/') n--;
        c->dir = arena_strndup(&c->mem, path, n);
    } else {
        size_t k = (size_t)(base - path);
        while (k > 1 && path[k - 1] == '/') k--;
        c->dir = k == 0 ? arena_strndup(&c->mem, ".", 1) : arena_strndup(&c->mem, path, k);
    }
    c->tokenizer_dir = c->dir;
    return c->path && c->dir ? STATUS_OK : error_nomem(err, n);
}

enum status ckpt_open(struct checkpoint **out, const char *path, struct error *err)
{
    void *mem;
    bool is_dir = file_is_dir(path);
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct checkpoint *c = mem;
    enum status st = set_paths(c, path, is_dir, err);
    if (st == STATUS_OK) st = is_dir ? ckpt_open_dir(c, err) : open_file(c, err);
    if (st != STATUS_OK) {
        ckpt_close(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void ckpt_close(struct checkpoint *c)
{
    if (!c) return;
    container_close(c->joined);
    for (size_t i = 0; i < c->n_files; i++) container_close(c->files[i]);
    json_free(c->index);
    json_free(c->params);
    strmap_clear(&c->by_name);
    arena_clear(&c->mem);
    free(c);
}

const struct ckpt_tensor *ckpt_find(const struct checkpoint *c, const char *name)
{
    size_t i;
    return strmap_find(&c->by_name, name, &i) ? &c->tensors[i] : NULL;
}

enum status ckpt_read(const struct ckpt_tensor *t, uint64_t off, void *dst, size_t n, struct error *err)
{
    return container_read(t->container, t->t, off, dst, n, err);
}

int64_t tensor_cols(const struct tensor *t)
{
    return t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1;
}

int64_t tensor_rows(const struct tensor *t)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) rows *= t->shape[i]; /* fits: see tensor_set_size */
    return rows;
}

enum status ckpt_read_rows(const struct ckpt_tensor *t, int64_t row, int64_t n_rows, void *dst,
                           struct error *err)
{
    int64_t rows = tensor_rows(t->t);
    if (row < 0 || n_rows < 0 || row > rows || n_rows > rows - row)
        return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name,
                        "rows %lld to %lld were asked for, but it has %lld", (long long)row,
                        (long long)((uint64_t)row + (uint64_t)n_rows), (long long)rows);
    uint64_t row_bytes = rows ? t->t->size_bytes / (uint64_t)rows : 0;
    return container_read(t->container, t->t, (uint64_t)row * row_bytes, dst,
                          (size_t)((uint64_t)n_rows * row_bytes), err);
}

struct container *ckpt_gguf(const struct checkpoint *c)
{
    return c->n_files > 0 && strcmp(c->format, "gguf") == 0 ? c->files[0] : NULL;
}

bool ckpt_same_bytes(const struct ckpt_tensor *a, const struct ckpt_tensor *b)
{
    const struct tensor *x = a->t, *y = b->t;
    if (x == y) return true;
    if (a->container != b->container || x->storage_id == 0 || x->storage_id != y->storage_id) return false;
    if (x->off_file != y->off_file || x->dtype != y->dtype || x->n_dims != y->n_dims) return false;
    if (x->contiguous != y->contiguous || x->size_bytes != y->size_bytes) return false;
    for (int i = 0; i < x->n_dims; i++)
        if (x->shape[i] != y->shape[i] || (!x->contiguous && x->stride[i] != y->stride[i])) return false;
    return true;
}

#include "formats/joined.h"

#include <stdlib.h>
#include <string.h>

struct joined {
    struct joint *joints; /* as the tensors */
    size_t cap;
};

extern const struct container_format joined_format;

bool container_is_joined(const struct container *c)
{
    return c->format == &joined_format;
}

enum status joined_new(struct container **out, const char *path, struct error *err)
{
    void *mem, *priv;
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct container *c = mem;
    if (mem_alloc(&priv, 1, sizeof(struct joined), err) != STATUS_OK) {
        free(c);
        return err->status;
    }
    c->format = &joined_format;
    c->alignment = 1;
    c->file = (struct file){.fd = -1, .path = strdup(path)};
    c->priv = priv;
    if (!c->file.path) {
        container_close(c);
        return error_nomem(err, strlen(path));
    }
    *out = c;
    return STATUS_OK;
}

const struct joint *joined_joint(const struct container *c, size_t index)
{
    const struct joined *j = c->priv;
    return &j->joints[index];
}

/* Room for one tensor more. */
static enum status grow(struct container *c, struct joined *j, struct error *err)
{
    if (c->n_tensors < j->cap) return STATUS_OK;
    size_t cap = j->cap ? 2 * j->cap : 256;
    struct tensor *tensors = arena_array(&c->mem, cap, sizeof *tensors);
    struct joint *joints = arena_array(&c->mem, cap, sizeof *joints);
    if (!tensors || !joints) return error_nomem(err, cap * sizeof *tensors);
    if (c->n_tensors) {
        memcpy(tensors, c->tensors, c->n_tensors * sizeof *tensors);
        memcpy(joints, j->joints, c->n_tensors * sizeof *joints);
    }
    c->tensors = tensors;
    j->joints = joints;
    j->cap = cap;
    return STATUS_OK;
}

static enum status check_part(const struct joint *j, const struct joined_part *p, struct error *err)
{
    const struct tensor *a = j->parts[0].t, *b = p->t;
    bool same = a->dtype == b->dtype && a->n_dims == b->n_dims;
    for (int i = 0; same && i < a->n_dims; i++) same = a->shape[i] == b->shape[i];
    if (same) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, p->container->file.path, b->name,
                    "its type or shape is another one than in %s",
                    path_base(j->parts[0].container->file.path));
}

enum status joined_add(struct container *c, const char *name, const struct joint *joint, struct error *err)
{
    struct joined *j = c->priv;
    size_t n = joint->n_parts * joint->n_copies;
    struct tensor t = *joint->parts[0].t;
    uint64_t size;
    for (size_t i = 1; i < n; i++) TRY(check_part(joint, &joint->parts[i], err));
    if (joint->n_parts > 1 && joint->dim >= t.n_dims)
        return error_at(err, STATUS_MISMATCH, joint->parts[0].container->file.path, t.name,
                        "expected at least %d dimensions to join parts along, found %d", joint->dim + 1,
                        t.n_dims);
    if (joint->n_parts > 1) {
        if (!size_mul((uint64_t)t.shape[joint->dim], joint->n_parts, &size) || size > INT64_MAX)
            return error_at(err, STATUS_RANGE, c->file.path, name, "its parts together are too large");
        t.shape[joint->dim] = (int64_t)size;
    }
    TRY(grow(c, j, err));
    struct joint *own = &j->joints[c->n_tensors];
    struct joined_part *parts = arena_array(&c->mem, n, sizeof *parts);
    *own = *joint;
    own->parts = parts;
    t.name = arena_strndup(&c->mem, name, strlen(name));
    if (!t.name || !parts) return error_nomem(err, n * sizeof *parts);
    memcpy(parts, joint->parts, n * sizeof *parts);
    /* tensors of one part share bytes when the parts do (ckpt_same_bytes); the others are told apart by their number */
    t.storage_id = n == 1 ? t.storage_id : 0;
    t.contiguous = true;
    t.swapped = false;
    TRY(tensor_set_size(&t, c->file.path, err));
    c->tensors[c->n_tensors++] = t;
    return STATUS_OK;
}

enum status joined_finish(struct container *c, struct error *err)
{
    return container_index(c, err);
}

/* ---- reading ---- */

/* The other copies must hold the same bytes. */
static enum status compare_copies(const struct joint *j, size_t part, uint64_t off, const char *have,
                                  size_t n, struct error *err)
{
    const struct joined_part *copies = &j->parts[part * j->n_copies];
    void *other;
    size_t step = n < JOINED_STEP_BYTES ? n : JOINED_STEP_BYTES;
    if (j->n_copies == 1) return STATUS_OK;
    TRY(mem_alloc(&other, step, 1, err));
    enum status st = STATUS_OK;
    for (size_t k = 1; k < j->n_copies && st == STATUS_OK; k++)
        for (size_t at = 0; at < n && st == STATUS_OK; at += step) {
            size_t m = n - at < step ? n - at : step;
            st = container_read(copies[k].container, copies[k].t, off + at, other, m, err);
            if (st == STATUS_OK && memcmp(other, have + at, m) != 0)
                st = error_at(err, STATUS_MISMATCH, copies[k].container->file.path, copies[k].t->name,
                              "expected the same numbers as in %s, found others",
                              path_base(copies[0].container->file.path));
        }
    free(other);
    return st;
}

static enum status read_part(const struct joint *j, size_t part, uint64_t off, void *dst, size_t n,
                             struct error *err)
{
    const struct joined_part *p = &j->parts[part * j->n_copies];
    TRY(container_read(p->container, p->t, off, dst, n, err));
    return compare_copies(j, part, off, dst, n, err);
}

/* Parts along dimension 0: their bytes follow each other. */
static enum status read_ranges(const struct joint *j, uint64_t off, char *dst, size_t n, struct error *err)
{
    uint64_t size = j->parts[0].t->size_bytes;
    for (size_t part = size ? (size_t)(off / size) : 0; n > 0; part++) {
        uint64_t begin = off - part * size;
        size_t k = size - begin < n ? (size_t)(size - begin) : n;
        TRY(read_part(j, part, begin, dst, k, err));
        dst += k;
        off += k;
        n -= k;
    }
    return STATUS_OK;
}

/* Rows [row, row + n_rows) of the parts beside each other into dst; aside holds those of one part. */
static enum status read_rows(const struct joint *j, uint64_t row, uint64_t n_rows, uint64_t part_row,
                             char *dst, char *aside, struct error *err)
{
    uint64_t whole_row = part_row * j->n_parts;
    for (size_t part = 0; part < j->n_parts; part++) {
        TRY(read_part(j, part, row * part_row, aside, (size_t)(n_rows * part_row), err));
        for (uint64_t r = 0; r < n_rows; r++)
            memcpy(dst + r * whole_row + part * part_row, aside + r * part_row, (size_t)part_row);
    }
    return STATUS_OK;
}

/* Parts along dimension 1: each row is put together. Ranges that begin or end inside a row go through a row of their own. */
static enum status read_columns(const struct joint *j, uint64_t off, char *dst, size_t n, struct error *err)
{
    const struct tensor *p = j->parts[0].t;
    uint64_t part_row = p->size_bytes / (uint64_t)p->shape[0], row_bytes = part_row * j->n_parts;
    uint64_t step = JOINED_STEP_BYTES / row_bytes;
    if (step == 0) step = 1;
    void *mem;
    TRY(mem_alloc(&mem, step * part_row + row_bytes, 1, err));
    char *aside = mem, *whole = aside + step * part_row;
    enum status st = STATUS_OK;
    while (n > 0 && st == STATUS_OK) {
        uint64_t row = off / row_bytes, begin = off % row_bytes, n_rows = n / row_bytes;
        size_t k;
        if (begin > 0 || n_rows == 0) {
            k = row_bytes - begin < n ? (size_t)(row_bytes - begin) : n;
            st = read_rows(j, row, 1, part_row, whole, aside, err);
            if (st == STATUS_OK) memcpy(dst, whole + begin, k);
        } else {
            if (n_rows > step) n_rows = step;
            k = (size_t)(n_rows * row_bytes);
            st = read_rows(j, row, n_rows, part_row, dst, aside, err);
        }
        dst += k;
        off += k;
        n -= k;
    }
    free(mem);
    return st;
}

static enum status read_joined(struct container *c, const struct tensor *t, uint64_t off, void *dst, size_t n,
                               struct error *err)
{
    const struct joint *j = joined_joint(c, (size_t)(t - c->tensors));
    return j->n_parts > 1 && j->dim == 1 ? read_columns(j, off, dst, n, err)
                                         : read_ranges(j, off, dst, n, err);
}

static bool probe_nothing(const unsigned char *head, size_t head_size, uint64_t file_size)
{
    (void)head;
    (void)head_size;
    (void)file_size;
    return false;
}

static void close_joined(struct container *c)
{
    free(c->priv);
    c->priv = NULL;
}

const struct container_format joined_format = {
    .name = "joined",
    .probe = probe_nothing,
    .read = read_joined,
    .close = close_joined,
};

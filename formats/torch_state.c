#include "formats/torch_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct frame {
    const struct pickle_list *list;
    bool is_dict;
    uint32_t next;     /* item to visit */
    size_t name_bytes; /* of the name up to here */
};
struct walk {
    const char *path;
    struct arena *mem;
    struct frame frames[LIMIT_TORCH_DEPTH];
    int depth;
    char name[LIMIT_TORCH_NAME + 1];
    size_t visits, max_visits;
    struct torch_named *items;
    size_t n, cap;
    struct error *err;
};

static bool is_container(const struct pickle_value *v)
{
    return v->type == PICKLE_DICT || v->type == PICKLE_LIST || v->type == PICKLE_TUPLE;
}

static enum status fail(struct walk *w, enum status s, const char *text)
{
    return error_at(w->err, s, w->path, w->name, "%s", text);
}

/* Text of a key, tagged with its type so that 1 and "1" differ, into *a; NULL for keys of other types and without memory. */
static char *key_text(struct arena *a, const struct pickle_value *key)
{
    if (key->type == PICKLE_INT) return arena_printf(a, "i%" PRId64, key->v.i);
    if (key->type != PICKLE_STRING) return NULL;
    char *s = arena_alloc(a, key->n + 2u);
    if (!s) return NULL;
    s[0] = 's';
    memcpy(s + 1, key->v.s, key->n);
    return s;
}

/* In Python the last of two equal keys wins; here neither does. */
static enum status check_keys(struct walk *w, const struct pickle_list *dict)
{
    struct strmap seen = {0};
    struct arena a = {0};
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < dict->n && st == STATUS_OK; i += 2) {
        const struct pickle_value *key = &dict->items[i];
        if (key->type == PICKLE_STRING && memchr(key->v.s, 0, key->n))
            st = fail(w, STATUS_FORMAT, "a key below it holds a NUL");
        const char *text = st == STATUS_OK ? key_text(&a, key) : NULL;
        if (text) st = strmap_add(&seen, text, i, NULL, w->err);
        if (st == STATUS_EXISTS)
            st = error_at(w->err, STATUS_FORMAT, w->path, w->name, "key '%.100s' is set twice", text + 1);
    }
    strmap_clear(&seen);
    arena_clear(&a);
    return st;
}

static enum status enter(struct walk *w, const struct pickle_value *v, size_t name_bytes)
{
    if (w->depth == LIMIT_TORCH_DEPTH)
        return fail(w, STATUS_FORMAT, "values are nested too deep, or contain themselves");
    if (v->type == PICKLE_DICT) TRY(check_keys(w, v->v.list));
    w->frames[w->depth++] = (struct frame){v->v.list, v->type == PICKLE_DICT, 0, name_bytes};
    return STATUS_OK;
}

static enum status add_tensor(struct walk *w, const struct pickle_tensor *t)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        struct torch_named *bigger = realloc(w->items, cap * sizeof *bigger);
        if (!bigger) return error_nomem(w->err, cap * sizeof *bigger);
        w->items = bigger;
        w->cap = cap;
    }
    char *name = arena_strndup(w->mem, w->name, strlen(w->name));
    if (!name) return error_nomem(w->err, strlen(w->name));
    w->items[w->n++] = (struct torch_named){name, t};
    return STATUS_OK;
}

/* Puts the name of a frame's item into w->name; *n its length. */
static enum status set_name(struct walk *w, const struct frame *f, const struct pickle_value *key,
                            uint32_t index, size_t *n)
{
    char number[24];
    const char *s = number;
    size_t k;
    w->name[f->name_bytes] = '\0';
    if (key && key->type == PICKLE_STRING) {
        s = key->v.s;
        k = key->n;
    } else if (key && key->type != PICKLE_INT) {
        return error_at(w->err, STATUS_UNSUPPORTED, w->path, w->name,
                        "it holds weights under a key that is a %s", pickle_type_name(key->type));
    } else {
        int64_t i = key ? key->v.i : index;
        k = (size_t)snprintf(number, sizeof number, "%" PRId64, i);
    }
    size_t dot = w->depth > 1 ? 1 : 0;
    if (f->name_bytes + dot + k > LIMIT_TORCH_NAME)
        return fail(w, STATUS_RANGE, "a name is longer than 1024 bytes");
    *n = f->name_bytes;
    if (dot) w->name[(*n)++] = '.';
    memcpy(w->name + *n, s, k);
    *n += k;
    w->name[*n] = '\0';
    return STATUS_OK;
}

/* The next item of the topmost frame. */
static enum status step(struct walk *w)
{
    struct frame *f = &w->frames[w->depth - 1];
    if (f->next >= f->list->n) {
        w->depth--;
        return STATUS_OK;
    }
    const struct pickle_value *key = f->is_dict ? &f->list->items[f->next] : NULL;
    const struct pickle_value *v = &f->list->items[f->next + (f->is_dict ? 1 : 0)];
    uint32_t index = f->next;
    size_t n = 0;
    f->next += f->is_dict ? 2 : 1;
    if (++w->visits > w->max_visits)
        return fail(w, STATUS_FORMAT, "values share each other more than the file's size explains");
    if (!is_container(v) && v->type != PICKLE_TENSOR && v->type != PICKLE_STORAGE) return STATUS_OK;
    if (is_container(v) && v->v.list->n == 0) return STATUS_OK;
    TRY(set_name(w, f, key, index, &n));
    if (v->type == PICKLE_STORAGE) return fail(w, STATUS_UNSUPPORTED, "a bare storage, which has no shape");
    return v->type == PICKLE_TENSOR ? add_tensor(w, v->v.tensor) : enter(w, v, n);
}

enum status torch_list_state(const struct pickle *p, size_t n_bytes, const char *path, struct arena *mem,
                             struct torch_named **out, size_t *n, struct error *err)
{
    struct walk *w;
    void *memory;
    TRY(mem_alloc(&memory, 1, sizeof *w, err));
    w = memory;
    w->path = path;
    w->mem = mem;
    w->err = err;
    w->max_visits = n_bytes + 4096; /* without sharing, each visit is a byte of the pickle at least */
    enum status st = STATUS_OK;
    if (p->root.type == PICKLE_TENSOR) {
        strcpy(w->name, "tensor");
        st = add_tensor(w, p->root.v.tensor);
    } else if (is_container(&p->root)) {
        st = enter(w, &p->root, 0);
    } else {
        st = error_at(err, STATUS_UNSUPPORTED, path, NULL, "expected a dict of tensors, found a %s",
                      pickle_type_name(p->root.type));
    }
    while (st == STATUS_OK && w->depth > 0) st = step(w);
    if (st == STATUS_OK) {
        *n = w->n;
        *out = arena_array(mem, w->n, sizeof **out);
        if (!*out)
            st = error_nomem(err, w->n * sizeof **out);
        else if (w->n)
            memcpy(*out, w->items, w->n * sizeof **out);
    }
    free(w->items);
    free(w);
    return st;
}

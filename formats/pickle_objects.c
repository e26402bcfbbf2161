/* The opcodes that name, build and describe: GLOBAL, REDUCE, NEWOBJ, BUILD, and storages. */
#include "formats/pickle_machine.h"

#include <string.h>

/* ---- names, and what is made of them ---- */

/* The bytes up to the next newline, which is skipped. */
static enum status take_line(struct machine *m, const char **line, size_t *n)
{
    size_t left = cursor_left(&m->in), max = left < LIMIT_PICKLE_GLOBAL ? left : LIMIT_PICKLE_GLOBAL;
    *line = (const char *)m->in.data + m->in.pos;
    const char *end = memchr(*line, '\n', max);
    if (!end) m->cut = left <= max;
    if (!end)
        return pickle_fail(m, STATUS_FORMAT,
                           left > max ? "a name of more than %d bytes" : "the pickle ends here",
                           LIMIT_PICKLE_GLOBAL);
    *n = (size_t)(end - *line);
    cursor_take(&m->in, *n + 1);
    return STATUS_OK;
}

static enum status op_global(struct machine *m)
{
    const char *module, *name;
    size_t n_module, n_name;
    TRY(take_line(m, &module, &n_module));
    TRY(take_line(m, &name, &n_name));
    const char *reason;
    const struct pickle_global *g = pickle_find_global(module, n_module, name, n_name, &reason);
    if (g) return pickle_push(m, (struct pickle_value){.type = PICKLE_GLOBAL, .v.global = g});
    if (reason)
        return pickle_fail(m, STATUS_UNSUPPORTED, "%s (%.*s.%.*s)", reason, (int)n_module, module,
                           (int)n_name, name);
    pickle_fail(m, STATUS_UNSUPPORTED, "it names '%.*s.%.*s', which is not on the list of what weights need",
                (int)n_module, module, (int)n_name, name);
    return error_hint(m->err, "loading this file in Python would run that name; nothing was run here");
}

static enum status op_reduce(struct machine *m)
{
    TRY(pickle_need(m, 2));
    const struct pickle_value *fn = pickle_top(m) - 1, *args = pickle_top(m);
    if (fn->type != PICKLE_GLOBAL || !fn->v.global->build)
        return pickle_fail(m, STATUS_FORMAT, "a %s cannot be called", pickle_type_name(fn->type));
    if (args->type != PICKLE_TUPLE) return pickle_bad_value(m, "a tuple of arguments", args);
    struct pickle_value result;
    TRY(fn->v.global->build(m, args->v.list->items, args->v.list->n, &result));
    m->n_stack--;
    *pickle_top(m) = result;
    return STATUS_OK;
}

/* A bag of attributes (argparse.Namespace, which training scripts save beside the weights): an empty dict whose attributes BUILD sets. */
static enum status op_newobj(struct machine *m)
{
    TRY(pickle_need(m, 2));
    const struct pickle_value *class = pickle_top(m) - 1, *args = pickle_top(m);
    if (class->type != PICKLE_GLOBAL || class->v.global->kind != GLOBAL_OBJECT)
        return pickle_fail(m, STATUS_UNSUPPORTED, "an object of a class that weights do not need");
    if (args->type != PICKLE_TUPLE || args->v.list->n != 0) return pickle_bad_value(m, "no arguments", args);
    struct pickle_value result;
    TRY(pickle_new_list(m, PICKLE_DICT, NULL, 0, &result));
    result.v.list->ordered = true;
    m->n_stack--;
    *pickle_top(m) = result;
    return STATUS_OK;
}

/* Sets the attributes of an object: of an OrderedDict (a state dict keeps _metadata, versions of modules, in one) or of a bag of attributes.
 * They hold no weights and are checked for their form and dropped. */
static enum status op_build(struct machine *m)
{
    TRY(pickle_need(m, 2));
    const struct pickle_value *object = pickle_top(m) - 1, *state = pickle_top(m);
    if (object->type != PICKLE_DICT || !object->v.list->ordered)
        return pickle_fail(m, STATUS_FORMAT, "a %s has no attributes", pickle_type_name(object->type));
    if (state->type != PICKLE_DICT) return pickle_bad_value(m, "a dict of attributes", state);
    TRY(pickle_work(m, state->v.list->n));
    for (uint32_t i = 0; i < state->v.list->n; i += 2)
        if (state->v.list->items[i].type != PICKLE_STRING)
            return pickle_bad_value(m, "the name of an attribute", &state->v.list->items[i]);
    m->n_stack--;
    return STATUS_OK;
}

/* ---- storages ---- */

static enum status copy_text(struct machine *m, const struct pickle_value *v, size_t max, const char *what,
                             const char **out)
{
    if (v->type != PICKLE_STRING) return pickle_bad_value(m, what, v);
    if (v->n > max || memchr(v->v.s, 0, v->n))
        return pickle_fail(m, STATUS_FORMAT, "expected %s, found %u bytes", what, v->n);
    *out = arena_strndup(&m->p->mem, v->v.s, v->n);
    return *out ? STATUS_OK : pickle_nomem(m, v->n);
}

static enum status add_storage(struct machine *m, struct pickle_storage *s)
{
    struct pickle *p = m->p;
    if (p->n_storages == m->cap_storages) {
        size_t cap = m->cap_storages ? 2 * m->cap_storages : 64;
        struct pickle_storage **bigger = arena_array(&p->mem, cap, sizeof(*bigger));
        if (!bigger) return pickle_nomem(m, cap * sizeof(*bigger));
        if (p->n_storages) memcpy(bigger, p->storages, p->n_storages * sizeof(*bigger));
        p->storages = bigger;
        m->cap_storages = cap;
    }
    s->index = p->n_storages;
    TRY(strmap_add(&m->storage_index, s->key, s->index, NULL, m->err));
    p->storages[p->n_storages++] = s;
    return STATUS_OK;
}

/* The storage of that key, which is new or was described the same way before. */
static enum status keep_storage(struct machine *m, const struct pickle_storage *s,
                                struct pickle_storage **kept)
{
    size_t known;
    if (!strmap_find(&m->storage_index, s->key, &known)) {
        *kept = pickle_new_object(m, sizeof **kept);
        if (!*kept) return m->err->status;
        **kept = *s;
        return add_storage(m, *kept);
    }
    *kept = m->p->storages[known];
    if ((*kept)->dtype == s->dtype && (*kept)->n_elements == s->n_elements) return STATUS_OK;
    return pickle_fail(m, STATUS_FORMAT, "storage '%s' has two types or two sizes", s->key);
}

/* (key, offset, number of elements): a part of `root`. */
static enum status keep_view(struct machine *m, const struct pickle_value *v, struct pickle_storage *root,
                             struct pickle_storage **kept)
{
    const struct pickle_value *item = v->type == PICKLE_TUPLE ? v->v.list->items : NULL;
    if (!item || v->v.list->n != 3) return pickle_bad_value(m, "the three items of a storage's view", v);
    if (!pickle_is_count(&item[1]) || !pickle_is_count(&item[2]))
        return pickle_fail(m, STATUS_FORMAT, "expected offset and size of a storage's view");
    struct pickle_storage s = *root;
    uint64_t end;
    TRY(copy_text(m, &item[0], LIMIT_PICKLE_KEY, "the key of a storage's view", &s.key));
    s.root = root;
    s.off_root = (uint64_t)item[1].v.i;
    s.n_elements = (uint64_t)item[2].v.i;
    if (!size_add(s.off_root, s.n_elements, &end) || end > root->n_elements)
        return pickle_fail(m, STATUS_FORMAT, "view '%s' reaches beyond its storage of %llu elements", s.key,
                           (unsigned long long)root->n_elements);
    size_t known;
    if (strmap_find(&m->view_index, s.key, &known)) {
        *kept = m->views[known];
        if ((*kept)->root == root && (*kept)->off_root == s.off_root && (*kept)->n_elements == s.n_elements)
            return STATUS_OK;
        return pickle_fail(m, STATUS_FORMAT, "view '%s' has two meanings", s.key);
    }
    void *views = m->views;
    TRY(pickle_grow(m, &views, m->n_views, &m->cap_views, sizeof(*m->views)));
    m->views = views;
    *kept = pickle_new_object(m, sizeof **kept);
    if (!*kept) return m->err->status;
    **kept = s;
    m->views[m->n_views] = *kept;
    return strmap_add(&m->view_index, (*kept)->key, m->n_views++, NULL, m->err);
}

/* ("storage", class, key, location, number of elements), before zip one more: None or a view */
static enum status op_binpersid(struct machine *m)
{
    TRY(pickle_need(m, 1));
    struct pickle_value *id = pickle_top(m);
    const struct pickle_value *v = id->type == PICKLE_TUPLE ? id->v.list->items : NULL;
    uint32_t n = m->legacy ? 6 : 5;
    if (!v || id->v.list->n != n || !pickle_is_string(&v[0], "storage"))
        return pickle_fail(m, STATUS_FORMAT, "expected the %s items of a storage", m->legacy ? "six" : "five");
    if (v[1].type != PICKLE_GLOBAL || v[1].v.global->kind != GLOBAL_STORAGE)
        return pickle_bad_value(m, "a storage class", &v[1]);
    if (!pickle_is_count(&v[4])) return pickle_bad_value(m, "a number of elements", &v[4]);
    struct pickle_storage s = {.dtype = v[1].v.global->dtype, .n_elements = (uint64_t)v[4].v.i}, *kept;
    TRY(copy_text(m, &v[2], LIMIT_PICKLE_KEY, "the key of a storage", &s.key));
    TRY(copy_text(m, &v[3], LIMIT_PICKLE_KEY, "the location of a storage", &s.location));
    if (strcmp(s.location, "meta") == 0)
        return pickle_fail(m, STATUS_UNSUPPORTED, "a meta tensor, which has no data");
    TRY(keep_storage(m, &s, &kept));
    if (m->legacy && v[5].type != PICKLE_NONE) TRY(keep_view(m, &v[5], kept, &kept));
    *id = (struct pickle_value){.type = PICKLE_STORAGE, .v.storage = kept};
    return STATUS_OK;
}

const struct pickle_run pickle_object_ops[] = {
    {'Q', op_binpersid},
    {'R', op_reduce},
    {'b', op_build},
    {'c', op_global},
    {0x81, op_newobj},
    {0},
};

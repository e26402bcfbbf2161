#include "formats/pickle_machine.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Python's pickler empties the stack after 1000 items of a list or dict; only a tuple may put more on it. */
enum {
    STACK_MAX = 1 << 20,
    GLOBAL_MAX_BYTES = 256,
    KEY_MAX_BYTES = 64,
    MEMO_KEY_BYTES = 6,
};

typedef enum status op_fn(struct machine *m);

static const char *const type_names[PICKLE_TYPE_COUNT] = {
    [PICKLE_NONE] = "None",       [PICKLE_BOOL] = "bool",     [PICKLE_INT] = "int",
    [PICKLE_FLOAT] = "float",     [PICKLE_STRING] = "string", [PICKLE_LIST] = "list",
    [PICKLE_TUPLE] = "tuple",     [PICKLE_DICT] = "dict",     [PICKLE_GLOBAL] = "class",
    [PICKLE_STORAGE] = "storage", [PICKLE_TENSOR] = "tensor",
};

const char *pickle_type_name(enum pickle_type t)
{
    return (unsigned)t < PICKLE_TYPE_COUNT ? type_names[t] : "?";
}

static const char *op_name(unsigned char op);

enum status pickle_fail(struct machine *m, enum status s, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return error_at(m->err, s, m->path, NULL, "pickle opcode %s at byte %zu: %s",
                    m->off_op < m->in.size ? op_name(m->in.data[m->off_op]) : "(none)", m->off_op, what);
}

static enum status fail_nomem(struct machine *m, size_t n)
{
    return error_nomem(m->err, n);
}

/* Room for one more in an array of `size`-byte items. */
static enum status grow(struct machine *m, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return STATUS_OK;
    void **items = array;
    uint32_t wanted = *cap ? 2 * *cap : 64;
    void *bigger = realloc(*items, wanted * size);
    if (!bigger) return fail_nomem(m, wanted * size);
    *items = bigger;
    *cap = wanted;
    return STATUS_OK;
}

void *pickle_new_object(struct machine *m, size_t size)
{
    if (m->n_objects >= m->max_objects) {
        pickle_fail(m, STATUS_FORMAT, "more containers than its size explains");
        return NULL;
    }
    m->n_objects++;
    void *object = arena_alloc(&m->p->mem, size);
    if (!object) fail_nomem(m, size);
    return object;
}

static enum status push(struct machine *m, struct pickle_value v)
{
    if (m->n_stack == STACK_MAX)
        return pickle_fail(m, STATUS_RANGE, "more than %d values on the stack", STACK_MAX);
    void *stack = m->stack;
    TRY(grow(m, &stack, m->n_stack, &m->cap_stack, sizeof *m->stack));
    m->stack = stack;
    m->stack[m->n_stack++] = v;
    return STATUS_OK;
}

/* Values above the topmost mark (above the bottom when there is none): what an opcode may take. */
static uint32_t available(const struct machine *m)
{
    return m->n_stack - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

static enum status need(struct machine *m, uint32_t n)
{
    if (available(m) >= n) return STATUS_OK;
    return pickle_fail(m, STATUS_FORMAT, "expected %u value%s on the stack, found %u", n, n == 1 ? "" : "s",
                       available(m));
}

static struct pickle_value *top(struct machine *m)
{
    return &m->stack[m->n_stack - 1];
}

/* Removes the topmost mark; *n values lie above it. */
static enum status take_mark(struct machine *m, uint32_t *n)
{
    *n = available(m);
    if (m->n_marks == 0) return pickle_fail(m, STATUS_FORMAT, "no MARK on the stack");
    m->n_marks--;
    return STATUS_OK;
}

enum status pickle_list_append(struct machine *m, struct pickle_list *l, const struct pickle_value *v,
                               uint32_t n)
{
    if (n == 0) return STATUS_OK;
    if (n > UINT32_MAX / 4 - l->n) return pickle_fail(m, STATUS_RANGE, "too many items");
    if (l->n + n > l->cap) {
        uint32_t cap = l->n + n > 2 * l->cap ? l->n + n : 2 * l->cap;
        struct pickle_value *items = arena_array(&m->p->mem, cap, sizeof *items);
        if (!items) return fail_nomem(m, cap * sizeof *items);
        if (l->n) memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    memcpy(l->items + l->n, v, n * sizeof *v);
    l->n += n;
    return STATUS_OK;
}

enum status pickle_new_list(struct machine *m, enum pickle_type type, const struct pickle_value *items,
                            uint32_t n, struct pickle_value *out)
{
    struct pickle_list *l = pickle_new_object(m, sizeof *l);
    if (!l) return m->err->status;
    TRY(pickle_list_append(m, l, items, n));
    *out = (struct pickle_value){.type = type, .v.list = l};
    return STATUS_OK;
}

bool pickle_is_string(const struct pickle_value *v, const char *s)
{
    return v->type == PICKLE_STRING && v->n == strlen(s) && memcmp(v->v.s, s, v->n) == 0;
}

bool pickle_is_count(const struct pickle_value *v)
{
    return v->type == PICKLE_INT && v->v.i >= 0;
}

enum status pickle_bad_value(struct machine *m, const char *expected, const struct pickle_value *found)
{
    return pickle_fail(m, STATUS_FORMAT, "expected %s, found %s", expected,
                       found ? pickle_type_name(found->type) : "none");
}

/* ---- names, and what is made of them ---- */

/* The bytes up to the next newline, which is skipped. */
static enum status take_line(struct machine *m, const char **line, size_t *n)
{
    size_t left = cursor_left(&m->in), max = left < GLOBAL_MAX_BYTES ? left : GLOBAL_MAX_BYTES;
    *line = (const char *)m->in.data + m->in.pos;
    const char *end = memchr(*line, '\n', max);
    if (!end) m->cut = left <= max;
    if (!end)
        return pickle_fail(m, STATUS_FORMAT,
                           left > max ? "a name of more than %d bytes" : "the pickle ends here",
                           GLOBAL_MAX_BYTES);
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
    if (g) return push(m, (struct pickle_value){.type = PICKLE_GLOBAL, .v.global = g});
    if (reason)
        return pickle_fail(m, STATUS_UNSUPPORTED, "%s (%.*s.%.*s)", reason, (int)n_module, module,
                           (int)n_name, name);
    pickle_fail(m, STATUS_UNSUPPORTED, "it names '%.*s.%.*s', which is not on the list of what weights need",
                (int)n_module, module, (int)n_name, name);
    return error_hint(m->err, "loading this file in Python would run that name; nothing was run here");
}

static enum status op_reduce(struct machine *m)
{
    TRY(need(m, 2));
    const struct pickle_value *fn = top(m) - 1, *args = top(m);
    if (fn->type != PICKLE_GLOBAL || !fn->v.global->build)
        return pickle_fail(m, STATUS_FORMAT, "a %s cannot be called", pickle_type_name(fn->type));
    if (args->type != PICKLE_TUPLE) return pickle_bad_value(m, "a tuple of arguments", args);
    struct pickle_value result;
    TRY(fn->v.global->build(m, args->v.list->items, args->v.list->n, &result));
    m->n_stack--;
    *top(m) = result;
    return STATUS_OK;
}

/* A bag of attributes (argparse.Namespace, which training scripts save beside the weights): an empty dict whose attributes BUILD sets. */
static enum status op_newobj(struct machine *m)
{
    TRY(need(m, 2));
    const struct pickle_value *class = top(m) - 1, *args = top(m);
    if (class->type != PICKLE_GLOBAL || class->v.global->kind != GLOBAL_OBJECT)
        return pickle_fail(m, STATUS_UNSUPPORTED, "an object of a class that weights do not need");
    if (args->type != PICKLE_TUPLE || args->v.list->n != 0) return pickle_bad_value(m, "no arguments", args);
    struct pickle_value result;
    TRY(pickle_new_list(m, PICKLE_DICT, NULL, 0, &result));
    result.v.list->ordered = true;
    m->n_stack--;
    *top(m) = result;
    return STATUS_OK;
}

/* Sets the attributes of an object: of an OrderedDict (a state dict keeps _metadata, versions of modules, in one) or of a bag of attributes.
 * They hold no weights and are checked for their form and dropped. */
static enum status op_build(struct machine *m)
{
    TRY(need(m, 2));
    const struct pickle_value *object = top(m) - 1, *state = top(m);
    if (object->type != PICKLE_DICT || !object->v.list->ordered)
        return pickle_fail(m, STATUS_FORMAT, "a %s has no attributes", pickle_type_name(object->type));
    if (state->type != PICKLE_DICT) return pickle_bad_value(m, "a dict of attributes", state);
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
    return *out ? STATUS_OK : fail_nomem(m, v->n);
}

static enum status add_storage(struct machine *m, struct pickle_storage *s)
{
    struct pickle *p = m->p;
    if (p->n_storages == m->cap_storages) {
        size_t cap = m->cap_storages ? 2 * m->cap_storages : 64;
        struct pickle_storage **bigger = arena_array(&p->mem, cap, sizeof(*bigger));
        if (!bigger) return fail_nomem(m, cap * sizeof(*bigger));
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
    TRY(copy_text(m, &item[0], KEY_MAX_BYTES, "the key of a storage's view", &s.key));
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
    TRY(grow(m, &views, m->n_views, &m->cap_views, sizeof(*m->views)));
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
    TRY(need(m, 1));
    struct pickle_value *id = top(m);
    const struct pickle_value *v = id->type == PICKLE_TUPLE ? id->v.list->items : NULL;
    uint32_t n = m->legacy ? 6 : 5;
    if (!v || id->v.list->n != n || !pickle_is_string(&v[0], "storage"))
        return pickle_fail(m, STATUS_FORMAT, "expected the %s items of a storage", m->legacy ? "six" : "five");
    if (v[1].type != PICKLE_GLOBAL || v[1].v.global->kind != GLOBAL_STORAGE)
        return pickle_bad_value(m, "a storage class", &v[1]);
    if (!pickle_is_count(&v[4])) return pickle_bad_value(m, "a number of elements", &v[4]);
    struct pickle_storage s = {.dtype = v[1].v.global->dtype, .n_elements = (uint64_t)v[4].v.i}, *kept;
    TRY(copy_text(m, &v[2], KEY_MAX_BYTES, "the key of a storage", &s.key));
    TRY(copy_text(m, &v[3], KEY_MAX_BYTES, "the location of a storage", &s.location));
    if (strcmp(s.location, "meta") == 0)
        return pickle_fail(m, STATUS_UNSUPPORTED, "a meta tensor, which has no data");
    TRY(keep_storage(m, &s, &kept));
    if (m->legacy && v[5].type != PICKLE_NONE) TRY(keep_view(m, &v[5], kept, &kept));
    *id = (struct pickle_value){.type = PICKLE_STORAGE, .v.storage = kept};
    return STATUS_OK;
}

/* ---- constants ---- */

static enum status push_none(struct machine *m)
{
    return push(m, (struct pickle_value){.type = PICKLE_NONE});
}
static enum status push_true(struct machine *m)
{
    return push(m, (struct pickle_value){.type = PICKLE_BOOL, .v.b = true});
}
static enum status push_false(struct machine *m)
{
    return push(m, (struct pickle_value){.type = PICKLE_BOOL, .v.b = false});
}
static enum status push_int(struct machine *m, int64_t i)
{
    return push(m, (struct pickle_value){.type = PICKLE_INT, .v.i = i});
}
static enum status op_binint(struct machine *m)
{
    return push_int(m, (int32_t)cursor_u32(&m->in));
}
static enum status op_binint1(struct machine *m)
{
    return push_int(m, cursor_u8(&m->in));
}
static enum status op_binint2(struct machine *m)
{
    return push_int(m, cursor_u16(&m->in));
}

/* Little-endian two's complement of any length; beyond 8 bytes it is no size, count or plain number. */
static enum status op_long1(struct machine *m)
{
    uint8_t n = cursor_u8(&m->in);
    if (n > 8) return pickle_fail(m, STATUS_RANGE, "an integer of %u bytes, more than 8", n);
    const unsigned char *b = cursor_take(&m->in, n);
    uint64_t v = 0;
    for (unsigned i = 0; b && i < n; i++) v |= (uint64_t)b[i] << (8 * i);
    if (b && n > 0 && n < 8 && (b[n - 1] & 0x80)) v |= UINT64_MAX << (8 * n);
    return push_int(m, (int64_t)v);
}

static enum status op_binfloat(struct machine *m)
{
    const unsigned char *b = cursor_take(&m->in, 8);
    uint64_t bits = 0;
    double f;
    for (int i = 0; b && i < 8; i++) bits = bits << 8 | b[i]; /* the one big-endian number of the format */
    memcpy(&f, &bits, sizeof f);
    return push(m, (struct pickle_value){.type = PICKLE_FLOAT, .v.f = f});
}

static enum status push_string(struct machine *m, uint32_t n)
{
    const char *s = (const char *)cursor_take(&m->in, n);
    if (!s) return STATUS_OK; /* the end of the pickle: reported after the opcode */
    if (utf8_check(s, n) != n) return pickle_fail(m, STATUS_FORMAT, "a string that is not UTF-8");
    return push(m, (struct pickle_value){.type = PICKLE_STRING, .n = n, .v.s = s});
}
static enum status op_binunicode(struct machine *m)
{
    return push_string(m, cursor_u32(&m->in));
}
static enum status op_short_binstring(struct machine *m)
{
    return push_string(m, cursor_u8(&m->in));
}

/* ---- containers ---- */

static enum status op_mark(struct machine *m)
{
    if (m->n_marks == STACK_MAX) return pickle_fail(m, STATUS_RANGE, "more than %d marks", STACK_MAX);
    void *marks = m->marks;
    TRY(grow(m, &marks, m->n_marks, &m->cap_marks, sizeof *m->marks));
    m->marks = marks;
    m->marks[m->n_marks++] = m->n_stack;
    return STATUS_OK;
}

static enum status push_list(struct machine *m, enum pickle_type type)
{
    struct pickle_value v;
    TRY(pickle_new_list(m, type, NULL, 0, &v));
    return push(m, v);
}
static enum status op_empty_list(struct machine *m)
{
    return push_list(m, PICKLE_LIST);
}
static enum status op_empty_dict(struct machine *m)
{
    return push_list(m, PICKLE_DICT);
}

static enum status op_empty_tuple(struct machine *m)
{
    static struct pickle_list empty; /* never appended to: only LIST and DICT are */
    return push(m, (struct pickle_value){.type = PICKLE_TUPLE, .v.list = &empty});
}

static enum status make_tuple(struct machine *m, uint32_t n)
{
    struct pickle_value v;
    TRY(need(m, n));
    TRY(pickle_new_list(m, PICKLE_TUPLE, m->stack + (m->n_stack - n), n, &v));
    m->n_stack -= n;
    return push(m, v);
}
static enum status op_tuple1(struct machine *m)
{
    return make_tuple(m, 1);
}
static enum status op_tuple2(struct machine *m)
{
    return make_tuple(m, 2);
}
static enum status op_tuple3(struct machine *m)
{
    return make_tuple(m, 3);
}

static enum status op_tuple(struct machine *m)
{
    uint32_t n;
    TRY(take_mark(m, &n));
    return make_tuple(m, n);
}

/* Appends n values, which lie right above the container of the wanted type, and drops them. */
static enum status append_above(struct machine *m, enum pickle_type type, uint32_t n)
{
    TRY(need(m, n + 1));
    const struct pickle_value *items = m->stack + (m->n_stack - n), *target = items - 1;
    if (target->type != type)
        return pickle_fail(m, STATUS_FORMAT, "expected a %s to add to, found %s", pickle_type_name(type),
                           pickle_type_name(target->type));
    if (type == PICKLE_DICT && n % 2 != 0) return pickle_fail(m, STATUS_FORMAT, "a key without a value");
    TRY(pickle_list_append(m, target->v.list, items, n));
    m->n_stack -= n;
    return STATUS_OK;
}
static enum status op_append(struct machine *m)
{
    return append_above(m, PICKLE_LIST, 1);
}
static enum status op_setitem(struct machine *m)
{
    return append_above(m, PICKLE_DICT, 2);
}

static enum status append_marked(struct machine *m, enum pickle_type type)
{
    uint32_t n;
    TRY(take_mark(m, &n));
    return append_above(m, type, n);
}
static enum status op_appends(struct machine *m)
{
    return append_marked(m, PICKLE_LIST);
}
static enum status op_setitems(struct machine *m)
{
    return append_marked(m, PICKLE_DICT);
}

/* ---- memo ---- */

/* Slot numbers as string keys without 0 bytes: the map that file-chosen names use stands slot numbers chosen to collide, too. */
static void memo_key(uint32_t slot, char key[MEMO_KEY_BYTES])
{
    for (int i = 0; i < MEMO_KEY_BYTES - 1; i++) key[i] = (char)(0x80 | (slot >> (7 * i) & 0x7f));
    key[MEMO_KEY_BYTES - 1] = '\0';
}

static enum status memo_put(struct machine *m, uint32_t slot)
{
    if (m->in.failed) return STATUS_OK;
    TRY(need(m, 1));
    if (m->n_memo == m->cap_memo) {
        size_t cap = m->cap_memo ? 2 * m->cap_memo : 64;
        struct pickle_value *bigger = realloc(m->memo, cap * sizeof *bigger);
        if (!bigger) return fail_nomem(m, cap * sizeof *bigger);
        m->memo = bigger;
        m->cap_memo = cap;
    }
    char *key = arena_alloc(&m->p->mem, MEMO_KEY_BYTES);
    if (!key) return fail_nomem(m, MEMO_KEY_BYTES);
    memo_key(slot, key);
    enum status st = strmap_add(&m->memo_index, key, m->n_memo, NULL, m->err);
    if (st == STATUS_EXISTS) return pickle_fail(m, STATUS_FORMAT, "memo slot %u is written twice", slot);
    TRY(st);
    m->memo[m->n_memo++] = *top(m);
    return STATUS_OK;
}
static enum status op_binput(struct machine *m)
{
    return memo_put(m, cursor_u8(&m->in));
}
static enum status op_long_binput(struct machine *m)
{
    return memo_put(m, cursor_u32(&m->in));
}

static enum status memo_get(struct machine *m, uint32_t slot)
{
    char key[MEMO_KEY_BYTES];
    size_t i;
    if (m->in.failed) return STATUS_OK;
    memo_key(slot, key);
    if (!strmap_find(&m->memo_index, key, &i))
        return pickle_fail(m, STATUS_FORMAT, "memo slot %u was never written", slot);
    return push(m, m->memo[i]);
}
static enum status op_binget(struct machine *m)
{
    return memo_get(m, cursor_u8(&m->in));
}
static enum status op_long_binget(struct machine *m)
{
    return memo_get(m, cursor_u32(&m->in));
}

/* ---- the machine ---- */

static enum status op_proto(struct machine *m)
{
    uint8_t version = cursor_u8(&m->in);
    if (m->off_op != 0) return pickle_fail(m, STATUS_FORMAT, "allowed at the beginning only");
    if (version == 2 || m->in.failed) return STATUS_OK;
    return pickle_fail(m, STATUS_UNSUPPORTED, "expected protocol 2, as torch.save writes, found %u", version);
}

static enum status op_stop(struct machine *m)
{
    if (m->n_stack != 1 || m->n_marks != 0)
        return pickle_fail(m, STATUS_FORMAT, "%u values are left on the stack", m->n_stack);
    if (!m->legacy && cursor_left(&m->in) > 0)
        return pickle_fail(m, STATUS_FORMAT, "%zu bytes follow it", cursor_left(&m->in));
    m->stopped = true;
    return STATUS_OK;
}

/* All opcodes of protocols 0 to 5; those without a function are refused. */
static const struct {
    const char *name;
    op_fn *run;
} ops[256] = {
    ['('] = {"MARK", op_mark},
    [')'] = {"EMPTY_TUPLE", op_empty_tuple},
    ['.'] = {"STOP", op_stop},
    ['G'] = {"BINFLOAT", op_binfloat},
    ['J'] = {"BININT", op_binint},
    ['K'] = {"BININT1", op_binint1},
    ['M'] = {"BININT2", op_binint2},
    ['N'] = {"NONE", push_none},
    ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},
    ['T'] = {"BINSTRING", op_binunicode}, /* Python 2's text: the same form */
    ['U'] = {"SHORT_BINSTRING", op_short_binstring},
    ['X'] = {"BINUNICODE", op_binunicode},
    [']'] = {"EMPTY_LIST", op_empty_list},
    ['a'] = {"APPEND", op_append},
    ['b'] = {"BUILD", op_build},
    ['c'] = {"GLOBAL", op_global},
    ['e'] = {"APPENDS", op_appends},
    ['h'] = {"BINGET", op_binget},
    ['j'] = {"LONG_BINGET", op_long_binget},
    ['q'] = {"BINPUT", op_binput},
    ['r'] = {"LONG_BINPUT", op_long_binput},
    ['s'] = {"SETITEM", op_setitem},
    ['t'] = {"TUPLE", op_tuple},
    ['u'] = {"SETITEMS", op_setitems},
    ['}'] = {"EMPTY_DICT", op_empty_dict},
    [0x80] = {"PROTO", op_proto},
    [0x85] = {"TUPLE1", op_tuple1},
    [0x86] = {"TUPLE2", op_tuple2},
    [0x87] = {"TUPLE3", op_tuple3},
    [0x88] = {"NEWTRUE", push_true},
    [0x89] = {"NEWFALSE", push_false},
    [0x8a] = {"LONG1", op_long1},
    ['0'] = {"POP", NULL},
    ['1'] = {"POP_MARK", NULL},
    ['2'] = {"DUP", NULL},
    ['B'] = {"BINBYTES", NULL},
    ['C'] = {"SHORT_BINBYTES", NULL},
    ['F'] = {"FLOAT", NULL},
    ['I'] = {"INT", NULL},
    ['L'] = {"LONG", NULL},
    ['P'] = {"PERSID", NULL},
    ['S'] = {"STRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['d'] = {"DICT", NULL},
    ['g'] = {"GET", NULL},
    ['i'] = {"INST", NULL},
    ['l'] = {"LIST", NULL},
    ['o'] = {"OBJ", NULL},
    ['p'] = {"PUT", NULL},
    [0x81] = {"NEWOBJ", op_newobj},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x8b] = {"LONG4", NULL},
    [0x8c] = {"SHORT_BINUNICODE", NULL},
    [0x8d] = {"BINUNICODE8", NULL},
    [0x8e] = {"BINBYTES8", NULL},
    [0x8f] = {"EMPTY_SET", NULL},
    [0x90] = {"ADDITEMS", NULL},
    [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", NULL},
    [0x94] = {"MEMOIZE", NULL},
    [0x95] = {"FRAME", NULL},
    [0x96] = {"BYTEARRAY8", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};

static const char *op_name(unsigned char op)
{
    return ops[op].name ? ops[op].name : "(unknown)";
}

static enum status step(struct machine *m)
{
    m->off_op = m->in.pos;
    unsigned char op = cursor_u8(&m->in);
    m->cut = m->in.failed;
    if (m->in.failed) return pickle_fail(m, STATUS_FORMAT, "the pickle ends without STOP");
    if (m->off_op == 0 && op != 0x80)
        return pickle_fail(m, STATUS_FORMAT, "expected PROTO as the first opcode");
    if (!ops[op].name) return pickle_fail(m, STATUS_FORMAT, "there is no opcode 0x%02x", op);
    if (!ops[op].run) return pickle_fail(m, STATUS_UNSUPPORTED, "this opcode is not used for weights");
    TRY(ops[op].run(m));
    m->cut = m->in.failed;
    return m->in.failed ? pickle_fail(m, STATUS_FORMAT, "the pickle ends inside it") : STATUS_OK;
}

static enum status run(struct machine *m)
{
    enum status st = STATUS_OK;
    *m->p = (struct pickle){0};
    m->max_objects = m->in.size / 2 + 64;
    while (st == STATUS_OK && !m->stopped) st = step(m);
    if (st == STATUS_OK) m->p->root = m->stack[0];
    free(m->stack);
    free(m->marks);
    free(m->memo);
    free(m->views);
    strmap_clear(&m->memo_index);
    strmap_clear(&m->storage_index);
    strmap_clear(&m->view_index);
    if (st != STATUS_OK) pickle_clear(m->p);
    return st;
}

enum status pickle_read(struct pickle *p, const void *bytes, size_t n, const char *path, struct error *err)
{
    struct machine m = {.p = p, .path = path, .in = {.data = bytes, .size = n}, .err = err};
    return run(&m);
}

enum status pickle_read_next(struct pickle *p, const void *bytes, size_t n, size_t *used, bool *cut,
                             const char *path, struct error *err)
{
    struct machine m = {.p = p, .path = path, .in = {.data = bytes, .size = n}, .legacy = true, .err = err};
    enum status st = run(&m);
    *used = m.in.pos;
    *cut = m.cut;
    return st;
}

void pickle_clear(struct pickle *p)
{
    arena_clear(&p->mem);
    *p = (struct pickle){0};
}

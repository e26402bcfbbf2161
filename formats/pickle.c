#include "formats/pickle_machine.h"

#include "formats/pickle_opcodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status pickle_fail(struct machine *m, enum status s, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return error_at(m->err, s, m->path, NULL, "pickle opcode %s at byte %zu: %s",
                    m->off_op < m->in.size ? pickle_opcode_name(m->in.data[m->off_op]) : "(none)", m->off_op, what);
}

enum status pickle_nomem(struct machine *m, size_t n)
{
    return error_nomem(m->err, n);
}

/* Room for one more in an array of `size`-byte items. */
enum status pickle_grow(struct machine *m, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return STATUS_OK;
    void **items = array;
    uint32_t wanted = *cap ? 2 * *cap : 64;
    void *bigger = realloc(*items, wanted * size);
    if (!bigger) return pickle_nomem(m, wanted * size);
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
    if (!object) pickle_nomem(m, size);
    return object;
}

enum status pickle_push(struct machine *m, struct pickle_value v)
{
    if (m->n_stack == LIMIT_PICKLE_STACK)
        return pickle_fail(m, STATUS_RANGE, "more than %d values on the stack", LIMIT_PICKLE_STACK);
    void *stack = m->stack;
    TRY(pickle_grow(m, &stack, m->n_stack, &m->cap_stack, sizeof *m->stack));
    m->stack = stack;
    m->stack[m->n_stack++] = v;
    return STATUS_OK;
}

/* Values above the topmost mark (above the bottom when there is none): what an opcode may take. */
uint32_t pickle_available(const struct machine *m)
{
    return m->n_stack - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

enum status pickle_need(struct machine *m, uint32_t n)
{
    if (pickle_available(m) >= n) return STATUS_OK;
    return pickle_fail(m, STATUS_FORMAT, "expected %u value%s on the stack, found %u", n, n == 1 ? "" : "s",
                       pickle_available(m));
}

struct pickle_value *pickle_top(struct machine *m)
{
    return &m->stack[m->n_stack - 1];
}

/* Removes the topmost mark; *n values lie above it. */
enum status pickle_take_mark(struct machine *m, uint32_t *n)
{
    *n = pickle_available(m);
    if (m->n_marks == 0) return pickle_fail(m, STATUS_FORMAT, "no MARK on the stack");
    m->n_marks--;
    return STATUS_OK;
}

enum status pickle_work(struct machine *m, uint32_t n)
{
    m->n_work += n;
    return m->n_work <= m->max_work ? STATUS_OK : pickle_fail(m, STATUS_FORMAT, "more work than its size explains");
}

enum status pickle_list_append(struct machine *m, struct pickle_list *l, const struct pickle_value *v,
                               uint32_t n)
{
    if (n == 0) return STATUS_OK;
    if (n > UINT32_MAX / 4 - l->n) return pickle_fail(m, STATUS_RANGE, "too many items");
    if (l->n + n > l->cap) {
        uint32_t cap = l->n + n > 2 * l->cap ? l->n + n : 2 * l->cap;
        struct pickle_value *items = arena_array(&m->p->mem, cap, sizeof *items);
        if (!items) return pickle_nomem(m, cap * sizeof *items);
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

static const struct pickle_run run_ops[] = {{0x80, op_proto}, {'.', op_stop}, {0}};

/* Opcodes without a function here are refused. */
static const struct pickle_run *const runs[] = {run_ops, pickle_value_ops, pickle_container_ops, pickle_memo_ops, pickle_object_ops};

static void collect_runs(op_fn *by_code[256])
{
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        for (const struct pickle_run *r = runs[i]; r->run; r++) by_code[r->code] = r->run;
}

static enum status step(struct machine *m, op_fn *const by_code[256])
{
    m->off_op = m->in.pos;
    unsigned char op = cursor_u8(&m->in);
    m->cut = m->in.failed;
    if (m->in.failed) return pickle_fail(m, STATUS_FORMAT, "the pickle ends without STOP");
    if (m->off_op == 0 && op != 0x80)
        return pickle_fail(m, STATUS_FORMAT, "expected PROTO as the first opcode");
    if (!pickle_opcodes[op].name) return pickle_fail(m, STATUS_FORMAT, "there is no opcode 0x%02x", op);
    if (!by_code[op]) return pickle_fail(m, STATUS_UNSUPPORTED, "this opcode is not used for weights");
    TRY(by_code[op](m));
    m->cut = m->in.failed;
    return m->in.failed ? pickle_fail(m, STATUS_FORMAT, "the pickle ends inside it") : STATUS_OK;
}

static enum status run(struct machine *m)
{
    enum status st = STATUS_OK;
    op_fn *by_code[256] = {0};
    collect_runs(by_code);
    *m->p = (struct pickle){0};
    m->max_objects = m->in.size / 2 + 64;
    m->max_work = (uint64_t)m->in.size + 4096;
    while (st == STATUS_OK && !m->stopped) st = step(m, by_code);
    if (st == STATUS_OK) m->p->root = m->stack[0];
    free(m->stack);
    free(m->marks);
    free(m->memo);
    free(m->far);
    free(m->views);
    strmap_clear(&m->far_index);
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

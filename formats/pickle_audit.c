#include "formats/pickle_audit.h"

#include "base/limits.h"
#include "formats/pickle_machine.h"
#include "formats/pickle_opcodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAR_MAX = 1 << 14, /* memo slots whose numbers are no count */
    SLOT_BYTES = 24,
};

/* A string, as its place among the pickle's bytes; or by `n` one of the others. */
struct value {
    uint32_t off, n;
};
enum { SOMETHING = UINT32_MAX - 2, MARK, UNSET }; /* of n; a pickle is shorter */
struct walk {
    struct pickle_audit *a;
    struct cursor in;
    size_t off_op;
    struct value *stack, *memo, *far; /* memo: by slot number, as far as numbers are about a count; far: by place in far_slots */
    uint32_t n_stack, cap_stack, n_memo, cap_memo, n_far, cap_far;
    struct strmap far_slots; /* slot numbers in decimal */
    struct strmap by_name;   /* "module\nname" */
    size_t cap_names;
    struct error *err;
};
static const struct value something = {0, SOMETHING};

static bool is_text(struct value v)
{
    return v.n < (uint32_t)SOMETHING;
}

static struct pickle_text text_of(const struct walk *w, struct value v)
{
    return (struct pickle_text){(const char *)w->in.data + v.off, v.n};
}

static struct value value_of(const struct walk *w, const struct pickle_text *t)
{
    return (struct value){(uint32_t)(t->s - (const char *)w->in.data), (uint32_t)t->n};
}

static enum status grow(struct walk *w, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    void **items = array;
    if (n < *cap) return STATUS_OK;
    uint32_t wanted = *cap ? 2 * *cap : 64;
    void *bigger = realloc(*items, wanted * size);
    if (!bigger) return error_nomem(w->err, wanted * size);
    *items = bigger;
    *cap = wanted;
    return STATUS_OK;
}

static void stop(struct walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void stop(struct walk *w, const char *fmt, ...)
{
    char text[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    w->a->problem = arena_printf(&w->a->mem, "at byte %zu: %s", w->off_op, text);
    if (!w->a->problem) w->a->problem = "no memory to say what is wrong";
}

/* ---- stack and memo ---- */

static enum status push(struct walk *w, struct value v)
{
    void *stack = w->stack;
    if (w->n_stack == LIMIT_PICKLE_STACK) {
        stop(w, "more than %d values on the stack", LIMIT_PICKLE_STACK);
        return STATUS_OK;
    }
    TRY(grow(w, &stack, w->n_stack, &w->cap_stack, sizeof *w->stack));
    w->stack = stack;
    w->stack[w->n_stack++] = v;
    return STATUS_OK;
}

/* An empty stack gives values, too: a walk goes on where Python would fail. */
static struct value pop(struct walk *w)
{
    return w->n_stack > 0 ? w->stack[--w->n_stack] : something;
}

/* A mark is no value that can be kept. */
static struct value top(const struct walk *w)
{
    return w->n_stack > 0 && w->stack[w->n_stack - 1].n != (uint32_t)MARK ? w->stack[w->n_stack - 1] : something;
}

static void pop_to_mark(struct walk *w)
{
    while (w->n_stack > 0 && w->stack[--w->n_stack].n != (uint32_t)MARK) {}
}

/* Room for slot number `slot`, unset ones between. */
static enum status reach(struct walk *w, uint32_t slot)
{
    if (slot < w->cap_memo) return STATUS_OK;
    uint32_t cap = slot < 2 * w->cap_memo ? 2 * w->cap_memo : slot + 64;
    struct value *bigger = realloc(w->memo, cap * sizeof *bigger);
    if (!bigger) return error_nomem(w->err, cap * sizeof *bigger);
    for (uint32_t i = w->cap_memo; i < cap; i++) bigger[i] = (struct value){0, UNSET};
    w->memo = bigger;
    w->cap_memo = cap;
    return STATUS_OK;
}

static bool find_far(const struct walk *w, uint64_t slot, size_t *at)
{
    char key[SLOT_BYTES];
    if (w->n_far == 0) return false;
    snprintf(key, sizeof key, "%llu", (unsigned long long)slot);
    return strmap_find(&w->far_slots, key, at);
}

static enum status put_far(struct walk *w, uint64_t slot)
{
    void *far = w->far;
    if (w->n_far == FAR_MAX) {
        stop(w, "more than %d memo slots that are far from each other", FAR_MAX);
        return STATUS_OK;
    }
    TRY(grow(w, &far, w->n_far, &w->cap_far, sizeof *w->far));
    w->far = far;
    char *key = arena_printf(&w->a->mem, "%llu", (unsigned long long)slot);
    if (!key) return error_nomem(w->err, SLOT_BYTES);
    TRY(strmap_add(&w->far_slots, key, w->n_far, NULL, w->err));
    w->far[w->n_far++] = top(w);
    w->n_memo++;
    return STATUS_OK;
}

static enum status put(struct walk *w, uint64_t slot)
{
    size_t at;
    if (find_far(w, slot, &at)) {
        w->far[at] = top(w);
        return STATUS_OK;
    }
    if (w->n_memo == LIMIT_PICKLE_MEMO) {
        stop(w, "more than %d values in the memo", LIMIT_PICKLE_MEMO);
        return STATUS_OK;
    }
    if (slot >= w->cap_memo && slot > 2 * (uint64_t)w->n_memo + 1024) return put_far(w, slot);
    TRY(reach(w, (uint32_t)slot));
    w->n_memo += w->memo[slot].n == (uint32_t)UNSET;
    w->memo[slot] = top(w);
    return STATUS_OK;
}

static struct value get(const struct walk *w, uint64_t slot)
{
    size_t at;
    if (slot < w->cap_memo && w->memo[slot].n != (uint32_t)UNSET) return w->memo[slot];
    return find_far(w, slot, &at) ? w->far[at] : something;
}

/* The number of a memo opcode: the integer of a line, or of bytes. */
static uint64_t slot_of(const struct pickle_opcode *op, const struct pickle_text *arg)
{
    uint64_t v = 0;
    char line[SLOT_BYTES] = "";
    if (op->arg == ARG_LINE) {
        memcpy(line, arg->s, arg->n < SLOT_BYTES - 1 ? arg->n : SLOT_BYTES - 1);
        return strtoull(line, NULL, 10);
    }
    for (size_t i = 0; i < arg->n; i++) v |= (uint64_t)(unsigned char)arg->s[i] << (8 * i);
    return v;
}

/* ---- names ---- */

static char *copy_text(struct walk *w, const struct pickle_text *t)
{
    char *s = arena_strndup(&w->a->mem, t->s, t->n);
    for (size_t i = 0; s && i < t->n; i++)
        if (!s[i] || s[i] == '\n') s[i] = '?';
    return s;
}

static enum status add_name(struct walk *w, struct pickle_name name)
{
    struct pickle_audit *a = w->a;
    if (a->n_names == w->cap_names) {
        size_t cap = w->cap_names ? 2 * w->cap_names : 32;
        struct pickle_name *bigger = arena_array(&a->mem, cap, sizeof *bigger);
        if (!bigger) return error_nomem(w->err, cap * sizeof *bigger);
        if (a->n_names) memcpy(bigger, a->names, a->n_names * sizeof *bigger);
        a->names = bigger;
        w->cap_names = cap;
    }
    a->n_outside += name.standing == NAME_OUTSIDE;
    a->names[a->n_names++] = name;
    return STATUS_OK;
}

/* `why` is given for what has no name of its own. */
static enum status refer(struct walk *w, const struct pickle_text *module, const struct pickle_text *name, const char *why)
{
    struct pickle_name n = {.count = 1, .off_first = w->off_op, .what = why, .standing = NAME_OUTSIDE};
    size_t at;
    n.module = copy_text(w, module);
    n.name = copy_text(w, name);
    const char *key = n.module && n.name ? arena_printf(&w->a->mem, "%s\n%s", n.module, n.name) : NULL;
    if (!key) return error_nomem(w->err, module->n + name->n);
    if (strmap_find(&w->by_name, key, &at)) {
        w->a->names[at].count++;
        return STATUS_OK;
    }
    if (w->a->n_names == LIMIT_PICKLE_NAMES) {
        stop(w, "more than %d names", LIMIT_PICKLE_NAMES);
        return STATUS_OK;
    }
    if (!why && pickle_find_global(module->s, module->n, name->s, name->n, &n.what))
        n.standing = NAME_KNOWN;
    else if (!why && n.what)
        n.standing = NAME_HARMLESS;
    TRY(strmap_add(&w->by_name, key, w->a->n_names, NULL, w->err));
    return add_name(w, n);
}

static enum status refer_lines(struct walk *w, const struct pickle_text *lines)
{
    const char *newline = memchr(lines->s, '\n', lines->n);
    struct pickle_text module = {lines->s, (size_t)(newline - lines->s)};
    struct pickle_text name = {newline + 1, lines->n - module.n - 1};
    return refer(w, &module, &name, NULL);
}

static enum status refer_stack(struct walk *w)
{
    static const struct pickle_text unknown = {"?", 1};
    struct value name = pop(w), module = pop(w);
    struct pickle_text m = is_text(module) ? text_of(w, module) : unknown, n = is_text(name) ? text_of(w, name) : unknown;
    return refer(w, &m, &n, is_text(module) && is_text(name) ? NULL : "a name that is computed while loading");
}

static enum status refer_extension(struct walk *w, const struct pickle_text *arg)
{
    static const struct pickle_text module = {"copyreg", 7};
    char text[40];
    unsigned long v = 0;
    for (size_t i = 0; i < arg->n; i++) v |= (unsigned long)(unsigned char)arg->s[i] << (8 * i);
    struct pickle_text name = {text, (size_t)snprintf(text, sizeof text, "extension %lu", v)};
    return refer(w, &module, &name, "a name by number, which the loading program has registered");
}

/* ---- the walk ---- */

/* Text between quotes, as the STRING of protocol 0 writes it. */
static struct pickle_text unquote(struct pickle_text t)
{
    if (t.n >= 2 && (t.s[0] == '\'' || t.s[0] == '"') && t.s[t.n - 1] == t.s[0]) return (struct pickle_text){t.s + 1, t.n - 2};
    return t;
}

static enum status apply(struct walk *w, unsigned char code, const struct pickle_text *arg)
{
    const struct pickle_opcode *op = &pickle_opcodes[code];
    struct value result = something;
    struct pickle_text text;
    switch (code) {
    case '(':
        return push(w, (struct value){0, MARK});
    case '2':
        result = top(w);
        break;
    case 'c':
    case 'i':
        TRY(refer_lines(w, arg));
        break;
    case 0x93:
        TRY(refer_stack(w));
        return push(w, something);
    case 0x82:
    case 0x83:
    case 0x84:
        TRY(refer_extension(w, arg));
        break;
    case 'g':
    case 'h':
    case 'j':
        result = get(w, slot_of(op, arg));
        break;
    case 'p':
    case 'q':
    case 'r':
        return put(w, slot_of(op, arg));
    case 0x94:
        return put(w, w->n_memo); /* as Python counts: distinct slots so far */
    default:
        break;
    }
    text = code == 'S' ? unquote(*arg) : *arg;
    if (op->text) result = value_of(w, &text);
    if (op->to_mark) pop_to_mark(w);
    for (int i = 0; i < op->pops; i++) pop(w);
    return op->pushes ? push(w, result) : STATUS_OK;
}

static bool is_call(unsigned char code)
{
    return memchr("Rbio\x81\x92", code, 6) != NULL;
}

static enum status step(struct walk *w, struct buf *trace, bool *stopped)
{
    struct pickle_audit *a = w->a;
    struct pickle_text arg;
    w->off_op = w->in.pos;
    unsigned char code = cursor_u8(&w->in);
    if (w->in.failed)
        stop(w, "the pickle ends without STOP");
    else if (!pickle_opcodes[code].name)
        stop(w, "there is no opcode 0x%02x", code);
    else if (!pickle_argument_take(&w->in, pickle_opcodes[code].arg, &arg))
        stop(w, "the pickle ends inside %s", pickle_opcodes[code].name);
    if (a->problem) return STATUS_OK;
    a->counts[code]++;
    a->n_ops++;
    a->n_calls += is_call(code);
    if (code == 0x80 && (unsigned char)arg.s[0] > a->protocol) a->protocol = (unsigned char)arg.s[0];
    if (trace) buf_printf(trace, "%zu %s\n", w->off_op, pickle_opcodes[code].name);
    *stopped = code == '.';
    return apply(w, code, &arg);
}

enum status pickle_audit(struct pickle_audit *a, const void *bytes, size_t n, struct buf *trace, struct error *err)
{
    struct walk w = {.a = a, .in = {.data = bytes, .size = n}, .err = err};
    enum status st = STATUS_OK;
    bool stopped = false;
    *a = (struct pickle_audit){0};
    if (n >= (uint32_t)SOMETHING) stop(&w, "a pickle of 4 GiB and more");
    while (st == STATUS_OK && !stopped && !a->problem) st = step(&w, trace, &stopped);
    a->n_used = stopped ? w.in.pos : w.off_op;
    free(w.stack);
    free(w.memo);
    free(w.far);
    strmap_clear(&w.far_slots);
    strmap_clear(&w.by_name);
    if (st != STATUS_OK) pickle_audit_clear(a);
    return st;
}

void pickle_audit_clear(struct pickle_audit *a)
{
    arena_clear(&a->mem);
    *a = (struct pickle_audit){0};
}

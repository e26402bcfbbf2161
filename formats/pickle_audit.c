#include "formats/pickle_audit.h"

#include "formats/pickle_machine.h"
#include "formats/pickle_opcodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_MAX = 1 << 20, MEMO_MAX = 1 << 22, NAMES_MAX = 1 << 14, SLOT_BYTES = 24 };

/* A string, a mark, or anything else (text.s NULL). */
struct value {
    struct pickle_text text;
    bool mark;
};
struct walk {
    struct pickle_audit *a;
    struct cursor in;
    size_t off_op;
    struct value *stack, *memo;
    uint32_t n_stack, cap_stack, n_memo, cap_memo;
    struct strmap slots;   /* memo's slot numbers, in decimal as text opcodes write them */
    struct strmap by_name; /* "module\nname" */
    size_t cap_names;
    struct error *err;
};
static const struct value something = {{NULL, 0}, false};

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
    if (w->n_stack == STACK_MAX) {
        stop(w, "more than %d values on the stack", STACK_MAX);
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

static struct value top(const struct walk *w)
{
    return w->n_stack > 0 ? w->stack[w->n_stack - 1] : something;
}

static void pop_to_mark(struct walk *w)
{
    while (w->n_stack > 0 && !w->stack[--w->n_stack].mark) {}
}

static enum status put(struct walk *w, const char *slot)
{
    size_t at;
    void *memo = w->memo;
    if (strmap_find(&w->slots, slot, &at)) {
        w->memo[at] = top(w);
        return STATUS_OK;
    }
    if (w->n_memo == MEMO_MAX) {
        stop(w, "more than %d values in the memo", MEMO_MAX);
        return STATUS_OK;
    }
    TRY(grow(w, &memo, w->n_memo, &w->cap_memo, sizeof *w->memo));
    w->memo = memo;
    char *key = arena_strndup(&w->a->mem, slot, strlen(slot));
    if (!key) return error_nomem(w->err, SLOT_BYTES);
    TRY(strmap_add(&w->slots, key, w->n_memo, NULL, w->err));
    w->memo[w->n_memo++] = top(w);
    return STATUS_OK;
}

static struct value get(const struct walk *w, const char *slot)
{
    size_t at;
    return strmap_find(&w->slots, slot, &at) ? w->memo[at] : something;
}

/* The number of a memo opcode, as Python counts slots: the integer of a line or of bytes. */
static void slot_name(char dst[SLOT_BYTES], const struct pickle_opcode *op, const struct pickle_text *arg)
{
    unsigned long long v = 0;
    char line[SLOT_BYTES] = "";
    if (op->arg == ARG_LINE) {
        memcpy(line, arg->s, arg->n < SLOT_BYTES - 1 ? arg->n : SLOT_BYTES - 1);
        v = strtoull(line, NULL, 10);
    }
    for (size_t i = 0; op->arg != ARG_LINE && i < arg->n; i++) v |= (unsigned long long)(unsigned char)arg->s[i] << (8 * i);
    snprintf(dst, SLOT_BYTES, "%llu", v);
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
    if (w->a->n_names == NAMES_MAX) {
        stop(w, "more than %d names", NAMES_MAX);
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
    if (name.text.s && module.text.s) return refer(w, &module.text, &name.text, NULL);
    return refer(w, module.text.s ? &module.text : &unknown, name.text.s ? &name.text : &unknown, "a name that is computed while loading");
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
    char slot[SLOT_BYTES];
    switch (code) {
    case '(':
        return push(w, (struct value){.mark = true});
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
        slot_name(slot, op, arg);
        result = get(w, slot);
        break;
    case 'p':
    case 'q':
    case 'r':
        slot_name(slot, op, arg);
        return put(w, slot);
    case 0x94:
        snprintf(slot, sizeof slot, "%u", (unsigned)w->n_memo);
        return put(w, slot);
    default:
        break;
    }
    if (op->text) result.text = code == 'S' ? unquote(*arg) : *arg;
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
    while (st == STATUS_OK && !stopped && !a->problem) st = step(&w, trace, &stopped);
    a->n_used = stopped ? w.in.pos : w.off_op;
    free(w.stack);
    free(w.memo);
    strmap_clear(&w.slots);
    strmap_clear(&w.by_name);
    if (st != STATUS_OK) pickle_audit_clear(a);
    return st;
}

void pickle_audit_clear(struct pickle_audit *a)
{
    arena_clear(&a->mem);
    *a = (struct pickle_audit){0};
}

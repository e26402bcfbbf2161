/* The opcodes of plain values: constants, containers, the memo. */
#include "formats/pickle_machine.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MEMO_KEY_BYTES = 6 };
#define MEMO_UNWRITTEN PICKLE_TYPE_COUNT

/* ---- constants ---- */

static enum status push_none(struct machine *m)
{
    return pickle_push(m, (struct pickle_value){.type = PICKLE_NONE});
}
static enum status push_true(struct machine *m)
{
    return pickle_push(m, (struct pickle_value){.type = PICKLE_BOOL, .v.b = true});
}
static enum status push_false(struct machine *m)
{
    return pickle_push(m, (struct pickle_value){.type = PICKLE_BOOL, .v.b = false});
}
static enum status push_int(struct machine *m, int64_t i)
{
    return pickle_push(m, (struct pickle_value){.type = PICKLE_INT, .v.i = i});
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
    return pickle_push(m, (struct pickle_value){.type = PICKLE_FLOAT, .v.f = f});
}

static enum status push_string(struct machine *m, uint32_t n)
{
    const char *s = (const char *)cursor_take(&m->in, n);
    if (!s) return STATUS_OK; /* the end of the pickle: reported after the opcode */
    if (utf8_check(s, n) != n) return pickle_fail(m, STATUS_FORMAT, "a string that is not UTF-8");
    return pickle_push(m, (struct pickle_value){.type = PICKLE_STRING, .n = n, .v.s = s});
}
static enum status op_binunicode(struct machine *m)
{
    return push_string(m, cursor_u32(&m->in));
}
static enum status op_short_binstring(struct machine *m)
{
    return push_string(m, cursor_u8(&m->in));
}

const struct pickle_run pickle_value_ops[] = {
    {'G', op_binfloat},
    {'J', op_binint},
    {'K', op_binint1},
    {'M', op_binint2},
    {'N', push_none},
    {'T', op_binunicode},
    {'U', op_short_binstring},
    {'X', op_binunicode},
    {0x88, push_true},
    {0x89, push_false},
    {0x8a, op_long1},
    {0},
};

/* ---- containers ---- */

static enum status op_mark(struct machine *m)
{
    if (m->n_marks == LIMIT_PICKLE_STACK) return pickle_fail(m, STATUS_RANGE, "more than %d marks", LIMIT_PICKLE_STACK);
    void *marks = m->marks;
    TRY(pickle_grow(m, &marks, m->n_marks, &m->cap_marks, sizeof *m->marks));
    m->marks = marks;
    m->marks[m->n_marks++] = m->n_stack;
    return STATUS_OK;
}

static enum status push_list(struct machine *m, enum pickle_type type)
{
    struct pickle_value v;
    TRY(pickle_new_list(m, type, NULL, 0, &v));
    return pickle_push(m, v);
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
    return pickle_push(m, (struct pickle_value){.type = PICKLE_TUPLE, .v.list = &empty});
}

static enum status make_tuple(struct machine *m, uint32_t n)
{
    struct pickle_value v;
    TRY(pickle_need(m, n));
    TRY(pickle_new_list(m, PICKLE_TUPLE, n > 0 ? m->stack + (m->n_stack - n) : NULL, n, &v)); /* there may be no stack yet */
    m->n_stack -= n;
    return pickle_push(m, v);
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
    TRY(pickle_take_mark(m, &n));
    return make_tuple(m, n);
}

/* Appends n values, which lie right above the container of the wanted type, and drops them. */
static enum status append_above(struct machine *m, enum pickle_type type, uint32_t n)
{
    TRY(pickle_need(m, n + 1));
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
    TRY(pickle_take_mark(m, &n));
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

const struct pickle_run pickle_container_ops[] = {
    {'(', op_mark},
    {')', op_empty_tuple},
    {']', op_empty_list},
    {'a', op_append},
    {'e', op_appends},
    {'s', op_setitem},
    {'t', op_tuple},
    {'u', op_setitems},
    {'}', op_empty_dict},
    {0x85, op_tuple1},
    {0x86, op_tuple2},
    {0x87, op_tuple3},
    {0},
};

/* ---- memo ---- */

/* Slots far beyond their number, which Python's pickler never writes: as string keys without 0 bytes. The map that file-chosen names use stands slot
 * numbers chosen to collide, too. */
static void memo_key(uint32_t slot, char key[MEMO_KEY_BYTES])
{
    for (int i = 0; i < MEMO_KEY_BYTES - 1; i++) key[i] = (char)(0x80 | (slot >> (7 * i) & 0x7f));
    key[MEMO_KEY_BYTES - 1] = '\0';
}

static bool find_far(const struct machine *m, uint32_t slot, size_t *at)
{
    char key[MEMO_KEY_BYTES];
    if (m->n_far == 0) return false;
    memo_key(slot, key);
    return strmap_find(&m->far_index, key, at);
}

static enum status put_far(struct machine *m, uint32_t slot)
{
    void *far = m->far;
    TRY(pickle_grow(m, &far, m->n_far, &m->cap_far, sizeof *m->far));
    m->far = far;
    char *key = arena_alloc(&m->p->mem, MEMO_KEY_BYTES);
    if (!key) return pickle_nomem(m, MEMO_KEY_BYTES);
    memo_key(slot, key);
    TRY(strmap_add(&m->far_index, key, m->n_far, NULL, m->err));
    m->far[m->n_far++] = *pickle_top(m);
    return STATUS_OK;
}

/* Room for the slot, unwritten ones between. */
static enum status reach(struct machine *m, uint32_t slot)
{
    if (slot < m->cap_memo) return STATUS_OK;
    uint32_t cap = slot < 2 * m->cap_memo ? 2 * m->cap_memo : slot + 64;
    struct pickle_value *bigger = realloc(m->memo, cap * sizeof *bigger);
    if (!bigger) return pickle_nomem(m, cap * sizeof *bigger);
    for (uint32_t i = m->cap_memo; i < cap; i++) bigger[i].type = MEMO_UNWRITTEN;
    m->memo = bigger;
    m->cap_memo = cap;
    return STATUS_OK;
}

static enum status memo_put(struct machine *m, uint32_t slot)
{
    size_t at;
    if (m->in.failed) return STATUS_OK;
    TRY(pickle_need(m, 1));
    if ((slot < m->cap_memo && m->memo[slot].type != MEMO_UNWRITTEN) || find_far(m, slot, &at))
        return pickle_fail(m, STATUS_FORMAT, "memo slot %u is written twice", slot);
    if (slot >= m->cap_memo && slot / 2 > m->n_memo + 512) return put_far(m, slot);
    TRY(reach(m, slot));
    m->memo[slot] = *pickle_top(m);
    m->n_memo++;
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
    size_t at;
    if (m->in.failed) return STATUS_OK;
    if (slot < m->cap_memo && m->memo[slot].type != MEMO_UNWRITTEN) return pickle_push(m, m->memo[slot]);
    if (find_far(m, slot, &at)) return pickle_push(m, m->far[at]);
    return pickle_fail(m, STATUS_FORMAT, "memo slot %u was never written", slot);
}
static enum status op_binget(struct machine *m)
{
    return memo_get(m, cursor_u8(&m->in));
}
static enum status op_long_binget(struct machine *m)
{
    return memo_get(m, cursor_u32(&m->in));
}

const struct pickle_run pickle_memo_ops[] = {
    {'h', op_binget},
    {'j', op_long_binget},
    {'q', op_binput},
    {'r', op_long_binput},
    {0},
};

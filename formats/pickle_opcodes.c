#include "formats/pickle_opcodes.h"

#include <string.h>

/* code, name, argument, values taken, values left, the rest */
#define OP(code, name, arg, pops, pushes, ...) [code] = {name, arg, pops, pushes, __VA_ARGS__}
const struct pickle_opcode pickle_opcodes[256] = {
    OP('(', "MARK", ARG_NONE, 0, 0, false, false),
    OP(')', "EMPTY_TUPLE", ARG_NONE, 0, 1, false, false),
    OP('.', "STOP", ARG_NONE, 1, 0, false, false),
    OP('0', "POP", ARG_NONE, 1, 0, false, false),
    OP('1', "POP_MARK", ARG_NONE, 0, 0, true, false),
    OP('2', "DUP", ARG_NONE, 0, 1, false, false),
    OP('B', "BINBYTES", ARG_COUNT4, 0, 1, false, false),
    OP('C', "SHORT_BINBYTES", ARG_COUNT1, 0, 1, false, false),
    OP('F', "FLOAT", ARG_LINE, 0, 1, false, false),
    OP('G', "BINFLOAT", ARG_8, 0, 1, false, false),
    OP('I', "INT", ARG_LINE, 0, 1, false, false),
    OP('J', "BININT", ARG_4, 0, 1, false, false),
    OP('K', "BININT1", ARG_1, 0, 1, false, false),
    OP('L', "LONG", ARG_LINE, 0, 1, false, false),
    OP('M', "BININT2", ARG_2, 0, 1, false, false),
    OP('N', "NONE", ARG_NONE, 0, 1, false, false),
    OP('P', "PERSID", ARG_LINE, 0, 1, false, false),
    OP('Q', "BINPERSID", ARG_NONE, 1, 1, false, false),
    OP('R', "REDUCE", ARG_NONE, 2, 1, false, false),
    OP('S', "STRING", ARG_LINE, 0, 1, false, true),
    OP('T', "BINSTRING", ARG_COUNT4, 0, 1, false, true),
    OP('U', "SHORT_BINSTRING", ARG_COUNT1, 0, 1, false, true),
    OP('V', "UNICODE", ARG_LINE, 0, 1, false, true),
    OP('X', "BINUNICODE", ARG_COUNT4, 0, 1, false, true),
    OP(']', "EMPTY_LIST", ARG_NONE, 0, 1, false, false),
    OP('a', "APPEND", ARG_NONE, 2, 1, false, false),
    OP('b', "BUILD", ARG_NONE, 2, 1, false, false),
    OP('c', "GLOBAL", ARG_LINES, 0, 1, false, false),
    OP('d', "DICT", ARG_NONE, 0, 1, true, false),
    OP('e', "APPENDS", ARG_NONE, 1, 1, true, false),
    OP('g', "GET", ARG_LINE, 0, 1, false, false),
    OP('h', "BINGET", ARG_1, 0, 1, false, false),
    OP('i', "INST", ARG_LINES, 0, 1, true, false),
    OP('j', "LONG_BINGET", ARG_4, 0, 1, false, false),
    OP('l', "LIST", ARG_NONE, 0, 1, true, false),
    OP('o', "OBJ", ARG_NONE, 0, 1, true, false),
    OP('p', "PUT", ARG_LINE, 0, 0, false, false),
    OP('q', "BINPUT", ARG_1, 0, 0, false, false),
    OP('r', "LONG_BINPUT", ARG_4, 0, 0, false, false),
    OP('s', "SETITEM", ARG_NONE, 3, 1, false, false),
    OP('t', "TUPLE", ARG_NONE, 0, 1, true, false),
    OP('u', "SETITEMS", ARG_NONE, 1, 1, true, false),
    OP('}', "EMPTY_DICT", ARG_NONE, 0, 1, false, false),
    OP(0x80, "PROTO", ARG_1, 0, 0, false, false),
    OP(0x81, "NEWOBJ", ARG_NONE, 2, 1, false, false),
    OP(0x82, "EXT1", ARG_1, 0, 1, false, false),
    OP(0x83, "EXT2", ARG_2, 0, 1, false, false),
    OP(0x84, "EXT4", ARG_4, 0, 1, false, false),
    OP(0x85, "TUPLE1", ARG_NONE, 1, 1, false, false),
    OP(0x86, "TUPLE2", ARG_NONE, 2, 1, false, false),
    OP(0x87, "TUPLE3", ARG_NONE, 3, 1, false, false),
    OP(0x88, "NEWTRUE", ARG_NONE, 0, 1, false, false),
    OP(0x89, "NEWFALSE", ARG_NONE, 0, 1, false, false),
    OP(0x8a, "LONG1", ARG_COUNT1, 0, 1, false, false),
    OP(0x8b, "LONG4", ARG_COUNT4, 0, 1, false, false),
    OP(0x8c, "SHORT_BINUNICODE", ARG_COUNT1, 0, 1, false, true),
    OP(0x8d, "BINUNICODE8", ARG_COUNT8, 0, 1, false, true),
    OP(0x8e, "BINBYTES8", ARG_COUNT8, 0, 1, false, false),
    OP(0x8f, "EMPTY_SET", ARG_NONE, 0, 1, false, false),
    OP(0x90, "ADDITEMS", ARG_NONE, 1, 1, true, false),
    OP(0x91, "FROZENSET", ARG_NONE, 0, 1, true, false),
    OP(0x92, "NEWOBJ_EX", ARG_NONE, 3, 1, false, false),
    OP(0x93, "STACK_GLOBAL", ARG_NONE, 2, 1, false, false),
    OP(0x94, "MEMOIZE", ARG_NONE, 0, 0, false, false),
    OP(0x95, "FRAME", ARG_8, 0, 0, false, false),
    OP(0x96, "BYTEARRAY8", ARG_COUNT8, 0, 1, false, false),
    OP(0x97, "NEXT_BUFFER", ARG_NONE, 0, 1, false, false),
    OP(0x98, "READONLY_BUFFER", ARG_NONE, 1, 1, false, false),
};

const char *pickle_opcode_name(unsigned char code)
{
    return pickle_opcodes[code].name ? pickle_opcodes[code].name : "(unknown)";
}

static bool take_n(struct cursor *c, uint64_t n, struct pickle_text *out)
{
    out->s = (const char *)cursor_take(c, n);
    out->n = out->s ? (size_t)n : 0;
    return out->s != NULL;
}

static bool take_lines(struct cursor *c, int n_lines, struct pickle_text *out)
{
    const char *begin = (const char *)c->data + c->pos, *at = begin, *end = begin + cursor_left(c);
    for (int i = 0; i < n_lines; i++) {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!newline) return false;
        at = newline + 1;
    }
    cursor_take(c, (uint64_t)(at - begin));
    *out = (struct pickle_text){begin, (size_t)(at - 1 - begin)};
    return true;
}

bool pickle_argument_take(struct cursor *c, enum pickle_argument arg, struct pickle_text *out)
{
    static const unsigned char sizes[] = {[ARG_NONE] = 0, [ARG_1] = 1, [ARG_2] = 2, [ARG_4] = 4, [ARG_8] = 8};
    uint64_t n = 0;
    *out = (struct pickle_text){"", 0};
    switch (arg) {
    case ARG_NONE:
        return true;
    case ARG_1:
    case ARG_2:
    case ARG_4:
    case ARG_8:
        return take_n(c, sizes[arg], out);
    case ARG_COUNT1:
        n = cursor_u8(c);
        break;
    case ARG_COUNT4:
        n = cursor_u32(c);
        break;
    case ARG_COUNT8:
        n = cursor_u64(c);
        break;
    case ARG_LINE:
        return take_lines(c, 1, out);
    case ARG_LINES:
        return take_lines(c, 2, out);
    }
    return !c->failed && take_n(c, n, out);
}

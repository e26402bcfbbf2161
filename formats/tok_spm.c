/* SentencePiece's tokenizer.model: a protobuf message, read here field by field.
 *
 *   ModelProto      1 pieces (repeated message)   2 trainer_spec   3 normalizer_spec        others passed
 * over SentencePiece   1 piece (bytes)   2 score (float, 0)   3 type (NORMAL) TrainerSpec     3 model_type
 * (UNIGRAM)   24 treat_whitespace_as_suffix (false)   35 byte_fallback (false) 40 unk_id (0)   41 bos_id (1)
 * 42 eos_id (2)   43 pad_id (-1) NormalizerSpec  2 precompiled_charsmap (bytes)   3 add_dummy_prefix (true)
 * 4 remove_extra_whitespaces (true) 5 escape_whitespaces (true) (in parentheses: the value of an absent
 * field; of a repeated one the last counts)
 *
 * Wire format: tag = field << 3 | wire type; 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
 * Groups (3, 4) and types 6 and 7 are refused, unknown fields skipped by their length. Messages nest two deep
 * here: no recursion.
 */
#include "base/cursor.h"
#include "base/limits.h"
#include "base/file.h"
#include "formats/tok_blocks.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2, MODEL_WORD = 3, MODEL_CHAR = 4 };

/* A message: the bytes from pos to end of the file. */
struct message {
    const unsigned char *data;
    size_t pos, end;
    const char *path;
};
struct field {
    uint32_t number;
    unsigned wire;
    uint64_t value;      /* varint, fixed */
    struct message body; /* bytes */
};

static enum status wire_error(const struct message *m, size_t pos, const char *text, struct error *err)
{
    return error_at(err, STATUS_FORMAT, m->path, NULL, "byte %zu: %s", pos, text);
}

static enum status read_varint(struct message *m, uint64_t *v, struct error *err)
{
    size_t start = m->pos;
    *v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (m->pos == m->end) return wire_error(m, start, "number passes the end of its message", err);
        uint8_t byte = m->data[m->pos++];
        if (shift == 63 && byte > 1) break; /* more than 64 bits */
        *v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return STATUS_OK;
    }
    return wire_error(m, start, "number of more than 64 bits", err);
}

static enum status read_field(struct message *m, struct field *f, struct error *err)
{
    uint64_t tag, n = 0;
    size_t start = m->pos;
    TRY(read_varint(m, &tag, err));
    if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
        return wire_error(m, start, "field number outside 1 to 2^29-1", err);
    *f = (struct field){.number = (uint32_t)(tag >> 3), .wire = (unsigned)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(m, &f->value, err);
    case WIRE_FIXED64:
        n = 8;
        break;
    case WIRE_FIXED32:
        n = 4;
        break;
    case WIRE_BYTES:
        TRY(read_varint(m, &n, err));
        break;
    default:
        return wire_error(m, start, "wire type of a group, or an unknown one", err);
    }
    if (n > m->end - m->pos) return wire_error(m, start, "field passes the end of its message", err);
    if (f->wire == WIRE_FIXED64) f->value = le_get64(m->data + m->pos);
    if (f->wire == WIRE_FIXED32) f->value = le_get32(m->data + m->pos);
    f->body = (struct message){m->data, m->pos, m->pos + (size_t)n, m->path};
    m->pos += (size_t)n;
    return STATUS_OK;
}

static enum status want_wire(const struct message *m, const struct field *f, unsigned wire, const char *what,
                             struct error *err)
{
    if (f->wire == wire) return STATUS_OK;
    return error_at(err, STATUS_FORMAT, m->path, NULL, "field before byte %zu, %s: wire type %u, expected %u",
                    m->pos, what, f->wire, wire);
}

struct spm {
    struct message pieces; /* the whole file again, for the second walk */
    size_t n_pieces;
    int64_t model_type, unk_id, bos_id, eos_id, pad_id;
    bool byte_fallback, whitespace_suffix;
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
    struct message charsmap;
};

/* A known field holding a number: where it goes. */
struct number_field {
    uint32_t number;
    const char *name;
    int64_t *integer;
    bool *flag;
};

static enum status read_numbers(struct message m, const struct number_field *known, size_t n_known,
                                struct message *charsmap, struct error *err)
{
    while (m.pos < m.end) {
        struct field f;
        TRY(read_field(&m, &f, err));
        if (charsmap && f.number == 2) {
            TRY(want_wire(&m, &f, WIRE_BYTES, "precompiled_charsmap", err));
            *charsmap = f.body;
        }
        for (size_t i = 0; i < n_known; i++) {
            if (known[i].number != f.number) continue;
            TRY(want_wire(&m, &f, WIRE_VARINT, known[i].name, err));
            if (known[i].integer) *known[i].integer = (int32_t)(uint32_t)f.value;
            if (known[i].flag) *known[i].flag = f.value != 0;
        }
    }
    return STATUS_OK;
}

static enum status read_trainer(struct spm *s, struct message m, struct error *err)
{
    const struct number_field known[] = {
        {3, "model_type", &s->model_type, NULL},
        {24, "treat_whitespace_as_suffix", NULL, &s->whitespace_suffix},
        {35, "byte_fallback", NULL, &s->byte_fallback},
        {40, "unk_id", &s->unk_id, NULL},
        {41, "bos_id", &s->bos_id, NULL},
        {42, "eos_id", &s->eos_id, NULL},
        {43, "pad_id", &s->pad_id, NULL},
    };
    return read_numbers(m, known, sizeof known / sizeof known[0], NULL, err);
}

static enum status read_normalizer(struct spm *s, struct message m, struct error *err)
{
    const struct number_field known[] = {
        {3, "add_dummy_prefix", NULL, &s->add_dummy_prefix},
        {4, "remove_extra_whitespaces", NULL, &s->remove_extra_whitespaces},
        {5, "escape_whitespaces", NULL, &s->escape_whitespaces},
    };
    return read_numbers(m, known, sizeof known / sizeof known[0], &s->charsmap, err);
}

static enum status read_model(struct spm *s, struct message m, struct error *err)
{
    s->pieces = m;
    while (m.pos < m.end) {
        struct field f;
        TRY(read_field(&m, &f, err));
        if (f.number < 1 || f.number > 3) continue;
        static const char *const names[] = {"", "pieces", "trainer_spec", "normalizer_spec"};
        TRY(want_wire(&m, &f, WIRE_BYTES, names[f.number], err));
        if (f.number == 1) s->n_pieces++;
        if (f.number == 2) TRY(read_trainer(s, f.body, err));
        if (f.number == 3) TRY(read_normalizer(s, f.body, err));
    }
    if (s->n_pieces == 0)
        return error_at(err, STATUS_FORMAT, m.path, NULL, "no pieces, expected a vocabulary");
    return STATUS_OK;
}

/* --- pieces --- */

struct piece {
    const char *text;
    size_t len;
    float score;
    uint64_t type;
};

static enum status read_piece(struct message m, size_t index, struct piece *p, struct error *err)
{
    *p = (struct piece){.text = "", .type = TOKEN_NORMAL};
    while (m.pos < m.end) {
        struct field f;
        TRY(read_field(&m, &f, err));
        if (f.number == 1) {
            TRY(want_wire(&m, &f, WIRE_BYTES, "piece", err));
            p->text = (const char *)m.data + f.body.pos;
            p->len = f.body.end - f.body.pos;
        } else if (f.number == 2) {
            uint32_t bits = (uint32_t)f.value;
            TRY(want_wire(&m, &f, WIRE_FIXED32, "score", err));
            memcpy(&p->score, &bits, sizeof bits);
        } else if (f.number == 3) {
            TRY(want_wire(&m, &f, WIRE_VARINT, "type", err));
            p->type = f.value;
        }
    }
    if (p->type < TOKEN_NORMAL || p->type > TOKEN_BYTE)
        return error_at(err, STATUS_FORMAT, m.path, NULL, "piece %zu: type %" PRIu64 ", expected 1 to 6",
                        index, p->type);
    if (!isfinite(p->score))
        return error_at(err, STATUS_FORMAT, m.path, NULL, "piece %zu: score is not finite", index);
    return STATUS_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* SentencePiece itself wants all 256 byte pieces when it falls back to bytes, and none otherwise. */
static enum status note_byte_piece(const struct piece *p, size_t index, bool seen[256], size_t *n_seen,
                                   const char *path, struct error *err)
{
    int hi = -1, lo = -1;
    if (p->len == 6 && memcmp(p->text, "<0x", 3) == 0 && p->text[5] == '>') {
        hi = hex_digit(p->text[3]);
        lo = hex_digit(p->text[4]);
    }
    if (hi < 0 || lo < 0)
        return error_at(err, STATUS_FORMAT, path, NULL,
                        "piece %zu: '%.*s' has type BYTE, expected <0x00> to <0xFF>", index,
                        (int)(p->len < 40 ? p->len : 40), p->text);
    if (seen[16 * hi + lo])
        return error_at(err, STATUS_FORMAT, path, NULL, "piece %zu: byte <0x%X%X> again", index, hi, lo);
    seen[16 * hi + lo] = true;
    ++*n_seen;
    return STATUS_OK;
}

static enum status read_pieces(struct tok_build *b, const struct spm *s, struct error *err)
{
    struct message m = s->pieces;
    bool seen[256] = {false};
    size_t n_bytes = 0, index = 0;
    while (m.pos < m.end) {
        struct field f;
        struct piece p;
        TRY(read_field(&m, &f, err));
        if (f.number != 1) continue;
        TRY(read_piece(f.body, index, &p, err));
        if (p.type == TOKEN_BYTE) TRY(note_byte_piece(&p, index, seen, &n_bytes, m.path, err));
        struct kv_string text = tok_text(b, p.text, p.len);
        if (text.s && p.type == TOKEN_USER_DEFINED) text = tok_plain_spaces(b, text);
        TRY(tok_set(b, b->first_id + (int64_t)index, text, (enum token_type)p.type, p.score, m.path, err));
        index++;
    }
    size_t want = s->byte_fallback ? 256 : 0;
    if (n_bytes != want)
        return error_at(err, STATUS_FORMAT, m.path, NULL,
                        "%zu pieces of type BYTE, expected %zu with byte_fallback %s", n_bytes, want,
                        s->byte_fallback ? "true" : "false");
    return STATUS_OK;
}

/* --- what llama.cpp does not do --- */

static void warn_unexpressed(struct tok_build *b, const struct spm *s)
{
    static const char code[] = "tokenizer-spm-normalizer";
    if (s->charsmap.end > s->charsmap.pos)
        warnings_add(b->warnings, code,
                     "tokenizer.model normalizes text with a table, which llama.cpp does not apply to this "
                     "kind of model");
    if (s->remove_extra_whitespaces)
        warnings_add(
            b->warnings, code,
            "tokenizer.model removes extra white space, which llama.cpp does not do for this kind of model");
    if (s->whitespace_suffix || !s->escape_whitespaces)
        warnings_add(b->warnings, code,
                     "tokenizer.model treats spaces in a way that llama.cpp does not know (%s)",
                     s->whitespace_suffix ? "treat_whitespace_as_suffix" : "escape_whitespaces false");
    if (!s->byte_fallback)
        warnings_add(b->warnings, "tokenizer-spm-no-bytes",
                     "tokenizer.model has no byte tokens; llama.cpp expects them");
}

static void default_id(struct tok_build *b, enum special_token special, int64_t id)
{
    if (id >= 0) b->default_ids[special] = b->first_id + id;
}

static enum status keep_settings(struct tok_build *b, const struct spm *s, struct error *err)
{
    struct tokenizer *t = b->t;
    b->prefix_space = s->add_dummy_prefix;
    b->n_pieces = b->first_id + (int64_t)s->n_pieces;
    default_id(b, SPECIAL_UNK, s->unk_id);
    default_id(b, SPECIAL_BOS, s->bos_id);
    default_id(b, SPECIAL_EOS, s->eos_id);
    default_id(b, SPECIAL_PAD, s->pad_id);
    t->remove_extra_whitespaces = s->remove_extra_whitespaces;
    const struct piece_settings settings = {
        .unigram = s->model_type == MODEL_UNIGRAM,
        .add_dummy_prefix = s->add_dummy_prefix,
        .remove_extra_whitespaces = s->remove_extra_whitespaces,
        .escape_whitespaces = s->escape_whitespaces,
        .whitespace_as_suffix = s->whitespace_suffix,
        .byte_fallback = s->byte_fallback,
        .blanks = b->glm == GLM_CHAT1,
        .unk_id = s->unk_id < 0 ? -1 : b->first_id + s->unk_id,
        .first = b->first_id,
        .end = b->n_pieces < b->n_rows ? b->n_pieces : b->n_rows,
    };
    TRY(tok_blocks_pieces(t, &settings, err));
    t->charsmap_size = s->charsmap.end - s->charsmap.pos;
    if (t->charsmap_size == 0) return STATUS_OK;
    unsigned char *copy = arena_alloc(&t->mem, t->charsmap_size);
    if (!copy) return error_nomem(err, t->charsmap_size);
    memcpy(copy, s->charsmap.data + s->charsmap.pos, t->charsmap_size);
    t->charsmap = copy;
    return STATUS_OK;
}

static enum status read_file(struct tok_build *b, const char *path, const struct buf *file, bool *usable,
                             struct error *err)
{
    static const char *const names[] = {"", "UNIGRAM", "BPE", "WORD", "CHAR"};
    struct spm s = {.model_type = MODEL_UNIGRAM,
                    .bos_id = 1,
                    .eos_id = 2,
                    .pad_id = -1,
                    .add_dummy_prefix = true,
                    .remove_extra_whitespaces = true,
                    .escape_whitespaces = true};
    struct message whole = {(const unsigned char *)file->data, 0, file->len, path};
    TRY(read_model(&s, whole, err));
    if (s.model_type < MODEL_UNIGRAM || s.model_type > MODEL_CHAR)
        return error_at(err, STATUS_FORMAT, path, NULL, "model_type %" PRId64 ", expected 1 to 4",
                        s.model_type);
    *usable = s.model_type == MODEL_BPE || s.model_type == MODEL_UNIGRAM;
    if (!*usable) {
        warnings_add(b->warnings, "tokenizer-unsupported",
                     "tokenizer.model is a SentencePiece %s model; only BPE and unigram can be expressed",
                     names[s.model_type]);
        return STATUS_OK;
    }
    struct tokenizer *t = b->t;
    bool unigram = s.model_type == MODEL_UNIGRAM;
    t->kind = unigram ? TOKENIZER_UNIGRAM : TOKENIZER_SPM;
    t->model = unigram ? "t5" : "llama";
    t->pre = tok_glm_pre(b) ? tok_glm_pre(b) : "default";
    t->pre_exact = true;
    TRY(tok_rows(b, b->first_id + (int64_t)s.n_pieces - 1, (size_t)b->first_id + s.n_pieces, path, err));
    TRY(read_pieces(b, &s, err));
    if (!unigram) warn_unexpressed(b, &s);
    return keep_settings(b, &s, err);
}

enum status tok_read_spm(struct tok_build *b, const char *path, bool *usable, struct error *err)
{
    struct buf file = {0};
    TRY(file_read_all(&file, path, LIMIT_TOKENIZER_VOCAB, err));
    enum status st = read_file(b, path, &file, usable, err);
    buf_clear(&file);
    return st;
}

#include "tests/hostile/hostile.h"

/* A SentencePiece model: pieces, then trainer and normalizer */
#define PIECE(text, score, type) "x0a w(x0a w(" text ") x15 4:" #score " x18 v:" #type ") "
#define UNK PIECE("'<unk>'", 0, 2)
#define A PIECE("'a'", 0xc0000000, 1)
#define BPE "x12 w(x1802) "
#define UNIGRAM "x12 w(x1801) "
#define MAP(bytes) "x1a w(x12 w(" bytes ") x2000) "

const struct hostile_case sentencepiece_cases[] = {
    {"good", UNK A BPE, STATUS_OK, NULL},
    {"unigram-is-read", UNK A UNIGRAM, STATUS_OK, NULL},
    {"no-pieces-is-not-read", BPE, STATUS_OK, NULL},
    {"piece-cut", UNK "x0a x10 'abc'", STATUS_FORMAT, "field passes the end of its"},
    {"piece-length-max", UNK "x0a v:-1 'abc'", STATUS_FORMAT, "field passes the end of its"},
    {"piece-length-2^63", UNK "x0a v:2^63 'abc'", STATUS_FORMAT, "field passes the end of its"},
    {"piece-length-4-gigabytes", UNK "x0a v:2^32 'abc'", STATUS_FORMAT, "field passes the end of its"},
    {"varint-11-bytes", UNK "x0a 10*xff x01", STATUS_FORMAT, "number of more than 64 bits"},
    {"varint-10-bytes-over-64-bits", UNK "x0a 9*xff x7f", STATUS_FORMAT, "number of more than 64 bits"},
    {"varint-cut", UNK "x0a xff", STATUS_FORMAT, "number passes the end of its"},
    {"tag-cut", UNK A BPE "x80", STATUS_FORMAT, "number passes the end of its"},
    {"field-0", UNK A BPE "x00 x00", STATUS_FORMAT, "field number outside 1 to 2^29-1"},
    {"field-2^29", UNK A BPE "v:2^32 x00", STATUS_FORMAT, "field number outside 1 to 2^29-1"},
    {"group-start", UNK A BPE "x0b x0c", STATUS_FORMAT, "wire type of a group, or an"},
    {"group-end", UNK A BPE "x0c", STATUS_FORMAT, "wire type of a group, or an"},
    {"wire-type-6", UNK A BPE "x0e", STATUS_FORMAT, "wire type of a group, or an"},
    {"wire-type-7", UNK A BPE "x0f", STATUS_FORMAT, "wire type of a group, or an"},
    {"unknown-fields-are-read", UNK A "x12 w(x1804) " BPE "xa006 v:-1 xfaffffff0f w('xyz') x41 '12345678' x45 '1234'", STATUS_OK, NULL},
    {"unknown-varint-11-bytes", UNK A BPE "x40 10*xff x01", STATUS_FORMAT, "more than 64 bits"},
    {"unknown-varint-of-bit-64", UNK A BPE "x40 9*xff x02", STATUS_FORMAT, "more than 64 bits"},
    {"unknown-varint-cut", UNK A BPE "x40 xff", STATUS_FORMAT, "passes the end"},
    {"unknown-bytes-cut", UNK A BPE "x42 x05 'abcd'", STATUS_FORMAT, "passes the end"},
    {"unknown-bytes-length-max", UNK A BPE "x42 v:-1", STATUS_FORMAT, "passes the end"},
    {"unknown-group-start", UNK A BPE "x43", STATUS_FORMAT, "group"},
    {"unknown-group-end", UNK A BPE "x44", STATUS_FORMAT, "group"},
    {"unknown-wire-type-6", UNK A BPE "x46", STATUS_FORMAT, "group, or an unknown"},
    {"unknown-wire-type-7", UNK A BPE "x47", STATUS_FORMAT, "group, or an unknown"},
    {"unknown-4-bytes-cut", UNK A BPE "x45 x010203", STATUS_FORMAT, "passes the end"},
    {"unknown-8-bytes-cut", UNK A BPE "x41 x01020304050607", STATUS_FORMAT, "passes the end"},
    {"pieces-as-varint-at-the-end", UNK A BPE "x08 x01", STATUS_FORMAT, "wire type 0, expected 2"},
    {"model-type-as-bytes", UNK A BPE "x12 w(x1a00)", STATUS_FORMAT, "wire type 2, expected 0"},
    {"model-type-as-4-bytes", UNK A BPE "x12 w(x1d02000000)", STATUS_FORMAT, "wire type 5, expected 0"},
    {"pieces-as-varint", UNK "x08 x01 " A BPE, STATUS_FORMAT, "field before byte 18, pieces:"},
    {"text-as-varint", "x0a w(x08 x01) " UNK A BPE, STATUS_FORMAT, "field before byte 4, piece: wire"},
    {"score-as-varint", "x0a w(x0a w('z') x10 x01) " UNK A BPE, STATUS_FORMAT, "field before byte 7, score: wire"},
    {"score-cut", UNK "x0a w(x0a w('z') x15 x0000)", STATUS_FORMAT, "field passes the end of its"},
    {"score-nan", UNK PIECE("'z'", 0x7fc00000, 1) BPE, STATUS_FORMAT, "piece 1: score is not finite"},
    {"score-infinite", UNK PIECE("'z'", 0x7f800000, 1) BPE, STATUS_FORMAT, "piece 1: score is not finite"},
    {"score-minus-infinite", UNK PIECE("'z'", 0xff800000, 1) BPE, STATUS_FORMAT, "piece 1: score is not finite"},
    {"type-0", UNK PIECE("'z'", 0, 0) BPE, STATUS_FORMAT, "piece 1: type 0, expected 1 to 6"},
    {"type-7", UNK PIECE("'z'", 0, 7) BPE, STATUS_FORMAT, "piece 1: type 7, expected 1 to 6"},
    {"type-1000", UNK PIECE("'z'", 0, 1000) BPE, STATUS_FORMAT, "piece 1: type 1000, expected 1 to 6"},
    {"type-max", UNK PIECE("'z'", 0, -1) BPE, STATUS_FORMAT, "piece 1: type"},
    {"text-no-utf8-is-read", UNK PIECE("xff", 0, 1) BPE, STATUS_OK, NULL},
    {"text-nul-is-read", UNK A PIECE("x00", 0, 1) BPE, STATUS_OK, NULL},
    {"text-empty-is-read", UNK A PIECE("", 0, 1) BPE, STATUS_OK, NULL},
    {"text-twice-is-read", UNK A A BPE, STATUS_OK, NULL},
    {"text-100000-bytes-is-read", UNK A PIECE("100000*'a'", 0, 1) BPE, STATUS_OK, NULL},
    {"byte-piece-bad-hex", UNK PIECE("'<0xZZ>'", 0, 6) BPE, STATUS_FORMAT, "piece 1: '<0xZZ>' has type BYTE,"},
    {"byte-piece-long", UNK PIECE("'<0x100>'", 0, 6) BPE, STATUS_FORMAT, "piece 1: '<0x100>' has type BYTE,"},
    {"byte-piece-negative", UNK PIECE("'<0x-1>'", 0, 6) BPE, STATUS_FORMAT, "has type BYTE"},
    {"byte-piece-without-digits", UNK PIECE("'<0x>'", 0, 6) BPE, STATUS_FORMAT, "has type BYTE"},
    {"byte-piece-one-bad-digit", UNK PIECE("'<0x4g>'", 0, 6) BPE, STATUS_FORMAT, "has type BYTE"},
    {"byte-piece-of-a-letter", UNK PIECE("'x'", 0, 6) BPE, STATUS_FORMAT, "has type BYTE"},
    {"byte-fallback-without-bytes", UNK A "x12 w(x1802 x9802 x01)", STATUS_FORMAT, "expected 256"},
    {"bytes-without-byte-fallback", UNK PIECE("'<0x41>'", 0, 6) "x12 w(x1802 x9802 x00)", STATUS_FORMAT, "expected 0"},
    {"byte-piece-twice", UNK A PIECE("'<0x41>'", 0, 6) PIECE("'<0x41>'", 0, 6) BPE, STATUS_FORMAT, "again"},
    {"model-word-is-not-read", UNK A "x12 w(x1803)", STATUS_OK, NULL},
    {"model-type-9", UNK A "x12 w(x1809)", STATUS_FORMAT, "model_type 9"},
    {"charsmap-empty-is-read", UNK A UNIGRAM MAP(""), STATUS_OK, NULL},
    {"charsmap-3-bytes", UNK A UNIGRAM MAP("x000000"), STATUS_FORMAT, "normalization table of 3 bytes: a"},
    {"charsmap-length-not-a-multiple", UNK A UNIGRAM MAP("4:3 x000000 x00"), STATUS_FORMAT, "normalization table of 8 bytes: a"},
    {"charsmap-longer-than-blob", UNK A UNIGRAM MAP("4:1024 16*x00"), STATUS_FORMAT, "normalization table of 20 bytes:"},
    {"charsmap-length-max", UNK A UNIGRAM MAP("4:0xffffffff 16*x00"), STATUS_FORMAT, "normalization table of 20 bytes:"},
    {"charsmap-longer-than-its-message", UNK A BPE "x1a w(x12 x64 8*xff)", STATUS_FORMAT, "passes the end of its message"},
    {"charsmap-leads-outside", UNK A UNIGRAM MAP("4:4 4:0xffffffff 'x' x00"), STATUS_OK, NULL},
    {"charsmap-text-without-end", UNK A UNIGRAM MAP("4:1024 256*xff030000 'xyz'"), STATUS_FORMAT, "normalization table: its last"},
    {"ranks-of-tiktoken-broken", "'IQ== 0\\nIg=='", STATUS_OK, NULL},
};
HOSTILE_COUNT(sentencepiece_cases)

#define PRE "`pre_tokenizer`: {`type`: `ByteLevel`, `add_prefix_space`: false, `use_regex`: true}"
#define MODEL(rest) "'{" PRE ", `model`: {`type`: `BPE`, " rest "}}'"
#define VOCAB "`vocab`: {`a`: 0, `b`: 1, `ab`: 2}"
#define MERGES "`merges`: [`a b`]"
#define ADDED(list) "'{`added_tokens`: " list ", " PRE ", `model`: {`type`: `BPE`, " VOCAB ", " MERGES "}}'"
#define WITH(block) "'{" block ", `model`: {`type`: `BPE`, " VOCAB ", " MERGES "}}'"
#define REGEX(text) WITH("`pre_tokenizer`: {`type`: `Split`, `pattern`: {`Regex`: `" text "`}, `behavior`: `Isolated`, `invert`: false}")

const struct hostile_case tokenizer_cases[] = {
    {"good", MODEL(VOCAB ", " MERGES), STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "expected a value, found the end"},
    {"unclosed", "'{'", STATUS_FORMAT, "line 1"},
    {"no-model-is-not-read", "'{}'", STATUS_OK, NULL},
    {"array-is-not-read", "'[]'", STATUS_OK, NULL},
    {"word-piece-is-not-read", "'{`model`: {`type`: `WordPiece`, `vocab`: {`a`: 0}}}'", STATUS_OK, NULL},
    {"model-number", "'{`model`: 1}'", STATUS_OK, NULL},
    {"model-unknown-is-not-read", "'{`model`: {`type`: `Dragon`}}'", STATUS_OK, NULL},
    {"vocab-missing", MODEL(MERGES), STATUS_FORMAT, "vocab"},
    {"vocab-array", MODEL("`vocab`: [`a`], " MERGES), STATUS_FORMAT, "vocab"},
    {"vocab-id-negative", MODEL("`vocab`: {`a`: -1}, " MERGES), STATUS_FORMAT, "-1"},
    {"vocab-id-fraction", MODEL("`vocab`: {`a`: 0.5}, " MERGES), STATUS_FORMAT, "'a': expected an integer, found"},
    {"vocab-id-string", MODEL("`vocab`: {`a`: `0`}, " MERGES), STATUS_FORMAT, "'a': expected an integer, found"},
    {"vocab-id-2000000000", MODEL("`vocab`: {`a`: 2000000000}, " MERGES), STATUS_RANGE, "2000000000"},
    {"vocab-id-2^53+1", MODEL("`vocab`: {`a`: 9007199254740993}, " MERGES), STATUS_FORMAT, "'a': expected an integer of at"},
    {"vocab-id-twice-is-read", MODEL("`vocab`: {`a`: 0, `b`: 0}, `merges`: []"), STATUS_OK, NULL},
    {"vocab-key-twice", MODEL("`vocab`: {`a`: 0, `a`: 1}, " MERGES), STATUS_FORMAT, "duplicate key"},
    {"merges-string", MODEL(VOCAB ", `merges`: `a b`"), STATUS_FORMAT, "merges"},
    {"merge-one-part", MODEL(VOCAB ", `merges`: [`ab`]"), STATUS_FORMAT, "merges[0]"},
    {"merge-two-spaces", MODEL(VOCAB ", `merges`: [`a  b`]"), STATUS_FORMAT, "merges[0]"},
    {"merge-two-spaces-in-the-second", MODEL(VOCAB ", `merges`: [`a b`, `a  b`]"), STATUS_FORMAT, "merges[1]"},
    {"merge-leading-space", MODEL(VOCAB ", `merges`: [` b`]"), STATUS_FORMAT, "merges[0]"},
    {"merge-pair-of-one", MODEL(VOCAB ", `merges`: [[`a`]]"), STATUS_FORMAT, "merges[0]"},
    {"merge-pair-of-three", MODEL(VOCAB ", `merges`: [[`a`, `b`, `c`]]"), STATUS_FORMAT, "merges[0]"},
    {"merge-number", MODEL(VOCAB ", `merges`: [1]"), STATUS_FORMAT, "merges[0]"},
    {"merge-pair-with-number", MODEL(VOCAB ", `merges`: [[`a`, 1]]"), STATUS_FORMAT, "merges[0]"},
    {"added-no-id", ADDED("[{`content`: `x`}]"), STATUS_FORMAT, "expected an integer, found nothing"},
    {"added-no-content", ADDED("[{`id`: 3}]"), STATUS_FORMAT, "content"},
    {"added-id-negative", ADDED("[{`id`: -5, `content`: `x`}]"), STATUS_FORMAT, "-5"},
    {"added-id-2^31", ADDED("[{`id`: 2147483648, `content`: `x`}]"), STATUS_RANGE, "2147483648"},
    {"added-number", ADDED("[1]"), STATUS_FORMAT, "expected an integer, found nothing"},
    {"added-object", ADDED("{}"), STATUS_FORMAT, "added_tokens: expected a list"},
    {"regex-unclosed-is-not-read", REGEX("("), STATUS_OK, NULL},
    {"regex-nothing-to-repeat-is-not-read", REGEX("*a"), STATUS_OK, NULL},
    {"regex-deep-is-not-read", "'{`pre_tokenizer`: {`type`: `Split`, `pattern`: {`Regex`: `' 2000*'(' 'a' 2000*')' '`}, `behavior`: `Isolated`, `invert`: false}, "
                   "`model`: {`type`: `BPE`, " VOCAB ", " MERGES "}}'",
     STATUS_OK, NULL},
    {"regex-backtracks-without-end", REGEX("(?:a*a*)*(?:b*b*)*c$|(?:[^c]+)+d"), STATUS_OK, NULL},
    {"sequence-nested", "'{`pre_tokenizer`: ' 60*'{`type`: `Sequence`, `pretokenizers`: [' 60*']}' ', `model`: {`type`: `BPE`, " VOCAB ", " MERGES "}}'",
     STATUS_FORMAT, "nested deeper than 64 levels"},
    {"normalizer-unknown", WITH(PRE ", `normalizer`: {`type`: `Dragon`}"), STATUS_UNSUPPORTED, "Dragon"},
    {"normalizer-number", WITH(PRE ", `normalizer`: 1"), STATUS_UNSUPPORTED, "normalizer: kind '(none)' is not"},
    {"decoder-unknown", WITH(PRE ", `decoder`: {`type`: `Dragon`}"), STATUS_UNSUPPORTED, "Dragon"},
    {"unigram-no-vocab", "'{`model`: {`type`: `Unigram`, `unk_id`: 0}}'", STATUS_FORMAT, "vocab"},
    {"unigram-piece-number", "'{`model`: {`type`: `Unigram`, `unk_id`: 0, `vocab`: [1]}}'", STATUS_FORMAT, "model.vocab[0]: expected [piece,"},
    {"unigram-unk-outside", "'{`model`: {`type`: `Unigram`, `unk_id`: 7, `vocab`: [[`a`, 0.0]]}}'", STATUS_FORMAT, "unk_id"},
    {"vocab-100000-brackets", MODEL("`vocab`: " "' 100000*'[' '"), STATUS_FORMAT, "nested deeper than 64 levels"},
};
HOSTILE_COUNT(tokenizer_cases)

const struct hostile_case merges_cases[] = {
    {"good", "'#version: 0.2\\nt h\\n'", STATUS_OK, NULL},
    {"empty-is-read", "", STATUS_OK, NULL},
    {"nul", "'h' x00 ' e\\n'", STATUS_OK, NULL},
    {"no-utf8", "xff ' a\\n'", STATUS_FORMAT, "merge 0"},
    {"one-part-is-a-warning", "'he\\n'", STATUS_OK, NULL},
    {"million-spaces", "1000000*' ' '\\n'", STATUS_OK, NULL},
    {"million-bytes-without-end", "1000000*'a'", STATUS_OK, NULL},
};
HOSTILE_COUNT(merges_cases)

const struct hostile_case vocab_cases[] = {
    {"merges-of-others", "'{`a`: 0, `b`: 1}'", STATUS_FORMAT, "merge 0"},
    {"empty", "", STATUS_FORMAT, "expected a value, found the end"},
    {"array", "'[`a`]'", STATUS_FORMAT, "expected an integer, found nothing"},
    {"string", "'`a`'", STATUS_FORMAT, "expected an object of token texts"},
    {"id-negative", "'{`a`: -1}'", STATUS_FORMAT, "-1"},
    {"id-string", "'{`a`: `0`}'", STATUS_FORMAT, "'a': expected an integer, found"},
    {"id-list", "'{`a`: [0]}'", STATUS_FORMAT, "'a': expected an integer, found"},
    {"id-2^31", "'{`a`: 2147483648}'", STATUS_RANGE, "2147483648"},
    {"id-sparse", "'{`a`: 0, `b`: 2147483000}'", STATUS_RANGE, "2147483000"},
    {"key-twice", "'{`a`: 0, `a`: 1}'", STATUS_FORMAT, "duplicate key"},
};
HOSTILE_COUNT(vocab_cases)

/* tokenizer_config.json beside a good tokenizer.json */
const struct hostile_case tokenizer_config_cases[] = {
    {"good", "'{}'", STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "expected a value"},
    {"decoder-key-no-number", "'{`added_tokens_decoder`: {`x`: {`content`: `y`}}}'", STATUS_FORMAT, "added_tokens_decoder"},
    {"decoder-key-leading-zero", "'{`added_tokens_decoder`: {`01`: {`content`: `y`}}}'", STATUS_FORMAT, "added_tokens_decoder"},
    {"decoder-key-negative", "'{`added_tokens_decoder`: {`-1`: {`content`: `y`}}}'", STATUS_FORMAT, "added_tokens_decoder"},
    {"decoder-key-2^31", "'{`added_tokens_decoder`: {`2147483648`: {`content`: `y`}}}'", STATUS_RANGE, "token id 2147483648"},
    {"decoder-without-content", "'{`added_tokens_decoder`: {`1`: {}}}'", STATUS_FORMAT, "content"},
    {"template-of-a-number-is-read", "'{`chat_template`: 1}'", STATUS_OK, NULL},
    {"special-token-unknown-is-a-warning", "'{`eos_token`: `<nobody>`}'", STATUS_OK, NULL},
};
HOSTILE_COUNT(tokenizer_config_cases)

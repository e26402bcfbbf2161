/* Malformed files by name, built in code. A case is a line of a table: what the file is, and the verdict it must get.
 *
 *     {"count-2^63", "'GGUF' 4:3 8:0 8:2^63 28*x00", STATUS_FORMAT, "metadata entries"},
 *
 * STATUS_OK: legal, although it looks odd. Adding a case: a line in cases_*.c. Adding a kind of file: a reader (readers.c), what lies beside it
 * (folder.c), a table, a line in groups.c.
 * tests/unit/test_hostile.c runs them all: the verdict, a word of the error, time, and memory, which must follow the bytes that are there. With --dump
 * DIR it writes the files instead, for other readers (tests/interop/test_hostile.py). tests/unit/test_hostile_tools.c gives them to the tools. */
#ifndef LATHE_HOSTILE_H
#define LATHE_HOSTILE_H

#include "base/memory.h"

struct hostile_case {
    const char *name, *text;
    enum status want;
    const char *word; /* in the error's text; NULL for STATUS_OK */
};
struct hostile_group {
    const char *name, *reader, *file; /* file: the name that a dump gives it */
    const struct hostile_case *cases;
    const size_t *n;
    void (*build)(struct buf *b, const char *text); /* of the case's text; NULL: pack */
};
extern const struct hostile_group hostile_groups[];
extern const size_t n_hostile_groups;

/* The file of a case. */
void hostile_build(const struct hostile_group *g, const struct hostile_case *c, struct buf *b);

#define HOSTILE_CASES(name)                                                                                                                                    \
    extern const struct hostile_case name[];                                                                                                                   \
    extern const size_t n_##name;
#define HOSTILE_COUNT(name) const size_t n_##name = sizeof name / sizeof name[0];
HOSTILE_CASES(gguf_cases)
HOSTILE_CASES(safetensors_cases)
HOSTILE_CASES(zip_cases)
HOSTILE_CASES(pickle_cases)
HOSTILE_CASES(legacy_cases)
HOSTILE_CASES(json_cases)
HOSTILE_CASES(index_cases)
HOSTILE_CASES(config_cases)
HOSTILE_CASES(sentencepiece_cases)
HOSTILE_CASES(tokenizer_cases)
HOSTILE_CASES(tokenizer_config_cases)
HOSTILE_CASES(merges_cases)
HOSTILE_CASES(vocab_cases)
HOSTILE_CASES(vocabulary_cases)
HOSTILE_CASES(npy_cases)
HOSTILE_CASES(imatrix_cases)
HOSTILE_CASES(receipt_cases)
HOSTILE_CASES(receipt_gguf_cases)
HOSTILE_CASES(adapter_config_cases)
HOSTILE_CASES(adapter_weights_cases)
HOSTILE_CASES(picture_cases)
HOSTILE_CASES(journal_cases)

#endif

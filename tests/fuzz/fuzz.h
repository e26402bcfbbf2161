/* Fuzz targets: bytes in, one reader run over them (tests/hostile/readers.h), or whole tools. The table is in targets.c.
 *
 * With libFuzzer (engine.c, `make fuzz`) the name of the program chooses the target; without it (tests/unit/test_fuzz_corpus.c, part of
 * `make check`) the committed corpus is run once. A file is what the bytes are, or what `build` makes around them: what a checksum or a length
 * guards, random changes of the whole file would hardly ever reach. The file lies in memory; for readers of folders the other files are good ones.
 *
 * That a reader refuses is what it is for. What counts is that nothing else happens: no crash, no sanitizer's report, no broken promise, bounded
 * memory and time. */
#ifndef LATHE_FUZZ_H
#define LATHE_FUZZ_H

#include "base/memory.h"

struct fuzz_target {
    const char *name, *reader; /* reader NULL: whole tools */
    void (*build)(struct buf *out, const uint8_t *bytes, size_t n); /* NULL: the bytes are the file */
    const char *(*folder)(const uint8_t *bytes, size_t n);          /* of a tool: what it gets instead of a file; NULL: the file */
    const char *lines[6];                                           /* of tools (tool_run.h) */
};
extern const struct fuzz_target fuzz_targets[];
extern const size_t n_fuzz_targets;
const struct fuzz_target *fuzz_find(const char *name); /* NULL if absent */
/* Returns how many lines of a tool ended with 0. */
int fuzz_run(const struct fuzz_target *t, const uint8_t *bytes, size_t n);

void fuzz_build_safetensors(struct buf *out, const uint8_t *bytes, size_t n);
void fuzz_build_zip(struct buf *out, const uint8_t *bytes, size_t n);
void fuzz_build_receipt(struct buf *out, const uint8_t *bytes, size_t n);
void fuzz_build_journal(struct buf *out, const uint8_t *bytes, size_t n);
void fuzz_build_legacy(struct buf *out, const uint8_t *bytes, size_t n);
const char *fuzz_folder(const uint8_t *bytes, size_t n);

#endif

/* From a finished plan to a file on disk: what convert and quantize have in common. */
#ifndef LATHE_EMIT_H
#define LATHE_EMIT_H

#include "base/warnings.h"
#include "core/writer.h"

/* What was written so far, by place in the row of all bytes. */
struct emit_written {
    struct workers *workers;
    enum status (*read)(const struct emit_written *w, uint64_t off, void *dst, size_t n, struct error *err);
    const struct plan *plan;
    struct outfile *const *files; /* one, or as many as parts */
};
struct emit_options {
    const char *path;
    const struct checkpoint *source;   /* its files, the others', and the importance matrix are never replaced, and must not change meanwhile */
    const struct checkpoint *const *others;
    size_t n_others;
    struct warnings *warn;             /* casts are reported here */
    bool force;                        /* replace an existing file */
    bool resume;                       /* go on with what an interrupted run left in PATH.partial, and leave it behind when interrupted */
    bool strict;                       /* warnings are errors, those of casts too */
    bool hash, finite, allow_overflow; /* as in struct writer_options */
    int64_t threads;                   /* 0: all cores */
    /* Looks at what was written, before it gets its name; NULL: not done */
    enum status (*check)(void *ctx, const struct emit_written *w, struct error *err);
    void *check_ctx;
    bool casts_checked;                /* by `check`, against what the numbers were: counts of casts are not told */
    const char *label;                 /* of the progress line */
    bool progress, quiet;
    /* Tells the result, after everything was written and before the file gets its name: a result that cannot be told (standard output is closed
     * or full) is a failure, and failures leave nothing behind. Returns 0, or another exit status after it has said why. NULL: nothing is told. */
    int (*tell)(void *ctx);
    void *tell_ctx;
};
/* Creates, fills and commits the file, or, of a plan with parts, all of them: `path` is then the folder that they make (PLAN_SAFETENSORS), or the
 * one that they stand in ("": the current one). Digests go into the receipt. On failure nothing is left behind, and what stood there before stands there
 * still. err->text is empty when `tell` failed. */
enum status emit_file(struct plan *p, const struct emit_options *opt, struct error *err);
/* STATUS_EXISTS with a hint when the output is taken and may not be replaced: to be told before the work. */
enum status emit_check_free(const char *path, bool force, struct error *err);

/* What a run has to say at its end. */
struct emit_summary {
    const char *source, *output; /* output: of numbered parts the name without their number */
    struct plan *plan;
    const struct checkpoint *checkpoint;
    const struct warnings *warn;
    bool dry_run;
    bool damage; /* the whole table in the text */
    int64_t threads; /* as asked for; 0: all cores */
    int64_t start_ns;
    uint64_t input_bytes; /* of the source tensors; 0: not told in the text */
};
/* `output: tensors, size, types, seconds, peak`, the worst of what quantization did, and the command that checks it; for --dry-run the plan, and
 * memory and disk beside what there is. */
void emit_text(const struct emit_summary *s, struct buf *b);
/* One document: output, size_bytes, tensors, types, warnings, notes, casts, damage, seconds, peak_bytes; for --dry-run `plan` and `needs`. */
void emit_json(const struct emit_summary *s, struct buf *b);

#endif

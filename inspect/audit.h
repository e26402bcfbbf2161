/* --audit: is a file what it says, and nothing else? What a pickle would run, where bytes lie that no tensor owns, what a reader refuses.
 *
 * Looks at files, not at models: one that no reader here would open is looked at all the same. Nothing is executed.
 */
#ifndef LATHE_AUDIT_H
#define LATHE_AUDIT_H

#include "base/json.h"
#include "formats/layout.h"
#include "formats/torch_audit.h"

struct audit_remark {
    const char *code;
    const char *text;
    bool bad; /* the answer is no; else a note */
};
/* One file. */
struct audit {
    const char *path, *container; /* container: NULL where no format knows the content */
    uint64_t size_bytes;
    bool has_pickles, opened;
    struct torch_audit pickles;
    size_t n_records, n_packed, n_unused; /* records of a zip archive: all, compressed ones, storages that no tensor uses */
    struct layout layout;                 /* if opened, which the container has to be */
    size_t n_tensors;
    const char *largest; /* name of the largest tensor */
    uint64_t largest_bytes;
    struct audit_remark *remarks; /* in the order they were found */
    size_t n_remarks, cap_remarks, n_bad;
    bool unsaid; /* memory ran out for a remark */
    struct arena mem;
};
/* trace: every opcode is kept. Errors: what cannot be read at all, and files that are neither a checkpoint nor a pickle. */
enum status audit_file(struct audit *a, const char *path, bool trace, struct error *err);
void audit_clear(struct audit *a);

/* All files of all paths (of a folder: its weights, by content), as text, or with w (JSON) as one object. *code: 1 if one has a finding. */
enum status audit_run(const char *const *paths, int n, bool trace, int *code, struct buf *out, struct jwriter *w,
                      struct error *err);
void audit_text(const struct audit *a, bool trace, struct buf *out);
void audit_json(const struct audit *a, bool trace, struct jwriter *w); /* an object */

#endif

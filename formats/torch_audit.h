/* The pickles of a file, walked without a reader that might refuse them: what torch.load would execute, whatever the file is.
 *
 *     struct torch_audit a;
 *     TRY(torch_audit_file(&a, &file, TORCH_FORM_ZIP, false, err));
 *     for (size_t i = 0; i < a.n; i++) ... a.items[i].audit.names
 *     torch_audit_clear(&a);
 *
 * Zip archives: every record that is named *.pkl. They have to be archives that all readers see alike (zip_archive.h): STATUS_FORMAT otherwise.
 * Other files: the pickles one after another from the first byte on, as the form before zip has them; at most TORCH_PICKLES_MAX. A file whose first
 * byte begins no pickle has none, which is no error.
 */
#ifndef LATHE_TORCH_AUDIT_H
#define LATHE_TORCH_AUDIT_H

#include "formats/pickle_audit.h"
#include "formats/zip_archive.h"

enum { TORCH_PICKLES_MAX = 5 }; /* torch.load reads so many */
enum torch_form { TORCH_FORM_ZIP, TORCH_FORM_PLAIN };

struct torch_audited {
    const char *where; /* name of the record, or "pickle 1" */
    uint64_t off_file; /* of its first byte; of a compressed record, of its data */
    uint64_t size_bytes;
    struct pickle_audit audit;
    struct buf trace; /* a line "OFFSET NAME" for each opcode, if asked for */
};
struct torch_audit {
    struct torch_audited *items;
    size_t n;
    struct zip_archive archive; /* of the zip form: its records */
    struct arena mem;
};
enum status torch_audit_file(struct torch_audit *a, const struct file *f, enum torch_form form, bool trace,
                             struct error *err);
void torch_audit_clear(struct torch_audit *a);

#endif

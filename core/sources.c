#include "core/sources.h"

enum status sources_unchanged(const struct checkpoint *c, struct error *err)
{
    for (size_t i = 0; i < c->n_files; i++) TRY(file_check_unchanged(&c->files[i]->file, err));
    return STATUS_OK;
}

enum status sources_check(const struct tool *t, const struct checkpoint *c, struct error *err)
{
    TRY(sources_unchanged(c, err));
    for (size_t k = 0; k < t->files->n; k++)
        for (size_t i = 0; i < c->n_files; i++) TRY(outfile_forbid_source(t->files->items[k], &c->files[i]->file, err));
    return STATUS_OK;
}

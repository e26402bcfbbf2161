#include "verify/verify_output.h"

static enum status forbid_sources(const struct outfile *o, const struct model *m, struct error *err)
{
    for (size_t i = 0; m && i < m->ckpt->n_files; i++)
        TRY(outfile_forbid_source(o, &m->ckpt->files[i]->file, err));
    return STATUS_OK;
}

enum status verify_output_open(struct outfile **out, const char *path, uint64_t size_bytes, const struct model *a,
                               const struct model *b, struct error *err)
{
    *out = NULL;
    TRY(outfile_create(out, path, OUTFILE_REPLACE, size_bytes, err));
    enum status st = forbid_sources(*out, a, err);
    if (st == STATUS_OK) st = forbid_sources(*out, b, err);
    if (st == STATUS_OK) return STATUS_OK;
    outfile_discard(*out);
    *out = NULL;
    return st;
}

enum status verify_output_write(const struct tool *t, struct outfile *o, const struct buf *bytes, struct error *err)
{
    enum status st = buf_check(bytes, err);
    if (st == STATUS_OK) st = outfile_write_at(o, 0, bytes->data, bytes->len, err);
    if (st == STATUS_OK) return tool_keep(t, o, err);
    outfile_discard(o);
    return st;
}

/* Sets named STEM-00001-of-00003.SUFFIX, and the parts that a GGUF says it has. */
#include "formats/ckpt_build.h"

#include "base/digest.h"
#include "base/limits.h"
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>


/* Value of the decimal digits at s, their number in *len (0: none, or too many). */
static unsigned long digits(const char *s, size_t *len)
{
    unsigned long v = 0;
    for (*len = 0; s[*len] >= '0' && s[*len] <= '9'; ++*len) {
        if (*len == 6) return *len = 0, 0;
        v = v * 10 + (unsigned long)(s[*len] - '0');
    }
    return v;
}

bool part_parse(const char *name, struct part *p)
{
    for (const char *of = strstr(name, "-of-"); of; of = strstr(of + 1, "-of-")) {
        const char *s = of;
        while (s > name && s[-1] >= '0' && s[-1] <= '9') s--;
        if (s == of || s == name || s[-1] != '-') continue;
        p->i = digits(s, &p->digits_i);
        p->n = digits(of + 4, &p->digits_n);
        p->stem = (size_t)(s - 1 - name);
        const char *suffix = of + 4 + p->digits_n;
        if (p->digits_i && p->digits_n && *suffix == '.' && p->n <= LIMIT_SHARDS && p->i >= 1 && p->i <= p->n)
            return true;
    }
    return false;
}

enum status part_names(struct checkpoint *c, const char *name, const struct part *p, struct names *out,
                             struct error *err)
{
    const char *rest = name + p->stem + 1 + p->digits_i;
    for (unsigned long i = 1; i <= p->n; i++) {
        char *part = arena_printf(&c->mem, "%.*s-%0*lu%s", (int)p->stem, name, (int)p->digits_i, i, rest);
        char *path = part ? path_join(&c->mem, c->dir, part) : NULL;
        if (!path) return error_nomem(err, strlen(name));
        if (!file_exists(path))
            return ckpt_missing_shard(name, part, err); /* before a name more is made for a huge N */
        TRY(names_add(out, part, err));
    }
    return STATUS_OK;
}

bool part_same_set(const char *a, const struct part *pa, const char *b, const struct part *pb)
{
    return pa->n == pb->n && pa->stem == pb->stem && memcmp(a, b, pa->stem) == 0;
}

/* --- what the files say --- */

struct said {
    int64_t no, count, n_tensors; /* -1: no such key */
};

static void read_said(const struct container *f, struct said *s)
{
    *s = (struct said){-1, -1, -1};
    kv_get_int(container_kv(f, "split.no"), &s->no);
    kv_get_int(container_kv(f, "split.count"), &s->count);
    kv_get_int(container_kv(f, "split.tensors.count"), &s->n_tensors);
}

/* A file whose name tells nothing of others. */
static enum status check_single(const struct checkpoint *c, const struct said *s, struct error *err)
{
    struct part p;
    if (s->count <= 1 || (part_parse(path_base(c->files[0]->file.path), &p) && p.n == 1)) return STATUS_OK;
    return error_at(err, STATUS_NOTFOUND, c->files[0]->file.path, NULL,
                    "is part %" PRId64 " of %" PRId64 ": expected a name that ends in -%05" PRId64 "-of-%05" PRId64 ".gguf, with the other parts beside it",
                    s->no + 1, s->count, s->no + 1, s->count);
}

static enum status check_part(const struct checkpoint *c, size_t i, const struct said *first, struct error *err)
{
    const char *path = c->files[i]->file.path;
    struct said s;
    read_said(c->files[i], &s);
    if (s.count < 0) return error_at(err, STATUS_MISMATCH, path, NULL, "is no part of a split file: it has no split.count");
    if (s.count != (int64_t)c->n_files)
        return error_at(err, STATUS_MISMATCH, path, NULL, "expected a part of %zu by its name, found split.count %" PRId64, c->n_files, s.count);
    if (s.no != (int64_t)i)
        return error_at(err, STATUS_MISMATCH, path, NULL, "expected part %zu by its name, found that it is part %" PRId64, i + 1, s.no + 1);
    if (s.n_tensors != first->n_tensors)
        return error_at(err, STATUS_MISMATCH, path, NULL, "is a part of another file: expected split.tensors.count %" PRId64 " as in the first, found %" PRId64,
                        first->n_tensors, s.n_tensors);
    return STATUS_OK;
}

static enum status read_header(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    return file_read_at(ctx, off, dst, n, err);
}

/* SHA-256 of all that stands before the first part's tensors, in hexadecimal */
static enum status header_digest(const struct container *f, char hex[SHA256_HEX], struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    TRY(sha256_of(read_header, &f->file, f->off_data, digest, err));
    sha256_hex(digest, hex);
    return STATUS_OK;
}

/* Parts that lathe wrote know their first. */
static enum status check_first(const struct checkpoint *c, struct error *err)
{
    char hex[SHA256_HEX] = "";
    for (size_t i = 1; i < c->n_files; i++) {
        const char *said = kv_get_string(container_kv(c->files[i], "lathe.split.first"));
        if (!said) continue;
        if (!hex[0]) TRY(header_digest(c->files[0], hex, err));
        if (strcmp(said, hex) != 0)
            return error_at(err, STATUS_MISMATCH, c->files[i]->file.path, NULL, "is a part of another file: lathe.split.first is not the digest of '%.200s'",
                            path_base(c->files[0]->file.path));
    }
    return STATUS_OK;
}

enum status ckpt_check_parts(const struct checkpoint *c, struct error *err)
{
    struct said first;
    uint64_t n_tensors = 0;
    if (strcmp(c->format, "gguf") != 0) return STATUS_OK;
    read_said(c->files[0], &first);
    if (c->n_files == 1) TRY(check_single(c, &first, err));
    for (size_t i = 0; i < c->n_files && c->n_files > 1; i++) TRY(check_part(c, i, &first, err));
    TRY(check_first(c, err));
    for (size_t i = 0; i < c->n_files; i++) n_tensors += c->files[i]->n_tensors;
    if (first.n_tensors < 0 || first.count < 1 || (uint64_t)first.n_tensors == n_tensors) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, c->path, NULL, "expected %" PRId64 " tensors in all parts by split.tensors.count, found %" PRIu64,
                    first.n_tensors, n_tensors);
}

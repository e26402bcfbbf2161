#include "core/journal.h"
#include "base/limits.h"
#include "base/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[] = "lathe-journal 1";

/* --- identity --- */

static void say_tensor(struct sha256 *sha, const struct plan_tensor *t)
{
    struct buf b = {0};
    buf_printf(&b, "%s %d %d %" PRId64 " %" PRId64 " %" PRId64 " %a %" PRId64 "\n", t->name, (int)t->transform, (int)t->from, t->args.heads,
               t->args.groups, t->args.rotated, t->scale, t->scaled_rows);
    for (size_t i = 0; i < t->n_sources; i++)
        buf_printf(&b, "%s %" PRIu64 "\n", t->sources[i].t->t->name, t->sources[i].t->t->off_file);
    if (t->n_sources == 0) buf_puts(&b, "generated\n");
    if (b.data) sha256_update(sha, b.data, b.len);
    buf_clear(&b);
}

static void say_file(struct sha256 *sha, const struct file *f)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 "\n", f->size_bytes, (uint64_t)f->dev, (uint64_t)f->ino,
                     f->mtime_ns, f->ctime_ns);
    sha256_update(sha, path_base(f->path), strlen(path_base(f->path)));
    sha256_update(sha, text, (size_t)n);
}

static enum status identity(char hex[SHA256_HEX], const char *seed, const struct plan *p, const struct checkpoint *sources, struct error *err)
{
    struct sha256 *sha;
    uint8_t digest[SHA256_BYTES];
    TRY(sha256_new(&sha, err));
    sha256_update(sha, lathe_version, strlen(lathe_version));
    sha256_update(sha, seed, strlen(seed));
    sha256_update(sha, p->out.header.data, p->out.header.len);
    if (p->imatrix) sha256_update(sha, p->imatrix->sha256, sizeof p->imatrix->sha256);
    for (size_t i = 0; i < sources->n_files; i++) say_file(sha, &sources->files[i]->file);
    for (size_t i = 0; i < p->n_tensors; i++) say_tensor(sha, &p->tensors[i]);
    sha256_finish(sha, digest);
    sha256_free(sha);
    sha256_hex(digest, hex);
    return STATUS_OK;
}

/* --- a tensor's line --- */

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Numbers of a line, in this order, as 16 hexadecimal digits each. */
enum { N_AUDIT = 7, N_DAMAGE = 8 };

static void collect_numbers(struct plan_tensor *t, uint64_t v[N_AUDIT + N_DAMAGE])
{
    const struct cast_audit *a = &t->audit;
    const uint64_t audit[N_AUDIT] = {a->n, a->n_nan, a->n_inf, a->n_overflow, a->n_flushed, a->n_subnormal, (uint64_t)a->first_overflow};
    memcpy(v, audit, sizeof audit);
    memset(v + N_AUDIT, 0, N_DAMAGE * sizeof *v);
    if (!t->damage) return;
    struct damage *d = t->damage;
    const uint64_t damage[N_DAMAGE] = {bits_of(exact_sum_value(&d->ee)), bits_of(exact_sum_value(&d->xx)), bits_of(exact_sum_value(&d->xe)), (uint64_t)d->n,
                                       (uint64_t)d->worst, bits_of(d->worst_ee), (uint64_t)d->worst_len, d->n_flushed};
    memcpy(v + N_AUDIT, damage, sizeof damage);
}

static void restore_numbers(struct plan_tensor *t, const uint64_t v[N_AUDIT + N_DAMAGE])
{
    t->audit = (struct cast_audit){v[0], v[1], v[2], v[3], v[4], v[5], (int64_t)v[6]};
    if (!t->damage) return;
    const uint64_t *w = v + N_AUDIT;
    *t->damage = (struct damage){.n = (int64_t)w[3], .worst = (int64_t)w[4], .worst_ee = double_of(w[5]), .worst_len = (int64_t)w[6], .n_flushed = w[7]};
    exact_sum_add(&t->damage->ee, double_of(w[0]));
    exact_sum_add(&t->damage->xx, double_of(w[1]));
    exact_sum_add(&t->damage->xe, double_of(w[2]));
}

static void put_line(struct buf *b, struct plan_tensor *t, size_t i, const uint8_t digest[SHA256_BYTES])
{
    char hex[SHA256_HEX];
    uint64_t v[N_AUDIT + N_DAMAGE];
    size_t start = b->len;
    sha256_hex(digest, hex);
    buf_printf(b, "%zu %s", i, hex);
    collect_numbers(t, v);
    for (int k = 0; k < N_AUDIT + N_DAMAGE; k++) buf_printf(b, " %016" PRIx64, v[k]);
    for (size_t k = 0; k < t->n_sources; k++) {
        sha256_hex(t->sources[k].sha256, hex);
        buf_printf(b, " %s", hex);
    }
    if (!b->failed) buf_printf(b, " %08" PRIx32 "\n", crc32_update(0, b->data + start, b->len - start));
}

/* Reads n hexadecimal digits and a space or the end; false for anything else. */
static bool take_hex(const char **p, int n, uint64_t *v)
{
    *v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        char c = **p;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return false;
        *v = *v << 4 | (uint64_t)digit;
    }
    return true;
}

static bool take_space(const char **p)
{
    return *(*p)++ == ' ';
}

static bool take_digest(const char **p, uint8_t digest[SHA256_BYTES])
{
    for (int i = 0; i < SHA256_BYTES; i++) {
        uint64_t byte;
        if (!take_hex(p, 2, &byte)) return false;
        digest[i] = (uint8_t)byte;
    }
    return true;
}

/* A whole line without its end. false: it does not count. */
static bool take_line(struct plan *p, const char *line, size_t n, size_t *index, uint8_t digest[SHA256_BYTES])
{
    uint64_t crc, v[N_AUDIT + N_DAMAGE];
    if (n < 9 || n > LIMIT_JOURNAL_LINE || line[n - 9] != ' ') return false;
    const char *at = line + n - 8, *cursor = line;
    if (!take_hex(&at, 8, &crc) || crc != crc32_update(0, line, n - 9)) return false;
    char *end;
    unsigned long long i = strtoull(line, &end, 10);
    if (end == line || i >= p->n_tensors) return false;
    struct plan_tensor *t = &p->tensors[i];
    cursor = end;
    if (!take_space(&cursor) || !take_digest(&cursor, digest)) return false;
    for (int k = 0; k < N_AUDIT + N_DAMAGE; k++)
        if (!take_space(&cursor) || !take_hex(&cursor, 16, &v[k])) return false;
    for (size_t k = 0; k < t->n_sources; k++)
        if (!take_space(&cursor) || !take_digest(&cursor, t->sources[k].sha256)) return false;
    if (cursor != line + n - 9) return false;
    restore_numbers(t, v);
    *index = (size_t)i;
    return true;
}

/* --- the partial file --- */

struct partial {
    const struct journal *j;
    const struct gguf_out_tensor *t;
};

static enum status read_partial(const void *ctx, uint64_t off, void *dst, size_t n, struct error *err)
{
    const struct partial *p = ctx;
    return outfile_read_at(p->j->out, p->t->off_file + off, dst, n, err);
}

static enum status digest_tensor(const struct journal *j, size_t i, uint8_t digest[SHA256_BYTES], struct error *err)
{
    const struct gguf_out_tensor *t = &j->plan->out.tensors[i];
    return sha256_of(read_partial, &(struct partial){j, t}, t->size_bytes, digest, err);
}

/* Forgets what a line restored. */
static void reset_tensor(struct plan_tensor *t)
{
    t->audit = (struct cast_audit)CAST_AUDIT_INIT;
    if (t->damage) *t->damage = (struct damage){0};
}

static enum status accept_lines(struct journal *j, const char *text, size_t n, struct buf *kept, struct error *err)
{
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t len = end ? (size_t)(end - text) : 0, i;
        uint8_t noted[SHA256_BYTES], found[SHA256_BYTES];
        if (!end) return STATUS_OK; /* cut off */
        if (take_line(j->plan, text, len, &i, noted) && !j->done[i]) {
            TRY(digest_tensor(j, i, found, err));
            j->done[i] = memcmp(noted, found, sizeof found) == 0;
            if (j->done[i]) {
                buf_append(kept, text, len + 1);
                outfile_count(j->out, j->plan->out.tensors[i].off_file, j->plan->out.tensors[i].size_bytes);
                j->n_done++;
            } else {
                reset_tensor(&j->plan->tensors[i]);
            }
        }
        n -= len + 1;
        text = end + 1;
    }
    return STATUS_OK;
}

/* --- the whole --- */

static enum status append(struct journal *j, const struct buf *b, struct error *err)
{
    TRY(buf_check(b, err));
    for (size_t at = 0; at < b->len;) {
        ssize_t n = write(j->fd, b->data + at, b->len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return error_errno(err, j->path, "cannot write the journal");
        at += (size_t)n;
    }
    return fdatasync(j->fd) == 0 ? STATUS_OK : error_errno(err, j->path, "cannot flush the journal");
}

static enum status start_file(struct journal *j, const char *first, const struct buf *kept, struct error *err)
{
    struct buf b = {0};
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (j->fd < 0) return error_errno(err, j->path, "cannot create the journal");
    buf_puts(&b, first);
    if (kept->len > 0) buf_append(&b, kept->data, kept->len);
    enum status st = append(j, &b, err);
    buf_clear(&b);
    return st;
}

static enum status begin(struct journal *j, const char *seed, const struct checkpoint *sources, struct error *err)
{
    char hex[SHA256_HEX], first[128];
    struct buf old = {0}, kept = {0};
    struct error ignored;
    TRY(identity(hex, seed, j->plan, sources, err));
    size_t n_first = (size_t)snprintf(first, sizeof first, "%s %s\n", magic, hex);
    bool fits = file_exists(j->path) && file_read_all(&old, j->path, LIMIT_JOURNAL, &ignored) == STATUS_OK && old.len >= n_first &&
                memcmp(old.data, first, n_first) == 0 && outfile_was_there(j->out);
    enum status st = fits ? accept_lines(j, old.data + n_first, old.len - n_first, &kept, err) : STATUS_OK;
    if (st == STATUS_OK && j->n_done == 0) st = outfile_empty(j->out, err);
    if (st == STATUS_OK) st = start_file(j, first, &kept, err);
    buf_clear(&old);
    buf_clear(&kept);
    return st;
}

enum status journal_begin(struct journal *j, const char *path, const char *seed, struct plan *p, const struct checkpoint *sources, struct outfile *o,
                          struct error *err)
{
    *j = (struct journal){.plan = p, .out = o, .fd = -1};
    size_t n = strlen(path) + sizeof ".partial.journal";
    j->path = malloc(n);
    j->done = calloc(p->n_tensors + 1, sizeof *j->done);
    if (!j->path || !j->done) return error_nomem(err, n + p->n_tensors);
    snprintf(j->path, n, "%s.partial.journal", path);
    return begin(j, seed, sources, err);
}

enum status journal_tensor_done(void *ctx, size_t i, struct error *err)
{
    struct journal *j = ctx;
    uint8_t digest[SHA256_BYTES];
    struct buf b = {0};
    TRY(outfile_sync(j->out, err));
    TRY(digest_tensor(j, i, digest, err));
    put_line(&b, &j->plan->tensors[i], i, digest);
    enum status st = append(j, &b, err);
    buf_clear(&b);
    return st;
}

void journal_end(struct journal *j, bool committed)
{
    if (j->fd >= 0) close(j->fd);
    if (committed && j->path) unlink(j->path);
    free(j->path);
    free(j->done);
    *j = (struct journal){.fd = -1};
}

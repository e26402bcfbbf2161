#include "base/limits.h"
#include "inspect/audit.h"

#include "formats/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_SAID = 100 }; /* outside names with a finding of their own; all of them are listed */

static void remark(struct audit *a, bool bad, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void remark(struct audit *a, bool bad, const char *code, const char *fmt, ...)
{
    char text[1400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (a->n_remarks == a->cap_remarks) {
        size_t cap = a->cap_remarks ? 2 * a->cap_remarks : 16;
        struct audit_remark *bigger = arena_array(&a->mem, cap, sizeof *bigger);
        if (bigger && a->n_remarks) memcpy(bigger, a->remarks, a->n_remarks * sizeof *bigger);
        if (bigger) a->remarks = bigger;
        if (bigger) a->cap_remarks = cap;
    }
    a->n_bad += bad;
    const char *kept = arena_strndup(&a->mem, text, strlen(text));
    a->unsaid = !kept || a->n_remarks == a->cap_remarks || a->unsaid;
    if (!a->unsaid) a->remarks[a->n_remarks++] = (struct audit_remark){code, kept, bad};
}

/* Errors that are about the content are findings; those that kept the audit from looking are errors. */
static enum status refused(struct audit *a, enum status st, const struct error *e)
{
    if (status_of_machine(st) || st == STATUS_NOTFOUND) return st;
    /* the archive and its pickle are opened by two readers: one reason is said once */
    if (a->n_remarks > 0 && strcmp(a->remarks[a->n_remarks - 1].text, e->text) == 0) return STATUS_OK;
    if (e->tensor[0])
        remark(a, true, "refused", "tensor '%s': %s", e->tensor, e->text);
    else
        remark(a, true, "refused", "%s", e->text);
    return STATUS_OK;
}

/* ---- pickles ---- */

static void judge_pickle(struct audit *a, const struct torch_audited *p)
{
    size_t said = 0;
    for (size_t i = 0; i < p->audit.n_names; i++) {
        const struct pickle_name *n = &p->audit.names[i];
        if (n->standing != NAME_OUTSIDE || said++ >= NAMES_SAID) continue;
        remark(a, true, "name-outside", "%s refers to '%s.%s' at byte %zu: %s", p->where, n->module, n->name, n->off_first,
               n->what ? n->what : "not on the list of what weights need; Python would import it");
    }
    if (said > NAMES_SAID) remark(a, true, "name-outside", "%s refers to %zu more such names", p->where, said - NAMES_SAID);
    if (p->audit.problem) remark(a, true, "pickle-damaged", "%s %s", p->where, p->audit.problem);
}

static enum status look_into_pickles(struct audit *a, const struct file *f, enum torch_form form, bool trace, struct error *err)
{
    enum status st = torch_audit_file(&a->pickles, f, form, trace, err);
    if (st != STATUS_OK) return refused(a, st, err);
    a->has_pickles = a->pickles.n > 0;
    for (size_t i = 0; i < a->pickles.n; i++) judge_pickle(a, &a->pickles.items[i]);
    return STATUS_OK;
}

/* ---- records of a zip archive ---- */

static int by_begin(const void *pa, const void *pb)
{
    const struct layout_region *a = pa, *b = pb;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

static bool is_storage(const struct zip_entry *e)
{
    const char *slash = strchr(e->name, '/');
    return slash && strncmp(slash, "/data/", 6) == 0;
}

/* The stored records that hold storages; *n is 0 where one is compressed: its bytes are no range of the file. */
static enum status storage_regions(struct audit *a, struct layout_region **regions, size_t *n, struct error *err)
{
    const struct zip_directory *d = &a->pickles.archive.dir;
    *n = 0;
    a->n_records = d->n_entries;
    *regions = arena_array(&a->mem, d->n_entries, sizeof **regions);
    if (!*regions) return error_nomem(err, d->n_entries * sizeof **regions);
    for (size_t i = 0; i < d->n_entries; i++) {
        const struct zip_entry *e = &d->entries[i];
        a->n_packed += e->method != ZIP_STORED;
        if (is_storage(e)) (*regions)[(*n)++] = (struct layout_region){e->off_data, e->off_data + e->packed_bytes};
    }
    qsort(*regions, *n, sizeof **regions, by_begin);
    return STATUS_OK;
}

static size_t count_unused(const struct container *c, const struct layout_region *regions, size_t n, struct error *err,
                           enum status *st)
{
    void *mem;
    size_t unused = 0;
    *st = mem_alloc(&mem, n, 1, err);
    if (*st != STATUS_OK) return 0;
    unsigned char *used = mem;
    for (size_t i = 0; i < c->n_tensors; i++) {
        uint64_t off = c->tensors[i].off_file;
        size_t lo = 0, hi = n;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (regions[mid].end <= off) lo = mid + 1; else hi = mid;
        }
        if (lo < n) used[lo] = 1;
    }
    for (size_t i = 0; i < n; i++) unused += !used[i] && regions[i].end > regions[i].begin;
    free(mem);
    return unused;
}

/* ---- containers ---- */

static void judge_layout(struct audit *a)
{
    const struct layout *l = &a->layout;
    if (l->trailing_bytes > 0)
        remark(a, false, "trailing-bytes", "%llu bytes follow the last tensor", (unsigned long long)l->trailing_bytes);
    if (l->n_filled > 0)
        remark(a, false, "bytes-of-no-tensor", "bytes other than 0 lie outside of all tensors, the first at byte %llu",
               (unsigned long long)l->off_filled);
    if (l->gaps_unread)
        remark(a, false, "gaps-not-read", "more than %d bytes belong to no tensor: not all of them were looked at", LIMIT_LAYOUT_READ);
    if (a->n_packed > 0) remark(a, false, "compressed-records", "%zu records are compressed, as torch.save writes none", a->n_packed);
    if (a->n_unused > 0) remark(a, false, "unused-records", "%zu records of data are used by no tensor", a->n_unused);
}

static enum status measure(struct audit *a, const struct container *c, struct error *err)
{
    struct layout_region *regions = NULL;
    size_t n = 0;
    enum status st = STATUS_OK;
    a->n_tensors = c->n_tensors;
    if (strcmp(a->container, "torch-zip") == 0) {
        TRY(storage_regions(a, &regions, &n, err));
        a->n_unused = count_unused(c, regions, n, err, &st);
        TRY(st);
        if (a->n_packed > 0 || n == 0) return STATUS_OK;
    }
    TRY(layout_measure(&a->layout, c, regions, n, err));
    a->opened = true;
    if (a->layout.largest) {
        a->largest = arena_strndup(&a->mem, a->layout.largest->name, strlen(a->layout.largest->name));
        a->largest_bytes = a->layout.largest->size_bytes;
        a->layout.largest = NULL; /* does not outlive the container */
    }
    return STATUS_OK;
}

static enum status look_into_container(struct audit *a, struct error *err)
{
    struct container *c;
    struct error e;
    enum status st = container_open(&c, a->path, &e);
    if (st != STATUS_OK) {
        *err = e;
        return refused(a, st, &e);
    }
    st = measure(a, c, err);
    container_close(c);
    if (st == STATUS_OK) judge_layout(a);
    return st;
}

static enum status look(struct audit *a, const struct file *f, bool trace, struct error *err)
{
    const struct container_format *format;
    TRY(container_probe(&format, a->path, err));
    bool zip = format && strcmp(format->name, "torch-zip") == 0;
    a->container = format ? format->name : NULL;
    a->size_bytes = f->size_bytes;
    if (zip || !format || strcmp(format->name, "torch-legacy") == 0)
        TRY(look_into_pickles(a, f, zip ? TORCH_FORM_ZIP : TORCH_FORM_PLAIN, trace, err));
    if (format) return look_into_container(a, err);
    if (a->has_pickles) {
        remark(a, true, "refused", "a bare pickle: no checkpoint");
        return STATUS_OK;
    }
    struct container *c;
    enum status st = container_open(&c, a->path, err); /* says what it is instead */
    if (st == STATUS_OK) container_close(c);
    return st;
}

enum status audit_file(struct audit *a, const char *path, bool trace, struct error *err)
{
    struct file f;
    *a = (struct audit){.path = path};
    TRY(file_open(&f, path, err));
    enum status st = look(a, &f, trace, err);
    file_close(&f);
    if (st == STATUS_OK && a->unsaid) st = error_nomem(err, sizeof *a->remarks);
    if (st != STATUS_OK) audit_clear(a);
    return st;
}

void audit_clear(struct audit *a)
{
    torch_audit_clear(&a->pickles);
    arena_clear(&a->mem);
    *a = (struct audit){0};
}

/* ---- all of them ---- */

struct run {
    bool trace;
    size_t n_files, n_bad;
    struct buf *out;
    struct jwriter *w;
};

static enum status run_file(struct run *r, const char *path, struct error *err)
{
    struct audit a;
    TRY(audit_file(&a, path, r->trace, err));
    if (r->w)
        audit_json(&a, r->trace, r->w);
    else
        audit_text(&a, r->trace, r->out);
    r->n_files++;
    r->n_bad += a.n_bad > 0;
    audit_clear(&a);
    return STATUS_OK;
}

/* The folder's weights. A file with their suffix that is something else is passed over. */
static enum status run_folder(struct run *r, const char *dir, struct error *err)
{
    struct arena mem = {0};
    char **names;
    size_t n, before = r->n_files;
    enum status st = ckpt_weight_names(dir, &mem, &names, &n, err);
    for (size_t i = 0; st == STATUS_OK && i < n; i++) {
        struct error e;
        char *path = path_join(&mem, dir, names[i]);
        if (!path) st = error_nomem(err, strlen(dir));
        if (path && file_is_dir(path)) continue;
        if (path) st = run_file(r, path, &e);
        if (path && st != STATUS_OK) *err = e;
        if (st == STATUS_FORMAT) st = STATUS_OK;
    }
    arena_clear(&mem);
    if (st == STATUS_OK && r->n_files == before)
        return error_at(err, STATUS_NOTFOUND, dir, NULL, "no weights in this folder: expected safetensors, PyTorch or GGUF files");
    return st;
}

/* An index stands for its folder. */
static enum status run_path(struct run *r, const char *path, struct error *err)
{
    static const char suffix[] = ".index.json";
    size_t n = strlen(path), k = sizeof suffix - 1, n_dir = (size_t)(path_base(path) - path);
    struct arena mem = {0};
    if (file_is_dir(path)) return run_folder(r, path, err);
    if (n <= k || strcmp(path + n - k, suffix) != 0) return run_file(r, path, err);
    const char *dir = n_dir ? arena_strndup(&mem, path, n_dir > 1 ? n_dir - 1 : 1) : ".";
    enum status st = dir ? run_folder(r, dir, err) : error_nomem(err, n);
    arena_clear(&mem);
    return st;
}

enum status audit_run(const char *const *paths, int n, bool trace, int *code, struct buf *out, struct jwriter *w,
                      struct error *err)
{
    struct run r = {.trace = trace, .out = out, .w = w};
    enum status st = STATUS_OK;
    if (w) jw_begin_object(w, NULL);
    if (w) jw_begin_array(w, "files");
    for (int i = 0; st == STATUS_OK && i < n; i++)
        st = run_path(&r, paths[i], err);
    if (w) {
        jw_end_array(w);
        jw_bool(w, "clean", r.n_bad == 0);
        jw_end_object(w);
    }
    *code = r.n_bad > 0;
    return st;
}

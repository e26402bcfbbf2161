#include "core/emit.h"
#include "base/outset.h"
#include "base/resources.h"
#include "core/damage_report.h"
#include "core/journal.h"
#include "core/parts.h"
#include "core/receipt.h"
#include "core/plan_quantize.h"
#include "core/plan_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum status emit_check_free(const char *path, bool force, struct error *err)
{
    bool there;
    if (force) return STATUS_OK;
    TRY(file_look(path, &there, err));
    if (!there) return STATUS_OK;
    error_at(err, STATUS_EXISTS, path, NULL, "exists already");
    return error_hint(err, "--force replaces it");
}

/* --- one file or several: places in the row of bytes --- */

struct output {
    struct plan *plan;
    struct outset *set;     /* NULL: one file */
    struct outfile **files; /* as the plan's parts */
    struct outfile *one;
};

static struct outfile *file_at(const struct output *o, uint64_t *off)
{
    if (!o->set) return o->one;
    size_t i = parts_at(o->plan, *off);
    *off -= o->plan->parts[i].off;
    return o->files[i];
}

static enum status write_to_output(void *ctx, uint64_t off, const void *src, size_t n, struct error *err)
{
    struct outfile *file = file_at(ctx, &off);
    return outfile_write_at(file, off, src, n, err);
}

static enum status read_written(const struct emit_written *w, uint64_t off, void *dst, size_t n, struct error *err)
{
    size_t i = w->plan->n_parts > 0 ? parts_at(w->plan, off) : 0;
    return outfile_read_at(w->files[i], w->plan->n_parts > 0 ? off - w->plan->parts[i].off : off, dst, n, err);
}

static enum status write_headers(const struct output *o, struct error *err)
{
    if (!o->set) return writer_header(o->plan, o->one, err);
    TRY(parts_seal(o->plan, err));
    for (size_t i = 0; i < o->plan->n_parts; i++) {
        const struct buf *header = parts_header(o->plan, i);
        if (header->len > 0) TRY(outfile_write_at(o->files[i], 0, header->data, header->len, err));
    }
    return STATUS_OK;
}

/* --- what it is read from --- */

typedef enum status source_fn(const struct output *o, const struct file *f, struct error *err);

static enum status each_file(const struct output *o, const struct checkpoint *c, source_fn *fn, struct error *err)
{
    for (size_t i = 0; i < c->n_files; i++) TRY(fn(o, &c->files[i]->file, err));
    return STATUS_OK;
}

static enum status each_source(const struct output *o, const struct emit_options *opt, source_fn *fn, struct error *err)
{
    const struct imatrix *im = o->plan->imatrix;
    TRY(each_file(o, opt->source, fn, err));
    for (size_t i = 0; i < opt->n_others; i++) TRY(each_file(o, opt->others[i], fn, err));
    return im ? fn(o, im->gguf ? &im->gguf->file : &im->file, err) : STATUS_OK;
}

static enum status forbid(const struct output *o, const struct file *f, struct error *err)
{
    size_t n = o->set ? o->plan->n_parts : 1;
    for (size_t k = 0; k < n; k++) TRY(outfile_forbid_source(o->files[k], f, err));
    return STATUS_OK;
}

static enum status unchanged(const struct output *o, const struct file *f, struct error *err)
{
    (void)o;
    return file_check_unchanged(f, err);
}

/* --- making it --- */

static enum status create_set(struct output *o, const struct emit_options *opt, unsigned flags, struct error *err)
{
    const struct plan *p = o->plan;
    void *mem;
    TRY(mem_alloc(&mem, p->n_parts, sizeof *o->files, err));
    o->files = mem;
    TRY(p->format == PLAN_SAFETENSORS ? outset_folder(&o->set, opt->path, opt->force, model_file_name, err)
                                      : outset_beside(&o->set, opt->path, flags, err));
    for (size_t i = 0; i < p->n_parts; i++) TRY(outset_add(o->set, p->parts[i].name, p->parts[i].size_bytes, &o->files[i], err));
    return STATUS_OK;
}

static enum status create_output(struct output *o, const struct emit_options *opt, struct error *err)
{
    unsigned flags = (opt->force ? OUTFILE_REPLACE : OUTFILE_NEW) | (opt->resume ? OUTFILE_KEEP : 0);
    if (o->plan->n_parts > 0) return create_set(o, opt, flags, err);
    o->files = &o->one;
    return outfile_create(&o->one, opt->path, flags, o->plan->size_bytes, err);
}

static enum status close_output(struct output *o, bool commit, struct error *err)
{
    enum status st = STATUS_OK;
    if (commit)
        st = o->set ? outset_commit(o->set, err) : outfile_commit(o->one, err);
    else if (o->set)
        outset_discard(o->set);
    else
        outfile_discard(o->one);
    if (o->files != &o->one) free(o->files);
    return st;
}

/* What of the options decides on bytes, beyond the plan. */
static const char *content_options(const struct emit_options *opt)
{
    static const char *const words[] = {"plain", "overflow", "finite", "finite overflow"};
    return words[(opt->finite ? 2 : 0) + (opt->allow_overflow ? 1 : 0)];
}

static uint64_t bytes_done(const struct plan *p, const struct journal *j)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++)
        if (j->done[i]) n += transform_bytes(&p->tensors[i].spec, p->tensors[i].spec.n_elements);
    return n;
}

static enum status fill(struct plan *p, struct output *o, struct workers *workers, const struct emit_options *opt, struct journal *journal,
                        struct error *err)
{
    struct progress progress = {0};
    struct writer_options run = {
        .workers = workers,
        .progress = &progress,
        .hash = opt->hash,
        .finite = opt->finite,
        .allow_overflow = opt->allow_overflow,
    };
    TRY(each_source(o, opt, forbid, err));
    if (opt->resume) {
        TRY(journal_begin(journal, opt->path, content_options(opt), p, opt->source, o->one, err));
        run.skip = journal->done;
        run.tensor_done = journal_tensor_done;
        run.done_ctx = journal;
    }
    progress_begin(&progress, opt->progress, opt->quiet, opt->label, p->source_bytes);
    if (opt->resume) progress_add(&progress, bytes_done(p, journal));
    enum status st = writer_run_to(p, &(struct writer_sink){write_to_output, o}, &run, err);
    progress_end(&progress);
    TRY(st);
    if (!opt->casts_checked) report_casts(p, opt->warn);
    TRY(warnings_check(opt->warn, err));
    if (opt->strict) TRY(report_strict(opt->warn, opt->source->path, err));
    if (opt->hash) receipt_patch(p); /* a receipt that was carried over speaks of another source */
    plan_patch_damage(p);
    TRY(write_headers(o, err));
    TRY(each_source(o, opt, unchanged, err));
    if (!opt->check) return STATUS_OK;
    struct emit_written written = {workers, read_written, p, o->files};
    TRY(opt->check(opt->check_ctx, &written, err));
    TRY(warnings_check(opt->warn, err));
    return opt->strict ? report_strict(opt->warn, opt->source->path, err) : STATUS_OK;
}

enum status emit_file(struct plan *p, const struct emit_options *opt, struct error *err)
{
    struct workers *workers;
    struct output o = {.plan = p};
    struct journal journal = {.fd = -1};
    TRY(workers_new(&workers, (int)opt->threads, err));
    enum status st = create_output(&o, opt, err);
    if (st == STATUS_OK) st = fill(p, &o, workers, opt, &journal, err);
    workers_free(workers);
    if (st == STATUS_OK && opt->tell && opt->tell(opt->tell_ctx) != 0)
        st = error_set(err, STATUS_IO, "%s", "");
    enum status closed = close_output(&o, st == STATUS_OK, err);
    journal_end(&journal, st == STATUS_OK && closed == STATUS_OK);
    return st == STATUS_OK ? closed : st;
}

/* --- summary --- */

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_ns() - start_ns) * 1e-9;
}

/* A path as a shell takes it. */
static void print_word(struct buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+=:@%,-";
    if (word[0] && word[0] != '-' && strspn(word, plain) == strlen(word)) {
        buf_puts(b, word);
        return;
    }
    buf_puts(b, word[0] == '-' ? "./'" : "'");
    for (const char *c = word; *c; c++) {
        if (*c == '\'')
            buf_puts(b, "'\\''");
        else
            buf_append(b, c, 1);
    }
    buf_puts(b, "'");
}

/* What the run would need and what there is; 0: not known */
struct needs {
    uint64_t memory, memory_available, disk, disk_free;
};

static struct needs count_needs(const struct emit_summary *s)
{
    struct needs n = {.disk = s->plan->size_bytes};
    int n_workers = s->threads > 0 ? (int)s->threads : workers_default_count();
    n.memory = memory_peak_bytes() + writer_memory_bytes(s->plan, n_workers);
    if (!memory_available_bytes(&n.memory_available)) n.memory_available = 0;
    if (!disk_free_bytes(s->output ? s->output : "", &n.disk_free)) n.disk_free = 0;
    return n;
}

static void print_needs(const struct emit_summary *s, struct buf *b)
{
    struct needs n = count_needs(s);
    char a[32], c[32], d[32], e[32];
    buf_printf(b, "needs %s of %s memory, %s of %s disk%s\n", format_bytes(a, n.memory), format_bytes(c, n.memory_available),
               format_bytes(d, n.disk), format_bytes(e, n.disk_free), n.disk_free > 0 && n.disk > n.disk_free ? ": more than is free" : "");
}

static void json_needs(const struct emit_summary *s, struct jwriter *w)
{
    struct needs n = count_needs(s);
    jw_begin_object(w, "needs");
    jw_uint(w, "memory_bytes", n.memory);
    jw_uint(w, "memory_available_bytes", n.memory_available);
    jw_uint(w, "disk_bytes", n.disk);
    jw_uint(w, "disk_free_bytes", n.disk_free);
    jw_end_object(w);
}

/* What the next tool is to be given: the file, the folder, or the first part. */
static const char *output_name(const struct emit_summary *s, struct buf *first)
{
    if (s->plan->n_parts == 0 || s->plan->format == PLAN_SAFETENSORS || !s->output) return s->output;
    size_t n = (size_t)(path_base(s->output) - s->output);
    buf_append(first, s->output, n);
    buf_puts(first, s->plan->parts[0].name);
    return first->data ? first->data : s->output;
}

static void put_output(const struct emit_summary *s, struct jwriter *w)
{
    struct buf first = {0};
    jw_string(w, "output", output_name(s, &first));
    buf_clear(&first);
    if (s->plan->n_parts == 0) return;
    jw_begin_array(w, "files");
    for (size_t i = 0; i < s->plan->n_parts; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "name", s->plan->parts[i].name);
        jw_uint(w, "size_bytes", s->plan->parts[i].size_bytes);
        jw_uint(w, "tensors", s->plan->parts[i].n_tensors);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void emit_text(const struct emit_summary *s, struct buf *b)
{
    if (s->dry_run) {
        plan_print(s->plan, b);
        print_needs(s, b);
        return;
    }
    char name[1024], size[32], from[32], peak[32];
    struct buf first = {0};
    const char *output = output_name(s, &first);
    text_escape(output, name, sizeof name);
    buf_printf(b, "%s: %zu tensors, ", name, s->plan->n_tensors);
    if (s->input_bytes > 0) buf_printf(b, "%s to ", format_bytes(from, s->input_bytes));
    buf_printf(b, "%s (", format_bytes(size, s->plan->size_bytes));
    report_types(s->plan, b);
    buf_printf(b, "), %.1f s, peak %s\n", seconds_since(s->start_ns),
               format_bytes(peak, memory_peak_bytes()));
    if (s->damage)
        damage_table(s->plan, b);
    else
        damage_worst(s->plan, b);
    buf_puts(b, "next: lathe-verify ");
    print_word(b, s->source);
    buf_puts(b, " ");
    print_word(b, output);
    buf_puts(b, "\n");
    buf_clear(&first);
}

void emit_json(const struct emit_summary *s, struct buf *b)
{
    struct jwriter w = {.out = b};
    struct buf types = {0};
    report_types(s->plan, &types);
    jw_begin_object(&w, NULL);
    put_output(s, &w);
    jw_uint(&w, "size_bytes", s->plan->size_bytes);
    jw_uint(&w, "tensors", s->plan->n_tensors);
    jw_string(&w, "types", types.data);
    jw_bool(&w, "dry_run", s->dry_run);
    report_warnings_json(s->warn, &w);
    jw_begin_array(&w, "notes");
    for (size_t i = 0; i < s->checkpoint->notes.count; i++)
        jw_string(&w, NULL, s->checkpoint->notes.items[i]);
    jw_end_array(&w);
    if (!s->dry_run) report_casts_json(s->plan, &w);
    if (!s->dry_run) damage_json(s->plan, &w);
    jw_double(&w, "seconds", seconds_since(s->start_ns));
    jw_uint(&w, "peak_bytes", memory_peak_bytes());
    if (s->dry_run) plan_print_json(s->plan, &w);
    if (s->dry_run) json_needs(s, &w);
    jw_end_object(&w);
    buf_puts(b, "\n");
    buf_clear(&types);
}

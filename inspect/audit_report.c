#include "inspect/audit.h"

#include "base/progress.h"
#include "formats/pickle_opcodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *standing_name(const struct pickle_name *n)
{
    static const char *const names[] = {"known", "harmless", "outside"};
    return names[n->standing];
}

/* Opcodes that occur, most frequent first. */
struct use {
    unsigned char code;
    uint64_t count;
};
static int by_count(const void *pa, const void *pb)
{
    const struct use *a = pa, *b = pb;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return a->code - b->code;
}
static size_t used_opcodes(const struct pickle_audit *a, struct use use[256])
{
    size_t n = 0;
    for (int i = 0; i < 256; i++)
        if (a->counts[i] > 0) use[n++] = (struct use){(unsigned char)i, a->counts[i]};
    qsort(use, n, sizeof *use, by_count);
    return n;
}

/* ---- text ---- */

static void trace_text(const struct torch_audited *p, struct buf *out)
{
    for (const char *line = p->trace.data; line && *line;) {
        const char *end = strchr(line, '\n'), *space = strchr(line, ' ');
        buf_printf(out, "    %10.*s  %.*s\n", (int)(space - line), line, (int)(end - space - 1), space + 1);
        line = end + 1;
    }
}

static void pickle_text(const struct torch_audited *p, bool trace, struct buf *out)
{
    char size[32];
    struct use use[256];
    const struct pickle_audit *a = &p->audit;
    size_t n = used_opcodes(a, use);
    buf_puts(out, "  pickle      ");
    buf_escape(out, p->where);
    buf_printf(out, ": protocol %d, %" PRIu64 " opcodes, %" PRIu64 " calls, %s\n", a->protocol, a->n_ops, a->n_calls,
               format_bytes(size, p->size_bytes));
    buf_puts(out, "    opcodes   ");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s x%" PRIu64, i ? ", " : "", pickle_opcode_name(use[i].code), use[i].count);
    buf_puts(out, "\n");
    for (size_t i = 0; i < a->n_names; i++) {
        const struct pickle_name *name = &a->names[i];
        buf_printf(out, "    %-9s ", i ? "" : "names");
        buf_escape(out, name->module);
        buf_puts(out, ".");
        buf_escape(out, name->name);
        buf_printf(out, " x%zu: %s%s%s\n", name->count, standing_name(name), name->what ? ", " : "", name->what ? name->what : "");
    }
    if (trace) trace_text(p, out);
}

static void records_text(const struct audit *a, struct buf *out)
{
    const struct zip_directory *d = &a->pickles.archive.dir;
    for (size_t i = 0; i < d->n_entries; i++) {
        const struct zip_entry *e = &d->entries[i];
        buf_printf(out, "    %10" PRIu64 "  %12" PRIu64 " bytes%s  ", e->off_data, e->size_bytes, e->method == ZIP_STORED ? "" : ", compressed");
        buf_escape(out, e->name);
        buf_puts(out, "\n");
    }
}

static void layout_text(const struct audit *a, struct buf *out)
{
    const struct layout *l = &a->layout;
    char size[32];
    buf_printf(out, "  layout      %zu tensors, %s, from byte %" PRIu64 " to %" PRIu64 "; offsets are multiples of %" PRIu64, a->n_tensors,
               format_bytes(size, l->tensor_bytes), l->off_first, l->off_end, l->alignment);
    if (l->n_storages > 0) buf_printf(out, "; %zu storages", l->n_storages);
    if (l->n_shared > 0) buf_printf(out, "; %zu begin%s inside another", l->n_shared, l->n_shared == 1 ? "s" : "");
    buf_puts(out, "\n  gaps        ");
    if (l->n_gaps == 0)
        buf_puts(out, "none");
    else
        buf_printf(out, "%zu, together %" PRIu64 " bytes, the largest %" PRIu64 "; %zu hold other bytes than 0", l->n_gaps, l->gap_bytes,
                   l->largest_gap, l->n_filled);
    if (l->trailing_bytes > 0) buf_printf(out, "; %" PRIu64 " bytes at the end", l->trailing_bytes);
    buf_printf(out, "\n  limits      at most %d dimensions, names of at most %zu bytes, %zu empty tensors", l->dims_max, l->name_max, l->n_empty);
    if (a->largest) {
        buf_printf(out, "; largest %s: ", format_bytes(size, a->largest_bytes));
        buf_escape(out, a->largest);
    }
    buf_puts(out, "\n");
}

void audit_text(const struct audit *a, bool trace, struct buf *out)
{
    char size[32];
    buf_escape(out, a->path);
    buf_printf(out, ": %s, %s: %s\n", a->container ? a->container : "pickle", format_bytes(size, a->size_bytes),
               a->n_bad ? "NOT CLEAN" : "clean");
    for (size_t i = 0; i < a->n_remarks; i++) {
        buf_printf(out, "  %-11s ", a->remarks[i].bad ? "finding" : "note");
        buf_escape(out, a->remarks[i].text);
        buf_printf(out, " (%s)\n", a->remarks[i].code);
    }
    for (size_t i = 0; i < a->pickles.n; i++) pickle_text(&a->pickles.items[i], trace, out);
    if (a->n_records > 0)
        buf_printf(out, "  archive     %zu records, %zu compressed; %zu of data are unused\n", a->n_records, a->n_packed, a->n_unused);
    if (trace) records_text(a, out);
    if (a->opened) layout_text(a, out);
}

/* ---- JSON ---- */

static void trace_json(const struct torch_audited *p, struct jwriter *w)
{
    jw_begin_array(w, "sequence");
    for (const char *line = p->trace.data; line && *line;) {
        const char *end = strchr(line, '\n');
        jw_string_n(w, NULL, line, (size_t)(end - line));
        line = end + 1;
    }
    jw_end_array(w);
}

static void pickle_json(const struct torch_audited *p, bool trace, struct jwriter *w)
{
    struct use use[256];
    const struct pickle_audit *a = &p->audit;
    size_t n = used_opcodes(a, use);
    jw_begin_object(w, NULL);
    jw_string(w, "where", p->where);
    jw_uint(w, "offset", p->off_file);
    jw_uint(w, "size_bytes", p->size_bytes);
    jw_int(w, "protocol", a->protocol);
    jw_uint(w, "n_opcodes", a->n_ops);
    jw_uint(w, "n_calls", a->n_calls);
    jw_begin_object(w, "opcodes");
    for (size_t i = 0; i < n; i++) jw_uint(w, pickle_opcode_name(use[i].code), use[i].count);
    jw_end_object(w);
    jw_begin_array(w, "names");
    for (size_t i = 0; i < a->n_names; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "module", a->names[i].module);
        jw_string(w, "name", a->names[i].name);
        jw_string(w, "standing", standing_name(&a->names[i]));
        jw_string(w, "what", a->names[i].what);
        jw_uint(w, "count", a->names[i].count);
        jw_uint(w, "offset", a->names[i].off_first);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_string(w, "problem", a->problem);
    if (trace) trace_json(p, w);
    jw_end_object(w);
}

static void records_json(const struct audit *a, struct jwriter *w)
{
    const struct zip_directory *d = &a->pickles.archive.dir;
    jw_begin_array(w, "entries");
    for (size_t i = 0; i < d->n_entries; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "name", d->entries[i].name);
        jw_uint(w, "offset", d->entries[i].off_data);
        jw_uint(w, "size_bytes", d->entries[i].size_bytes);
        jw_uint(w, "packed_bytes", d->entries[i].packed_bytes);
        jw_uint(w, "method", d->entries[i].method);
        jw_uint(w, "crc32", d->entries[i].crc);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void layout_json(const struct audit *a, struct jwriter *w)
{
    const struct layout *l = &a->layout;
    jw_begin_object(w, "layout");
    jw_uint(w, "tensors", a->n_tensors);
    jw_uint(w, "tensor_bytes", l->tensor_bytes);
    jw_uint(w, "first_byte", l->off_first);
    jw_uint(w, "end_byte", l->off_end);
    jw_uint(w, "alignment", l->alignment);
    jw_uint(w, "storages", l->n_storages);
    jw_uint(w, "sharing", l->n_shared);
    jw_uint(w, "gaps", l->n_gaps);
    jw_uint(w, "gap_bytes", l->gap_bytes);
    jw_uint(w, "gaps_filled", l->n_filled);
    jw_uint(w, "trailing_bytes", l->trailing_bytes);
    jw_int(w, "max_dims", l->dims_max);
    jw_uint(w, "max_name_bytes", l->name_max);
    jw_uint(w, "empty", l->n_empty);
    jw_string(w, "largest", a->largest);
    jw_uint(w, "largest_bytes", a->largest_bytes);
    jw_end_object(w);
}

static void remarks_json(const struct audit *a, const char *key, bool bad, struct jwriter *w)
{
    jw_begin_array(w, key);
    for (size_t i = 0; i < a->n_remarks; i++) {
        if (a->remarks[i].bad != bad) continue;
        jw_begin_object(w, NULL);
        jw_string(w, "code", a->remarks[i].code);
        jw_string(w, "text", a->remarks[i].text);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void audit_json(const struct audit *a, bool trace, struct jwriter *w)
{
    jw_begin_object(w, NULL);
    jw_string(w, "path", a->path);
    jw_string(w, "container", a->container);
    jw_uint(w, "size_bytes", a->size_bytes);
    jw_bool(w, "clean", a->n_bad == 0);
    remarks_json(a, "findings", true, w);
    remarks_json(a, "notes", false, w);
    jw_begin_array(w, "pickles");
    for (size_t i = 0; i < a->pickles.n; i++) pickle_json(&a->pickles.items[i], trace, w);
    jw_end_array(w);
    if (a->n_records > 0) {
        jw_begin_object(w, "archive");
        jw_uint(w, "records", a->n_records);
        jw_uint(w, "compressed", a->n_packed);
        jw_uint(w, "unused", a->n_unused);
        if (trace) records_json(a, w);
        jw_end_object(w);
    }
    if (a->opened) layout_json(a, w);
    jw_end_object(w);
}

#include "inspect/diff.h"

#include "base/progress.h"
#include "inspect/layer_names.h"
#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { VALUE_SHOWN = 200 };

static void shape_text(const struct diff_tensor *t, char dst[160])
{
    size_t n = 0;
    dst[0] = '\0';
    for (int i = 0; i < t->n_dims; i++) n += (size_t)snprintf(dst + n, 160 - n, "%s%" PRId64, i ? " x " : "", t->shape[i]);
    if (t->n_dims == 0) snprintf(dst, 160, "scalar");
}

static bool shapes_differ(const struct diff_pair *p)
{
    char a[160], b[160];
    shape_text(p->a, a);
    shape_text(p->b, b);
    return strcmp(a, b) != 0;
}

/* What differs, without the name: pairs of which this is equal and that differ by their layer only share a line. */
static void what_text(const struct diff *d, const struct diff_pair *p, char dst[400])
{
    char a[160] = "", b[160] = "";
    if (p->a) shape_text(p->a, a);
    if (p->b) shape_text(p->b, b);
    const char *ta = p->a ? subject_dtype_name(d->a.s, p->a->dtype) : "", *tb = p->b ? subject_dtype_name(d->b.s, p->b->dtype) : "";
    if (!p->b)
        snprintf(dst, 400, "only in A: %s, %s", ta, a);
    else if (!p->a)
        snprintf(dst, 400, "only in B: %s, %s", tb, b);
    else if (p->a->dtype != p->b->dtype && strcmp(a, b) != 0)
        snprintf(dst, 400, "%s, %s -> %s, %s", ta, a, tb, b);
    else if (p->a->dtype != p->b->dtype)
        snprintf(dst, 400, "%s -> %s", ta, tb);
    else
        snprintf(dst, 400, "%s -> %s", a, b);
}

/* ---- text ---- */

static void side_text(const char *letter, const struct diff_side *side, struct buf *out)
{
    char path[300], size[32], count[32];
    const struct subject *s = side->s;
    text_escape(s->path, path, sizeof path);
    summary_count(count, s->n_elements);
    buf_printf(out, "  %s           %s: %s (%s), %s, %zu tensors, %s weights, %.2f bits per weight%s\n", letter, path,
               s->arch ? s->arch->family : "no known model family", s->ckpt->format, format_bytes(size, s->size_bytes), s->ckpt->n_tensors, count,
               summary_bits(s), side->planned ? "; told as lathe-convert would write it" : "");
}

static void value_text(const char *text, struct buf *out)
{
    char line[VALUE_SHOWN];
    text_escape(text ? text : "(none)", line, sizeof line);
    buf_puts(out, line);
    if (text && strlen(text) >= sizeof line) buf_puts(out, "...");
}

static void entries_text(const char *what, const struct diff_entries *e, struct buf *out)
{
    if (e->n_compared == 0) return;
    buf_printf(out, "  %-11s %zu compared, %zu differ\n", what, e->n_compared, e->n);
    for (size_t i = 0; i < e->n; i++) {
        char key[200];
        text_escape(e->items[i].key, key, sizeof key);
        buf_printf(out, "    %s: ", key);
        value_text(e->items[i].a, out);
        buf_puts(out, " -> ");
        value_text(e->items[i].b, out);
        buf_puts(out, "\n");
    }
}

struct line {
    struct layer_group group;
    const char *what;
};

/* Memory that runs out here costs a shared line, nothing else. */
static void add_line(struct line *lines, size_t *n, struct strmap *groups, struct arena *a, const struct diff *d, const struct diff_pair *p)
{
    char what[400];
    const char *pattern, *name = p->a ? p->a->name : p->b->name;
    size_t at;
    struct error ignored;
    what_text(d, p, what);
    int64_t layer = layer_split(name, a, &pattern);
    const char *key = pattern ? arena_printf(a, "%s %s", pattern, what) : NULL;
    if (key && strmap_find(groups, key, &at)) {
        layer_group_add(&lines[at].group, layer);
        return;
    }
    if (key) strmap_add(groups, key, *n, NULL, &ignored);
    lines[(*n)++] = (struct line){{name, pattern, layer, layer, 1}, arena_strndup(a, what, strlen(what))};
}

static void tensors_text(const struct diff *d, struct buf *out)
{
    struct strmap groups = {0};
    struct arena a = {0};
    size_t n = 0;
    int width = 0;
    char name[320];
    struct line *lines = arena_array(&a, d->n_pairs + 1, sizeof *lines);
    buf_printf(out, "  tensors     %zu in both, %zu of another type, %zu of another shape; %zu only in A, %zu only in B", d->n_common, d->n_type,
               d->n_shape, d->n_only_a, d->n_only_b);
    if (d->n_regrouped > 0) buf_printf(out, "; %zu hold the same rows in other tensors", d->n_regrouped);
    buf_puts(out, "\n");
    for (size_t i = 0; lines && i < d->n_pairs; i++) add_line(lines, &n, &groups, &a, d, &d->pairs[i]);
    for (size_t i = 0; i < n; i++) {
        layer_group_name(&lines[i].group, name);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    for (size_t i = 0; i < n; i++) {
        char times[24] = "";
        layer_group_name(&lines[i].group, name);
        if (lines[i].group.count > 1) snprintf(times, sizeof times, "x%zu", lines[i].group.count);
        buf_printf(out, "    %-*s %5s  %s\n", width, name, times, lines[i].what ? lines[i].what : "differs");
    }
    strmap_clear(&groups);
    arena_clear(&a);
}

static const char *family(const struct subject *s)
{
    return s->arch ? s->arch->family : "none";
}

void diff_text(const struct diff *d, struct buf *out)
{
    buf_puts(out, diff_same(d) ? "same" : "different");
    if (strcmp(family(d->a.s), family(d->b.s)) != 0) buf_printf(out, "; families %s and %s", family(d->a.s), family(d->b.s));
    if (d->n_type + d->n_shape > 0) buf_printf(out, "; types of %zu tensors, shapes of %zu", d->n_type, d->n_shape);
    if (d->n_only_a + d->n_only_b > 0) buf_printf(out, "; %zu tensors on one side only", d->n_only_a + d->n_only_b);
    if (d->hparams.n > 0) buf_printf(out, "; %zu hyperparameters", d->hparams.n);
    if (d->metadata.n > 0) buf_printf(out, "; %zu metadata keys", d->metadata.n);
    buf_puts(out, "\n");
    side_text("A", &d->a, out);
    side_text("B", &d->b, out);
    entries_text("hparams", &d->hparams, out);
    entries_text("metadata", &d->metadata, out);
    tensors_text(d, out);
}

/* ---- JSON ---- */

static void side_json(const char *key, const struct diff_side *side, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_string(w, "path", side->s->path);
    jw_string(w, "container", side->s->ckpt->format);
    jw_string(w, "family", side->s->arch ? side->s->arch->family : NULL);
    jw_uint(w, "size_bytes", side->s->size_bytes);
    jw_uint(w, "n_tensors", side->s->ckpt->n_tensors);
    jw_double(w, "bits_per_weight", summary_bits(side->s));
    jw_bool(w, "as_converted", side->planned);
    jw_end_object(w);
}

static void entries_json(const char *key, const struct diff_entries *e, struct jwriter *w)
{
    jw_begin_array(w, key);
    for (size_t i = 0; i < e->n; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "key", e->items[i].key);
        jw_string(w, "a", e->items[i].a);
        jw_string(w, "b", e->items[i].b);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void tensor_json(const char *key, const struct diff_side *side, const struct diff_tensor *t, struct jwriter *w)
{
    if (!t) {
        jw_null(w, key);
        return;
    }
    jw_begin_object(w, key);
    jw_string(w, "name", t->source ? t->source : t->name);
    jw_string(w, "dtype", subject_dtype_name(side->s, t->dtype));
    jw_begin_array(w, "shape");
    for (int i = 0; i < t->n_dims; i++) jw_int(w, NULL, t->shape[i]);
    jw_end_array(w);
    jw_end_object(w);
}

void diff_json(const struct diff *d, struct jwriter *w)
{
    jw_begin_object(w, NULL);
    jw_bool(w, "same", diff_same(d));
    side_json("a", &d->a, w);
    side_json("b", &d->b, w);
    entries_json("hparams", &d->hparams, w);
    entries_json("metadata", &d->metadata, w);
    jw_begin_object(w, "tensors");
    jw_uint(w, "common", d->n_common);
    jw_uint(w, "types_differ", d->n_type);
    jw_uint(w, "shapes_differ", d->n_shape);
    jw_uint(w, "only_a", d->n_only_a);
    jw_uint(w, "only_b", d->n_only_b);
    jw_uint(w, "regrouped", d->n_regrouped);
    jw_begin_array(w, "differ");
    for (size_t i = 0; i < d->n_pairs; i++) {
        const struct diff_pair *p = &d->pairs[i];
        jw_begin_object(w, NULL);
        jw_string(w, "name", p->a ? p->a->name : p->b->name);
        jw_bool(w, "type", p->a && p->b && p->a->dtype != p->b->dtype);
        jw_bool(w, "shape", p->a && p->b && shapes_differ(p));
        tensor_json("a", &d->a, p->a, w);
        tensor_json("b", &d->b, p->b, w);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

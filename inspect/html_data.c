#include "inspect/html_report.h"

#include "base/base64.h"
#include "plots/colormap.h"
#include "plots/colorbar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_A_NUMBER = 255 };

static void bytes_json(const char *key, const unsigned char *bytes, size_t n, struct jwriter *w)
{
    struct buf text = {0};
    base64_append(&text, bytes, n);
    jw_string_n(w, key, text.len ? text.data : "", text.len);
    if (text.failed) w->out->failed = true;
    buf_clear(&text);
}

static void palettes_json(struct jwriter *w)
{
    static const char *const names[COLORMAP_COUNT] = {[COLORMAP_VIRIDIS] = "viridis", [COLORMAP_DIVERGING] = "diverging"};
    unsigned char rgb[N_LEVELS][3];
    jw_begin_object(w, "palettes");
    for (int m = 0; m < COLORMAP_COUNT; m++) {
        for (int i = 0; i < N_LEVELS; i++) colormap_color((enum colormap)m, i, rgb[i]);
        bytes_json(names[m], rgb[0], sizeof rgb, w);
    }
    jw_end_object(w);
}

/* ---- weights ---- */

/* Members of an object that is open: levels of the colours, one byte each. */
static void cells_json(const struct cells *c, const struct color_limits *l, double lo, const char *what, struct jwriter *w)
{
    size_t n = (size_t)(c->rows * c->cols);
    double hi = l->limit > 0 ? l->limit : 1; /* all zeros: any limits do */
    unsigned char *levels = malloc(n ? n : 1);
    if (!levels) {
        w->out->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        levels[i] = isfinite(c->values[i]) ? (unsigned char)colormap_level(c->values[i], lo * hi, hi) : NOT_A_NUMBER;
    jw_int(w, "rows", c->rows);
    jw_int(w, "cols", c->cols);
    jw_int(w, "row_step", c->row_step);
    jw_int(w, "col_step", c->col_step);
    jw_int(w, "n_rows", c->n_rows);
    jw_int(w, "n_cols", c->n_cols);
    jw_double(w, "lo", lo * hi);
    jw_double(w, "hi", hi);
    jw_double(w, "largest", l->largest);
    jw_string(w, "what", what);
    bytes_json("cells", levels, n, w);
    free(levels);
}

static void what_text(const struct cells *c, const char *reduced, char dst[120])
{
    if (c->row_step * c->col_step == 1)
        snprintf(dst, 120, "one cell per weight");
    else
        snprintf(dst, 120, "one cell per %lld × %lld weights: %s", (long long)c->row_step, (long long)c->col_step, reduced);
}

static void picture_json(const struct html_report *r, const struct cells *c, double lo, const char *reduced, struct jwriter *w)
{
    struct color_limits limits;
    struct error err;
    char what[120];
    if (color_limits(&limits, c->values, (size_t)(c->rows * c->cols), r->clip, &err) != STATUS_OK) {
        w->out->failed = true;
        return;
    }
    what_text(c, reduced, what);
    cells_json(c, &limits, lo, what, w);
}

static void heat_json(const struct html_report *r, struct jwriter *w)
{
    double lo = r->reduction == REDUCE_EXTREME ? -1 : 0;
    jw_begin_array(w, "heat");
    for (size_t i = 0; i < r->s.ckpt->n_tensors; i++) {
        const struct html_tensor *t = &r->tensors[i];
        if (!t->cells.values) continue;
        jw_begin_object(w, NULL);
        jw_string(w, "name", r->s.ckpt->tensors[i].t->name);
        picture_json(r, &t->cells, lo, reduction_text(r->reduction), w);
        if (t->error.cells.values) {
            jw_begin_object(w, "error");
            picture_json(r, &t->error.cells, 0, "the largest difference", w);
            jw_end_object(w);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* ---- attention ---- */

static void sides_json(const char *key, const struct buf *layers, int64_t n, struct jwriter *w)
{
    if (!layers) return;
    jw_begin_array(w, key);
    for (int64_t i = 0; i < n; i++) bytes_json(NULL, (const unsigned char *)layers[i].data, layers[i].len, w);
    jw_end_array(w);
}

static void attention_json(const struct html_report *r, struct jwriter *w)
{
    const struct html_attention *a = &r->attention;
    if (a->n == 0) return;
    const struct hparams *h = &r->s.model->hp;
    jw_begin_object(w, "attention");
    jw_int(w, "n", a->n);
    jw_int(w, "layers", h->n_layer);
    jw_int(w, "heads", h->n_head);
    jw_int(w, "prefix", a->prefix);
    jw_bool(w, "full", a->full);
    jw_begin_array(w, "windows");
    for (int64_t i = 0; i < h->n_layer; i++) jw_int(w, NULL, a->windows[i]);
    jw_end_array(w);
    jw_begin_array(w, "tokens");
    for (int64_t i = 0; i < a->n; i++) jw_string(w, NULL, a->labels.texts[i]);
    jw_end_array(w);
    sides_json("a", a->a, h->n_layer, w);
    sides_json("b", a->b, h->n_layer, w);
    jw_end_object(w);
}

/* A script element ends at "</script" wherever it stands, and "<!--" changes how its end is found: no '<' is left in it. */
static void put_safely(const struct buf *json, struct buf *out)
{
    size_t from = 0;
    for (size_t i = 0; i < json->len; i++) {
        if (json->data[i] != '<') continue;
        buf_append(out, json->data + from, i - from);
        buf_puts(out, "\\u003c");
        from = i + 1;
    }
    buf_append(out, json->data + from, json->len - from);
}

void html_data(const struct html_report *r, struct buf *out)
{
    struct buf json = {0};
    struct jwriter w = {.out = &json};
    jw_begin_object(&w, NULL);
    palettes_json(&w);
    heat_json(r, &w);
    attention_json(r, &w);
    jw_end_object(&w);
    if (json.failed)
        out->failed = true;
    else
        put_safely(&json, out);
    buf_clear(&json);
}

#include "inspect/attention.h"

#include "base/file.h"
#include "core/tokens.h"
#include "formats/npy.h"
#include "core/sources.h"
#include "inspect/attention_draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDS_DEFAULT = 2048 }; /* drawn unless --context asks for more */

/* Everything that one call holds */
struct show {
    const struct tool *tool;
    const struct attention_options *o;
    enum output_format format;
    struct model *a, *b;
    struct tokens tokens;
    struct token_labels labels;
    struct attention_request request;
    struct attention_view view;
    struct attention_picture picture;
    /* an array of numbers instead of a picture */
    struct outfile *array;
    uint64_t off;
    float *diff; /* (n, n) */
    char name_a[200], name_b[200];
};

/* --- what goes in --- */

static enum status check_options(const struct tool *t, const struct attention_options *o, struct error *err)
{
    int n_texts = (o->prompt != NULL) + (o->text != NULL) + (o->tokens != NULL);
    if (t->n_args != 1)
        return error_set(err, STATUS_USAGE, "--attention takes one model (a second one by --against), found %d", t->n_args);
    if (n_texts != 1)
        return error_set(err, STATUS_USAGE, "--attention needs one of --prompt, --text and --tokens, found %d of them", n_texts);
    if (o->layer < -1 || o->head < -1 || o->context < 0)
        return error_set(err, STATUS_USAGE, "--layer, --head, --context: expected 0 or more");
    return STATUS_OK;
}

static enum status open_model(struct model **m, const char *path, struct error *err)
{
    struct warnings warn = {0}; /* the screen without options tells them */
    enum status st = model_open(m, path, &(struct model_options){0}, &warn, err);
    warnings_clear(&warn);
    return st;
}

static enum status read_ids(struct show *s, struct error *err)
{
    const struct attention_options *o = s->o;
    const char *paths[] = {s->tool->args[0], o->against};
    const struct tokens_text text = {o->prompt, o->text, paths, o->against ? 2 : 1};
    TRY(o->tokens ? tokens_read(&s->tokens, o->tokens, s->a->hp.n_vocab, err)
                  : tokens_encode(&s->tokens, &text, s->a->hp.n_vocab, err));
    return token_labels_make(&s->labels, paths, text.n_paths, s->tokens.ids, s->tokens.n, err);
}

static int64_t ids_shown(const struct show *s)
{
    int64_t n = s->o->context > 0 ? s->o->context : IDS_DEFAULT;
    if (s->tokens.n < n) n = s->tokens.n;
    if (s->o->context > 0) return n;
    return model_usable_positions(s->a, s->b, n);
}

/* --- arrays --- */

static enum status begin_array(struct show *s, struct error *err)
{
    const struct attention_view *v = &s->view;
    const int64_t shape[] = {v->n_layers, v->n_heads, v->n, v->n};
    struct buf head = {0};
    uint64_t bytes;
    void *diff;
    if (!size_mul((uint64_t)(v->n_layers * v->n_heads), (uint64_t)(v->n * v->n) * sizeof(float), &bytes))
        return error_nomem(err, SIZE_MAX);
    TRY(mem_alloc(&diff, s->b ? (uint64_t)(v->n * v->n) : 1, sizeof(float), err));
    s->diff = diff;
    enum status st = npy_header(&head, DTYPE_F32, 4, shape, err);
    if (st == STATUS_OK) st = outfile_create(&s->array, s->o->output, OUTFILE_REPLACE, head.len + bytes, err);
    if (st == STATUS_OK) st = outfile_write_at(s->array, 0, head.data, head.len, err);
    s->off = head.len;
    buf_clear(&head);
    return st;
}

static enum status add_to_array(struct show *s, const struct attention_map *a, const struct attention_map *b,
                                struct error *err)
{
    size_t n = (size_t)(a->n * a->n), bytes = n * sizeof(float);
    for (size_t i = 0; b && i < n; i++) s->diff[i] = b->p[i] - a->p[i];
    TRY(outfile_write_at(s->array, s->off, b ? s->diff : a->p, bytes, err));
    s->off += bytes;
    return STATUS_OK;
}

static enum status take(void *ctx, const struct attention_map *a, const struct attention_map *b, struct error *err)
{
    struct show *s = ctx;
    if (s->array) TRY(add_to_array(s, a, b, err));
    return attention_view_add(&s->view, a, b, err);
}

/* --- what comes out --- */

static void put_gap(const struct attention_gap *g, struct jwriter *w)
{
    jw_begin_object(w, "max_difference");
    jw_double(w, "difference", g->diff);
    jw_double(w, "a", g->a);
    jw_double(w, "b", g->b);
    jw_int(w, "layer", g->layer);
    jw_int(w, "head", g->head);
    jw_int(w, "query", g->query);
    jw_int(w, "key", g->key);
    jw_end_object(w);
}

static void put_tokens(const struct show *s, struct jwriter *w)
{
    jw_begin_array(w, "tokens");
    for (int64_t i = 0; i < s->view.n; i++) {
        jw_begin_object(w, NULL);
        jw_int(w, "id", s->tokens.ids[i]);
        if (s->labels.has_tokenizer) jw_string(w, "label", s->labels.texts[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void put_layers(const struct attention_view *v, struct jwriter *w)
{
    jw_begin_array(w, "layers");
    for (int64_t i = 0; i < v->n_layers; i++) {
        jw_begin_object(w, NULL);
        jw_int(w, "layer", v->layer0 + i);
        jw_int(w, "window", v->windows[i]);
        jw_begin_array(w, "heads");
        for (int64_t k = 0; k < v->n_heads; k++) {
            const struct head_facts *f = &v->facts[i * v->n_heads + k];
            jw_begin_object(w, NULL);
            jw_int(w, "head", v->head0 + k);
            jw_double(w, "entropy", f->entropy);
            jw_double(w, "first_token", f->first);
            if (v->is_difference) put_gap(&f->gap, w);
            jw_end_object(w);
        }
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void report_json(const void *ctx, struct jwriter *w)
{
    const struct show *s = ctx;
    jw_begin_object(w, NULL);
    if (s->o->output) jw_string(w, "output", s->o->output);
    jw_string(w, "model", s->tool->args[0]);
    if (s->o->against) jw_string(w, "against", s->o->against);
    jw_int(w, "positions", s->view.n);
    jw_int(w, "tokens_given", s->tokens.n);
    jw_int(w, "prefix", s->view.prefix);
    jw_int(w, "not_finite", s->view.n_not_finite);
    put_tokens(s, w);
    put_layers(&s->view, w);
    if (s->view.is_difference) put_gap(attention_view_gap(&s->view), w);
    jw_end_object(w);
}

static void report_array(const struct show *s, struct buf *out)
{
    char gap[600];
    const struct attention_view *v = &s->view;
    buf_printf(out, "%s: float32 (%lld layers, %lld heads, %lld queries, %lld keys)%s\n", s->o->output,
               (long long)v->n_layers, (long long)v->n_heads, (long long)v->n, (long long)v->n,
               v->is_difference ? ", B - A" : "");
    if (!v->is_difference) return;
    attention_gap_text(gap, sizeof gap, attention_view_gap(v), &s->labels);
    buf_printf(out, "%s\n", gap);
}

static enum status save(const void *ctx, enum output_format f, struct buf *line, struct error *err)
{
    const struct show *s = ctx;
    if (f != OUTPUT_NPY) return attention_save(&s->picture, s->tool, s->o->output, f, line, err);
    report_array(s, line);
    return STATUS_OK;
}

static enum status print(const void *ctx, const struct terminal *t, struct buf *out, struct error *err)
{
    (void)err;
    const struct show *s = ctx;
    attention_print(&s->picture, t, out);
    return STATUS_OK;
}

static const struct output_kind attention_output = {save, print, report_json};

static enum status report(struct show *s, struct buf *out, struct jwriter *json, struct error *err)
{
    s->picture = (struct attention_picture){.view = &s->view,
                                            .labels = &s->labels,
                                            .name_a = s->name_a,
                                            .name_b = s->b ? s->name_b : NULL,
                                            .n_given = s->tokens.n};
    TRY(attention_scale(&s->picture, s->o->clip, err));
    return output_put(s->tool, &attention_output, s, s->format, out, json, err);
}

/* --- the whole --- */

static enum status capture(struct show *s, struct workers *w, struct error *err)
{
    struct progress progress = {0};
    const struct attention_options *o = s->o;
    s->request = (struct attention_request){.model = s->a,
                                            .against = s->b,
                                            .precision = (enum precision)o->precision,
                                            .causal = o->causal,
                                            .ids = s->tokens.ids,
                                            .n = ids_shown(s),
                                            .layer = o->layer,
                                            .head = o->head,
                                            .take = take,
                                            .ctx = s,
                                            .workers = w,
                                            .progress = &progress};
    TRY(attention_check(&s->request, err));
    int64_t n_layers = o->layer < 0 ? s->a->hp.n_layer : 1, n_heads = o->head < 0 ? s->a->hp.n_head : 1;
    int64_t side = s->format == OUTPUT_NPY ? 1 : attention_tile_side(n_layers, n_heads);
    TRY(attention_view_init(&s->view, &s->request, side, err));
    s->view.figures = s->tool->json || n_layers * n_heads == 1;
    if (s->format == OUTPUT_NPY) TRY(begin_array(s, err));
    progress_begin(&progress, s->tool->progress, s->tool->quiet, "running", attention_bytes(&s->request));
    enum status st = attention_capture(&s->request, err);
    progress_end(&progress);
    if (st != STATUS_OK || !s->array) return st;
    struct outfile *array = s->array;
    s->array = NULL;
    return tool_keep(s->tool, array, err);
}

static enum status run(struct show *s, struct workers *w, struct buf *out, struct jwriter *json, struct error *err)
{
    const struct attention_options *o = s->o;
    TRY(check_options(s->tool, o, err));
    TRY(output_format_of(&s->format, o->output, err));
    TRY(open_model(&s->a, s->tool->args[0], err));
    if (o->against) TRY(open_model(&s->b, o->against, err));
    output_source_name(s->tool->args[0], s->name_a, sizeof s->name_a);
    if (o->against) output_source_name(o->against, s->name_b, sizeof s->name_b);
    TRY(read_ids(s, err));
    TRY(capture(s, w, err));
    TRY(report(s, out, json, err));
    TRY(sources_check(s->tool, s->a->ckpt, err));
    return s->b ? sources_check(s->tool, s->b->ckpt, err) : STATUS_OK;
}

enum status attention_show(const struct tool *t, const struct attention_options *o, struct workers *w,
                           struct buf *out, struct jwriter *json, struct error *err)
{
    struct show s = {.tool = t, .o = o};
    enum status st = run(&s, w, out, json, err);
    outfile_discard(s.array);
    attention_view_clear(&s.view);
    token_labels_clear(&s.labels);
    tokens_clear(&s.tokens);
    model_close(s.a);
    model_close(s.b);
    free(s.diff);
    return st;
}

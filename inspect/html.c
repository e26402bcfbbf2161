#include "inspect/html.h"

#include "core/sources.h"
#include "inspect/html_report.h"
#include "inspect/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE_MAX = 64, /* cells of a picture of weights */
    SIDE_MIN = 12,
    CELLS_BYTES = 4 << 20, /* of all of them, as far as SIDE_MIN allows */
};

/* ---- what is asked for ---- */

static bool has_text(const struct attention_options *o)
{
    return o->prompt || o->text || o->tokens;
}

static enum status check_options(const struct tool *t, const struct picture_options *p, struct error *err)
{
    const struct attention_options *o = &p->attention;
    if (t->n_args != 1)
        return error_set(err, STATUS_USAGE, "--html takes one checkpoint (a second one by --against), found %d", t->n_args);
    if (p->heatmap || o->wanted || p->output) return error_set(err, STATUS_USAGE, "--html holds all pictures: --heatmap, --attention and -o have no place");
    if ((o->prompt != NULL) + (o->text != NULL) + (o->tokens != NULL) > 1)
        return error_set(err, STATUS_USAGE, "--prompt, --text and --tokens: only one of them");
    if (o->layer >= 0 || o->head >= 0) return error_set(err, STATUS_USAGE, "--html shows all heads: --layer and --head have no place");
    if (o->context < 0) return error_set(err, STATUS_USAGE, "--context: expected 0 or more");
    if (!(p->clip > 0 && p->clip <= 100)) return error_set(err, STATUS_USAGE, "option '--clip': expected a percentage above 0 and up to 100");
    return STATUS_OK;
}

/* ---- weights ---- */

static bool is_matrix(const struct tensor *t)
{
    return t->n_dims >= 2 && tensor_rows(t) > 1 && tensor_cols(t) > 1;
}

/* Integers and the like are no weights. */
static bool can_decode(const struct tensor *t)
{
    float ignored[256];
    unsigned char zeros[1024] = {0};
    const struct dtype_info *info = dtype_info(t->dtype);
    struct error err;
    return t->n_elements > 0 && info->block_len <= 256 && info->block_bytes <= sizeof zeros &&
           dtype_decode_f32(t->dtype, zeros, ignored, (int64_t)info->block_len, &err) == STATUS_OK;
}

static int64_t cells_per_side(const struct html_report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->s.ckpt->n_tensors; i++) n += is_matrix(r->s.ckpt->tensors[i].t);
    double side = n ? sqrt((double)CELLS_BYTES / (double)n) : SIDE_MAX;
    return side > SIDE_MAX ? SIDE_MAX : side < SIDE_MIN ? SIDE_MIN : (int64_t)side;
}

static enum status look_at_tensors(struct html_report *r, int64_t side, struct workers *w, struct progress *progress, struct error *err)
{
    for (size_t i = 0; i < r->s.ckpt->n_tensors; i++) {
        const struct ckpt_tensor *t = &r->s.ckpt->tensors[i];
        struct html_tensor *out = &r->tensors[i];
        if (!can_decode(t->t)) continue;
        TRY(stats_tensor(t, w, &out->stats, progress, err));
        out->has_stats = true;
        if (is_matrix(t->t)) TRY(scan_cells(t, w, r->reduction, side, &out->cells, err));
    }
    return STATUS_OK;
}

/* ---- the text ---- */

static enum status read_tokens(struct html_report *r, const struct attention_options *o, const char *const *paths, int n_paths, struct error *err)
{
    int64_t n_vocab = r->s.model->hp.n_vocab;
    const struct tokens_text text = {o->prompt, o->text, paths, n_paths};
    if (!has_text(o)) return tokens_make(&r->tokens, TOKENS_BUILT_IN, n_vocab, err);
    return o->tokens ? tokens_read(&r->tokens, o->tokens, n_vocab, err) : tokens_encode(&r->tokens, &text, n_vocab, err);
}

/* ---- all of it ---- */

static enum status need_model(const struct subject *s, struct error *err)
{
    if (s->model) return STATUS_OK;
    if (s->model_error.text[0]) {
        *err = s->model_error;
        return err->status;
    }
    return error_at(err, STATUS_UNSUPPORTED, s->path, NULL, "no known model family: a text cannot be run through it");
}

static uint64_t bytes_to_read(const struct html_report *r)
{
    uint64_t n = r->s.weight_bytes;
    return r->has_other ? n + 2 * r->s.weight_bytes + r->other.weight_bytes : n;
}

static enum status gather(struct html_report *r, const struct tool *t, const struct picture_options *p, struct workers *w, struct error *err)
{
    const struct attention_options *o = &p->attention;
    const char *paths[] = {t->args[0], p->against};
    int n_paths = p->against ? 2 : 1;
    struct progress progress = {0};
    if (has_text(o)) TRY(need_model(&r->s, err));
    r->tensors = arena_array(&r->mem, r->s.ckpt->n_tensors, sizeof *r->tensors);
    if (!r->tensors) return error_nomem(err, r->s.ckpt->n_tensors * sizeof *r->tensors);
    TRY(roles_init(&r->roles, &r->s, err));
    if (r->has_other) TRY(diff_make(&r->diff, &r->s, &r->other, err));
    if (has_text(o) || (r->has_other && r->s.model)) TRY(read_tokens(r, o, paths, n_paths, err));
    int64_t side = cells_per_side(r);
    progress_begin(&progress, t->progress, t->quiet, "reading", bytes_to_read(r));
    enum status st = look_at_tensors(r, side, w, &progress, err);
    if (st == STATUS_OK && r->has_other) st = html_errors(r, side, w, &progress, err);
    if (st == STATUS_OK && r->has_other) st = html_compare(r, o, w, &progress, err);
    if (st == STATUS_OK && has_text(o)) st = html_attention_make(r, paths, n_paths, o, w, err);
    progress_end(&progress);
    return st;
}

static enum status write_page(const struct html_report *r, const struct tool *t, const char *path, uint64_t *n_bytes, struct error *err)
{
    struct buf page = {0};
    html_page(r, &page);
    enum status st = output_write(t, path, &page, err);
    *n_bytes = page.len;
    buf_clear(&page);
    return st;
}

static void clear(struct html_report *r)
{
    for (size_t i = 0; r->tensors && i < r->s.ckpt->n_tensors; i++) {
        cells_clear(&r->tensors[i].cells);
        cells_clear(&r->tensors[i].error.cells);
    }
    if (r->s.model) html_attention_clear(&r->attention, r->s.model->hp.n_layer);
    if (r->has_other) diff_clear(&r->diff);
    roles_clear(&r->roles);
    tokens_clear(&r->tokens);
    if (r->has_other) subject_close(&r->other);
    subject_close(&r->s);
    arena_clear(&r->mem);
}

enum status html_report(const struct tool *t, const char *output, const struct picture_options *p, struct workers *w,
                        struct buf *out, struct jwriter *json, struct error *err)
{
    struct html_report r = {.reduction = (enum reduction)p->reduction, .clip = p->clip / 100};
    uint64_t n = 0;
    char size[32];
    TRY(check_options(t, p, err));
    TRY(subject_open(&r.s, t->args[0], err));
    enum status st = p->against ? subject_open(&r.other, p->against, err) : STATUS_OK;
    r.has_other = p->against && st == STATUS_OK;
    if (st == STATUS_OK) st = gather(&r, t, p, w, err);
    if (st == STATUS_OK) st = write_page(&r, t, output, &n, err);
    if (st == STATUS_OK) st = sources_check(t, r.s.ckpt, err);
    if (st == STATUS_OK && r.has_other) st = sources_check(t, r.other.ckpt, err);
    if (st == STATUS_OK && json) {
        jw_begin_object(json, NULL);
        jw_string(json, "output", output);
        jw_uint(json, "size_bytes", n);
        jw_end_object(json);
    } else if (st == STATUS_OK && !t->quiet) {
        buf_printf(out, "%s: %zu tensors, %s%s\n", output, r.s.ckpt->n_tensors, format_bytes(size, n),
                   r.attention.n == 0 ? "; --prompt TEXT adds attention" : "");
    }
    clear(&r);
    return st;
}

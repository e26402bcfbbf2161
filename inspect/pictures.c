#include "inspect/pictures.h"

#include "inspect/picture.h"

#include <string.h>

bool pictures_wanted(const struct picture_options *o)
{
    return o->heatmap || o->attention.wanted;
}

static bool has_text(const struct attention_options *a)
{
    return a->prompt || a->text || a->tokens;
}

static enum status need(const char *option, const char *what, struct error *err)
{
    return error_set(err, STATUS_USAGE, "%s goes with %s", option, what);
}

enum status pictures_check_alone(const struct picture_options *o, struct error *err)
{
    const struct attention_options *a = &o->attention;
    if (o->output) return need("-o", "a picture: --heatmap or --attention", err);
    if (o->against) return need("--against", "a picture: --heatmap or --attention", err);
    if (has_text(a)) return need(a->prompt ? "--prompt" : a->text ? "--text" : "--tokens", "--attention", err);
    if (a->layer >= 0 || a->head >= 0) return need(a->layer >= 0 ? "--layer" : "--head", "--attention", err);
    return STATUS_OK;
}

static enum status check_one(const struct tool *t, const struct picture_options *o, struct error *err)
{
    if ((o->heatmap != NULL) + o->attention.wanted > 1)
        return error_set(err, STATUS_USAGE, "--heatmap and --attention: only one of them");
    if (!(o->clip > 0 && o->clip <= 100))
        return error_set(err, STATUS_USAGE, "option '--clip': expected a percentage above 0 and up to 100");
    if (o->attention.wanted) return STATUS_OK;
    if (!o->output) return error_set(err, STATUS_USAGE, "--heatmap needs -o FILE.png");
    if (t->n_args != 1)
        return error_set(err, STATUS_USAGE, "--heatmap takes one checkpoint, found %d", t->n_args);
    struct picture_options alone = {.attention = o->attention};
    return pictures_check_alone(&alone, err);
}

static enum status heatmap(const struct tool *t, const struct picture_options *o, struct workers *workers,
                           struct buf *out, struct jwriter *w, struct error *err)
{
    struct subject s;
    struct buf line = {0};
    TRY(subject_open(&s, t->args[0], err));
    struct picture p = {o->heatmap, o->output, (enum reduction)o->reduction, o->clip / 100, workers};
    enum status st = picture_heatmap(&s, &p, &line, err);
    if (st == STATUS_OK && t->json) {
        jw_begin_object(w, NULL);
        jw_string(w, "output", o->output);
        jw_end_object(w);
    } else if (st == STATUS_OK && !t->quiet) {
        buf_append(out, line.data, line.len);
    }
    buf_clear(&line);
    subject_close(&s);
    return st;
}

static enum status attention(const struct tool *t, const struct picture_options *o, struct workers *workers,
                             struct buf *out, struct jwriter *w, struct error *err)
{
    struct attention_options a = o->attention;
    a.output = o->output;
    a.against = o->against;
    a.clip = o->clip / 100;
    return attention_show(t, &a, workers, out, w, err);
}

enum status pictures_run(const struct tool *t, const struct picture_options *o, struct buf *out, struct error *err)
{
    struct workers *workers;
    struct jwriter w = {.out = out, .pretty = true};
    TRY(check_one(t, o, err));
    TRY(workers_new(&workers, (int)t->threads, err));
    enum status st = o->heatmap ? heatmap(t, o, workers, out, &w, err) : attention(t, o, workers, out, &w, err);
    workers_free(workers);
    if (st == STATUS_OK && t->json) buf_puts(out, "\n");
    return st == STATUS_OK ? buf_check(out, err) : st;
}

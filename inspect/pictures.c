#include "inspect/pictures.h"

#include "core/sources.h"
#include "inspect/grid.h"
#include "inspect/histogram_show.h"
#include "inspect/picture.h"

#include <string.h>

/* The kinds of pictures; each is asked for by an option of its own. */
static int kinds_wanted(const struct picture_options *o)
{
    return (o->heatmap != NULL) + (o->grid != NULL) + (o->histogram != NULL) + o->attention.wanted;
}

bool pictures_wanted(const struct picture_options *o)
{
    return kinds_wanted(o) > 0;
}

static const char any_picture[] = "a picture: --heatmap, --grid, --histogram or --attention";

/* An option without what it goes with */
struct stray {
    bool given;
    const char *option, *with;
};

static enum status refuse(const struct stray *s, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].given) return error_set(err, STATUS_USAGE, "%s goes with %s", s[i].option, s[i].with);
    return STATUS_OK;
}

static enum status refuse_attention(const struct attention_options *a, struct error *err)
{
    static const char both[] = "--attention or --html";
    const struct stray strays[] = {{a->prompt != NULL, "--prompt", both},
                                   {a->text != NULL, "--text", both},
                                   {a->tokens != NULL, "--tokens", both},
                                   {a->context != 0, "--context", both},
                                   {a->causal != 0, "--positions", both},
                                   {a->precision != PRECISION_F32, "--precision", both},
                                   {a->layer >= 0, "--layer", "--attention"},
                                   {a->head >= 0, "--head", "--attention"}};
    return refuse(strays, sizeof strays / sizeof *strays, err);
}

enum status pictures_check_alone(const struct picture_options *o, struct error *err)
{
    const struct stray strays[] = {{o->output != NULL, "-o", any_picture},
                                   {o->against != NULL, "--against", "a picture or --html"},
                                   {o->reduction != REDUCE_EXTREME, "--reduce", "--heatmap, --grid or --html"},
                                   {o->clip != PICTURE_CLIP, "--clip", "a picture or --html"}};
    TRY(refuse(strays, sizeof strays / sizeof *strays, err));
    return refuse_attention(&o->attention, err);
}

static enum status check_one(const struct tool *t, const struct picture_options *o, struct error *err)
{
    if (kinds_wanted(o) > 1)
        return error_set(err, STATUS_USAGE, "--heatmap, --grid, --histogram and --attention: only one of them");
    if (!(o->clip > 0 && o->clip <= 100))
        return error_set(err, STATUS_USAGE, "option '--clip': expected a percentage above 0 and up to 100");
    const struct stray reduce = {o->reduction != REDUCE_EXTREME && !o->heatmap && !o->grid, "--reduce", "--heatmap, --grid or --html"};
    TRY(refuse(&reduce, 1, err));
    if (o->attention.wanted) return STATUS_OK;
    if (t->n_args != 1)
        return error_set(err, STATUS_USAGE, "a picture of weights takes one checkpoint (a second form by --against), found %d",
                         t->n_args);
    return refuse_attention(&o->attention, err);
}

static enum status weights(const struct tool *t, const struct picture_options *o, struct workers *workers,
                           struct buf *out, struct jwriter *w, struct error *err)
{
    struct weight_source s;
    struct weight_options p = {.output = o->output, .reduction = (enum reduction)o->reduction, .clip = o->clip / 100};
    TRY(weight_source_open(&s, t->args[0], o->against, workers, err));
    p.name = o->heatmap ? o->heatmap : o->grid ? o->grid : o->histogram;
    enum status st = o->heatmap ? picture_heatmap(t, &s, &p, out, w, err)
                     : o->grid  ? grid_show(t, &s, &p, out, w, err)
                                : histogram_show(t, &s, &p, out, w, err);
    if (st == STATUS_OK) st = sources_check(t, s.subject.ckpt, err);
    if (st == STATUS_OK && s.b) st = sources_check(t, s.b->ckpt, err);
    weight_source_close(&s);
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
    enum status st = o->attention.wanted ? attention(t, o, workers, out, &w, err) : weights(t, o, workers, out, &w, err);
    workers_free(workers);
    if (st == STATUS_OK && t->json) buf_puts(out, "\n");
    return st == STATUS_OK ? buf_check(out, err) : st;
}

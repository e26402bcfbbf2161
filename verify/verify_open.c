#include "verify/verify_call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status check_options(const struct tool *t, const struct verify_options *o, struct error *err)
{
    if ((o->tokens != NULL) + (o->prompt != NULL) + (o->text != NULL) > 1)
        return error_set(err, STATUS_USAGE, "--tokens, --prompt and --text: only one of them");
    if (o->imatrix) return error_set(err, STATUS_USAGE, "--imatrix belongs to --requantize");
    if ((o->trace || o->weights) && t->n_args < 2)
        return error_set(err, STATUS_USAGE, "--%s compares two sides, found one", o->trace ? "trace" : "weights");
    if ((o->plot || o->points) && t->n_args < 2)
        return error_set(err, STATUS_USAGE, "--%s shows how two sides differ, found one", o->plot ? "plot" : "points");
    if (o->weights && (o->trace || o->tokens || o->prompt || o->text || o->save_logits || o->points))
        return error_set(err, STATUS_USAGE, "--weights runs no forward pass: it goes without ids, logits, points and --trace");
    if (o->context <= 0 && o->context != CONTEXT_NOT_GIVEN)
        return error_set(err, STATUS_USAGE, "option '--context': expected a positive number");
    if (!isnan(o->tolerance) && (o->tolerance < 0 || t->n_args < 2))
        return error_set(err, STATUS_USAGE,
                         t->n_args < 2 ? "--tolerance is for two sides, found one"
                                       : "option '--tolerance': expected 0 or more");
    return STATUS_OK;
}

static enum status read_tokens(struct call *c, int64_t n_context, struct error *err)
{
    int64_t n_vocab = c->a->hp.n_vocab;
    const struct tokens_text text = {c->o->prompt, c->o->text, c->tool->args, c->tool->n_args};
    if (c->o->tokens) return tokens_read(&c->tokens, c->o->tokens, n_vocab, err);
    if (c->o->prompt || c->o->text) return tokens_encode(&c->tokens, &text, n_vocab, err);
    bool all = c->at.count > 0 || n_context < TOKENS_BUILT_IN;
    TRY(tokens_make(&c->tokens, all ? n_context : TOKENS_BUILT_IN, n_vocab, err));
    if (c->a->arch->frame && !c->causal) c->a->arch->frame(&c->a->hp, c->tokens.ids, c->tokens.n);
    return STATUS_OK;
}

/* --config is for the sides that do not carry a configuration of their own. */
static enum status open_model(struct call *c, size_t side, struct model **m, bool *config_used,
                              struct error *err)
{
    struct checkpoint *ckpt;
    TRY(ckpt_open(&ckpt, c->tool->args[side], err));
    const struct model_options opt = {.config_path = ckpt_gguf(ckpt) ? NULL : c->o->config};
    *config_used = *config_used || opt.config_path;
    return model_bind(m, ckpt, &opt, &c->warnings, err);
}

static enum status open_models(struct call *c, struct error *err)
{
    bool config_used = false;
    TRY(open_model(c, 0, &c->a, &config_used, err));
    if (c->tool->n_args > 1) {
        TRY(open_model(c, 1, &c->b, &config_used, err));
        TRY(verify_check_pair(c->a, c->b, err));
    }
    if (c->o->config && !config_used)
        return error_at(err, STATUS_USAGE, c->tool->args[0], NULL,
                        "--config is for checkpoints; a GGUF file has its own");
    return warnings_check(&c->warnings, err);
}

static enum status read_positions(struct call *c, struct error *err)
{
    const char *word = c->o->positions ? c->o->positions : "model";
    if (strcmp(word, "model") == 0) return STATUS_OK;
    c->causal = true;
    if (strcmp(word, "causal") == 0) return STATUS_OK;
    TRY(positions_parse(&c->at, word, err));
    if (c->o->context == CONTEXT_NOT_GIVEN) return STATUS_OK;
    return error_set(err, STATUS_USAGE,
                     "--positions says how long a window is: --context has no place beside it");
}

static enum status choose_context(struct call *c, int64_t *n_context, struct error *err)
{
    int64_t wanted = c->o->context == CONTEXT_NOT_GIVEN ? 0 : c->o->context;
    if (c->at.count == 0) return verify_context(n_context, c->a, c->b, wanted, err);
    *n_context = c->at.count;
    return STATUS_OK;
}

/* Windows of attention that differ, and that no window of ids is long enough to show */
static void warn_window(struct call *c, int64_t n_context)
{
    for (int64_t i = 0; c->b && i < c->a->hp.n_layer; i++) {
        int64_t x = hparams_window(&c->a->hp, i), y = hparams_window(&c->b->hp, i);
        int64_t shorter = x == 0 ? y : y == 0 || x < y ? x : y;
        if (x == y || shorter < n_context) continue;
        warnings_add(&c->warnings, "window-not-reached",
                     "layer %lld: A sees a window of %lld keys, B of %lld (0: all): %lld positions in a "
                     "window of ids do "
                     "not show the difference, --context %lld does",
                     (long long)i, (long long)x, (long long)y, (long long)n_context, (long long)shorter + 1);
        return;
    }
}

enum status call_open(struct call *c, int64_t *n_context, struct error *err)
{
    TRY(check_options(c->tool, c->o, err));
    TRY(read_positions(c, err));
    TRY(workers_new(&c->workers, (int)c->tool->threads, err));
    TRY(open_models(c, err));
    if (c->o->weights) return STATUS_OK;
    TRY(choose_context(c, n_context, err));
    TRY(read_tokens(c, *n_context, err));
    warn_window(c, c->tokens.n < *n_context ? c->tokens.n : *n_context);
    return warnings_check(&c->warnings, err);
}

void call_close(struct call *c)
{
    tokens_clear(&c->tokens);
    words_close(&c->words);
    free(c->points);
    outfile_discard(c->plot_out);
    outfile_discard(c->logits_out);
    outfile_discard(c->points_out);
    model_close(c->a);
    model_close(c->b);
    warnings_clear(&c->warnings);
    workers_free(c->workers);
}

#include "inspect/subject.h"

#include <stdlib.h>
#include <string.h>

static void count_sizes(struct subject *s)
{
    for (size_t i = 0; i < s->ckpt->n_files; i++) s->size_bytes += s->ckpt->files[i]->file.size_bytes;
    for (size_t i = 0; i < s->ckpt->n_tensors; i++) {
        s->weight_bytes += s->ckpt->tensors[i].t->size_bytes;
        s->n_elements += s->ckpt->tensors[i].t->n_elements;
    }
}

/* Only for what is shown: a folder without one is still listed. */
static enum status load_config(struct subject *s, bool *from_params, struct error *err)
{
    *from_params = false;
    if (ckpt_gguf(s->ckpt)) return STATUS_OK;
    struct warnings ignored = {0}; /* opening the model tells them */
    struct arena a = {0};
    const char *path;
    enum status st = model_load_config(&s->config, &path, from_params, s->ckpt, NULL, &a, &ignored, err);
    warnings_clear(&ignored);
    arena_clear(&a);
    return st == STATUS_NOTFOUND ? STATUS_OK : st;
}

/* Binding unpacks integers that stand two in a byte: the lists show what the file has. */
static bool binding_changes(const struct checkpoint *c)
{
    for (size_t i = 0; i < c->n_tensors && !ckpt_gguf(c); i++)
        if (c->tensors[i].t->dtype == DTYPE_I8) return true;
    return false;
}

/* That a checkpoint is no model is something to show; that memory or the disk failed is not. */
static enum status excuse(enum status st, const struct error *why, struct error *err)
{
    if (!status_of_machine(st)) return STATUS_OK;
    *err = *why;
    return st;
}

/* The model owns the checkpoint that it is bound to, also when that fails: the lists need one whatever becomes of the model. */
static enum status open_model(struct subject *s, const struct model_options *opt, struct error *err)
{
    if (binding_changes(s->ckpt)) {
        enum status st = model_open(&s->model, s->path, opt, &s->warnings, &s->model_error);
        if (st != STATUS_OK) s->model = NULL;
        return excuse(st, &s->model_error, err);
    }
    struct checkpoint *c = s->ckpt;
    s->ckpt = NULL;
    enum status st = model_bind(&s->model, c, opt, &s->warnings, &s->model_error);
    if (st == STATUS_OK) {
        s->ckpt = s->model->ckpt;
        return STATUS_OK;
    }
    s->model = NULL;
    TRY(excuse(st, &s->model_error, err));
    return ckpt_open(&s->ckpt, s->path, err);
}

/* Of a checkpoint that says what it is, in words that are not known here: which. */
static enum status explain_unknown(struct subject *s, const struct model_options *opt, struct error *err)
{
    struct warnings unheard = {0};
    struct model *none = NULL;
    enum status st = STATUS_OK;
    if (s->config || ckpt_gguf(s->ckpt)) st = model_open(&none, s->path, opt, &unheard, &s->model_error);
    model_close(none);
    warnings_clear(&unheard);
    return excuse(st, &s->model_error, err);
}

static enum status open_subject(struct subject *s, const char *path, const struct model_options *opt, struct error *err)
{
    memset(s, 0, sizeof *s);
    s->path = path;
    enum status st;
    TRY(ckpt_open(&s->ckpt, path, err));
    count_sizes(s);
    bool from_params;
    TRY_OUT(load_config(s, &from_params, err));
    TRY_OUT(model_detect(s->ckpt, s->config, &s->arch, &s->why, err));
    if (from_params && s->arch) s->why = "params.json";
    if (s->arch)
        TRY_OUT(open_model(s, opt, err));
    else
        TRY_OUT(explain_unknown(s, opt, err));
    TRY_OUT(tokenizer_files_look(&s->tokenizer_files, s->ckpt, err));
    return STATUS_OK;
out:
    subject_close(s);
    return st;
}

enum status subject_open(struct subject *s, const char *path, struct error *err)
{
    return open_subject(s, path, &(struct model_options){0}, err);
}

enum status subject_open_headers(struct subject *s, const char *path, struct error *err)
{
    return open_subject(s, path, &(struct model_options){.headers_only = true}, err);
}

void subject_close(struct subject *s)
{
    if (!s->model || s->model->ckpt != s->ckpt) ckpt_close(s->ckpt);
    model_close(s->model);
    json_free(s->config);
    warnings_clear(&s->warnings);
    memset(s, 0, sizeof *s);
}

const struct ckpt_tensor *subject_tensors(const struct subject *s, size_t *n)
{
    *n = s->ckpt->n_tensors;
    return s->ckpt->tensors;
}

const char *subject_dtype_name(const struct subject *s, enum dtype t)
{
    const struct dtype_info *info = dtype_info(t);
    const char *first = ckpt_gguf(s->ckpt) ? info->ggml_name : info->st_name;
    const char *second = ckpt_gguf(s->ckpt) ? info->st_name : info->ggml_name;
    return first ? first : second ? second : info->name;
}

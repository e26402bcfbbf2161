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

enum status subject_open(struct subject *s, const char *path, struct error *err)
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
    if (s->arch) {
        /* The model takes over a checkpoint of its own: this one stays for the listings whatever becomes of the model. */
        struct model_options opt = {0};
        if (model_open(&s->model, path, &opt, &s->warnings, &s->model_error) != STATUS_OK) s->model = NULL;
    }
    return STATUS_OK;
out:
    subject_close(s);
    return st;
}

void subject_close(struct subject *s)
{
    model_close(s->model);
    json_free(s->config);
    ckpt_close(s->ckpt);
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

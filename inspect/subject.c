#include "inspect/subject.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 16 << 20 };

static void count_sizes(struct subject *s)
{
    for (size_t i = 0; i < s->ckpt->n_files; i++) s->size_bytes += s->ckpt->files[i]->file.size_bytes;
    for (size_t i = 0; i < s->ckpt->n_tensors; i++) {
        s->weight_bytes += s->ckpt->tensors[i].t->size_bytes;
        s->n_elements += s->ckpt->tensors[i].t->n_elements;
    }
}

static enum status load_config(struct subject *s, struct error *err)
{
    if (ckpt_gguf(s->ckpt)) return STATUS_OK;
    struct arena a = {0};
    const char *path = path_join(&a, s->ckpt->dir, "config.json");
    enum status st = !path               ? error_nomem(err, 0)
                     : file_exists(path) ? json_load(&s->config, path, CONFIG_BYTES_MAX, err)
                                         : STATUS_OK;
    arena_clear(&a);
    return st;
}

enum status subject_open(struct subject *s, const char *path, struct error *err)
{
    memset(s, 0, sizeof *s);
    s->path = path;
    enum status st;
    TRY(ckpt_open(&s->ckpt, path, err));
    count_sizes(s);
    TRY_OUT(load_config(s, err));
    TRY_OUT(model_detect(s->ckpt, s->config, &s->arch, &s->why, err));
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

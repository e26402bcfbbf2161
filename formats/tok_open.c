/* A tokenizer by the path that a user names: a folder, a file in one, or a GGUF. */
#include "formats/checkpoint.h"
#include "formats/encoder.h"

#include <stdlib.h>
#include <string.h>

static enum status from_gguf(struct text_coder *c, const char *path, struct error *err)
{
    TRY(container_open(&c->gguf, path, err));
    return tokenizer_from_gguf(&c->tokenizer, c->gguf, err);
}

static enum status from_folder(struct text_coder *c, const char *dir, struct error *err)
{
    TRY(tokenizer_load(&c->tokenizer, dir, 0, &c->warnings, err));
    if (c->tokenizer->kind != TOKENIZER_NONE) return STATUS_OK;
    struct checkpoint *ckpt; /* a folder may hold a GGUF, or be Meta's with the tokenizer in the one above */
    enum status opened = ckpt_open(&ckpt, dir, err);
    if (status_of_machine(opened)) return opened;
    if (opened != STATUS_OK) return STATUS_OK;
    struct container *g = ckpt_gguf(ckpt);
    bool is_gguf = g != NULL, above = strcmp(ckpt->tokenizer_dir, ckpt->dir) != 0;
    char *path = is_gguf ? strdup(g->file.path) : above ? strdup(ckpt->tokenizer_dir) : NULL;
    ckpt_close(ckpt);
    if (!path) return STATUS_OK;
    tokenizer_free(c->tokenizer);
    c->tokenizer = NULL;
    warnings_clear(&c->warnings);
    enum status st = is_gguf ? from_gguf(c, path, err) : tokenizer_load(&c->tokenizer, path, 0, &c->warnings, err);
    free(path);
    return st;
}

static enum status from_path(struct text_coder *c, const char *path, struct error *err)
{
    if (file_is_dir(path)) return from_folder(c, path, err);
    const struct container_format *format;
    if (!file_exists(path)) return error_at(err, STATUS_NOTFOUND, path, NULL, "no such file or folder");
    TRY(container_probe(&format, path, err));
    if (format && strcmp(format->name, "gguf") == 0) return from_gguf(c, path, err);
    const char *base = path_base(path);
    char *dir = base == path ? strdup(".") : strndup(path, (size_t)(base - path));
    if (!dir) return error_nomem(err, strlen(path));
    enum status st = from_folder(c, dir, err);
    free(dir);
    return st;
}

/* There is none, or none that is known here. */
static enum status refuse_none(const struct text_coder *c, const char *path, struct error *err)
{
    for (size_t i = 0; i < c->warnings.count; i++) {
        const char *text = c->warnings.items[i].text; /* the reason; what it means for an output */
        if (strcmp(c->warnings.items[i].code, "tokenizer-unsupported") == 0)
            return error_at(err, STATUS_NOTFOUND, path, NULL, "no tokenizer that can be used: %.*s", (int)strcspn(text, ";"), text);
    }
    return error_at(err, STATUS_NOTFOUND, path, NULL, "no tokenizer beside the weights");
}

static enum status open_path(struct text_coder *c, const char *path, bool with_encoder, struct error *err)
{
    *c = (struct text_coder){0};
    enum status st = from_path(c, path, err);
    if (st == STATUS_OK && c->tokenizer->kind == TOKENIZER_NONE) st = refuse_none(c, path, err);
    if (st == STATUS_OK && with_encoder) st = encoder_new(&c->encoder, c->tokenizer, err);
    if (st == STATUS_OK) return STATUS_OK;
    error_in(err, path);
    text_coder_close(c);
    return st;
}

enum status text_coder_open(struct text_coder *c, const char *path, struct error *err)
{
    return open_path(c, path, true, err);
}

enum status text_coder_find(struct text_coder *c, const char *path, struct error *err)
{
    return open_path(c, path, false, err);
}

void text_coder_close(struct text_coder *c)
{
    encoder_free(c->encoder);
    tokenizer_free(c->tokenizer);
    container_close(c->gguf);
    warnings_clear(&c->warnings);
    *c = (struct text_coder){0};
}

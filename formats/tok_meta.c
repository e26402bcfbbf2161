/* Llama 3 in Meta's own form: the rank file lacks the special tokens, which its code numbers from the last rank on. */
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_build.h"

#include <stdio.h>
#include <string.h>

/* "*" stands for the next reserved token. Behind the list all are reserved. */
static const char *const llama30[] = {"begin_of_text", "end_of_text", "*",      "*", "*", "*", "start_header_id",
                                      "end_header_id", "*",           "eot_id", NULL};
static const char *const llama31[] = {"begin_of_text", "end_of_text",     "*",             "*",
                                      "finetune_right_pad_id", "*",       "start_header_id", "end_header_id",
                                      "eom_id",        "eot_id",          "python_tag",    NULL};

bool tok_is_meta(const struct tok_build *b)
{
    const char *type = b->model_config ? json_string(json_get(json_root(b->model_config), "model_type")) : NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/params.json", b->dir);
    return (type && strcmp(type, "llama") == 0) || file_exists(path);
}

/* 3.1 and later say use_scaled_rope in params.json, some files one level down. */
static enum status is_scaled(struct tok_build *b, bool *scaled, struct error *err)
{
    struct json *doc;
    const char *path = path_join(&b->t->mem, b->dir, "params.json");
    if (!path) return error_nomem(err, 1);
    if (!file_exists(path)) {
        const struct jvalue *config = b->model_config ? json_root(b->model_config) : NULL;
        *scaled = json_is(json_get(config, "rope_scaling"), JTYPE_OBJECT);
        return STATUS_OK;
    }
    TRY(json_load(&doc, path, LIMIT_PARAMS, err));
    const struct jvalue *root = json_root(doc), *inner = json_get(root, "model");
    *scaled = json_is_true(json_get(root, "use_scaled_rope")) || json_is_true(json_get(inner, "use_scaled_rope"));
    json_free(doc);
    return STATUS_OK;
}

static enum status add_specials(struct tok_build *b, const char *const *names, struct error *err)
{
    int reserved = 0;
    bool listed = true;
    for (int i = 0; i < TOK_META_SPECIALS; i++) {
        char text[48];
        listed = listed && names[i];
        bool named = listed && names[i][0] != '*';
        int n = named ? snprintf(text, sizeof text, "<|%s|>", names[i])
                      : snprintf(text, sizeof text, "<|reserved_special_token_%d|>", reserved++);
        struct added_token a = {.id = b->n_pieces + i, .text = tok_text(b, text, (size_t)n), .special = true};
        if (a.id >= b->n_rows) break;
        TRY(tok_add(b, &a, b->dir, err));
        const struct {
            const char *name;
            enum special_token special;
        } ids[] = {{"begin_of_text", SPECIAL_BOS},
                   {"end_of_text", SPECIAL_EOS},
                   {"finetune_right_pad_id", SPECIAL_PAD},
                   {"eot_id", SPECIAL_EOT},
                   {"eom_id", SPECIAL_EOM}};
        for (size_t k = 0; named && k < sizeof ids / sizeof ids[0]; k++)
            if (strcmp(names[i], ids[k].name) == 0) b->default_ids[ids[k].special] = a.id;
    }
    return STATUS_OK;
}

enum status tok_meta_append(struct tok_build *b, struct error *err)
{
    bool scaled = false;
    if (!b->from_ranks || b->glm != GLM_NONE) return STATUS_OK;
    TRY(is_scaled(b, &scaled, err));
    b->t->add_bos = SAID_YES;
    return add_specials(b, scaled ? llama31 : llama30, err);
}

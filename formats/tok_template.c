/* Chat templates: in tokenizer_config.json (a string, or a list of {name, template}), in chat_template.jinja
 * with further ones in additional_chat_templates/NAME.jinja, or in chat_template.json. A file of its own
 * stands above the config, as for Hugging Face. */
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_build.h"

#include <string.h>

struct templates {
    struct chat_template *items;
    size_t n;
};

static enum status template_add(struct tok_build *b, struct templates *all, const char *name,
                                const char *text, struct error *err)
{
    if (all->n == LIMIT_TEMPLATES)
        return error_at(err, STATUS_RANGE, b->dir, NULL, "more than %d chat templates", LIMIT_TEMPLATES);
    struct arena *mem = &b->t->mem;
    struct chat_template copy = {arena_strndup(mem, name, strlen(name)),
                                 arena_strndup(mem, text, strlen(text))};
    if (!copy.name || !copy.text) return error_nomem(err, strlen(text));
    if (strcmp(name, "default") == 0 && all->n > 0) { /* the main one comes first */
        memmove(all->items + 1, all->items, all->n * sizeof *all->items);
        all->items[0] = copy;
    } else {
        all->items[all->n] = copy;
    }
    all->n++;
    return STATUS_OK;
}

static enum status add_json(struct tok_build *b, struct templates *all, const struct jvalue *v,
                            struct error *err)
{
    const char *text = json_string(v);
    if (text) return template_add(b, all, "default", text, err);
    bool named = json_is(v, JTYPE_OBJECT); /* {name: template}, an older form of the list */
    for (const struct jvalue *e = json_first(v); e; e = json_next(e)) {
        const char *name = named ? json_key(e) : json_string(json_get(e, "name"));
        text = named ? json_string(e) : json_string(json_get(e, "template"));
        if (name && *name && text) TRY(template_add(b, all, name, text, err));
    }
    return STATUS_OK;
}

static enum status add_file(struct tok_build *b, struct templates *all, const char *path, const char *name,
                            struct error *err)
{
    struct buf text = {0};
    TRY(file_read_all(&text, path, LIMIT_TEMPLATE, err));
    enum status st = STATUS_OK;
    if (text.len > 0 && !utf8_valid(text.data, text.len))
        st = error_at(err, STATUS_FORMAT, path, NULL, "chat template is not UTF-8 without NUL");
    else if (text.len > 0)
        st = template_add(b, all, name, text.data, err);
    buf_clear(&text);
    return st;
}

static enum status add_folder(struct tok_build *b, struct templates *all, const char *dir, struct error *err)
{
    char **names;
    size_t n;
    if (!file_is_dir(dir)) return STATUS_OK;
    TRY(dir_list(dir, &b->t->mem, &names, &n, err));
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (len <= 6 || strcmp(names[i] + len - 6, ".jinja") != 0) continue;
        const char *path = path_join(&b->t->mem, dir, names[i]);
        const char *stem = arena_strndup(&b->t->mem, names[i], len - 6);
        if (!path || !stem) return error_nomem(err, len);
        TRY(add_file(b, all, path, stem, err));
    }
    return STATUS_OK;
}

static enum status add_chat_json(struct tok_build *b, struct templates *all, const char *path,
                                 struct error *err)
{
    struct json *doc;
    TRY(json_load(&doc, path, LIMIT_TEMPLATE, err));
    enum status st = add_json(b, all, json_get(json_root(doc), "chat_template"), err);
    json_free(doc);
    return st;
}

enum status tok_read_templates(struct tok_build *b, struct error *err)
{
    struct arena *mem = &b->t->mem;
    const char *jinja = path_join(mem, b->dir, "chat_template.jinja"),
               *json = path_join(mem, b->dir, "chat_template.json");
    const char *folder = path_join(mem, b->dir, "additional_chat_templates");
    struct templates all = {.items = arena_array(mem, LIMIT_TEMPLATES, sizeof *all.items)};
    if (!jinja || !json || !folder || !all.items) return error_nomem(err, 1);
    const struct jvalue *in_config = b->config ? json_get(json_root(b->config), "chat_template") : NULL;
    if (file_exists(jinja)) {
        TRY(add_file(b, &all, jinja, "default", err));
        TRY(add_folder(b, &all, folder, err));
        const char *other = json_string(in_config);
        if (other && all.n > 0 && strcmp(other, all.items[0].text) != 0)
            warnings_add(
                b->warnings, "chat-template-differs",
                "chat_template.jinja and the template in tokenizer_config.json differ; the file is taken");
    } else if (in_config && !json_is(in_config, JTYPE_NULL)) {
        TRY(add_json(b, &all, in_config, err));
    } else if (file_exists(json)) {
        TRY(add_chat_json(b, &all, json, err));
    }
    b->t->templates = all.items;
    b->t->n_templates = all.n;
    return STATUS_OK;
}

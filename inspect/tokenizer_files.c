#include "inspect/tokenizer_files.h"

#include "base/json.h"

#include <string.h>

enum { TOKENIZER_CONFIG_MAX = 16 << 20 };

const char *const tokenizer_file_names[TOKENIZER_FILES] = {"tokenizer.json",        "tokenizer.model",         "vocab.json",        "merges.txt",
                                                           "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"};

static int64_t template_bytes(const struct jvalue *v)
{
    const char *text = json_string(v);
    if (text) return (int64_t)strlen(text);
    int64_t n = -1; /* several, with names */
    for (const struct jvalue *e = json_first(v); e; e = json_next(e)) {
        text = json_string(json_get(e, "template"));
        if (text) n = (n < 0 ? 0 : n) + (int64_t)strlen(text);
    }
    return n;
}

static enum status read_config(struct tokenizer_files *t, const char *path, struct error *err)
{
    struct json *doc;
    enum status st = json_load(&doc, path, TOKENIZER_CONFIG_MAX, err);
    if (st != STATUS_OK) return status_of_machine(st) ? st : STATUS_OK;
    const char *class = json_string(json_get(json_root(doc), "tokenizer_class"));
    if (class) text_escape(class, t->class, sizeof t->class);
    t->template_bytes = template_bytes(json_get(json_root(doc), "chat_template"));
    json_free(doc);
    return STATUS_OK;
}

static enum status read_size(struct tokenizer_files *t, const char *path, struct error *err)
{
    struct file f;
    enum status st = file_open(&f, path, err);
    if (st != STATUS_OK) return status_of_machine(st) ? st : STATUS_OK;
    t->template_bytes = (int64_t)f.size_bytes;
    file_close(&f);
    return STATUS_OK;
}

static enum status look(struct tokenizer_files *t, const struct checkpoint *c, struct arena *mem, struct error *err)
{
    for (int i = 0; i < TOKENIZER_FILES; i++) {
        const char *name = tokenizer_file_names[i];
        const char *path = path_join(mem, strcmp(name, "tokenizer.model") == 0 ? c->tokenizer_dir : c->dir, name);
        if (!path) return error_nomem(err, strlen(name));
        TRY(file_look(path, &t->there[i], err));
        if (!t->there[i]) continue;
        if (strcmp(name, "tokenizer_config.json") == 0) TRY(read_config(t, path, err));
        if (strcmp(name, "chat_template.jinja") == 0) TRY(read_size(t, path, err));
    }
    return STATUS_OK;
}

enum status tokenizer_files_look(struct tokenizer_files *t, const struct checkpoint *c, struct error *err)
{
    struct arena mem = {0};
    *t = (struct tokenizer_files){.template_bytes = -1};
    enum status st = ckpt_gguf(c) ? STATUS_OK : look(t, c, &mem, err);
    arena_clear(&mem);
    return st;
}

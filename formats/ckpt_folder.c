/* What a folder holds: weights of one format, found by content. */
#include "base/limits.h"
#include "formats/ckpt_build.h"

#include "formats/meta_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* Formats a folder is searched for, in order of preference; suffixes only decide which files are looked into. */
static const struct {
    const char *format, *kind;
    const char *suffixes[5];
    const char *main_name; /* taken alone when it is there */
} searches[] = {
    {"safetensors", "safetensors", {".safetensors"}, "model.safetensors"},
    {"torch-zip", "PyTorch", {".bin", ".pth", ".pt", ".ckpt"}, "pytorch_model.bin"},
    {"torch-legacy", "PyTorch", {".bin", ".pth", ".pt", ".ckpt"}, "pytorch_model.bin"},
    {"gguf", "GGUF", {".gguf"}, NULL},
};
enum { N_SEARCHES = sizeof searches / sizeof searches[0] };

/* Beginnings of names that training leaves beside the weights: pickles of other things, never opened. */
static const char *const never_weights[] = {"training_args", "trainer_state", "optimizer",
                                            "optim",         "scheduler",     "scaler",
                                            "rng_state",     "random_states", "zero_pp_rank"};

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n > k && memcmp(s + n - k, suffix, k) == 0;
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* ---- Meta's shards ---- */

static enum status load_params(struct checkpoint *c, struct error *err)
{
    char *path = path_join(&c->mem, c->dir, "params.json");
    if (!path) return error_nomem(err, strlen(c->dir));
    return file_exists(path) ? json_load(&c->params, path, LIMIT_PARAMS, err) : STATUS_OK;
}

/* LLaMA 1 and 2 have one tokenizer for all sizes, in the folder above theirs. */
static enum status find_tokenizer(struct checkpoint *c, struct error *err)
{
    static const char name[] = "tokenizer.model";
    char *own = path_join(&c->mem, c->dir, name), *up = path_join(&c->mem, c->dir, "..");
    char *above = up ? path_join(&c->mem, up, name) : NULL;
    if (!own || !above) return error_nomem(err, strlen(c->dir));
    if (!file_exists(own) && file_exists(above)) c->tokenizer_dir = up;
    return STATUS_OK;
}

static enum status open_meta(struct checkpoint *c, struct names *shards, struct error *err)
{
    size_t n_beside;
    for (size_t i = 0; i < shards->count; i++) {
        unsigned number;
        char name[32];
        if (meta_is_shard(shards->items[i], &number) && number == i) continue;
        snprintf(name, sizeof name, "consolidated.%02zu.pth", i);
        return ckpt_missing_shard(c->path, arena_strndup(&c->mem, name, strlen(name)), err);
    }
    TRY(load_params(c, err));
    TRY(find_tokenizer(c, err));
    TRY(ckpt_open_names(c, shards, c->path, err));
    TRY(meta_join(c, &n_beside, err));
    if (n_beside > 0)
        TRY(ckpt_add_note(c, arena_printf(&c->mem, "%zu tensors beside the model's are passed over", n_beside), err));
    c->format = "meta";
    return ckpt_add_tensors(c, err);
}

/* The folder's consolidated.NN.pth; *found tells whether there are any. */
enum status ckpt_try_meta(struct checkpoint *c, char **names, size_t n, bool *found, struct error *err)
{
    struct names shards = {0};
    enum status st = STATUS_OK;
    unsigned number;
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        if (meta_is_shard(names[i], &number)) st = names_add(&shards, names[i], err);
    *found = shards.count > 0;
    if (st == STATUS_OK && *found) st = open_meta(c, &shards, err);
    free(shards.items);
    return st;
}

/* ---- folders ---- */

static bool wanted_suffix(const char *name, size_t search)
{
    for (const char *const *s = searches[search].suffixes; *s; s++)
        if (has_suffix(name, *s)) return true;
    return false;
}

static bool is_training_file(const char *name)
{
    for (size_t i = 0; i < sizeof never_weights / sizeof never_weights[0]; i++)
        if (has_prefix(name, never_weights[i])) return true;
    return false;
}

/* Names of the folder's files that are of this format, by content. */
static enum status find_weights(struct checkpoint *c, size_t search, char **names, size_t n,
                                struct names *found, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.' || !wanted_suffix(names[i], search) || is_training_file(names[i])) continue;
        char *path = path_join(&c->mem, c->dir, names[i]);
        if (!path) return error_nomem(err, strlen(names[i]));
        const struct container_format *f = NULL;
        if (!file_is_special(path)) TRY(container_probe(&f, path, err));
        if (f && strcmp(f->name, searches[search].format) == 0) TRY(names_add(found, names[i], err));
    }
    return STATUS_OK;
}

enum status ckpt_weight_names(const char *dir, struct arena *mem, char ***names, size_t *n, struct error *err)
{
    size_t n_all;
    TRY(dir_list(dir, mem, names, &n_all, err));
    *n = 0;
    for (size_t i = 0; i < n_all; i++) {
        bool wanted = false;
        for (size_t s = 0; s < N_SEARCHES; s++) wanted |= wanted_suffix((*names)[i], s);
        if (wanted && (*names)[i][0] != '.' && !is_training_file((*names)[i])) (*names)[(*n)++] = (*names)[i];
    }
    return STATUS_OK;
}

/* The main file alone; else a numbered set alone; else all. What is left out is said. */
static enum status choose_weights(struct checkpoint *c, size_t search, const struct names *found,
                                  struct names *chosen, struct error *err)
{
    const char *main_name = searches[search].main_name;
    struct part first = {0}, p;
    const char *first_name = NULL;
    bool one_set = false;
    for (size_t i = 0; i < found->count; i++) {
        if (!part_parse(found->items[i], &p)) continue;
        one_set = !first_name || (one_set && part_same_set(found->items[i], &p, first_name, &first));
        if (!first_name) first_name = found->items[i], first = p;
    }
    if (main_name && names_have(found, main_name))
        TRY(names_add(chosen, main_name, err));
    else if (one_set)
        TRY(part_names(c, first_name, &first, chosen, err));
    else if (strcmp(searches[search].format, "gguf") == 0 && found->count > 1)
        return error_at(err, STATUS_MISMATCH, c->path, NULL,
                        "%zu GGUF files that are no set: name one of them ('%s', '%s', ...)", found->count,
                        found->items[0], found->items[1]);
    else
        for (size_t i = 0; i < found->count; i++) TRY(names_add(chosen, found->items[i], err));
    for (size_t i = 0; i < found->count; i++)
        if (!names_have(chosen, found->items[i]))
            TRY(ckpt_add_note(
                c, arena_printf(&c->mem, "%s is passed over: %s is taken", found->items[i], chosen->items[0]),
                err));
    return STATUS_OK;
}

static enum status note_other_formats(struct checkpoint *c, size_t search, char **names, size_t n,
                                      struct error *err)
{
    for (size_t s = search + 1; s < N_SEARCHES; s++) {
        struct names other = {0};
        enum status st = find_weights(c, s, names, n, &other, err);
        const char *first = other.count ? other.items[0] : NULL;
        size_t count = other.count;
        free(other.items);
        if (st != STATUS_OK && st != STATUS_NOMEM) continue; /* what is not needed need not be readable */
        TRY(st);
        if (first)
            TRY(ckpt_add_note(c,
                         arena_printf(&c->mem, "%zu %s file%s (%s) passed over: the folder holds %s as well",
                                      count, searches[s].kind, count > 1 ? "s" : "", first,
                                      searches[search].kind),
                         err));
    }
    return STATUS_OK;
}

static size_t search_of(const char *format)
{
    size_t s = 0;
    while (s + 1 < N_SEARCHES && strcmp(searches[s].format, format) != 0) s++;
    return s;
}

static enum status open_found(struct checkpoint *c, size_t search, const struct names *found,
                              struct error *err)
{
    struct names chosen = {0};
    enum status st = choose_weights(c, search, found, &chosen, err);
    if (st == STATUS_OK) st = ckpt_open_files(c, &chosen, c->path, err);
    free(chosen.items);
    return st;
}

enum status ckpt_open_dir(struct checkpoint *c, struct error *err)
{
    char **names;
    size_t n;
    TRY(dir_list(c->dir, &c->mem, &names, &n, err));
    for (size_t s = 0; s < N_SEARCHES; s++) {
        if (s < N_INDEX_NAMES) {
            char *index = path_join(&c->mem, c->dir, ckpt_index_names[s]);
            if (!index) return error_nomem(err, 64);
            if (file_exists(index)) {
                TRY(ckpt_load_index(c, index, err));
                TRY(ckpt_open_index(c, err));
                return note_other_formats(c, search_of(c->format), names, n, err);
            }
        }
        bool any = false;
        if (strcmp(searches[s].format, "torch-zip") == 0) TRY(ckpt_try_meta(c, names, n, &any, err));
        if (any) return note_other_formats(c, s, names, n, err);
        struct names found = {0};
        enum status st = find_weights(c, s, names, n, &found, err);
        any = found.count > 0;
        if (st == STATUS_OK && any) st = open_found(c, s, &found, err);
        free(found.items);
        if (st != STATUS_OK) return st;
        if (any) return note_other_formats(c, s, names, n, err);
    }
    return error_at(err, STATUS_NOTFOUND, c->path, NULL,
                    "no weights in this folder: expected safetensors, PyTorch or GGUF files");
}


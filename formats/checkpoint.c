#include "formats/checkpoint.h"

#include "formats/meta_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_MAX_BYTES = 64 << 20, PARAMS_MAX_BYTES = 1 << 20, SHARDS_MAX = 99999 };

/* Indexes in order of preference. */
static const char *const index_names[] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};
enum { N_INDEX_NAMES = sizeof index_names / sizeof index_names[0] };

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

struct names {
    const char **items;
    size_t count, cap;
};

static enum status names_add(struct names *l, const char *name, struct error *err)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        const char **items = realloc(l->items, cap * sizeof *items);
        if (!items) return error_nomem(err, cap * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->count++] = name;
    return STATUS_OK;
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n > k && memcmp(s + n - k, suffix, k) == 0;
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static enum status add_note(struct checkpoint *c, const char *note, struct error *err)
{
    const char **items = arena_array(&c->mem, c->notes.count + 1, sizeof *items);
    if (!note || !items) return error_nomem(err, 256);
    if (c->notes.count) memcpy(items, c->notes.items, c->notes.count * sizeof *items);
    items[c->notes.count++] = note;
    c->notes.items = items;
    return STATUS_OK;
}

/* ---- opening files and putting their tensors into one list ---- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status add_container(struct checkpoint *c, struct container *f, struct error *err)
{
    for (size_t j = 0; j < f->n_tensors; j++) {
        size_t other;
        c->tensors[c->n_tensors] = (struct ckpt_tensor){&f->tensors[j], f};
        enum status st = strmap_add(&c->by_name, f->tensors[j].name, c->n_tensors, &other, err);
        if (st == STATUS_EXISTS)
            return error_at(err, STATUS_MISMATCH, f->file.path, f->tensors[j].name,
                            "another shard has it too: %s", c->tensors[other].container->file.path);
        TRY(st);
        c->n_tensors++;
    }
    return STATUS_OK;
}

static enum status add_tensors(struct checkpoint *c, struct error *err)
{
    size_t total = c->joined ? c->joined->n_tensors : 0;
    for (size_t i = 0; i < c->n_files && !c->joined; i++) total += c->files[i]->n_tensors;
    c->tensors = arena_array(&c->mem, total, sizeof *c->tensors);
    if (!c->tensors) return error_nomem(err, total * sizeof *c->tensors);
    if (c->joined) return add_container(c, c->joined, err);
    for (size_t i = 0; i < c->n_files; i++) TRY(add_container(c, c->files[i], err));
    return STATUS_OK;
}

static enum status missing_shard(const char *set, const char *name, struct error *err)
{
    return error_at(err, STATUS_NOTFOUND, set, NULL, "shard '%s' of this set is missing", name);
}

static enum status add_file(struct checkpoint *c, struct container *f, struct error *err)
{
    c->files[c->n_files++] = f;
    if (!c->format) c->format = f->format->name;
    if (strcmp(c->format, f->format->name) == 0) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, f->file.path, NULL,
                    "expected %s as in the other files of the set, found %s", c->format, f->format->name);
}

/* Opens `names` of c->dir, sorted; `set` is what they belong to, for messages. */
static enum status open_names(struct checkpoint *c, struct names *names, const char *set, struct error *err)
{
    qsort(names->items, names->count, sizeof *names->items, by_bytes);
    c->files = arena_array(&c->mem, names->count, sizeof *c->files);
    if (!c->files) return error_nomem(err, names->count * sizeof *c->files);
    for (size_t i = 0; i < names->count; i++) {
        struct container *f;
        enum status st = container_open_in(&f, c->dir, names->items[i], err);
        if (st == STATUS_NOTFOUND) return missing_shard(set, names->items[i], err);
        TRY(st);
        TRY(add_file(c, f, err));
    }
    return STATUS_OK;
}

static enum status open_files(struct checkpoint *c, struct names *names, const char *set, struct error *err)
{
    TRY(open_names(c, names, set, err));
    return add_tensors(c, err);
}

static enum status open_single(struct checkpoint *c, struct error *err)
{
    struct container *f;
    c->files = arena_array(&c->mem, 1, sizeof *c->files);
    if (!c->files) return error_nomem(err, sizeof *c->files);
    TRY(container_open(&f, c->path, err));
    TRY(add_file(c, f, err));
    return add_tensors(c, err);
}

/* ---- index files ---- */

static enum status bad_index(const struct json *index, const char *what, struct error *err)
{
    return error_at(err, STATUS_FORMAT, json_path(index), NULL, "%s", what);
}

/* A shard name comes from a file: it may name a file beside the index and nothing else. */
static bool is_bare_name(const char *name)
{
    return name && name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/\\");
}

/* Shard names of the index, each once. */
static enum status index_shards(struct checkpoint *c, const struct jvalue *map, struct names *shards,
                                struct error *err)
{
    struct strmap seen = {0};
    enum status st = STATUS_OK;
    for (const struct jvalue *v = json_first(map); v && st == STATUS_OK; v = json_next(v)) {
        const char *name = json_string(v);
        size_t i;
        if (!is_bare_name(name)) {
            st = error_at(err, STATUS_FORMAT, json_path(c->index), json_key(v),
                          "expected the name of a file in the same folder, found %s%.200s%s",
                          name ? "'" : "no string", name ? name : "", name ? "'" : "");
        } else if (!strmap_find(&seen, name, &i)) {
            st = strmap_add(&seen, name, shards->count, NULL, err);
            if (st == STATUS_OK) st = names_add(shards, name, err);
        }
    }
    strmap_clear(&seen);
    return st;
}

/* Both ways: every promised tensor is in its shard, and every tensor is promised. */
static enum status check_index(const struct checkpoint *c, const struct jvalue *map, struct error *err)
{
    size_t n = 0;
    for (const struct jvalue *v = json_first(map); v; v = json_next(v), n++) {
        const struct ckpt_tensor *t = ckpt_find(c, json_key(v));
        const char *shard = json_string(v);
        if (!t)
            return error_at(err, STATUS_MISMATCH, json_path(c->index), json_key(v),
                            "the index places it in '%s', which does not have it", shard);
        if (strcmp(path_base(t->container->file.path), shard) != 0)
            return error_at(err, STATUS_MISMATCH, json_path(c->index), json_key(v),
                            "the index places it in '%s', but '%s' has it", shard,
                            path_base(t->container->file.path));
    }
    if (n == c->n_tensors) return STATUS_OK;
    struct strmap promised = {0};
    enum status st = STATUS_OK;
    size_t i;
    for (const struct jvalue *v = json_first(map); v && st == STATUS_OK; v = json_next(v))
        st = strmap_add(&promised, json_key(v), 0, NULL, err);
    for (size_t k = 0; k < c->n_tensors && st == STATUS_OK; k++)
        if (!strmap_find(&promised, c->tensors[k].t->name, &i))
            st = error_at(err, STATUS_MISMATCH, c->tensors[k].container->file.path, c->tensors[k].t->name,
                          "the index %s does not name it", json_path(c->index));
    strmap_clear(&promised);
    return st;
}

/* metadata.total_size is written by several programs that do not agree on shared tensors: a difference is worth a remark only. */
static enum status check_total(struct checkpoint *c, struct error *err)
{
    const struct jvalue *v = json_get(json_get(json_root(c->index), "metadata"), "total_size");
    struct error ignored;
    int64_t expected;
    uint64_t total = 0;
    if (!v) return STATUS_OK;
    for (size_t i = 0; i < c->n_tensors; i++)
        if (!size_add(total, c->tensors[i].t->size_bytes, &total)) break;
    if (json_int(c->index, v, &expected, &ignored) == STATUS_OK && expected >= 0 &&
        (uint64_t)expected == total)
        return STATUS_OK;
    struct buf text = {0};
    json_print(v, &text);
    const char *note =
        arena_printf(&c->mem, "%s: total_size is %.40s, but the tensors take %llu bytes",
                     path_base(json_path(c->index)), text.data ? text.data : "?", (unsigned long long)total);
    buf_clear(&text);
    return add_note(c, note, err);
}

/* c->index is loaded */
static enum status open_index(struct checkpoint *c, struct error *err)
{
    const struct jvalue *map = json_get(json_root(c->index), "weight_map");
    struct names shards = {0};
    if (!json_is(map, JTYPE_OBJECT)) return bad_index(c->index, "expected an object weight_map", err);
    if (!json_first(map)) return bad_index(c->index, "its weight_map is empty", err);
    enum status st = index_shards(c, map, &shards, err);
    if (st == STATUS_OK) st = open_files(c, &shards, json_path(c->index), err);
    free(shards.items);
    TRY(st);
    TRY(check_index(c, map, err));
    return check_total(c, err);
}

static enum status load_index(struct checkpoint *c, const char *path, struct error *err)
{
    return json_load(&c->index, path, INDEX_MAX_BYTES, err);
}

/* ---- sets named STEM-00001-of-00003.SUFFIX ---- */

struct part {
    size_t stem, digits_i, digits_n; /* lengths; the name is STEM "-" I "-of-" N SUFFIX */
    unsigned long i, n;
};

/* Value of the decimal digits at s, their number in *len (0: none, or too many). */
static unsigned long digits(const char *s, size_t *len)
{
    unsigned long v = 0;
    for (*len = 0; s[*len] >= '0' && s[*len] <= '9'; ++*len) {
        if (*len == 6) return *len = 0, 0;
        v = v * 10 + (unsigned long)(s[*len] - '0');
    }
    return v;
}

static bool parse_part(const char *name, struct part *p)
{
    for (const char *of = strstr(name, "-of-"); of; of = strstr(of + 1, "-of-")) {
        const char *s = of;
        while (s > name && s[-1] >= '0' && s[-1] <= '9') s--;
        if (s == of || s == name || s[-1] != '-') continue;
        p->i = digits(s, &p->digits_i);
        p->n = digits(of + 4, &p->digits_n);
        p->stem = (size_t)(s - 1 - name);
        const char *suffix = of + 4 + p->digits_n;
        if (p->digits_i && p->digits_n && *suffix == '.' && p->n <= SHARDS_MAX && p->i >= 1 && p->i <= p->n)
            return true;
    }
    return false;
}

static enum status set_names(struct checkpoint *c, const char *name, const struct part *p, struct names *out,
                             struct error *err)
{
    const char *rest = name + p->stem + 1 + p->digits_i;
    for (unsigned long i = 1; i <= p->n; i++) {
        char *part = arena_printf(&c->mem, "%.*s-%0*lu%s", (int)p->stem, name, (int)p->digits_i, i, rest);
        char *path = part ? path_join(&c->mem, c->dir, part) : NULL;
        if (!path) return error_nomem(err, strlen(name));
        if (!file_exists(path))
            return missing_shard(name, part, err); /* before a name more is made for a huge N */
        TRY(names_add(out, part, err));
    }
    return STATUS_OK;
}

static bool same_set(const char *a, const struct part *pa, const char *b, const struct part *pb)
{
    return pa->n == pb->n && pa->stem == pb->stem && memcmp(a, b, pa->stem) == 0;
}

/* ---- Meta's shards ---- */

static enum status load_params(struct checkpoint *c, struct error *err)
{
    char *path = path_join(&c->mem, c->dir, "params.json");
    if (!path) return error_nomem(err, strlen(c->dir));
    return file_exists(path) ? json_load(&c->params, path, PARAMS_MAX_BYTES, err) : STATUS_OK;
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
        return missing_shard(c->path, arena_strndup(&c->mem, name, strlen(name)), err);
    }
    TRY(load_params(c, err));
    TRY(find_tokenizer(c, err));
    TRY(open_names(c, shards, c->path, err));
    TRY(meta_join(c, &n_beside, err));
    if (n_beside > 0)
        TRY(add_note(c, arena_printf(&c->mem, "%zu tensors beside the model's are passed over", n_beside), err));
    c->format = "meta";
    return add_tensors(c, err);
}

/* The folder's consolidated.NN.pth; *found tells whether there are any. */
static enum status try_meta(struct checkpoint *c, char **names, size_t n, bool *found, struct error *err)
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
        const struct container_format *f = file_is_dir(path) ? NULL : container_probe(path);
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

static bool list_has(const struct names *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i], name) == 0) return true;
    return false;
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
        if (!parse_part(found->items[i], &p)) continue;
        one_set = !first_name || (one_set && same_set(found->items[i], &p, first_name, &first));
        if (!first_name) first_name = found->items[i], first = p;
    }
    if (main_name && list_has(found, main_name))
        TRY(names_add(chosen, main_name, err));
    else if (one_set)
        TRY(set_names(c, first_name, &first, chosen, err));
    else if (strcmp(searches[search].format, "gguf") == 0 && found->count > 1)
        return error_at(err, STATUS_MISMATCH, c->path, NULL,
                        "%zu GGUF files that are no set: name one of them ('%s', '%s', ...)", found->count,
                        found->items[0], found->items[1]);
    else
        for (size_t i = 0; i < found->count; i++) TRY(names_add(chosen, found->items[i], err));
    for (size_t i = 0; i < found->count; i++)
        if (!list_has(chosen, found->items[i]))
            TRY(add_note(
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
        TRY(st);
        if (first)
            TRY(add_note(c,
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
    if (st == STATUS_OK) st = open_files(c, &chosen, c->path, err);
    free(chosen.items);
    return st;
}

static enum status open_dir(struct checkpoint *c, struct error *err)
{
    char **names;
    size_t n;
    TRY(dir_list(c->dir, &c->mem, &names, &n, err));
    for (size_t s = 0; s < N_SEARCHES; s++) {
        if (s < N_INDEX_NAMES) {
            char *index = path_join(&c->mem, c->dir, index_names[s]);
            if (!index) return error_nomem(err, 64);
            if (file_exists(index)) {
                TRY(load_index(c, index, err));
                TRY(open_index(c, err));
                return note_other_formats(c, search_of(c->format), names, n, err);
            }
        }
        bool any = false;
        if (strcmp(searches[s].format, "torch-zip") == 0) TRY(try_meta(c, names, n, &any, err));
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

/* ---- single files ---- */

/* Loads the folder's index that places tensors in this file, if there is one. */
static enum status find_index(struct checkpoint *c, const char *name, bool *found, struct error *err)
{
    *found = false;
    for (size_t i = 0; i < N_INDEX_NAMES; i++) {
        char *path = path_join(&c->mem, c->dir, index_names[i]);
        if (!path) return error_nomem(err, 64);
        if (!file_exists(path)) continue;
        TRY(load_index(c, path, err));
        const struct jvalue *map = json_get(json_root(c->index), "weight_map");
        for (const struct jvalue *v = json_first(map); v && !*found; v = json_next(v)) {
            const char *shard = json_string(v);
            *found = shard && strcmp(shard, name) == 0;
        }
        if (*found) return STATUS_OK;
        json_free(c->index);
        c->index = NULL;
    }
    return STATUS_OK;
}

static enum status looks_like_json(const char *path, bool *yes, struct error *err)
{
    struct file f;
    char head[16];
    TRY(file_open(&f, path, err));
    size_t n = f.size_bytes < sizeof head ? (size_t)f.size_bytes : sizeof head, i = 0;
    enum status st = file_read_at(&f, 0, head, n, err);
    while (st == STATUS_OK && i < n && memchr(" \t\r\n", head[i], 4)) i++;
    *yes = st == STATUS_OK && i < n && head[i] == '{' && !container_probe(path);
    file_close(&f);
    return st;
}

static enum status open_file(struct checkpoint *c, struct error *err)
{
    const char *name = path_base(c->path);
    bool yes;
    struct part p;
    TRY(looks_like_json(c->path, &yes, err));
    if (yes) {
        TRY(load_index(c, c->path, err));
        return open_index(c, err);
    }
    TRY(find_index(c, name, &yes, err));
    if (yes) return open_index(c, err);
    unsigned number;
    if (meta_is_shard(name, &number)) {
        char **names;
        size_t n;
        TRY(dir_list(c->dir, &c->mem, &names, &n, err));
        return try_meta(c, names, n, &yes, err);
    }
    if (!parse_part(name, &p)) return open_single(c, err);
    struct names files = {0};
    enum status st = set_names(c, name, &p, &files, err);
    if (st == STATUS_OK) st = open_files(c, &files, c->path, err);
    free(files.items);
    return st;
}

/* ---- public ---- */

static enum status set_paths(struct checkpoint *c, const char *path, bool is_dir, struct error *err)
{
    const char *base = path_base(path);
    size_t n = strlen(path);
    c->path = arena_strndup(&c->mem, path, n);
    if (is_dir) {
        while (n > 1 && path[n - 1] == '/') n--;
        c->dir = arena_strndup(&c->mem, path, n);
    } else {
        size_t k = (size_t)(base - path);
        while (k > 1 && path[k - 1] == '/') k--;
        c->dir = k == 0 ? arena_strndup(&c->mem, ".", 1) : arena_strndup(&c->mem, path, k);
    }
    c->tokenizer_dir = c->dir;
    return c->path && c->dir ? STATUS_OK : error_nomem(err, n);
}

enum status ckpt_open(struct checkpoint **out, const char *path, struct error *err)
{
    void *mem;
    bool is_dir = file_is_dir(path);
    *out = NULL;
    TRY(mem_alloc(&mem, 1, sizeof **out, err));
    struct checkpoint *c = mem;
    enum status st = set_paths(c, path, is_dir, err);
    if (st == STATUS_OK) st = is_dir ? open_dir(c, err) : open_file(c, err);
    if (st != STATUS_OK) {
        ckpt_close(c);
        return st;
    }
    *out = c;
    return STATUS_OK;
}

void ckpt_close(struct checkpoint *c)
{
    if (!c) return;
    container_close(c->joined);
    for (size_t i = 0; i < c->n_files; i++) container_close(c->files[i]);
    json_free(c->index);
    json_free(c->params);
    strmap_clear(&c->by_name);
    arena_clear(&c->mem);
    free(c);
}

const struct ckpt_tensor *ckpt_find(const struct checkpoint *c, const char *name)
{
    size_t i;
    return strmap_find(&c->by_name, name, &i) ? &c->tensors[i] : NULL;
}

enum status ckpt_read(const struct ckpt_tensor *t, uint64_t off, void *dst, size_t n, struct error *err)
{
    return container_read(t->container, t->t, off, dst, n, err);
}

int64_t tensor_cols(const struct tensor *t)
{
    return t->n_dims > 0 ? t->shape[t->n_dims - 1] : 1;
}

int64_t tensor_rows(const struct tensor *t)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) rows *= t->shape[i]; /* fits: see tensor_set_size */
    return rows;
}

enum status ckpt_read_rows(const struct ckpt_tensor *t, int64_t row, int64_t n_rows, void *dst,
                           struct error *err)
{
    int64_t rows = tensor_rows(t->t);
    if (row < 0 || n_rows < 0 || row > rows || n_rows > rows - row)
        return error_at(err, STATUS_RANGE, t->container->file.path, t->t->name,
                        "rows %lld to %lld were asked for, but it has %lld", (long long)row,
                        (long long)((uint64_t)row + (uint64_t)n_rows), (long long)rows);
    uint64_t row_bytes = rows ? t->t->size_bytes / (uint64_t)rows : 0;
    return container_read(t->container, t->t, (uint64_t)row * row_bytes, dst,
                          (size_t)((uint64_t)n_rows * row_bytes), err);
}

struct container *ckpt_gguf(const struct checkpoint *c)
{
    return c->n_files > 0 && strcmp(c->format, "gguf") == 0 ? c->files[0] : NULL;
}

bool ckpt_same_bytes(const struct ckpt_tensor *a, const struct ckpt_tensor *b)
{
    const struct tensor *x = a->t, *y = b->t;
    if (x == y) return true;
    if (a->container != b->container || x->storage_id == 0 || x->storage_id != y->storage_id) return false;
    if (x->off_file != y->off_file || x->dtype != y->dtype || x->n_dims != y->n_dims) return false;
    if (x->contiguous != y->contiguous || x->size_bytes != y->size_bytes) return false;
    for (int i = 0; i < x->n_dims; i++)
        if (x->shape[i] != y->shape[i] || (!x->contiguous && x->stride[i] != y->stride[i])) return false;
    return true;
}

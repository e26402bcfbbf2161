/* Index files: which tensor is in which shard. */
#include "base/limits.h"
#include "formats/ckpt_build.h"

#include <stdlib.h>
#include <string.h>


const char *const ckpt_index_names[N_INDEX_NAMES] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};

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
    return ckpt_add_note(c, note, err);
}

/* c->index is loaded */
enum status ckpt_open_index(struct checkpoint *c, struct error *err)
{
    const struct jvalue *map = json_get(json_root(c->index), "weight_map");
    struct names shards = {0};
    if (!json_is(map, JTYPE_OBJECT)) return bad_index(c->index, "expected an object weight_map", err);
    if (!json_first(map)) return bad_index(c->index, "its weight_map is empty", err);
    enum status st = index_shards(c, map, &shards, err);
    if (st == STATUS_OK) st = ckpt_open_files(c, &shards, json_path(c->index), err);
    free(shards.items);
    TRY(st);
    TRY(check_index(c, map, err));
    return check_total(c, err);
}

enum status ckpt_load_index(struct checkpoint *c, const char *path, struct error *err)
{
    return json_load(&c->index, path, LIMIT_INDEX, err);
}

/* Loads the folder's index that places tensors in this file, if there is one. */
enum status ckpt_find_index(struct checkpoint *c, const char *name, bool *found, struct error *err)
{
    *found = false;
    for (size_t i = 0; i < N_INDEX_NAMES; i++) {
        char *path = path_join(&c->mem, c->dir, ckpt_index_names[i]);
        if (!path) return error_nomem(err, 64);
        if (!file_exists(path)) continue;
        TRY(ckpt_load_index(c, path, err));
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

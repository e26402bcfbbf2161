#include "formats/meta_folder.h"

#include "formats/joined.h"

#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 256 };

enum cut { CUT_ROWS, CUT_KV_ROWS, CUT_COLUMNS, CUT_EMBEDDING, CUT_NOT };
/* Ends of names: the whole name, or behind a '.'. */
static const struct {
    const char *end;
    enum cut cut;
} cuts[] = {
    {"tok_embeddings.weight", CUT_EMBEDDING},
    {"output.weight", CUT_ROWS},
    {"attention.wq.weight", CUT_ROWS},
    {"attention.wk.weight", CUT_KV_ROWS},
    {"attention.wv.weight", CUT_KV_ROWS},
    {"attention.wo.weight", CUT_COLUMNS},
    {"feed_forward.w1.weight", CUT_ROWS},
    {"feed_forward.w2.weight", CUT_COLUMNS},
    {"feed_forward.w3.weight", CUT_ROWS},
    {"norm.weight", CUT_NOT},
    {"attention_norm.weight", CUT_NOT},
    {"ffn_norm.weight", CUT_NOT},
    {"rope.freqs", CUT_NOT},
};
static const char embedding[] = "tok_embeddings.weight", last_norm[] = "norm.weight";

struct joining {
    struct checkpoint *c;
    const char *wrapper; /* of the first shard's names, not terminated */
    size_t n_wrapper;
    int64_t head_dim, n_head_kv; /* 0: params.json does not say */
};

bool meta_is_shard(const char *name, unsigned *number)
{
    static const char before[] = "consolidated.", after[] = ".pth";
    const char *digits = name + sizeof before - 1;
    if (strlen(name) != sizeof before - 1 + 2 + sizeof after - 1) return false;
    if (memcmp(name, before, sizeof before - 1) != 0 || strcmp(digits + 2, after) != 0) return false;
    if (strspn(digits, "0123456789") != 2) return false;
    *number = (unsigned)(digits[0] - '0') * 10 + (unsigned)(digits[1] - '0');
    return true;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0 && (n == k || name[n - k - 1] == '.');
}

/* What stands before tok_embeddings.weight stands before every name. */
static void find_wrapper(struct joining *j)
{
    const struct container *f = j->c->files[0];
    j->wrapper = "";
    for (size_t i = 0; i < f->n_tensors; i++)
        if (ends_with(f->tensors[i].name, embedding)) {
            j->wrapper = f->tensors[i].name;
            j->n_wrapper = strlen(j->wrapper) - strlen(embedding);
            return;
        }
}

static int64_t param(const struct checkpoint *c, const char *key)
{
    struct error ignored;
    int64_t n = 0;
    const struct jvalue *v = c->params ? json_get(json_root(c->params), key) : NULL;
    if (!v || json_int(c->params, v, &n, &ignored) != STATUS_OK || n < 1 || n > INT32_MAX) return 0;
    return n;
}

static void read_params(struct joining *j)
{
    int64_t dim = param(j->c, "dim"), n_head = param(j->c, "n_heads"), given = param(j->c, "head_dim");
    j->head_dim = given ? given : n_head ? dim / n_head : 0;
    j->n_head_kv = param(j->c, "n_kv_heads");
    if (!j->n_head_kv) j->n_head_kv = n_head;
}

/* The part of a tensor that each shard has. */
static enum status find_parts(const struct joining *j, const char *name, struct joined_part *parts,
                              struct error *err)
{
    for (size_t i = 0; i < j->c->n_files; i++) {
        struct container *f = j->c->files[i];
        parts[i] = (struct joined_part){container_find(f, name), f};
        if (!parts[i].t)
            return error_at(err, STATUS_NOTFOUND, f->file.path, name,
                            "expected a part of it as in %s, not found",
                            path_base(j->c->files[0]->file.path));
    }
    return STATUS_OK;
}

/* Rows of the embedding are tokens when its columns are the model's width, which the last norm has whole. */
static enum status embedding_dim(const struct joining *j, const struct joined_part *part, int *dim,
                                 struct error *err)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s%s", (int)j->n_wrapper, j->wrapper, last_norm);
    const struct tensor *t = part->t, *norm = container_find(part->container, name);
    int64_t width = norm ? norm->n_elements : 0, n = (int64_t)j->c->n_files;
    *dim = t->n_dims == 2 && t->shape[1] == width ? 0 : 1;
    if (t->n_dims == 2 && (*dim == 0 || (width % n == 0 && t->shape[1] == width / n))) return STATUS_OK;
    return error_at(
        err, STATUS_MISMATCH, part->container->file.path, t->name,
        "expected %lld columns, the width of '%s', or a part of them for each of %lld shards, found %lld",
        (long long)width, last_norm, (long long)n, (long long)(t->n_dims == 2 ? t->shape[1] : t->n_elements));
}

/* More shards than heads: several in a row have the same one. */
static size_t kv_copies(const struct joining *j, const struct tensor *part)
{
    size_t n = j->c->n_files, n_head = (size_t)j->n_head_kv;
    bool one_each = part->n_dims == 2 && part->shape[0] == j->head_dim;
    return one_each && n_head > 0 && n_head < n && n % n_head == 0 ? n / n_head : 1;
}

static enum status choose_joint(const struct joining *j, const char *name, struct joint *joint,
                                struct error *err)
{
    size_t n = j->c->n_files, k = 0, count = sizeof cuts / sizeof cuts[0];
    while (k < count && !ends_with(name, cuts[k].end)) k++;
    if (n == 1) return STATUS_OK;
    if (k == count)
        return error_at(err, STATUS_UNSUPPORTED, joint->parts[0].container->file.path, name,
                        "expected a tensor of LLaMA: how the %zu shards cut this one is not known", n);
    joint->n_parts = n;
    switch (cuts[k].cut) {
    case CUT_NOT:
        joint->n_copies = n;
        joint->n_parts = 1;
        break;
    case CUT_KV_ROWS:
        joint->n_copies = kv_copies(j, joint->parts[0].t);
        joint->n_parts = n / joint->n_copies;
        break;
    case CUT_COLUMNS:
        joint->dim = 1;
        break;
    case CUT_EMBEDDING:
        return embedding_dim(j, &joint->parts[0], &joint->dim, err);
    case CUT_ROWS:
        break;
    }
    return STATUS_OK;
}

static enum status join_tensor(const struct joining *j, const char *name, struct error *err)
{
    struct joined_part parts[FILES_MAX];
    struct joint joint = {.parts = parts, .n_parts = 1, .n_copies = 1};
    TRY(find_parts(j, name, parts, err));
    TRY(choose_joint(j, name, &joint, err));
    return joined_add(j->c->joined, name + j->n_wrapper, &joint, err);
}

/* Every shard has the tensors of the first one and no others. */
static enum status check_others(const struct joining *j, struct error *err)
{
    for (size_t i = 1; i < j->c->n_files; i++) {
        const struct container *f = j->c->files[i];
        for (size_t k = 0; k < f->n_tensors; k++)
            if (!container_find(j->c->files[0], f->tensors[k].name))
                return error_at(err, STATUS_MISMATCH, f->file.path, f->tensors[k].name,
                                "expected no such tensor: %s has none", path_base(j->c->files[0]->file.path));
    }
    return STATUS_OK;
}

enum status meta_join(struct checkpoint *c, size_t *n_beside, struct error *err)
{
    struct joining j = {.c = c};
    const struct container *first = c->files[0];
    *n_beside = 0;
    if (c->n_files > FILES_MAX)
        return error_at(err, STATUS_RANGE, c->path, NULL, "expected at most %d shards, found %zu", FILES_MAX,
                        c->n_files);
    find_wrapper(&j);
    read_params(&j);
    TRY(check_others(&j, err));
    TRY(joined_new(&c->joined, c->path, err));
    for (size_t i = 0; i < first->n_tensors; i++) {
        const char *name = first->tensors[i].name;
        if (strncmp(name, j.wrapper, j.n_wrapper) == 0)
            TRY(join_tensor(&j, name, err));
        else
            ++*n_beside;
    }
    return joined_finish(c->joined, err);
}

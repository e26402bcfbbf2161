/* A receipt's list, read backwards. */
#include "core/restore_build.h"
#include "core/rule.h"

#include <string.h>

struct back {
    struct restore *r;
    struct strmap names;     /* of the folder's tensors, so far */
    struct strmap used;      /* of the GGUF's: each is one tensor of the source, or a few slices, so that a small file makes no large folder */
    bool has_head;
    const char *wrapper;     /* what stood before every name of a PyTorch file; "": nothing */
};

/* A source that stood inside something else ("state_dict.", "module.") comes back without it: transformers looks for plain names. Names of the
 * rules tell what is too much. */
static enum status find_wrapper(struct back *b, struct error *err)
{
    struct restore *r = b->r;
    const struct arch *arch = r->m->arch;
    b->wrapper = "";
    if (strncmp(r->receipt->format, "torch", 5) != 0) return STATUS_OK;
    const struct weight *embd = model_weight(r->m, ROLE_TOKEN_EMBD, -1, PART_WEIGHT);
    const struct receipt_tensor *t = NULL;
    for (size_t i = 0; embd && i < r->receipt->n_tensors && !t; i++)
        if (strcmp(r->receipt->tensors[i].name, embd->t->t->name) == 0 && r->receipt->tensors[i].n_sources == 1) t = &r->receipt->tensors[i];
    for (const char *const *prefix = arch->prefixes; t && embd->rule->source && *prefix; prefix++) {
        const char *name = rule_name(&r->mem, embd->rule->source, *prefix, -1, 0), *found = t->sources[0].name;
        if (!name) return error_nomem(err, 64);
        size_t n = strlen(name), n_found = strlen(found);
        if (n_found < n || strcmp(found + n_found - n, name) != 0) continue;
        b->wrapper = arena_strndup(&r->mem, found, n_found - n);
        return b->wrapper ? STATUS_OK : error_nomem(err, n_found);
    }
    return STATUS_OK;
}

static const char *plain_name(const struct back *b, const char *name)
{
    size_t n = strlen(b->wrapper);
    return strncmp(name, b->wrapper, n) == 0 && name[n] ? name + n : name;
}

/* *is_new is false for a tensor that the folder has already: a copy that a runtime insists on. */
static enum status take_name(struct back *b, const char *name, bool *is_new, struct error *err)
{
    enum status st = strmap_add(&b->names, name, 0, NULL, err);
    *is_new = st == STATUS_OK;
    return st == STATUS_EXISTS ? STATUS_OK : st;
}

/* The shape that the GGUF's tensor has before leading ones are left out, if it is the one that the receipt speaks of. */
static enum status check_shape(struct restore *r, const struct receipt_tensor *t, const struct ckpt_tensor *found, struct transform_spec *spec,
                               struct error *err)
{
    const struct receipt_source *s = &t->sources[0];
    enum status st = transform_init(spec, t->transform, s->dtype, s->n_dims, s->shape, &t->args, err);
    if (st == STATUS_OK && spec->n_elements == found->t->n_elements) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, r->m->ckpt->path, found->t->name, "is not of the shape that the receipt speaks of; the file was changed since");
}

static enum dtype type_of(struct restore *r, const struct receipt_tensor *t, const struct ckpt_tensor *found)
{
    if (!t->had_scales) return t->sources[0].dtype;
    r->n_products++;
    return dtype_info(found->t->dtype)->block_len > 1 ? DTYPE_F32 : found->t->dtype;
}

static enum status add_one(struct back *b, const struct receipt_tensor *t, const struct ckpt_tensor *found, struct error *err)
{
    struct restore *r = b->r;
    struct transform_spec spec;
    bool is_new;
    TRY(take_name(b, plain_name(b, t->sources[0].name), &is_new, err));
    if (!is_new) return STATUS_OK;
    TRY(check_shape(r, t, found, &spec, err));
    const struct ckpt_tensor *view = restore_view(r, found, 0, spec.n_dims, spec.shape, err);
    if (!view) return err->status;
    return restore_add(r,
                       &(struct restore_item){
                           .name = plain_name(b, t->sources[0].name),
                           .sources = &view,
                           .n_sources = 1,
                           .transform = t->transform,
                           .args = t->args,
                           .scale = t->scale,
                           .scaled_rows = t->scaled_rows,
                           .to = type_of(r, t, found),
                           .sha256 = t->had_scales ? NULL : t->sources[0].sha256,
                           .why = "the source's, by the receipt",
                       },
                       err);
}

/* Experts, and whatever else followed each other. */
static enum status add_slices(struct back *b, const struct receipt_tensor *t, const struct ckpt_tensor *found, struct error *err)
{
    struct restore *r = b->r;
    int64_t first = 0;
    if (t->transform != TRANSFORM_NONE || t->scaled_rows > 0)
        return error_at(err, STATUS_UNSUPPORTED, r->m->ckpt->path, t->name, "several sources that were rearranged together");
    for (size_t i = 0; i < t->n_sources; i++) {
        const struct receipt_source *s = &t->sources[i];
        const struct ckpt_tensor *view = restore_view(r, found, first, s->n_dims, s->shape, err);
        bool is_new;
        if (!view) return err->status;
        first += s->n_elements;
        TRY(take_name(b, plain_name(b, s->name), &is_new, err));
        struct restore_item item = {.name = plain_name(b, s->name), .sources = &view, .n_sources = 1, .to = s->dtype, .sha256 = s->sha256,
                                    .why = "the source's, by the receipt"};
        if (is_new) TRY(restore_add(r, &item, err));
    }
    if (first == found->t->n_elements) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, r->m->ckpt->path, t->name, "is not of the shape that the receipt speaks of; the file was changed since");
}

/* A stored output matrix that was left out because it is the embedding. */
static enum status add_head(struct back *b, const struct receipt_dropped *d, struct error *err)
{
    struct restore *r = b->r;
    const struct weight *embd = model_weight(r->m, ROLE_TOKEN_EMBD, -1, PART_WEIGHT);
    const struct receipt_source *s = &d->source;
    bool is_new;
    if (!embd || b->has_head) return STATUS_OK;
    b->has_head = true;
    const struct ckpt_tensor *view = restore_view(r, embd->t, 0, s->n_dims, s->shape, err);
    if (!view) return err->status;
    TRY(take_name(b, plain_name(b, s->name), &is_new, err));
    if (!is_new) return STATUS_OK;
    return restore_add(r, &(struct restore_item){.name = plain_name(b, s->name), .sources = &view, .n_sources = 1, .to = s->dtype,
                                                 .why = "equal to the token embedding, by the receipt"}, err);
}

static enum status add_stored(struct back *b, size_t i, bool *stored, struct error *err)
{
    const struct receipt_source *s = &b->r->receipt->dropped[i].source;
    struct buf data = {0};
    bool is_new = false;
    enum status st = receipt_read_dropped(b->r->receipt, i, stored, &data, err);
    if (st == STATUS_OK && *stored) st = take_name(b, plain_name(b, s->name), &is_new, err);
    if (st == STATUS_OK && is_new)
        st = restore_add_data(b->r, plain_name(b, s->name), s->dtype, s->n_dims, s->shape, data.data ? data.data : "", err);
    buf_clear(&data);
    return st;
}

static enum status add_dropped(struct back *b, struct error *err)
{
    const struct receipt *receipt = b->r->receipt;
    size_t n = 0;
    const struct receipt_dropped *first = NULL;
    for (size_t i = 0; i < receipt->n_dropped; i++) {
        const struct receipt_dropped *d = &receipt->dropped[i];
        if (strcmp(d->reason, "equal to the token embedding") == 0) {
            TRY(add_head(b, d, err));
            continue;
        }
        bool stored;
        TRY(add_stored(b, i, &stored, err));
        if (!stored && n++ == 0) first = d;
    }
    if (n > 0)
        warnings_note(b->r->warn, "not-brought-back", "%zu tensors of the source are not in the GGUF: '%s' (%s)%s", n, first->source.name, first->reason,
                      n > 1 ? ", ..." : "");
    return STATUS_OK;
}

static enum status add_all(struct back *b, struct error *err)
{
    struct restore *r = b->r;
    TRY(find_wrapper(b, err));
    for (size_t i = 0; i < r->receipt->n_tensors; i++) {
        const struct receipt_tensor *t = &r->receipt->tensors[i];
        if (t->n_sources == 0) continue;
        const struct ckpt_tensor *found = ckpt_find(r->m->ckpt, t->name);
        if (strmap_add(&b->used, t->name, 0, NULL, err) != STATUS_OK)
            return error_at(err, STATUS_FORMAT, r->m->ckpt->path, t->name, "the receipt speaks of it twice");
        if (!found) return error_at(err, STATUS_NOTFOUND, r->m->ckpt->path, t->name, "the receipt speaks of it, but the file does not have it");
        TRY(t->n_sources == 1 ? add_one(b, t, found, err) : add_slices(b, t, found, err));
    }
    TRY(add_dropped(b, err));
    if (r->n_products > 0)
        warnings_add(r->warn, "restored-products",
                     "%zu matrices were FP8 or integers with scales in the source: they come back as the products, not as the source's bytes",
                     r->n_products);
    return STATUS_OK;
}

enum status restore_by_receipt(struct restore *r, struct error *err)
{
    struct back b = {.r = r};
    enum status st = add_all(&b, err);
    strmap_clear(&b.names);
    strmap_clear(&b.used);
    return st;
}

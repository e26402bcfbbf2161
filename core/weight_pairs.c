#include "core/weight_pairs.h"

#include <stdlib.h>
#include <string.h>

struct pairing {
    const struct canonical *a, *b;
    struct weight_pairs *out;
    bool *seen_b; /* by tensor and part of B */
};
enum { PARTS = 3 };

static enum status add(struct weight_pairs *p, const struct weight_pair *pair, struct error *err)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 256;
        void *mem = realloc(p->items, cap * sizeof *p->items);
        if (!mem) return error_nomem(err, cap * sizeof *p->items);
        p->items = mem;
        p->cap = cap;
    }
    p->items[p->n++] = *pair;
    return STATUS_OK;
}

void weight_pairs_clear(struct weight_pairs *p)
{
    free(p->items);
    *p = (struct weight_pairs){0};
}

static const struct canonical_tensor *find_role(const struct canonical *c, enum role role, int64_t layer, enum part part)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct canonical_tensor *t = &c->tensors[i];
        if (t->role == role && t->layer == layer && t->part == part) return t;
    }
    return NULL;
}

/* By the name that it has in the unified format: what convert's rules say, not what the forward pass takes it for. Architectures that name a role
 * otherwise have other names. */
static const struct canonical_tensor *find(const struct canonical *c, const struct canonical_tensor *like)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->tensors[i].name, like->name) == 0) return &c->tensors[i];
    return find_role(c, like->role, like->layer, like->part);
}

/* The tensor that has these rows as a part, as a whole or among others */
static const struct canonical_tensor *find_part(const struct canonical *c, enum role role, int64_t layer, enum part part,
                                                int *which)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct canonical_tensor *t = &c->tensors[i];
        for (int k = 0; k < t->n_parts && t->layer == layer && t->part == part; k++)
            if (t->parts[k].role == role) {
                *which = k;
                return t;
            }
    }
    return NULL;
}

static void see(struct pairing *p, const struct canonical_tensor *b, int part)
{
    size_t i = (size_t)(b - p->b->tensors) * PARTS;
    for (int k = 0; k < PARTS; k++)
        if (part < 0 || k == part) p->seen_b[i + (size_t)k] = true;
}

static enum status check_size(const struct canonical_tensor *a, int64_t rows_a, const struct canonical_tensor *b,
                              int64_t rows_b, const struct pairing *p, struct error *err)
{
    if (rows_a == rows_b && a->n_cols == b->n_cols) return STATUS_OK;
    return error_at(err, STATUS_MISMATCH, p->b->m->ckpt->path, b->stored ? b->stored : b->name,
                    "expected %lld x %lld as '%s' of %s has it, found %lld x %lld", (long long)rows_a, (long long)a->n_cols,
                    a->stored ? a->stored : a->name, p->a->m->ckpt->path, (long long)rows_b, (long long)b->n_cols);
}

/* Both are made up by convert: nothing that a file could have wrong. */
static bool nothing_stored(const struct canonical_tensor *a, const struct canonical_tensor *b)
{
    return (!a || !a->stored) && (!b || !b->stored);
}

static enum status pair_rows(struct pairing *p, const struct weight_pair *pair, struct error *err)
{
    return nothing_stored(pair->a, pair->b) ? STATUS_OK : add(p->out, pair, err);
}

static bool is_copy(const struct canonical_tensor *t)
{
    return t->planned && t->planned->rule->fill == FILL_EMBEDDING && t->role == ROLE_OUTPUT;
}

/* The embedding for an output matrix that c has not */
static const struct canonical_tensor *output_of(const struct canonical *c, const struct canonical_tensor *t)
{
    return t->role == ROLE_OUTPUT && t->part == PART_WEIGHT && !is_copy(t)
               ? find_role(c, ROLE_TOKEN_EMBD, -1, PART_WEIGHT)
               : NULL;
}

static enum status pair_parts(struct pairing *p, const struct canonical_tensor *a, struct error *err)
{
    for (int k = 0; k < a->n_parts; k++) {
        const struct canonical_part *part = &a->parts[k];
        int which = 0;
        const struct canonical_tensor *b = find_part(p->b, part->role, a->layer, a->part, &which);
        struct weight_pair pair = {.a = a, .b = b, .row_a = part->row, .n_rows = part->n_rows};
        if (b) {
            TRY(check_size(a, part->n_rows, b, b->parts[which].n_rows, p, err));
            pair.row_b = b->parts[which].row;
            see(p, b, which);
        }
        TRY(pair_rows(p, &pair, err));
    }
    return STATUS_OK;
}

static enum status pair_one(struct pairing *p, const struct canonical_tensor *a, struct error *err)
{
    const struct canonical_tensor *b = find(p->b, a);
    if (b && a->n_parts != b->n_parts) return pair_parts(p, a, err); /* ffn_up with and without the gate */
    if (!b && !(b = output_of(p->b, a))) {
        if (is_copy(a)) return STATUS_OK;
        return pair_parts(p, a, err);
    }
    TRY(check_size(a, a->n_rows, b, b->n_rows, p, err));
    see(p, b, -1);
    return pair_rows(p, &(struct weight_pair){.a = a, .b = b, .n_rows = a->n_rows}, err);
}

/* What A has no tensor for: B's output matrix may still be A's embedding. */
static enum status pair_rest(struct pairing *p, const struct canonical_tensor *b, struct error *err)
{
    size_t i = (size_t)(b - p->b->tensors) * PARTS;
    for (int k = 0; k < b->n_parts; k++) {
        if (p->seen_b[i + (size_t)k] || is_copy(b)) continue;
        const struct canonical_tensor *a = output_of(p->a, b);
        if (a) TRY(check_size(a, a->n_rows, b, b->n_rows, p, err));
        TRY(pair_rows(p, &(struct weight_pair){.a = a, .b = b, .row_b = b->parts[k].row, .n_rows = b->parts[k].n_rows}, err));
    }
    return STATUS_OK;
}

static enum status pair_all(struct pairing *p, struct error *err)
{
    for (size_t i = 0; i < p->a->n; i++) TRY(pair_one(p, &p->a->tensors[i], err));
    for (size_t i = 0; i < p->b->n; i++) TRY(pair_rest(p, &p->b->tensors[i], err));
    return STATUS_OK;
}

/* Do neighbouring rows of a head make a rotated pair? */
static bool has_pairs(const struct model *m)
{
    return m->arch->gguf.rope_style == ROPE_PAIRS && !m->hp.rope_halves;
}

enum status weight_pairs_make(struct weight_pairs *out, const struct canonical *a, const struct canonical *b, struct error *err)
{
    struct pairing p = {.a = a, .b = b, .out = out};
    void *seen;
    *out = (struct weight_pairs){0};
    if (a->m->arch->uses_rope && b->m->arch->uses_rope && has_pairs(a->m) != has_pairs(b->m))
        return error_at(err, STATUS_UNSUPPORTED, b->m->ckpt->path, NULL,
                        "architecture '%s' orders the rows of rotated heads otherwise than '%s' of %s: they cannot be laid side by "
                        "side",
                        b->m->arch->gguf_arch, a->m->arch->gguf_arch, a->m->ckpt->path);
    TRY(mem_alloc(&seen, b->n * PARTS, sizeof(bool), err));
    p.seen_b = seen;
    enum status st = pair_all(&p, err);
    free(seen);
    if (st != STATUS_OK) weight_pairs_clear(out);
    return st;
}

#include "inspect/summary_parts.h"

#include "inspect/roles.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Norms and biases in one: they are small and mostly alike. */
enum { SMALL = ROLE_COUNT, OTHER, N_KINDS };

struct kind_use {
    int kind; /* a role, SMALL or OTHER */
    size_t n_tensors;
    int64_t n_elements;
    uint64_t size_bytes;
};

static bool is_small(const struct tensor_role *r, const struct tensor *t)
{
    return r->part == PART_BIAS || t->n_dims < 2;
}

static double bits(const struct kind_use *u)
{
    return u->n_elements > 0 ? 8.0 * (double)u->size_bytes / (double)u->n_elements : 0;
}

static const char *kind_name(int kind)
{
    return kind == SMALL ? "norms and biases" : kind == OTHER ? "other" : role_name((enum role)kind);
}

/* By kind; those without tensors are left out. */
static size_t count_kinds(const struct subject *s, struct kind_use use[N_KINDS], struct buf *out)
{
    struct tensor_roles roles;
    struct error ignored;
    struct kind_use all[N_KINDS] = {0};
    enum status st = roles_init(&roles, s, &ignored);
    out->failed |= st == STATUS_NOMEM;
    if (st != STATUS_OK) return 0;
    for (size_t i = 0; i < roles.n; i++) {
        const struct tensor *t = s->model->ckpt->tensors[i].t; /* packed integers are counted there */
        const struct tensor_role *r = &roles.items[i];
        struct kind_use *u = &all[r->role == ROLE_COUNT ? OTHER : is_small(r, t) ? SMALL : (int)r->role];
        u->n_tensors++;
        u->n_elements += t->n_elements;
        u->size_bytes += t->size_bytes;
    }
    roles_clear(&roles);
    size_t n = 0;
    for (int k = 0; k < N_KINDS; k++)
        if (all[k].n_tensors > 0) {
            use[n] = all[k];
            use[n++].kind = k;
        }
    return n;
}

static bool same_bits(const struct kind_use *a, const struct kind_use *b)
{
    char x[32], y[32];
    snprintf(x, sizeof x, "%.2f", bits(a));
    snprintf(y, sizeof y, "%.2f", bits(b));
    return strcmp(x, y) == 0;
}

/* Bytes of all kinds that have as many bits as this one */
static uint64_t group_bytes(const struct kind_use *use, size_t n, const struct kind_use *of)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (same_bits(&use[i], of)) bytes += use[i].size_bytes;
    return bytes;
}

static void group_text(struct kind_use *use, size_t n, const struct kind_use *of, struct buf *out)
{
    size_t said = 0;
    buf_printf(out, "%.2f ", bits(of));
    struct kind_use copy = *of;
    for (size_t i = 0; i < n; i++) {
        if (!use[i].n_tensors || !same_bits(&use[i], &copy)) continue;
        buf_printf(out, "%s%s", said++ ? ", " : "", kind_name(use[i].kind));
        use[i].n_tensors = 0; /* said */
    }
}

void summary_roles_text(const struct subject *s, struct buf *out)
{
    struct kind_use use[N_KINDS];
    size_t n = count_kinds(s, use, out), groups = 0;
    if (n == 0) return;
    buf_puts(out, "  bits        ");
    for (;;) {
        const struct kind_use *next = NULL;
        for (size_t i = 0; i < n; i++)
            if (use[i].n_tensors && (!next || group_bytes(use, n, &use[i]) > group_bytes(use, n, next))) next = &use[i];
        if (!next) break;
        if (groups++) buf_puts(out, "; ");
        group_text(use, n, next, out);
    }
    buf_puts(out, "\n");
}

void summary_roles_json(const struct subject *s, struct jwriter *w)
{
    struct kind_use use[N_KINDS];
    size_t n = count_kinds(s, use, w->out);
    if (n == 0) return;
    jw_begin_array(w, "bits_by_role");
    for (size_t i = 0; i < n; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "role", kind_name(use[i].kind));
        jw_uint(w, "tensors", use[i].n_tensors);
        jw_int(w, "weights", use[i].n_elements);
        jw_uint(w, "size_bytes", use[i].size_bytes);
        jw_double(w, "bits", bits(&use[i]));
        jw_end_object(w);
    }
    jw_end_array(w);
}

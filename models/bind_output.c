#include "models/bind_parts.h"

#include <stdlib.h>
#include <string.h>

enum { COMPARE_BYTES = 1 << 18 };

/* The first max_bytes of them count. */
static enum status same_values(const struct ckpt_tensor *a, const struct ckpt_tensor *b, uint64_t max_bytes,
                               bool *same, struct error *err)
{
    uint64_t size = a->t->size_bytes < max_bytes ? a->t->size_bytes : max_bytes;
    *same = ckpt_same_bytes(a, b);
    if (*same || a->t->dtype != b->t->dtype || a->t->size_bytes != b->t->size_bytes) return STATUS_OK;
    void *p;
    TRY(mem_alloc(&p, 2, COMPARE_BYTES, err));
    char *x = p, *y = x + COMPARE_BYTES;
    enum status st = STATUS_OK;
    *same = true;
    for (uint64_t off = 0; off < size && *same; off += COMPARE_BYTES) {
        uint64_t left = size - off;
        size_t n = left < COMPARE_BYTES ? (size_t)left : COMPARE_BYTES;
        TRY_OUT(ckpt_read(a, off, x, n, err));
        TRY_OUT(ckpt_read(b, off, y, n, err));
        *same = memcmp(x, y, n) == 0;
    }
out:
    free(p);
    return st;
}

static size_t find_role(const struct model *m, enum role role)
{
    size_t i = 0;
    while (i < m->n_weights && m->weights[i].rule->role != role) i++;
    return i;
}

/* A runtime that insists on an output matrix gets it although the model is tied. */
static enum status fill_output(struct model *m, const struct tensor_rule *rule, size_t before,
                               struct error *err)
{
    if (m->is_gguf || rule->fill != FILL_EMBEDDING) return STATUS_OK;
    struct model_fill *fills = arena_array(&m->mem, m->n_fills + 1, sizeof *fills);
    if (!fills) return error_nomem(err, (m->n_fills + 1) * sizeof *fills);
    size_t n = 0;
    while (n < m->n_fills && m->fills[n].before < before) n++;
    for (size_t i = 0; i < m->n_fills; i++) fills[i < n ? i : i + 1] = m->fills[i];
    fills[n] = (struct model_fill){rule, -1, before};
    m->fills = fills;
    m->n_fills++;
    return STATUS_OK;
}

static void unbind(struct model *m, size_t i)
{
    m->n_weights--;
    memmove(&m->weights[i], &m->weights[i + 1], (m->n_weights - i) * sizeof *m->weights);
    for (size_t k = 0; k < m->n_fills; k++)
        if (m->fills[k].before > i) m->fills[k].before--;
}

/* A copy of the embedding? A shared storage is proof, whatever the config says. Equal numbers count unless it says that they are two
 * matrices; a GGUF without the word is not tied. */
static enum status is_copy(const struct model *m, const struct ckpt_tensor *output,
                           const struct ckpt_tensor *embd, enum tie tie, uint64_t max_bytes, bool *same,
                           struct error *err)
{
    *same = ckpt_same_bytes(output, embd);
    if (*same || tie == TIE_NO || (m->is_gguf && tie == TIE_UNSAID)) return STATUS_OK;
    return same_values(output, embd, max_bytes, same, err);
}

static enum status output_present(struct model *m, size_t i_output, enum tie tie, bool headers_only,
                                  struct warnings *warn, struct error *err)
{
    uint64_t max_bytes = headers_only ? COMPARE_BYTES : UINT64_MAX;
    size_t i_embd = find_role(m, ROLE_TOKEN_EMBD);
    bool same = false, same_type = false;
    const struct ckpt_tensor *output = m->weights[i_output].t;
    const struct tensor_rule *rule = m->weights[i_output].rule;
    m->hp.tied = false;
    if (i_embd < m->n_weights) {
        TRY(is_copy(m, output, m->weights[i_embd].t, tie, max_bytes, &same, err));
        same_type = output->t->dtype == m->weights[i_embd].t->t->dtype;
    }
    const char *name = output->t->name;
    /* the copy that a runtime insists on; after quantization it may be of another type, and runtimes use it */
    bool expected = m->is_gguf && rule->fill == FILL_EMBEDDING;
    if (!same) {
        if (tie == TIE_YES && (!expected || same_type))
            warnings_add(warn, "tied-head-differs",
                         "tensor '%s' differs from the embedding although the config ties them: both are kept",
                         name);
        return STATUS_OK;
    }
    if (!expected)
        warnings_note(warn, "tied-head-dropped", "tensor '%s' %s the embedding and is stored once", name,
                      ckpt_same_bytes(output, m->weights[i_embd].t) ? "is"
                      : output->t->size_bytes > max_bytes           ? "begins as"
                                                                    : "equals");
    m->hp.tied = m->tie_dropped = true;
    unbind(m, i_output);
    return fill_output(m, rule, i_output, err);
}

static enum status output_absent(struct model *m, enum tie tie, struct warnings *warn, struct error *err)
{
    m->hp.tied = true;
    if (tie == TIE_YES || (m->is_gguf && tie == TIE_UNSAID)) return STATUS_OK;
    if (m->is_gguf)
        return error_at(err, STATUS_NOTFOUND, m->ckpt->path, "output.weight",
                        "expected since lathe.tied_embeddings is false, not found");
    warnings_add(warn, "lm-head-missing",
                 "the config does not tie the output matrix to the embedding, but there is no output matrix: "
                 "taken as tied");
    return STATUS_OK;
}

enum status bind_output(struct model *m, enum tie tie, bool headers_only, struct warnings *warn,
                        struct error *err)
{
    size_t i = find_role(m, ROLE_OUTPUT);
    TRY(i < m->n_weights ? output_present(m, i, tie, headers_only, warn, err) : output_absent(m, tie, warn, err));
    return bind_index(m, err);
}

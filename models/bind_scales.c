/* Weights of checkpoints in FP8, and of ChatGLM's in 8 and 4 bits: their scales, found by name and understood by shape. */
#include "models/bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* DeepSeek, Qwen and transformers write what the elements are multiplied with as an inverse, others plainly; both are factors. */
static const char *const suffixes[] = {"_scale_inv", "_scale", NULL};
/* Ends of names: numbers for quantizing activations and caches at run time. */
static const char *const runtime_scales[] = {".input_scale", ".input_scale_ub", ".output_scale",
                                             ".activation_scale", ".k_scale",    ".v_scale",
                                             ".q_scale",     ".kv_scale",        ".prob_scale",
                                             ".k_proj.output_scale", NULL};

static bool is_f8(const struct tensor *t)
{
    return t->dtype == DTYPE_F8_E4M3 || t->dtype == DTYPE_F8_E5M2;
}

static bool is_integer(const struct tensor *t)
{
    return t->dtype == DTYPE_I8 || t->dtype == DTYPE_I4;
}

static const struct ckpt_tensor *find_scale(const struct model *m, const struct tensor *weight)
{
    char name[512];
    for (const char *const *s = suffixes; *s; s++) {
        snprintf(name, sizeof name, "%s%s", weight->name, *s);
        const struct ckpt_tensor *t = ckpt_find(m->ckpt, name);
        if (t) return t;
    }
    return NULL;
}

static int64_t blocks(int64_t n, int64_t block)
{
    return block > 0 ? (n - 1) / block + 1 : 0;
}

/* One scale for all, for each row, or for each block of the size that the config gives, the last ones cut short; without a size the blocks
 * must come out even. */
static bool understand(struct model_scale *s, const struct model *m, const struct tensor *weight)
{
    const struct tensor *t = s->t->t;
    int64_t rows = weight->shape[0], cols = weight->shape[1];
    bool matrix = t->n_dims == 2, column = t->n_dims == 1 || (matrix && t->shape[1] == 1);
    *s = (struct model_scale){.t = s->t, .block_rows = rows, .block_cols = cols, .grid_cols = 1};
    if (rows < 1 || cols < 1) return false;
    if (t->n_elements == 1) return true;
    if (column && t->shape[0] == rows) {
        s->block_rows = 1;
        return true;
    }
    if (!matrix || t->n_elements < 1) return false;
    s->grid_cols = t->shape[1];
    s->block_rows = m->quant.block_rows ? m->quant.block_rows : rows / t->shape[0];
    s->block_cols = m->quant.block_cols ? m->quant.block_cols : cols / t->shape[1];
    if (!m->quant.block_rows && (rows % t->shape[0] != 0 || cols % t->shape[1] != 0)) return false;
    return blocks(rows, s->block_rows) == t->shape[0] && blocks(cols, s->block_cols) == t->shape[1];
}

static enum status bad_shape(const struct model *m, const struct tensor *weight, const struct model_scale *s,
                             struct error *err)
{
    const struct tensor *t = s->t->t;
    char found[64] = "a scalar", grid[96] = "or for each of equal blocks";
    if (t->n_dims == 1) snprintf(found, sizeof found, "%lld", (long long)t->shape[0]);
    if (t->n_dims == 2) snprintf(found, sizeof found, "%lld x %lld", (long long)t->shape[0], (long long)t->shape[1]);
    if (t->n_dims > 2) snprintf(found, sizeof found, "%d dimensions", t->n_dims);
    if (m->quant.block_rows)
        snprintf(grid, sizeof grid, "or %lld x %lld for blocks of %lld x %lld",
                 (long long)blocks(weight->shape[0], m->quant.block_rows),
                 (long long)blocks(weight->shape[1], m->quant.block_cols), (long long)m->quant.block_rows,
                 (long long)m->quant.block_cols);
    return error_at(err, STATUS_MISMATCH, s->t->container->file.path, t->name,
                    "expected one scale, %lld (one for each row), %s, found %s", (long long)weight->shape[0], grid,
                    found);
}

static enum status bind_scale(struct model *m, const struct weight *w, bool *seen, struct error *err)
{
    const struct tensor *t = w->t->t;
    struct model_scale s = {.t = find_scale(m, t)};
    if (!s.t) {
        if (!m->quant.method) return STATUS_OK; /* plain small floats */
        return error_at(err, STATUS_NOTFOUND, w->t->container->file.path, t->name,
                        "is FP8 in a checkpoint that config.json calls quantized (%s): expected '%s_scale' or "
                        "'%s_scale_inv', not found",
                        m->quant.method, t->name, t->name);
    }
    if (!dtype_info(s.t->t->dtype)->is_float)
        return error_at(err, STATUS_UNSUPPORTED, s.t->container->file.path, s.t->t->name,
                        "expected scales of a floating-point type, found %s", dtype_info(s.t->t->dtype)->name);
    if (t->n_dims != 2 || w->rule->transform == TRANSFORM_TRANSPOSE)
        return error_at(err, STATUS_UNSUPPORTED, w->t->container->file.path, t->name,
                        "scales of a tensor that is no matrix of (out, in)");
    if (!understand(&s, m, t)) return bad_shape(m, t, &s, err);
    struct model_scale *kept = arena_alloc(&m->mem, sizeof *kept);
    if (!kept) return error_nomem(err, sizeof *kept);
    *kept = s;
    m->scales[w->t - m->ckpt->tensors] = kept;
    m->n_scales++;
    seen[s.t - m->ckpt->tensors] = true;
    return STATUS_OK;
}

static bool is_runtime_scale(const struct tensor *t)
{
    size_t n = strlen(t->name);
    if (t->n_elements > 1) return false;
    for (const char *const *end = runtime_scales; *end; end++) {
        size_t k = strlen(*end);
        if (n > k && strcmp(t->name + n - k, *end) == 0) return true;
    }
    return false;
}

bool model_is_runtime_scale(const struct model *m, const struct ckpt_tensor *t)
{
    return (m->n_scales > 0 || m->quant.method) && is_runtime_scale(t->t);
}

bool bind_has_scale(const struct model *m, const struct ckpt_tensor *t)
{
    return !m->is_gguf && is_integer(t->t) && find_scale(m, t->t);
}

enum status bind_unpack(struct model *m, const struct ckpt_tensor *t, int64_t cols, struct error *err)
{
    const struct tensor *packed = t->t;
    if (packed->dtype != DTYPE_I8 || packed->n_dims != 2 || !packed->contiguous || cols != 2 * packed->shape[1] ||
        !bind_has_scale(m, t))
        return STATUS_OK;
    struct tensor *own = arena_alloc(&m->mem, sizeof *own);
    if (!own) return error_nomem(err, sizeof *own);
    *own = *packed;
    own->dtype = DTYPE_I4;
    own->shape[1] = cols;
    TRY(tensor_set_size(own, t->container->file.path, err));
    m->ckpt->tensors[t - m->ckpt->tensors].t = own;
    return STATUS_OK;
}

enum status bind_scales(struct model *m, bool *seen, struct error *err)
{
    size_t n_scaled = 0;
    for (size_t i = 0; i < m->n_weights; i++) n_scaled += is_f8(m->weights[i].t->t) || is_integer(m->weights[i].t->t);
    if (n_scaled == 0 || m->is_gguf) return STATUS_OK;
    m->scales = arena_array(&m->mem, m->ckpt->n_tensors, sizeof(*m->scales));
    if (!m->scales) return error_nomem(err, m->ckpt->n_tensors * sizeof(*m->scales));
    for (size_t i = 0; i < m->n_weights; i++)
        if (is_f8(m->weights[i].t->t) || is_integer(m->weights[i].t->t)) TRY(bind_scale(m, &m->weights[i], seen, err));
    for (size_t i = 0; i < m->ckpt->n_tensors; i++)
        if (!seen[i] && model_is_runtime_scale(m, &m->ckpt->tensors[i])) {
            seen[i] = true;
            m->n_dropped++;
        }
    return STATUS_OK;
}

const struct model_scale *model_scale(const struct model *m, const struct ckpt_tensor *t)
{
    if (!m || !m->scales || t < m->ckpt->tensors || t >= m->ckpt->tensors + m->ckpt->n_tensors) return NULL;
    return m->scales[t - m->ckpt->tensors];
}

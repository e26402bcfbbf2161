#include "core/plan_quantize.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2, NAMED_MAX = 3, KEY_TEXT_MAX = 127 };

static const char key_damage[] = "lathe.quantize.damage";
static const char key_imatrix[] = "lathe.quantize.imatrix.sha256";
/* Of each tensor, at a fixed width, so that the header's size is known before the figures are. */
static const char figures_format[] = "%.4e %.4e %.4e %.4e %019" PRId64 ";";
enum { FIGURES_BYTES = 4 * 11 + 19 + 1 };

struct run {
    struct plan *plan;
    const struct plan_quantize_options *opt;
    struct warnings *warn;
    size_t n_requantized, n_missing;
    const char *missing[NAMED_MAX];
};

/* --- one tensor --- */

static const char *path_of(const struct plan_tensor *t)
{
    return t->n_sources > 0 ? t->sources[0].t->container->file.path : "";
}

int64_t plan_matrix_rows(const struct plan_tensor *t)
{
    return t->spec.n_dims >= 2 ? t->spec.shape[t->spec.n_dims - 2] : 1;
}

static int64_t matrices(const struct plan_tensor *t)
{
    return t->spec.n_dims >= 3 ? t->spec.shape[t->spec.n_dims - 3] : 1;
}

static bool is_table(const char *name)
{
    return strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0;
}

/* The tables' rows are looked up, not multiplied: a matrix seldom knows them, and where it does, of another size. */
static enum status find_weights(struct run *r, struct plan_tensor *t, struct error *err)
{
    const struct imatrix_entry *e = imatrix_find(r->opt->imatrix, t->name);
    int64_t cols = t->spec.shape[t->spec.n_dims - 1], want = cols * matrices(t);
    if (dtype_info(t->to)->weights == WEIGHTS_IGNORED) return STATUS_OK;
    if (e && e->n_values == want) {
        t->weights = e;
        return STATUS_OK;
    }
    if (e && !is_table(t->name))
        return error_at(err, STATUS_MISMATCH, r->opt->imatrix->path, t->name, "expected %" PRId64 " importance weights, found %" PRId64, want,
                        e->n_values);
    bool usual = is_table(t->name) || strcmp(t->name, "output.weight") == 0;
    if (usual) return STATUS_OK;
    if (r->n_missing < NAMED_MAX) r->missing[r->n_missing] = t->name;
    r->n_missing++;
    return STATUS_OK;
}

static enum status check_encoder(const struct run *r, const struct plan_tensor *t, bool needs_imatrix, struct error *err)
{
    const struct dtype_info *info = dtype_info(t->to);
    if (!t->weights && (needs_imatrix || info->weights == WEIGHTS_REQUIRED)) {
        error_at(err, STATUS_NOTFOUND, path_of(t), t->name, "%s needs importance weights for this tensor, and there are none", info->ggml_name);
        return error_hint(err, "%s", r->opt->imatrix ? "the importance matrix has no entry of this name"
                                                     : "--imatrix FILE gives them; --collect-imatrix makes such a file");
    }
    if (info->is_float || dtype_can_encode(t->to, t->weights != NULL)) return STATUS_OK;
    return error_at(err, STATUS_UNSUPPORTED, path_of(t), t->name, "type %s cannot be written in this version", info->ggml_name);
}

static enum status retype(struct run *r, struct plan_tensor *t, const struct recipe_choice *choice, struct error *err)
{
    const struct dtype_info *from = dtype_info(t->from);
    t->why = choice->why;
    if (!choice->covered || t->n_sources == 0) return STATUS_OK;
    t->to = choice->type;
    t->wanted = choice->wanted;
    if (t->to == t->from) return STATUS_OK;
    if (from->block_len > 1 && !r->opt->allow_requantize) {
        error_at(err, STATUS_UNSUPPORTED, path_of(t), t->n_sources > 0 ? t->sources[0].t->t->name : t->name,
                 "is %s already; a second quantization adds its error to the first's", from->ggml_name);
        return error_hint(err, "start from the unquantized file, or accept that with --allow-requantize");
    }
    r->n_requantized += from->block_len > 1;
    if (dtype_info(t->to)->block_len == 1) return STATUS_OK;
    if (r->opt->imatrix) TRY(find_weights(r, t, err));
    TRY(check_encoder(r, t, choice->needs_imatrix, err));
    t->damage = arena_alloc(&r->plan->mem, sizeof *t->damage);
    return t->damage ? STATUS_OK : error_nomem(err, sizeof *t->damage);
}

static enum status choose(struct run *r, struct recipe_state *state, struct plan_tensor *t, struct error *err)
{
    struct recipe_choice choice;
    if (recipe_choose(state, t->name, t->spec.n_dims, t->spec.shape, &choice, err) == STATUS_OK) return retype(r, t, &choice, err);
    struct error cause = *err;
    return error_at(err, cause.status, path_of(t), t->name, "%s", cause.text);
}

/* --- the file --- */

static int compare_names(const void *a, const void *b)
{
    const struct plan_tensor *x = a, *y = b;
    long nx = recipe_block_number(x->name), ny = recipe_block_number(y->name);
    if (nx != ny) return nx < ny ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* As llama-quantize cuts its strings; not inside a character, and without a folder. */
static void put_text(struct plan *p, const char *key, const char *text)
{
    char cut[KEY_TEXT_MAX + 1];
    const char *base = path_base(text);
    size_t n = strlen(base);
    if (n > KEY_TEXT_MAX) {
        n = KEY_TEXT_MAX;
        while (n > 0 && ((unsigned char)base[n] & 0xc0) == 0x80) n--;
    }
    memcpy(cut, base, n);
    cut[n] = 0;
    gguf_put_string(&p->out, key, cut);
}

static void put_imatrix(struct plan *p, const struct imatrix *im)
{
    put_text(p, "quantize.imatrix.file", im->path);
    if (im->dataset) put_text(p, "quantize.imatrix.dataset", im->dataset);
    gguf_put_u32(&p->out, "quantize.imatrix.entries_count", (uint32_t)im->n_entries);
    if (im->n_chunks > 0) gguf_put_u32(&p->out, "quantize.imatrix.chunks_count", (uint32_t)im->n_chunks);
}

static size_t count_damaged(const struct plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_tensors; i++) n += p->tensors[i].damage != NULL;
    return n;
}

static enum status put_own_keys(struct plan *p, const struct plan_quantize_options *opt, struct error *err)
{
    size_t n_bytes = count_damaged(p) * FIGURES_BYTES;
    if (n_bytes == 0) { /* what an earlier run said still holds */
        gguf_move_to_end(&p->out, key_imatrix);
        gguf_move_to_end(&p->out, key_damage);
        return STATUS_OK;
    }
    gguf_remove(&p->out, key_imatrix);
    gguf_remove(&p->out, key_damage);
    if (!opt->record) return STATUS_OK;
    if (opt->imatrix) gguf_put_string(&p->out, key_imatrix, opt->imatrix->sha256);
    char *room = malloc(n_bytes + 1);
    if (!room) return error_nomem(err, n_bytes + 1);
    memset(room, ' ', n_bytes);
    room[n_bytes] = 0;
    gguf_put_string(&p->out, key_damage, room);
    free(room);
    return STATUS_OK;
}

/* Two digits of exponent, always. */
static double shown(double v)
{
    return v < 1e-99 ? 0 : v;
}

void plan_patch_damage(struct plan *p)
{
    uint64_t off = plan_string_offset(p, key_damage);
    char text[FIGURES_BYTES + 64];
    for (size_t i = 0; i < p->n_tensors && off != 0; i++) {
        if (!p->tensors[i].damage) continue;
        struct damage_figures f = damage_figures(p->tensors[i].damage);
        snprintf(text, sizeof text, figures_format, shown(f.rmse), shown(f.relative), shown(f.one_minus_cos),
                 shown(f.worst_rmse), f.worst_block);
        memcpy(p->out.header.data + off, text, FIGURES_BYTES);
        off += FIGURES_BYTES;
    }
}

static enum status order_tensors(struct plan *p, struct error *err)
{
    for (size_t i = 0; i < p->n_tensors; i++) p->tensors[i].order = i;
    if (p->n_tensors > 0) qsort(p->tensors, p->n_tensors, sizeof *p->tensors, compare_names);
    p->as_added = arena_array(&p->mem, p->n_tensors + 1, sizeof *p->as_added);
    if (!p->as_added) return error_nomem(err, p->n_tensors * sizeof *p->as_added);
    for (size_t i = 0; i < p->n_tensors; i++) p->as_added[p->tensors[i].order] = i;
    return STATUS_OK;
}

static enum status put_keys(struct plan *p, const struct plan_quantize_options *opt, struct error *err)
{
    gguf_put_u32(&p->out, "general.quantization_version", QUANTIZATION_VERSION);
    if (opt->recipe->base != DTYPE_COUNT)
        gguf_put_u32(&p->out, "general.file_type", opt->recipe->file_type);
    else
        gguf_move_to_end(&p->out, "general.file_type");
    if (opt->imatrix) put_imatrix(p, opt->imatrix);
    return put_own_keys(p, opt, err);
}

static void warn_all(const struct run *r)
{
    const struct name_patterns *patterns = r->opt->types.patterns;
    if (r->n_requantized > 0)
        warnings_add(r->warn, "requantized", "%zu tensors were quantized already: their new error comes on top of the old one", r->n_requantized);
    if (r->n_missing > 0)
        warnings_add(r->warn, "imatrix-missing", "%zu tensors have no entry in the importance matrix and are quantized without: %s%s%s%s%s%s",
                     r->n_missing, r->missing[0], r->n_missing > 1 ? ", " : "", r->n_missing > 1 ? r->missing[1] : "",
                     r->n_missing > 2 ? ", " : "", r->n_missing > 2 ? r->missing[2] : "", r->n_missing > NAMED_MAX ? ", ..." : "");
    for (size_t i = 0; patterns && i < patterns->count; i++)
        if (!patterns->items[i].used)
            warnings_add(r->warn, "tensor-type-unused", "--tensor-type '%s' is of no effect on any tensor", patterns->items[i].text);
}

enum status plan_quantize(struct plan *p, const struct plan_quantize_options *opt, struct warnings *warn, struct error *err)
{
    struct run r = {.plan = p, .opt = opt, .warn = warn};
    struct recipe_facts facts;
    recipe_facts_init(&facts, p->out.kvs, p->out.n_kvs);
    facts.has_imatrix = opt->imatrix != NULL;
    for (size_t i = 0; i < p->n_tensors; i++) recipe_facts_add(&facts, p->tensors[i].name);
    if (!opt->in_place && !opt->keep_order) TRY(order_tensors(p, err));

    struct recipe_state state = recipe_begin(opt->recipe, &opt->types, &facts);
    for (size_t i = 0; i < p->n_tensors; i++) TRY(choose(&r, &state, &p->tensors[i], err));
    TRY(plan_rebuild(p, err));
    warn_all(&r);
    p->imatrix = opt->imatrix;
    return opt->in_place ? STATUS_OK : put_keys(p, opt, err);
}

/* The rotary positions of a config.json from those of a GGUF: the source's block where the file has it, else a block that gives the angles of the
 * keys and tensors that llama.cpp reads. */
#include "models/config_write.h"
#include "models/rope_runtime.h"

#include <math.h>
#include <string.h>

static const char *theta_key(const struct config_writer *c)
{
    return c->arch->rope.theta ? c->arch->rope.theta : "rope_theta";
}

/* A member with a base in it is the newer spelling, which transformers calls otherwise. */
static enum status put_source(struct config_writer *c, struct error *err)
{
    const struct rope *rope = &c->hp->rope;
    struct json *doc;
    TRY(json_parse(&doc, rope->source, strlen(rope->source), "lathe.rope.source", err));
    const struct jvalue *block = json_root(doc), *theta = json_get(block, "rope_theta");
    if (theta && json_count(block) == 1) {
        config_put_real(c, theta_key(c), rope->theta);
    } else {
        config_put_raw(c, theta ? "rope_parameters" : "rope_scaling", rope->source);
        if (!theta) config_put_real(c, theta_key(c), rope->theta);
    }
    /* where it stands beside the block it comes before the block's own */
    double inner = 0;
    struct error ignored;
    const struct jvalue *v = json_get(block, "original_max_position_embeddings");
    if (v) (void)json_double(doc, v, &inner, &ignored);
    if (rope->n_ctx_orig > 0 && rope->n_ctx_orig != inner) config_put_int(c, "original_max_position_embeddings", (int64_t)rope->n_ctx_orig);
    json_free(doc);
    return STATUS_OK;
}

static void begin_block(struct config_writer *c, const char *type)
{
    jw_begin_object(&c->w, "rope_scaling");
    jw_string(&c->w, "rope_type", type);
}

static void member(struct config_writer *c, const char *key, double v)
{
    config_write_real(c, key, v);
}

/* --- tensors of factors --- */

/* LLaMA 3's formula with the ends that every published model has. */
struct llama3 {
    double factor, low, high, context;
};

static double llama3_divisor(const struct llama3 *l, double wavelength)
{
    if (wavelength < l->context / l->high) return 1;
    if (wavelength > l->context / l->low) return l->factor;
    double smooth = (l->context / wavelength - l->low) / (l->high - l->low);
    return 1 / ((1 - smooth) / l->factor + smooth);
}

static double wavelength(const struct rope *rope, const struct rope_runtime *k, int64_t p)
{
    return 2 * M_PI * pow((double)k->freq_base, 2 * (double)p / (double)rope->dim);
}

static bool llama3_fits(const struct llama3 *l, const struct rope *rope, const struct rope_runtime *k)
{
    for (int64_t p = 0; p < rope->dim / 2; p++) {
        double want = (double)k->freqs[p];
        if (fabs(llama3_divisor(l, wavelength(rope, k, p)) - want) > 1e-6 * want) return false;
    }
    return true;
}

/* A factor between 1 and the largest lies on the ramp, and tells the context. */
static bool find_llama3(const struct rope *rope, const struct rope_runtime *k, struct llama3 *l)
{
    int64_t n = rope->dim / 2;
    *l = (struct llama3){(double)k->freqs[n - 1], 1, 4, 8192};
    if (k->factor != 0 || k->attn_factor != 1 || l->factor <= 1) return false;
    for (int64_t p = 0; p < n; p++) {
        double q = (double)k->freqs[p];
        if (q <= 1.001 || q >= 0.999 * l->factor) continue;
        double smooth = (1 / q - 1 / l->factor) / (1 - 1 / l->factor);
        l->context = round(wavelength(rope, k, p) * (l->low + smooth * (l->high - l->low)));
        break;
    }
    return llama3_fits(l, rope, k);
}

static void put_llama3(struct config_writer *c, const struct llama3 *l)
{
    begin_block(c, "llama3");
    member(c, "factor", l->factor);
    member(c, "low_freq_factor", l->low);
    member(c, "high_freq_factor", l->high);
    jw_int(&c->w, "original_max_position_embeddings", (int64_t)l->context);
    jw_end_object(&c->w);
}

static void put_list(struct config_writer *c, const char *key, const float *list, int64_t n, double times)
{
    jw_begin_array(&c->w, key);
    for (int64_t p = 0; p < n; p++) config_write_real(c, NULL, (double)list[p] * times);
    jw_end_array(&c->w);
}

/* Any divisors: one list for short and one for long texts, perhaps the same. */
static void put_longrope(struct config_writer *c, const struct rope_runtime *k, const float *shorter, const float *longer)
{
    int64_t n = c->hp->rope.dim / 2;
    double times = k->factor != 0 && k->scaling != ROPE_SCALING_NONE ? (double)k->factor : 1;
    begin_block(c, "longrope");
    put_list(c, "short_factor", shorter, n, times);
    put_list(c, "long_factor", longer, n, times);
    jw_int(&c->w, "original_max_position_embeddings", k->n_ctx_orig);
    member(c, "factor", 1);
    member(c, "attention_factor", (double)k->attn_factor);
    jw_end_object(&c->w);
}

/* --- keys alone --- */

static enum status put_keys(struct config_writer *c, const struct rope_runtime *k, struct error *err)
{
    double factor = k->factor == 0 || k->scaling == ROPE_SCALING_NONE ? 1 : (double)k->factor;
    bool yarn = k->scaling == ROPE_SCALING_YARN;
    if (!yarn && k->attn_factor != 1)
        return error_at(err, STATUS_UNSUPPORTED, c->m->ckpt->path, NULL, "no config.json says an attention factor of %g without a scaling", (double)k->attn_factor);
    if (!yarn && factor == 1) return STATUS_OK;
    if (!config_put_key(c, "rope_scaling")) return STATUS_OK;
    begin_block(c, yarn ? "yarn" : "linear");
    member(c, "factor", factor);
    if (yarn) jw_int(&c->w, "original_max_position_embeddings", k->n_ctx_orig);
    if (yarn && k->attn_factor != 1) member(c, "attention_factor", (double)k->attn_factor * (1 + 0.1 * log(factor)));
    jw_end_object(&c->w);
    return STATUS_OK;
}

static enum status put_runtime(struct config_writer *c, const struct rope_runtime *k, struct error *err)
{
    struct llama3 l;
    bool lists = k->scaling == ROPE_SCALING_LONGROPE && k->short_factors && k->long_factors;
    config_put_real(c, theta_key(c), (double)k->freq_base);
    if (!lists && !k->freqs) return put_keys(c, k, err);
    if (k->scaling == ROPE_SCALING_YARN)
        return error_at(err, STATUS_UNSUPPORTED, c->m->ckpt->path, NULL, "no config.json says both yarn and a tensor of factors");
    if (!config_put_key(c, "rope_scaling")) return STATUS_OK;
    if (lists)
        put_longrope(c, k, k->short_factors, k->long_factors);
    else if (find_llama3(&c->hp->rope, k, &l))
        put_llama3(c, &l);
    else
        put_longrope(c, k, k->freqs, k->freqs);
    return STATUS_OK;
}

enum status config_rope_write_hf(struct config_writer *c, struct error *err)
{
    const struct rope *rope = &c->hp->rope;
    const char *part = c->arch->rope.part;
    if (c->arch->rope.constant) return STATUS_OK;
    if (part) config_put_real(c, part, (double)rope->dim / (double)c->hp->head_dim);
    if (rope->source && !rope->runtime) return put_source(c, err);
    if (rope->runtime) return put_runtime(c, rope->runtime, err);
    config_put_real(c, theta_key(c), rope->theta);
    return STATUS_OK;
}

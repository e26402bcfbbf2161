#include "models/config_quant.h"

#include <stdio.h>
#include <string.h>

typedef enum status check_fn(struct quant *q, const struct json *doc, const struct jvalue *v,
                             struct error *err);

static enum status refuse(const struct json *doc, const char *key, const struct jvalue *found,
                          const char *expected, struct error *err)
{
    struct buf b = {0};
    if (found) json_print(found, &b);
    enum status st = error_at(err, STATUS_UNSUPPORTED, json_path(doc), NULL,
                              "'quantization_config.%s': expected %s, found %.80s", key, expected,
                              b.data ? b.data : "nothing");
    buf_clear(&b);
    return st;
}

static const struct jvalue *member(const struct jvalue *v, const char *key)
{
    const struct jvalue *m = json_get(v, key);
    return json_is(m, JTYPE_NULL) ? NULL : m;
}

static bool is_word(const struct jvalue *v, const char *word)
{
    const char *s = json_string(v);
    return s && strcmp(s, word) == 0;
}

/* [128, 128] */
static enum status read_block(struct quant *q, const struct json *doc, const char *key,
                              const struct jvalue *v, struct error *err)
{
    int64_t sides[2] = {0, 0};
    struct error ignored;
    const struct jvalue *item = json_first(v);
    if (!v) return STATUS_OK;
    for (int i = 0; i < 2 && item; i++, item = json_next(item))
        if (json_int(doc, item, &sides[i], &ignored) != STATUS_OK) sides[i] = 0;
    if (!json_is(v, JTYPE_ARRAY) || json_count(v) != 2 || sides[0] < 1 || sides[1] < 1 ||
        sides[0] > INT32_MAX || sides[1] > INT32_MAX)
        return refuse(doc, key, v, "two positive integers", err);
    if (q->block_rows && (q->block_rows != sides[0] || q->block_cols != sides[1]))
        return refuse(doc, key, v, "one size of blocks for all weights", err);
    q->block_rows = sides[0];
    q->block_cols = sides[1];
    return STATUS_OK;
}

/* transformers' FineGrainedFP8, DeepSeek, and AutoFP8 */
static enum status check_fp8(struct quant *q, const struct json *doc, const struct jvalue *v,
                             struct error *err)
{
    const struct jvalue *format = member(v, "fmt");
    if (format && !is_word(format, "e4m3") && !is_word(format, "float8_e4m3fn"))
        return refuse(doc, "fmt", format, "e4m3", err);
    return read_block(q, doc, "weight_block_size", member(v, "weight_block_size"), err);
}

/* Meta's LLaMA 3.1 405B: a scale for each row */
static enum status check_fbgemm(struct quant *q, const struct json *doc, const struct jvalue *v,
                                struct error *err)
{
    (void)q, (void)doc, (void)v, (void)err;
    return STATUS_OK;
}

static enum status check_modelopt(struct quant *q, const struct json *doc, const struct jvalue *v,
                                  struct error *err)
{
    const struct jvalue *algorithm = member(v, "quant_algo");
    (void)q;
    return is_word(algorithm, "FP8") ? STATUS_OK : refuse(doc, "quant_algo", algorithm, "FP8", err);
}

static enum status check_group(struct quant *q, const struct json *doc, const struct jvalue *weights,
                               struct error *err)
{
    static const char *const strategies[] = {"tensor", "channel", "block", NULL};
    const struct jvalue *strategy = member(weights, "strategy"), *bits = member(weights, "num_bits"),
                        *symmetric = member(weights, "symmetric");
    const char *const *s = strategies;
    int64_t n = 0;
    struct error ignored;
    if (!weights) return STATUS_OK; /* activations only */
    if (!is_word(member(weights, "type"), "float"))
        return refuse(doc, "config_groups.weights.type", member(weights, "type"), "float", err);
    if (!bits || json_int(doc, bits, &n, &ignored) != STATUS_OK || n != 8)
        return refuse(doc, "config_groups.weights.num_bits", bits, "8", err);
    if (symmetric && !json_is_true(symmetric))
        return refuse(doc, "config_groups.weights.symmetric", symmetric, "true", err);
    while (*s && strategy && !is_word(strategy, *s)) s++;
    if (strategy && !*s)
        return refuse(doc, "config_groups.weights.strategy", strategy, "tensor, channel or block", err);
    return read_block(q, doc, "config_groups.weights.block_structure", member(weights, "block_structure"),
                      err);
}

static enum status check_compressed(struct quant *q, const struct json *doc, const struct jvalue *v,
                                    struct error *err)
{
    const struct jvalue *format = member(v, "format"), *sparsity = member(v, "sparsity_config");
    const struct jvalue *sparse = member(sparsity, "format");
    if (!is_word(format, "float-quantized") && !is_word(format, "naive-quantized"))
        return refuse(doc, "format", format, "float-quantized", err);
    if (sparse && !is_word(sparse, "dense"))
        return refuse(doc, "sparsity_config.format", sparse, "dense", err);
    if (json_count(member(v, "transform_config")) > 0)
        return refuse(doc, "transform_config", member(v, "transform_config"), "none", err);
    for (const struct jvalue *g = json_first(member(v, "config_groups")); g; g = json_next(g))
        TRY(check_group(q, doc, member(g, "weights"), err));
    return STATUS_OK;
}

static const struct {
    const char *method;
    check_fn *check;
} methods[] = {
    {"fp8", check_fp8},
    {"fbgemm_fp8", check_fbgemm},
    {"modelopt", check_modelopt},
    {"compressed-tensors", check_compressed},
};

enum status quant_read(struct quant *q, const struct json *doc, struct error *err)
{
    const struct jvalue *v = member(json_root(doc), "quantization_config"), *method;
    *q = (struct quant){0};
    bool old = !v;
    if (old) v = member(json_root(doc), "compression_config");
    if (!v) return STATUS_OK;
    if (!json_is(v, JTYPE_OBJECT))
        return error_at(err, STATUS_FORMAT, json_path(doc), NULL,
                        "'quantization_config': expected an object");
    method = member(v, "quant_method");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        bool unnamed = old && !method && strcmp(methods[i].method, "compressed-tensors") == 0;
        if (!unnamed && !is_word(method, methods[i].method)) continue;
        q->method = methods[i].method;
        return methods[i].check(q, doc, v, err);
    }
    return refuse(doc, "quant_method", method, "fp8, fbgemm_fp8, modelopt or compressed-tensors", err);
}

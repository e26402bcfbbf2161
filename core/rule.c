#include "core/rule.h"

#include <inttypes.h>
#include <string.h>

void rule_step(const struct tensor_rule *rule, const struct hparams *hp, int64_t layer, struct rule_step *out)
{
    *out = (struct rule_step){.transform = rule->transform};
    if (out->transform == TRANSFORM_QKV_GROUPS && hp->n_head_kv == 1) out->transform = TRANSFORM_NONE;
    if (rule->heads && out->transform != TRANSFORM_NONE) out->args.heads = hparams_eval(hp, rule->heads);
    if (out->transform == TRANSFORM_QKV_GROUPS) out->args.groups = hp->n_head_kv;
    if (rule->rotated) out->args.rotated = hparams_eval(hp, rule->rotated);
    double ratio = rule->scaled ? hparams_scale_ratio(hp, layer) : 1;
    if (ratio == 1) return;
    out->scale = ratio;
    out->scaled_rows = hparams_eval(hp, rule->scaled);
}

char *rule_name(struct arena *mem, const char *pattern, const char *prefix, int64_t layer, int64_t expert)
{
    struct buf b = {0};
    for (const char *s = pattern; *s && *s != '|';) {
        bool hole = s[0] == '{' && s[1] && s[2] == '}';
        if (hole && s[1] == 'p') buf_puts(&b, prefix);
        if (hole && s[1] == 'i') buf_printf(&b, "%" PRId64, layer);
        if (hole && s[1] == 'e') buf_printf(&b, "%" PRId64, expert);
        if (!hole) buf_append(&b, s, 1);
        s += hole ? 3 : 1;
    }
    char *name = b.failed ? NULL : arena_strndup(mem, b.data ? b.data : "", b.len);
    buf_clear(&b);
    return name;
}

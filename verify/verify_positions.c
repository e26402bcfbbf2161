#include "verify/verify_positions.h"

#include "core/canonical.h"
#include "models/rope_runtime.h"

#include <stdlib.h>
#include <string.h>

/* A decimal number at *s, which moves behind it and behind `end`, a character that has to follow. */
static bool number(const char **s, char end, int64_t *n)
{
    size_t digits = strspn(*s, "0123456789");
    if (digits == 0 || digits > 10 || (*s)[digits] != end) return false;
    *n = strtoll(*s, NULL, 10);
    *s += digits + (end != 0);
    return *n <= INT32_MAX;
}

enum status positions_parse(struct positions *p, const char *text, struct error *err)
{
    const char *s = text;
    int64_t end = 0;
    p->step = 1;
    bool has_step = strchr(text, ':') != strrchr(text, ':');
    bool good = number(&s, ':', &p->first) && number(&s, has_step ? ':' : 0, &end) &&
                (!has_step || number(&s, 0, &p->step)) && p->step > 0 && end > p->first;
    if (!good)
        return error_set(err, STATUS_USAGE,
                         "option '--positions': expected model, causal, START:END or START:END:STEP with "
                         "START below END, found "
                         "'%s'",
                         text);
    p->count = (end - p->first + p->step - 1) / p->step;
    return STATUS_OK;
}

static bool is_scaled(const struct rope *r)
{
    if (r->type == ROPE_NONE) return false;
    const struct rope_runtime *k = r->runtime;
    if (!k) return r->type != ROPE_DEFAULT;
    return k->freqs || k->short_factors || k->long_factors || k->attn_factor != 1 ||
           (k->scaling != ROPE_SCALING_NONE && k->factor != 0 && k->factor != 1);
}

static int64_t original_context(const struct model *m)
{
    if (!m->arch->uses_rope || m->arch->plan) return 0; /* the family's own code places the ids */
    return is_scaled(&m->hp.rope) ? rope_original_context(&m->hp.rope) : 0;
}

bool probe_plan(struct probe *p, const struct model *a, const struct model *b)
{
    int64_t x = original_context(a), y = original_context(b), o = x > y ? x : y;
    int64_t baked = canonical_baked_length(a, b);
    if (o == 0 || o > INT32_MAX / 4) return false;
    int64_t end = baked > 0 ? baked : 2 * o;
    int64_t step = end > PROBE_POSITIONS ? (end - 1) / (PROBE_POSITIONS - 1) : 1;
    int64_t count = (end - 1) / step + 1;
    p->original_context = o;
    p->at = (struct positions){0, step, count < PROBE_POSITIONS ? count : PROBE_POSITIONS};
    return true;
}

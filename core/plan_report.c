#include "core/plan_report.h"
#include "base/progress.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

enum { NAMED_MAX = 3 }; /* tensors told one by one; more become one warning with the worst of them */

/* --- fallbacks --- */

void report_fallbacks(const struct plan *p, struct warnings *warn)
{
    for (int wanted = 0; wanted < DTYPE_COUNT; wanted++)
        for (int to = 0; to < DTYPE_COUNT; to++) {
            size_t n = 0;
            int64_t cost = 0;
            for (size_t i = 0; i < p->n_tensors && wanted != to; i++) {
                if ((int)p->tensors[i].wanted != wanted || (int)p->tensors[i].to != to) continue;
                n++;
                cost += plan_fallback_cost(p, i);
            }
            if (n == 0) continue;
            const struct dtype_info *a = dtype_info((enum dtype)wanted), *b = dtype_info((enum dtype)to);
            char size[32];
            format_bytes(size, (uint64_t)(cost < 0 ? -cost : cost));
            warnings_add(warn, "type-fallback",
                         "%zu of %zu tensors have rows that are no multiple of %u: %s instead of %s, %s %s (--dry-run tells each)",
                         n, p->n_tensors, a->block_len, b->ggml_name, a->ggml_name, size, cost < 0 ? "less" : "more");
        }
}

/* --- casts --- */

static const struct kind {
    const char *code, *json, *text;
    size_t off; /* in struct cast_audit */
} kinds[] = {
    {"cast-overflow", "overflow", "are finite in the source, infinite as",
     offsetof(struct cast_audit, n_overflow)},
    {"cast-flushed", "flushed", "are not zero in the source, zero as",
     offsetof(struct cast_audit, n_flushed)},
    {"cast-subnormal", "subnormal", "lose bits as subnormals of", offsetof(struct cast_audit, n_subnormal)},
    {"source-nan", "nan", "are NaN, stored as", offsetof(struct cast_audit, n_nan)},
    {"source-inf", "inf", "are infinite, stored as", offsetof(struct cast_audit, n_inf)},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static uint64_t count_of(const struct plan_tensor *t, const struct kind *k)
{
    uint64_t n;
    memcpy(&n, (const char *)&t->audit + k->off, sizeof n);
    return n;
}

static const char *source_name(const struct plan_tensor *t)
{
    return t->n_sources > 0 ? t->sources[0].t->t->name : t->name;
}

static void warn_tensor(const struct plan_tensor *t, const struct kind *k, struct warnings *warn)
{
    warnings_add(warn, k->code, "tensor '%s': %" PRIu64 " of %" PRIu64 " elements %s %s", source_name(t),
                 count_of(t, k), t->audit.n, k->text, dtype_info(t->to)->ggml_name);
}

void report_casts(const struct plan *p, struct warnings *warn)
{
    for (const struct kind *k = kinds; k < kinds + N_KINDS; k++) {
        size_t n = 0;
        uint64_t elements = 0;
        const struct plan_tensor *worst = NULL;
        for (size_t i = 0; i < p->n_tensors; i++) {
            uint64_t count = count_of(&p->tensors[i], k);
            n += count > 0;
            elements += count;
            if (count > 0 && (!worst || count > count_of(worst, k))) worst = &p->tensors[i];
        }
        for (size_t i = 0; n <= NAMED_MAX && i < p->n_tensors; i++)
            if (count_of(&p->tensors[i], k) > 0) warn_tensor(&p->tensors[i], k, warn);
        if (n > NAMED_MAX)
            warnings_add(warn, k->code,
                         "%zu tensors: %" PRIu64 " elements %s %s; most of them, %" PRIu64 ", in '%s'", n,
                         elements, k->text, dtype_info(worst->to)->ggml_name, count_of(worst, k),
                         source_name(worst));
    }
}

void report_casts_json(const struct plan *p, struct jwriter *w)
{
    jw_begin_array(w, "casts");
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct plan_tensor *t = &p->tensors[i];
        uint64_t any = 0;
        for (size_t k = 0; k < N_KINDS; k++) any |= count_of(t, &kinds[k]);
        if (any == 0) continue;
        jw_begin_object(w, NULL);
        jw_string(w, "tensor", source_name(t));
        jw_string(w, "from", plan_source_type_name(t->from));
        jw_string(w, "to", dtype_info(t->to)->ggml_name);
        jw_uint(w, "n", t->audit.n);
        for (size_t k = 0; k < N_KINDS; k++) jw_uint(w, kinds[k].json, count_of(t, &kinds[k]));
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* --- warnings --- */

void report_warnings_json(const struct warnings *warn, struct jwriter *w)
{
    jw_begin_array(w, "warnings");
    for (size_t i = 0; i < warn->count; i++) {
        jw_begin_object(w, NULL);
        jw_string(w, "code", warn->items[i].code);
        jw_string(w, "text", warn->items[i].text);
        if (warn->items[i].note) jw_bool(w, "note", true);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void report_warnings(const struct warnings *warn, const char *tool, struct buf *b)
{
    for (size_t i = 0; i < warn->count; i++) {
        char text[2048];
        text_escape(warn->items[i].text, text, sizeof text);
        buf_printf(b, "%s: %s: %s [%s]\n", tool, warn->items[i].note ? "note" : "warning", text,
                   warn->items[i].code);
    }
}

enum status report_strict(const struct warnings *warn, const char *path, struct error *err)
{
    const struct warning *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < warn->count; i++) {
        if (warn->items[i].note) continue;
        if (!first) first = &warn->items[i];
        n++;
    }
    if (!first) return STATUS_OK;
    error_at(err, STATUS_UNSUPPORTED, path, NULL, "--strict: %s [%s]", first->text, first->code);
    if (n > 1) return error_hint(err, "%zu more warnings; they are listed without --strict", n - 1);
    return STATUS_UNSUPPORTED;
}

void report_types(const struct plan *p, struct buf *b)
{
    size_t count[DTYPE_COUNT] = {0};
    uint64_t elements[DTYPE_COUNT] = {0};
    for (size_t i = 0; i < p->n_tensors; i++) {
        count[p->tensors[i].to]++;
        elements[p->tensors[i].to] += (uint64_t)p->tensors[i].spec.n_elements;
    }
    for (bool first = true;; first = false) {
        int best = -1;
        for (int t = 0; t < DTYPE_COUNT; t++)
            if (count[t] > 0 && (best < 0 || elements[t] > elements[best])) best = t;
        if (best < 0) return;
        buf_printf(b, "%s%s %zu", first ? "" : ", ", dtype_info((enum dtype)best)->name, count[best]);
        count[best] = 0;
    }
}

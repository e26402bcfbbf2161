/* Every cause that `lathe-verify --trace` can name, put into every family that it can happen to: the trace has to find it, at the first
 * operation that it reaches, and name it. Faults are the table of faults.c; families come from arch_list, models from family_models.c. A family for
 * which a cause has no fault must lack the property that the cause needs. `LATHE_FAULTS=1` prints the matrix, one fault a line. */
#include "convert/convert.h"
#include "tests/unit/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void run_trace(const struct scene *s, struct trace_result *out)
{
    struct error err;
    const struct trace t = {.a = s->a, .b = &s->view, .precision = PRECISION_F32, .ids = s->ids, .n = N_IDS, .workers = s->workers};
    if (trace_run(&t, out, &err) != STATUS_OK) fail_msg("%s: %s", s->family.row->arch->family, err.text);
}

/* --- what decides whether a whole cause can happen to a model: said once more, from the configuration and the rules --- */

static bool has_role(const struct model *m, enum role r, enum part part)
{
    for (size_t i = 0; i < m->n_weights; i++)
        if (m->weights[i].rule->role == r && m->weights[i].rule->part == part) return true;
    return false;
}
static bool always(const struct model *m)
{
    return m->hp.n_layer > 0;
}
static bool has_rope(const struct model *m)
{
    return m->arch->uses_rope && m->hp.rope.type != ROPE_NONE;
}
static bool has_bias(const struct model *m)
{
    for (size_t i = 0; i < m->n_weights; i++)
        if (m->weights[i].rule->part == PART_BIAS && m->weights[i].rule->role != ROLE_EXP_PROBS_B) return true;
    return false;
}
static bool sees_the_past_only(const struct model *m)
{
    return m->arch->plan == NULL;
}
static bool may_untie(const struct model *m)
{
    if (has_role(m, ROLE_OUTPUT, PART_WEIGHT)) return true;
    for (const struct tensor_rule *r = m->arch->rules; r->shape; r++)
        if (r->role == ROLE_OUTPUT && r->part == PART_WEIGHT && r->source) return true;
    return false;
}

static const struct {
    const char *cause;
    bool (*can_happen)(const struct model *m);
} causes[] = {
    {"row_order", has_rope},       {"transpose", always},         {"halves_swapped", always},
    {"head_grouping", always},     {"norm_offset", always},       {"epsilon", always},
    {"rope_base", has_rope},       {"rope_dim", has_rope},        {"rope_scaling", has_rope},
    {"missing_bias", has_bias},    {"activation", always},        {"window", sees_the_past_only},
    {"head_tying", may_untie},     {"row_offset", always},
};

/* --- the matrix --- */

struct tally {
    int injected[COUNT(causes)], wrong;
    struct buf text;
};

static size_t cause_index(const char *cause)
{
    for (size_t i = 0; i < COUNT(causes); i++)
        if (strcmp(causes[i].cause, cause) == 0) return i;
    fail_msg("no cause %s", cause);
    return 0;
}

/* Puts one fault in, if it applies, looks, and takes it out again. */
static void try_fault(struct scene *s, const struct fault *f, struct tally *t, int *n)
{
    struct trace_result r;
    s->view = *s->b;
    bool applies = f->inject(s);
    if (applies) {
        run_trace(s, &r);
        ++*n;
        if (!r.found || strcmp(r.first.name, s->tap) != 0 || r.first.layer != s->layer || strcmp(r.cause, f->cause) != 0) {
            t->wrong++;
            buf_printf(&t->text, "\n%s %s, %s %s: found %s@%d %s (%s), expected %s@%d", s->family.row->arch->family,
                       s->family.row->form, f->cause, f->what, r.found ? r.first.name : "nothing", (int)r.first.layer, r.cause,
                       r.explanation, s->tap, (int)s->layer);
        }
    }
    scene_undo(s);
    if (getenv("LATHE_FAULTS") && applies) printf("    %s: %s -> %s@%d %s\n", f->cause, f->what, s->tap, (int)s->layer, f->cause);
    else if (getenv("LATHE_FAULTS")) printf("    %s: %s: does not apply: no %s\n", f->cause, f->what, f->needs);
}

static void check_healthy(struct scene *s, struct tally *t)
{
    struct trace_result r;
    s->view = *s->b;
    run_trace(s, &r);
    if (!r.found) return;
    t->wrong++;
    buf_printf(&t->text, "\n%s %s: healthy, found %s@%d %s", s->family.row->arch->family, s->family.row->form, r.first.name,
               (int)r.first.layer, r.cause);
}

static void check_row(const struct family_row *row, const char *type, struct tally *t)
{
    struct scene *s = malloc(sizeof *s);
    int count[COUNT(causes)] = {0};
    scene_open(s, row, type, convert_main);
    check_healthy(s, t);
    for (size_t i = 0; i < n_faults; i++) try_fault(s, &faults[i], t, &count[cause_index(faults[i].cause)]);
    check_healthy(s, t); /* all was put back */
    printf("%-10s %-18s", row->arch->family, row->form);
    for (size_t i = 0; i < COUNT(causes); i++) {
        bool can = causes[i].can_happen(s->a) && (strcmp(type, "f32") == 0 || strcmp(causes[i].cause, "transpose") != 0);
        if (can != (count[i] > 0)) {
            t->wrong++;
            buf_printf(&t->text, "\n%s %s: %s can%s happen, but %d faults of it were tried", row->arch->family, row->form,
                       causes[i].cause, can ? "" : "not", count[i]);
        }
        t->injected[i] += count[i];
        if (can) printf(" %6d", count[i]);
        else printf("      -");
    }
    printf("\n");
    scene_close(s);
    free(s);
}

static void check_matrix(const char *type)
{
    struct tally t = {0};
    int total = 0;
    printf("faults found and named, B in %s: ", type);
    for (size_t i = 0; i < COUNT(causes); i++) printf("%s%s", i ? ", " : "", causes[i].cause);
    printf(" (-: cannot happen)\n");
    for (size_t i = 0; i < n_family_models; i++) check_row(&family_models[i], type, &t);
    printf("%-29s", "together");
    for (size_t i = 0; i < COUNT(causes); i++) printf(" %6d", t.injected[i]), total += t.injected[i];
    printf("\n%d faults in %zu models\n", total, n_family_models);
    if (t.wrong) printf("%.*s\n", (int)t.text.len, t.text.data); /* too long for a message of cmocka */
    buf_clear(&t.text);
    assert_int_equal(t.wrong, 0);
    for (size_t i = 0; i < COUNT(causes); i++) assert_true(t.injected[i] > 0 || strcmp(causes[i].cause, "transpose") == 0);
}

static void test_matrix(void **state)
{
    (void)state;
    check_matrix("f32");
}

/* What 8 bits leave is enough to tell the same; blocks cannot be transposed. */
static void test_matrix_quantized(void **state)
{
    (void)state;
    check_matrix("q8_0");
}

static void test_families_complete(void **state)
{
    (void)state;
    for (const struct arch *const *a = arch_list; *a; a++) {
        bool found = false;
        for (size_t i = 0; i < n_family_models; i++) found = found || family_models[i].arch == *a;
        if (!found) fail_msg("%s: no tiny model in family_models.c", (*a)->family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families_complete), cmocka_unit_test(test_matrix),
                                       cmocka_unit_test(test_matrix_quantized)};
    return cmocka_run_group_tests_name("trace faults", tests, NULL, NULL);
}

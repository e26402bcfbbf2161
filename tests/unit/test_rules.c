/* A rule of convert that is wrong: lathe-verify must see it in the forward pass, and --weights, which inverts the very same rules, cannot. For
 * every family of arch_list (models from family_models.c), every rule that moves rows or elements is left out, rows are moved where they should
 * not be, and targets of equal shape are exchanged, one at a time. Each file is written by convert's own plan and writer. */
#include "base/file.h"
#include "core/model_plan.h"
#include "core/writer.h"
#include "tests/unit/family_models.h"
#include "verify/tolerance.h"
#include "verify/verify_run.h"
#include "verify/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { N_IDS = 24, CHANGED_MAX = 64 };

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

/* --- wrong rules --- */

enum fault_kind {
    LEAVE_OUT, /* a transform */
    MOVE_ROWS, /* of heads, from halves to pairs, where no row moves */
    EXCHANGE,  /* targets of two roles */
    REGROUP    /* a reordering with another number of heads */
};
static const struct fault {
    const char *what;
    enum fault_kind kind;
    enum transform transform; /* LEAVE_OUT, REGROUP: the one that is meant */
    enum role a, b;           /* of the rules */
} faults[] = {
    {"queries keep the source's order", LEAVE_OUT, TRANSFORM_ROPE_ROWS, ROLE_ATTN_Q, ROLE_COUNT},
    {"keys keep the source's order", LEAVE_OUT, TRANSFORM_ROPE_ROWS, ROLE_ATTN_K, ROLE_COUNT},
    {"queries keep the source's pairs", LEAVE_OUT, TRANSFORM_HALVES_ROWS, ROLE_ATTN_Q, ROLE_COUNT},
    {"keys keep the source's pairs", LEAVE_OUT, TRANSFORM_HALVES_ROWS, ROLE_ATTN_K, ROLE_COUNT},
    {"fused rows keep the source's groups", LEAVE_OUT, TRANSFORM_QKV_GROUPS, ROLE_ATTN_QKV, ROLE_COUNT},
    {"the attention's output is not transposed", LEAVE_OUT, TRANSFORM_TRANSPOSE, ROLE_ATTN_OUTPUT, ROLE_COUNT},
    {"a feed-forward matrix is not transposed", LEAVE_OUT, TRANSFORM_TRANSPOSE, ROLE_FFN_UP, ROLE_COUNT},
    {"queries are moved to pairs", MOVE_ROWS, TRANSFORM_NONE, ROLE_ATTN_Q, ROLE_COUNT},
    {"keys are moved to pairs", MOVE_ROWS, TRANSFORM_NONE, ROLE_ATTN_K, ROLE_COUNT},
    {"rows of the fused matrix are moved to pairs", MOVE_ROWS, TRANSFORM_NONE, ROLE_ATTN_QKV, ROLE_COUNT},
    {"rows of queries go as if there were fewer heads", REGROUP, TRANSFORM_ROPE_ROWS, ROLE_ATTN_Q, ROLE_COUNT},
    {"gate and up are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_FFN_GATE, ROLE_FFN_UP},
    {"gates and ups of experts are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_FFN_GATE_EXPS, ROLE_FFN_UP_EXPS},
    {"keys and values are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_ATTN_K, ROLE_ATTN_V},
    {"the norms of a block are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_ATTN_NORM, ROLE_FFN_NORM},
    {"the norms behind a block's halves are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_ATTN_OUTPUT_NORM, ROLE_LAYER_OUTPUT_NORM},
    {"norms of queries and keys are exchanged", EXCHANGE, TRANSFORM_NONE, ROLE_ATTN_Q_NORM, ROLE_ATTN_K_NORM},
};

/* Copies of rules that a model is given in place of its family's */
struct wrong_rules {
    struct tensor_rule rules[CHANGED_MAX];
    size_t n;
};

static struct tensor_rule *own_rule(struct wrong_rules *w, struct weight *weight)
{
    assert_true(w->n < CHANGED_MAX);
    w->rules[w->n] = *weight->rule;
    weight->rule = &w->rules[w->n];
    return &w->rules[w->n++];
}

static bool is_square(const struct weight *w)
{
    return w->t->t->n_dims == 2 && w->t->t->shape[0] == w->t->t->shape[1];
}

static bool applies(const struct fault *f, const struct model *m, const struct weight *w)
{
    if (w->rule->role != f->a) return false;
    if (f->transform == TRANSFORM_QKV_GROUPS && m->hp.n_head_kv == 1) return false; /* one group is in order */
    if (f->kind == MOVE_ROWS) return w->rule->transform == TRANSFORM_NONE && w->t->t->n_dims == 2;
    if (w->rule->transform != f->transform) return false;
    return f->kind != LEAVE_OUT || f->transform != TRANSFORM_TRANSPOSE || is_square(w);
}

/* The counterpart of a weight, of the same layer, part and shape */
static struct weight *other(struct model *m, const struct weight *w, enum role role)
{
    for (size_t i = 0; i < m->n_weights; i++) {
        struct weight *o = &m->weights[i];
        if (o->rule->role == role && o->layer == w->layer && o->rule->part == w->rule->part && o->t->t->n_dims == w->t->t->n_dims &&
            memcmp(o->t->t->shape, w->t->t->shape, (size_t)w->t->t->n_dims * sizeof *w->t->t->shape) == 0)
            return o;
    }
    return NULL;
}

static void exchange(struct model *m, struct weight *w, struct weight *o, struct wrong_rules *wrong)
{
    (void)m;
    const char *target = w->rule->target;
    struct tensor_rule *a = own_rule(wrong, w), *b = own_rule(wrong, o);
    a->target = b->target;
    b->target = target;
}

/* Gives m the wrong rule; false where the family has no such one. */
static bool corrupt(struct model *m, const struct fault *f, struct wrong_rules *wrong)
{
    bool done = false;
    wrong->n = 0;
    for (size_t i = 0; i < m->n_weights; i++) {
        struct weight *w = &m->weights[i];
        if (f->kind == EXCHANGE) {
            struct weight *o = w->rule->role == f->a ? other(m, w, f->b) : NULL;
            if (o && strcmp(w->rule->target, o->rule->target) != 0) exchange(m, w, o, wrong), done = true;
            continue;
        }
        if (!applies(f, m, w) || (f->kind == MOVE_ROWS && !m->arch->uses_rope)) continue;
        struct tensor_rule *r = own_rule(wrong, w);
        done = true;
        if (f->kind == LEAVE_OUT) r->transform = TRANSFORM_NONE;
        if (f->kind == MOVE_ROWS) {
            r->transform = TRANSFORM_ROPE_ROWS;
            r->heads = f->a == ROLE_ATTN_Q ? "H" : f->a == ROLE_ATTN_K ? "K" : "H+2*K";
        }
        if (f->kind == REGROUP) r->heads = "H/2", r->rotated = NULL;
    }
    return done;
}

/* --- files --- */

static void write_gguf(struct model *m, const char *path, struct workers *workers)
{
    struct plan plan = {0};
    struct warnings warn = {0};
    struct outfile *out;
    must(model_plan(&plan, m, &(struct model_plan_options){.receipt = RECEIPT_NONE}, &warn, &err), "plan");
    must(plan_layout(&plan, &err), "layout");
    must(outfile_create(&out, path, OUTFILE_REPLACE, plan.out.size_bytes, &err), path);
    must(writer_run(&plan, out, &(struct writer_options){.workers = workers}, &err), path);
    must(writer_header(&plan, out, &err), path);
    must(outfile_commit(out, &err), path);
    plan_clear(&plan);
    warnings_clear(&warn);
}

static size_t weights_off(struct model *a, struct model *b, struct workers *workers)
{
    struct weights_report r;
    struct progress quiet = {0};
    must(weights_compare(a, b, workers, &quiet, &r, &err), b->ckpt->path);
    size_t n = r.n_different;
    weights_clear(&r);
    return n;
}

static bool logits_agree(const struct model *a, const struct model *b, struct workers *workers)
{
    int32_t ids[N_IDS];
    struct tokens tokens = {.ids = ids, .n = N_IDS};
    struct progress quiet = {0};
    struct metrics_result r;
    struct tolerance t;
    family_ids(a, ids, N_IDS);
    const struct verify_run run = {
        .a = a, .b = b, .tokens = &tokens, .n_context = N_IDS, .workers = workers, .progress = &quiet};
    must(verify_execute(&run, &r, &err), b->ckpt->path);
    tolerance_default(&t, a, b, PRECISION_F32);
    return metrics_agree(&r, t.value);
}

/* One fault in one family, or none at all (NULL): what logits and weights say of the file */
static bool check(const struct family_row *row, const struct fault *f, struct workers *workers)
{
    struct family_model family;
    struct wrong_rules wrong;
    char path[300];
    family_write(&family, row, &family_sizes_small, false);
    snprintf(path, sizeof path, "%s/out.gguf", family.dir);
    struct model *right = family_open(family.dir), *wronged = family_open(family.dir);
    bool applied = !f || corrupt(wronged, f, &wrong);
    if (applied) {
        write_gguf(wronged, path, workers);
        struct model *b = family_open(path);
        const char *what = f ? f->what : "nothing wrong";
        if (weights_off(wronged, b, workers) != 0)
            fail_msg("%s %s: %s: --weights by the same rules does not agree", row->arch->family, row->form, what);
        if ((weights_off(right, b, workers) == 0) != !f)
            fail_msg("%s %s: %s: --weights by the right rules", row->arch->family, row->form, what);
        if (logits_agree(right, b, workers) != !f) fail_msg("%s %s: %s: logits", row->arch->family, row->form, what);
        model_close(b);
        unlink(path);
    }
    model_close(right);
    model_close(wronged);
    family_clear(&family);
    return applied;
}

static void wrong_rules_show_in_logits(void **state)
{
    (void)state;
    struct workers *workers;
    must(workers_new(&workers, 2, &err), "workers");
    int n = 0;
    for (size_t i = 0; i < n_family_models; i++) {
        int n_here = 0;
        check(&family_models[i], NULL, workers);
        for (size_t k = 0; k < COUNT(faults); k++) n_here += check(&family_models[i], &faults[k], workers);
        if (n_here == 0) fail_msg("%s: no fault applies", family_models[i].arch->family);
        n += n_here;
    }
    print_message("%d wrong rules in %zu models\n", n, n_family_models);
    workers_free(workers);
}

/* A family that is added later is tested, too. */
static void every_family_has_a_model(void **state)
{
    (void)state;
    for (const struct arch *const *a = arch_list; *a; a++) {
        bool found = false;
        for (size_t i = 0; i < n_family_models; i++) found |= family_models[i].arch == *a;
        if (!found) fail_msg("%s has no model", (*a)->family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_has_a_model),
        cmocka_unit_test(wrong_rules_show_in_logits),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}

/* `lathe-verify --trace` finds nothing wrong with honest casts: F32 to BF16, to F16, by way of BF16 to F16, and to every block type that can be
 * written, with an importance matrix where the type needs one. Of every family (models from family_models.c) with rows of 32, of three
 * families with rows of 256 for the types whose blocks are longer (the slow ones, which need a matrix, of the first only). */
#include "base/file.h"
#include "convert/convert.h"
#include "quantize/quantize.h"
#include "tests/unit/family_models.h"
#include "verify/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { N_IDS = 24 };

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

struct scene {
    struct family_model family;
    struct model *a;
    struct workers *workers;
    int32_t ids[N_IDS];
    char f32[300], bf16[300], cast[300], imatrix[300];
    int n_wrong, n_done;
    double nearest; /* by its limit, the most of all */
};

static void run_tool(int (*tool)(int, char **), const char *name, ...)
{
    char copies[12][300], *argv[13];
    int n = 0;
    va_list ap;
    snprintf(copies[n++], sizeof copies[0], "%s", name);
    va_start(ap, name);
    for (const char *a; n < 12 && (a = va_arg(ap, const char *)); n++) snprintf(copies[n], sizeof copies[0], "%s", a);
    va_end(ap);
    for (int i = 0; i < n; i++) argv[i] = copies[i];
    argv[n] = NULL;
    if (tool(n, argv) != 0) fail_msg("%s fails", name);
}

/* An importance matrix in the older form, for every matrix of the model: columns that matter more and less */
static void write_imatrix(const struct scene *s)
{
    struct model *m = family_open(s->f32);
    struct buf b = {0};
    int32_t n_entries = 0;
    buf_append(&b, &n_entries, sizeof n_entries);
    for (size_t i = 0; i < m->n_weights; i++) {
        const struct tensor *t = m->weights[i].t->t;
        if (t->n_dims < 2) continue;
        int32_t len = (int32_t)strlen(t->name), n_calls = 1, n = (int32_t)tensor_cols(t);
        if (t->n_dims > 2) n *= (int32_t)t->shape[0];
        buf_append(&b, &len, sizeof len);
        buf_puts(&b, t->name);
        buf_append(&b, &n_calls, sizeof n_calls);
        buf_append(&b, &n, sizeof n);
        for (int32_t k = 0; k < n; k++) {
            float x = 0.5f + (float)(k * 7919 % 101) / 50;
            buf_append(&b, &x, sizeof x);
        }
        n_entries++;
    }
    memcpy(b.data, &n_entries, sizeof n_entries);
    must(file_write_whole(s->imatrix, OUTFILE_REPLACE, b.data, b.len, &err), "imatrix");
    buf_clear(&b);
    model_close(m);
}

static void open_scene(struct scene *s, const struct family_row *row, const struct family_sizes *sizes)
{
    *s = (struct scene){0};
    family_write(&s->family, row, sizes, false);
    snprintf(s->f32, sizeof s->f32, "%s/f32.gguf", s->family.dir);
    snprintf(s->bf16, sizeof s->bf16, "%s/bf16.gguf", s->family.dir);
    snprintf(s->cast, sizeof s->cast, "%s/cast.gguf", s->family.dir);
    snprintf(s->imatrix, sizeof s->imatrix, "%s/imatrix.dat", s->family.dir);
    run_tool(convert_main, "lathe-convert", s->family.dir, "-o", s->f32, "--type", "f32", "--receipt", "none", "--quiet", NULL);
    s->a = family_open(s->family.dir);
    family_ids(s->a, s->ids, N_IDS);
    must(workers_new(&s->workers, 1, &err), "workers");
    write_imatrix(s);
}

static void close_scene(struct scene *s)
{
    model_close(s->a);
    workers_free(s->workers);
    family_clear(&s->family);
}

static void check(struct scene *s, const struct model *a, const char *path, const char *what)
{
    struct trace_result r;
    struct model *b = family_open(path);
    const struct trace t = {.a = a, .b = b, .precision = PRECISION_F32, .ids = s->ids, .n = N_IDS, .workers = s->workers};
    must(trace_run(&t, &r, &err), what);
    s->n_done++;
    double rel = r.nearest.limit > 0 ? r.nearest.distance.worst / r.nearest.limit : 0;
    if (rel > s->nearest) s->nearest = rel;
    if (r.found) {
        s->n_wrong++;
        printf("%s %s, %s: called %s at %s@%d: %.3g, limit %.3g\n", s->family.row->arch->family, s->family.row->form, what, r.cause,
               r.first.name, (int)r.first.layer, r.first.distance.worst, r.first.limit);
    }
    model_close(b);
}

static void quantize(const struct scene *s, const char *from, const char *to, const char *type)
{
    run_tool(quantize_main, "lathe-quantize", from, to, type, "--pure", "--force", "--quiet", "--imatrix", s->imatrix, NULL);
}

/* F32 → BF16 → F16, each against what it was made of and against the first */
static void check_floats(struct scene *s)
{
    quantize(s, s->f32, s->bf16, "bf16");
    check(s, s->a, s->bf16, "BF16");
    quantize(s, s->bf16, s->cast, "f16");
    check(s, s->a, s->cast, "F16 made of BF16");
    struct model *brain = family_open(s->bf16);
    check(s, brain, s->cast, "BF16 and F16 made of it");
    model_close(brain);
    quantize(s, s->f32, s->cast, "f16");
    check(s, s->a, s->cast, "F16");
}

/* Types whose blocks divide rows of this length; longer_than: and are longer than that; unless `all`, those that need no importance matrix */
static void check_blocks(struct scene *s, int64_t cols, uint32_t longer_than, bool all)
{
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        bool written = info->ggml_id >= 0 && (dtype_can_encode((enum dtype)t, false) || (all && dtype_can_encode((enum dtype)t, true)));
        if (info->block_len == 1 || info->block_len <= longer_than || cols % info->block_len != 0 || !written) continue;
        quantize(s, s->f32, s->cast, info->name);
        check(s, s->a, s->cast, info->name);
    }
}

static void test_every_family(void **state)
{
    (void)state;
    int n = 0;
    double nearest = 0;
    for (size_t i = 0; i < n_family_models; i++) {
        struct scene s;
        open_scene(&s, &family_models[i], &family_sizes_small);
        check_floats(&s);
        check_blocks(&s, family_sizes_small.embd, 1, true);
        close_scene(&s);
        assert_int_equal(s.n_wrong, 0);
        n += s.n_done;
        if (s.nearest > nearest) nearest = s.nearest;
    }
    printf("%d casts, rows of 32: at most %.2f of a limit\n", n, nearest);
    assert_true(n >= 22 * 10);
}

static void test_long_blocks(void **state)
{
    (void)state;
    static const char *const families[] = {"gpt2", "llama", "glm4"};
    double nearest = 0;
    int n = 0;
    for (size_t i = 0, k = 0; i < n_family_models && k < COUNT(families); i++) {
        struct scene s;
        if (strcmp(family_models[i].arch->family, families[k]) != 0) continue;
        open_scene(&s, &family_models[i], &family_sizes_wide);
        check_floats(&s);
        check_blocks(&s, family_sizes_wide.embd, 32, k == 0);
        close_scene(&s);
        assert_int_equal(s.n_wrong, 0);
        n += s.n_done;
        if (s.nearest > nearest) nearest = s.nearest;
        k++;
    }
    printf("%d casts, rows of 256: at most %.2f of a limit\n", n, nearest);
    assert_true(n >= 45);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_family), cmocka_unit_test(test_long_blocks)};
    return cmocka_run_group_tests_name("trace casts", tests, NULL, NULL);
}

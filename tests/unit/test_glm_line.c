/* The GLM line against the published implementations (tests/data/glm: logits, positions, masks), and against a numpy pass where no sample is
 * published: each folder as it is, and the file that convert makes of it. */
#include "base/file.h"
#include "convert/convert.h"
#include "formats/npy.h"
#include "models/forward.h"
#include "tests/unit/fixtures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st)
{
    char line[sizeof err];
    error_format(&err, "test", line, sizeof line);
    if (st != STATUS_OK) fail_msg("%s", line);
}

static const char *root(void)
{
    const char *r = getenv("LATHE_ROOT");
    return r ? r : ".";
}

static const char *data(const char *folder, const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/data/glm/%s%s%s", root(), folder, file ? "/" : "", file ? file : "");
    return path;
}

/* --- the folders --- */

static const struct sample {
    const char *folder, *family, *arch;
    bool from_numpy; /* logits in float64 */
} samples[] = {
    {"chatglm1_gmask_prompt", "chatglm1", "chatglm1", false},
    {"chatglm2_mqa", "chatglm2", "chatglm", false},
    {"chatglm2_heads8_g2", "chatglm2", "chatglm", false},
    {"chatglm2_32k_interp4", "chatglm2", "chatglm", false},
    {"chatglm_glm4_ropebase500", "chatglm2", "chatglm", false},
    {"glm2021_gmask", "glm2021", "glm2021", false},
    {"glm2021_fill", "glm2021", "glm2021", false},
    {"chatglm1_mask_middle", "chatglm1", "chatglm1", true},
    {"chatglm1_both_masks", "chatglm1", "chatglm1", true},
    {"chatglm1_no_sop", "chatglm1", "chatglm1", true},
    {"chatglm1_1d", "chatglm1", "chatglm1", true},
    {"chatglm2_all_heads", "chatglm2", "chatglm", true},
    {"chatglm2_wide_heads", "chatglm2", "chatglm", true},
    {"chatglm2_1m_shards", "chatglm2", "chatglm", true},
    {"chatglm2x_norm_bias_residual", "chatglm2x", "chatglm2x", true},
    {"chatglm2x_halves_no_final_norm", "chatglm2x", "chatglm2x", true},
    {"chatglm2x_halves_all_heads", "chatglm2x", "chatglm2x", true},
    {"chatglm1_int8", "chatglm1", "chatglm1", true},
    {"chatglm2_int8", "chatglm2", "chatglm", true},
    {"chatglm2_int4_qe_shards", "chatglm2", "chatglm", true},
    {"glm2021_blanks", "glm2021", "glm2021", true},
    {"glm2021_one_table", "glm2021", "glm2021", true},
    {"glm2021_text", "glm2021", "glm2021", true},
};

static struct model *open_model(const char *path)
{
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, path, &(struct model_options){0}, &w, &err));
    warnings_clear(&w);
    return m;
}

struct window {
    int32_t ids[64];
    int64_t n;
};

static void read_ids(struct window *w, const char *folder)
{
    struct npy a;
    must(npy_read(&a, data(folder, "input_ids.npy"), 1 << 20, &err));
    assert_true(a.n_elements <= (int64_t)COUNT(w->ids));
    w->n = a.n_elements;
    for (int64_t i = 0; i < w->n; i++) w->ids[i] = (int32_t)npy_int(&a, i);
    npy_clear(&a);
}

/* --- positions and masks --- */

static void check_positions(const struct forward *f, const struct sample *s)
{
    struct npy a;
    if (!file_exists(data(s->folder, "position_ids.npy"))) {
        for (int64_t t = 0; t < f->n; t++) assert_int_equal(f->window.pos[t], t);
        assert_int_equal(f->spans[0].prefix, 0);
        return;
    }
    must(npy_read(&a, data(s->folder, "position_ids.npy"), 1 << 20, &err));
    assert_int_equal(a.n_elements, 2 * f->n);
    for (int64_t t = 0; t < f->n; t++) {
        assert_int_equal(f->window.pos[t], npy_int(&a, t));
        assert_int_equal(f->window.block[t], npy_int(&a, f->n + t));
    }
    npy_clear(&a);
}

/* An array of bools ends with its elements. */
static void check_mask(const struct forward *f, const struct sample *s)
{
    struct buf file = {0};
    if (!file_exists(data(s->folder, "mask_blocked.npy"))) return;
    must(file_read_all(&file, data(s->folder, "mask_blocked.npy"), 1 << 20, &err));
    const char *blocked = file.data + file.len - f->n * f->n;
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t j = 0; j < f->n; j++)
            assert_int_equal(blocked[i * f->n + j], j > i && j >= f->spans[0].prefix);
    buf_clear(&file);
}

/* The length of the context, where the sample says that alone. */
static void check_sep(const struct forward *f, const struct sample *s)
{
    struct npy a;
    if (!file_exists(data(s->folder, "sep.npy"))) return;
    must(npy_read(&a, data(s->folder, "sep.npy"), 1 << 20, &err));
    assert_int_equal(f->spans[0].prefix, npy_int(&a, 0));
    npy_clear(&a);
}

/* --- logits --- */

static double logit(const void *logits, enum precision p, int64_t i)
{
    return p == PRECISION_F64 ? ((const double *)logits)[i] : (double)((const float *)logits)[i];
}

/* Largest distance to the sample's logits */
static double distance(const struct sample *s, const struct model *m, enum precision p, bool check_plan)
{
    struct window w;
    struct forward *f;
    struct workers *workers;
    struct npy want;
    read_ids(&w, s->folder);
    must(workers_new(&workers, 2, &err));
    must(forward_new(&f, m, workers, p, w.n, &err));
    must(forward_begin(f, w.ids, w.n, 0, &err));
    if (check_plan) check_positions(f, s), check_mask(f, s), check_sep(f, s);
    for (int64_t i = 0; i < m->hp.n_layer; i++) must(forward_layer(f, i, &err));
    must(forward_finish(f, &err));
    void *got = calloc((size_t)(w.n * m->hp.n_vocab), sizeof(double));
    must(forward_logits(f, 0, w.n, got, &err));
    must(npy_read(&want, data(s->folder, "logits.npy"), 1 << 24, &err));
    assert_int_equal(want.n_elements, w.n * m->hp.n_vocab);
    double max = 0;
    for (int64_t i = 0; i < want.n_elements; i++) max = fmax(max, fabs(logit(got, p, i) - npy_double(&want, i)));
    npy_clear(&want);
    free(got);
    forward_free(f);
    workers_free(workers);
    return max;
}

/* float32 against either: the published implementations were 1.2e-5 from float64 themselves. float64 against numpy's float64: what is left is
 * alpha, which both sides of ours hold as a float, and the products of integers and scales, which a GGUF holds as floats. */
static void check_logits(const struct sample *s, const struct model *m, const char *side)
{
    double d = distance(s, m, PRECISION_F32, true);
    if (!(d <= 1e-4)) fail_msg("%s, %s: %g from the reference, expected at most 1e-4", s->folder, side, d);
    if (!s->from_numpy) return;
    d = distance(s, m, PRECISION_F64, false);
    double most = m->is_gguf && strstr(s->folder, "_int") ? 1e-5 : 1e-6;
    if (!(d <= most)) fail_msg("%s, %s: %g from numpy in float64, expected at most %g", s->folder, side, d, most);
}

static void test_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct model *m = open_model(data(samples[i].folder, NULL));
        assert_string_equal(m->arch->family, samples[i].family);
        check_logits(&samples[i], m, "as it is");
        model_close(m);
    }
}

static char gguf[64];

static int make_name(void **state)
{
    (void)state;
    snprintf(gguf, sizeof gguf, "/tmp/lathe-glm-%ld.gguf", (long)getpid());
    return 0;
}

static int drop_file(void **state)
{
    (void)state;
    unlink(gguf);
    return 0;
}

static void convert(const char *folder)
{
    char program[] = "lathe-convert", source[512], o[] = "-o", force[] = "--force", quiet[] = "--quiet";
    snprintf(source, sizeof source, "%s", data(folder, NULL));
    char *argv[] = {program, source, o, gguf, force, quiet, NULL};
    assert_int_equal(convert_main(6, argv), 0);
}

static void test_ggufs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        convert(samples[i].folder);
        struct model *m = open_model(gguf);
        assert_string_equal(m->arch->family, samples[i].family);
        assert_string_equal(kv_get_string(container_kv(ckpt_gguf(m->ckpt), "general.architecture")), samples[i].arch);
        assert_null(ckpt_find(m->ckpt, "rope_freqs.weight"));
        check_logits(&samples[i], m, "as GGUF");
        model_close(m);
    }
}

/* ChatGLM-6B's rotation with the frequencies as they are, and as F16 holds them: the published code does the latter. */
static void test_rounded_frequencies(void **state)
{
    (void)state;
    struct model *m = open_model(data("chatglm1_gmask_prompt", NULL));
    assert_true(m->hp.rope_rounded);
    double rounded = distance(&samples[0], m, PRECISION_F64, false);
    m->hp.rope_rounded = false;
    double exact = distance(&samples[0], m, PRECISION_F64, false);
    assert_true(rounded < 1e-5 && exact > 2 * rounded);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test_setup_teardown(test_ggufs, make_name, drop_file),
        cmocka_unit_test(test_rounded_frequencies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The ways in which weights are shipped beside a plain folder of safetensors: saved inside something else, with things beside them, with
 * shared storages, with a configuration that says little or is elsewhere. */
#include "base/file.h"
#include "models/model.h"
#include "tests/unit/fixtures.h"
#include "tests/unit/torch_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;
static struct warnings warn;

static struct model *open_good(const char *path, const struct model_options *opt)
{
    struct model *m;
    warnings_clear(&warn);
    if (model_open(&m, path, opt, &warn, &err) != STATUS_OK) {
        char line[2048];
        error_format(&err, "model_open", line, sizeof line);
        fail_msg("%s", line);
    }
    return m;
}

static void expect_refused(const char *path, const struct model_options *opt, enum status status,
                           const char *text)
{
    struct model *m;
    char line[2048], all[2400];
    warnings_clear(&warn);
    enum status st = model_open(&m, path, opt, &warn, &err);
    if (st == STATUS_OK) fail_msg("was opened; expected: %s", text);
    error_format(&err, "t", line, sizeof line);
    snprintf(all, sizeof all, "%s [%s]", line, err.hint);
    assert_int_equal(st, status);
    if (!strstr(all, text)) fail_msg("'%s' does not say '%s'", all, text);
}

/* pytorch_model.bin in place of model.safetensors. `wrap`: dotted keys of dicts around the weights, or "". Tensors of the same numbers as
 * `alias` share its storage when it is given. */
static const char *write_torch(struct fixture *f, const char *wrap, bool beside, const char *alias)
{
    struct torch_writer w = {0};
    char path[192];
    size_t shared = SIZE_MAX;
    int depth = 0;
    for (const char *s = wrap; *s; depth++) {
        char key[32];
        size_t n = strcspn(s, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, s);
        torch_writer_open(&w, key);
        s += n + (s[n] == '.');
    }
    if (alias) {
        const struct fixture_tensor *t = fixture_find(f, alias);
        shared = torch_writer_tensor(&w, t->name, t->n_dims, t->shape, t->data);
    }
    for (size_t i = 0; i < f->n_tensors; i++) {
        const struct fixture_tensor *t = &f->tensors[i], *a = alias ? fixture_find(f, alias) : NULL;
        if (a == t) continue;
        if (a && t->n_elements == a->n_elements &&
            memcmp(t->data, a->data, (size_t)t->n_elements * sizeof *t->data) == 0)
            torch_writer_alias(&w, t->name, t->n_dims, t->shape, shared);
        else
            torch_writer_tensor(&w, t->name, t->n_dims, t->shape, t->data);
    }
    while (depth-- > 0) torch_writer_close(&w);
    if (beside) {
        torch_writer_number(&w, "epoch", 3);
        torch_writer_open(&w, "optimizer");
        torch_writer_tensor(&w, "exp_avg", 1, (int64_t[]){2}, (float[]){1, 2});
        torch_writer_close(&w);
    }
    fixture_write(f);
    unlink(f->weights);
    snprintf(path, sizeof path, "%s/pytorch_model.bin", f->dir);
    torch_writer_write(&w, path);
    return f->dir;
}

static void test_wrapped(void **state)
{
    static const struct {
        const char *keys, *prefix, *wrapper;
    } cases[] = {
        {"", NULL, ""},
        {"model", NULL, "model."},
        {"state_dict", NULL, "state_dict."},
        {"module", NULL, "module."},
        {"model_state_dict", NULL, "model_state_dict."},
        {"", "module.", "module."},                      /* DataParallel */
        {"state_dict", "module.", "state_dict.module."}, /* both */
        {"model", "module.", "model.module."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int beside = 0; beside < 2; beside++) {
            struct fixture f;
            fixture_llama(&f, NULL);
            if (cases[i].prefix) fixture_reprefix(&f, "", cases[i].prefix);
            struct model *m = open_good(write_torch(&f, cases[i].keys, beside, NULL), NULL);
            assert_string_equal(m->wrapper, cases[i].wrapper);
            assert_int_equal(m->n_weights, f.n_tensors);
            assert_int_equal(m->n_dropped, beside);
            assert_int_equal(warn.count, beside);
            if (beside) assert_true(warnings_has(&warn, "tensors-beside-dropped") && !warn.items[0].note);
            model_close(m);
            fixture_clear(&f);
        }
}

/* Only torch files have things beside the weights; and a name that looks like one of the model's is none of them. */
static void test_not_beside(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    fixture_add(&f, "optimizer.exp_avg", 1, (int64_t[]){2});
    expect_refused(fixture_write(&f), NULL, STATUS_UNSUPPORTED, "tensor 'optimizer.exp_avg'");
    fixture_remove(&f, "optimizer.exp_avg");
    fixture_add(&f, "vision.proj", 1, (int64_t[]){2});
    expect_refused(write_torch(&f, "", false, NULL), NULL, STATUS_UNSUPPORTED, "tensor 'vision.proj'");
    expect_refused(write_torch(&f, "model", false, NULL), NULL, STATUS_UNSUPPORTED,
                   "tensor 'model.vision.proj'");
    fixture_clear(&f);
}

/* A shared storage ties, whatever the configuration says; equal numbers in two storages do not when it says no. */
static void test_shared(void **state)
{
    static const struct {
        const char *tie;
        bool equal, shared, tied;
        const char *warning;
    } cases[] = {
        {"true", true, true, true, "tied-head-dropped"},
        {"true", true, false, true, "tied-head-dropped"},
        {"true", false, false, false, "tied-head-differs"},
        {"false", true, true, true, "tied-head-dropped"},
        {"false", true, false, false, NULL},
        {"false", false, false, false, NULL},
        {NULL, true, true, true, "tied-head-dropped"},
        {NULL, true, false, true, "tied-head-dropped"},
        {NULL, false, false, false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_llama(&f, NULL);
        fixture_config(&f, "tie_word_embeddings", cases[i].tie);
        struct fixture_tensor *head = fixture_find(&f, "lm_head.weight"),
                              *embd = fixture_find(&f, "model.embed_tokens.weight");
        if (cases[i].equal) memcpy(head->data, embd->data, (size_t)head->n_elements * sizeof *head->data);
        const char *dir = write_torch(&f, "", false, cases[i].shared ? "model.embed_tokens.weight" : NULL);
        struct model *m = open_good(dir, NULL);
        if (m->hp.tied != cases[i].tied) fail_msg("case %zu: tied is %d", i, m->hp.tied);
        assert_int_equal(model_weight(m, ROLE_OUTPUT, -1, PART_WEIGHT) == NULL, cases[i].tied);
        assert_int_equal(warn.count, cases[i].warning ? 1 : 0);
        if (cases[i].warning) assert_true(warnings_has(&warn, cases[i].warning));
        model_close(m);
        fixture_clear(&f);
    }
}

/* ---- configurations ---- */

static void test_config_elsewhere(void **state)
{
    (void)state;
    struct fixture f;
    char config[192], elsewhere[192];
    fixture_llama(&f, NULL);
    fixture_write(&f);
    snprintf(config, sizeof config, "%s/config.json", f.dir);
    snprintf(elsewhere, sizeof elsewhere, "%s/other.json", f.dir);
    assert_int_equal(rename(config, elsewhere), 0);
    expect_refused(f.weights, NULL, STATUS_NOTFOUND, "expected a config.json beside the weights, not found");
    expect_refused(f.weights, NULL, STATUS_NOTFOUND, "[--config FILE");
    struct model *m = open_good(f.weights, &(struct model_options){.config_path = elsewhere});
    assert_int_equal(m->n_weights, f.n_tensors);
    model_close(m);
    snprintf(config, sizeof config, "%s/none.json", f.dir);
    expect_refused(f.weights, &(struct model_options){.config_path = config}, STATUS_NOTFOUND, "none.json");
    fixture_clear(&f);
}

static void test_thin_config(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    fixture_config(&f, "architectures", NULL);
    fixture_config(&f, "model_type", NULL);
    struct model *m = open_good(fixture_write(&f), NULL);
    assert_string_equal(m->arch->family, "llama");
    assert_string_equal(m->detected_by, "names of tensors");
    assert_true(warn.count == 1 && warnings_has(&warn, "family-from-tensors") && warn.items[0].note);
    model_close(m);
    m = open_good(write_torch(&f, "state_dict", false, NULL), NULL);
    assert_string_equal(m->arch->family, "llama");
    model_close(m);
    fixture_reprefix(&f, "model.layers.", "model.blocks.");
    expect_refused(fixture_write(&f), NULL, STATUS_UNSUPPORTED,
                   "the names of the tensors are those of no known family");
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrapped),     cmocka_unit_test(test_not_beside),
        cmocka_unit_test(test_shared),      cmocka_unit_test(test_config_elsewhere),
        cmocka_unit_test(test_thin_config),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    warnings_clear(&warn);
    return failed;
}

/* Attention as it is shown: what the maps hold, which cells are masked, in which order they come; and the texts of tokens. Values are compared
 * with transformers' in interop. */
#include "core/attention.h"
#include "core/token_labels.h"
#include "tests/unit/fixtures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static void must(enum status st)
{
    char line[sizeof err];
    error_format(&err, "test", line, sizeof line);
    if (st != STATUS_OK) fail_msg("%s", line);
}

static const char *data_path(const char *name)
{
    static char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/data/%s", root ? root : ".", name);
    return path;
}

static struct model *open_model(const char *path)
{
    struct model *m;
    struct warnings w = {0};
    must(model_open(&m, path, &(struct model_options){0}, &w, &err));
    warnings_clear(&w);
    return m;
}

/* Maps kept as they come */
struct kept {
    int64_t count, n, layers[64], heads[64], window, prefix;
    float *p; /* (count, n, n) */
    double max_diff;
    bool pairs;
};

static enum status keep(void *ctx, const struct attention_map *a, const struct attention_map *b,
                        struct error *e)
{
    (void)e;
    struct kept *k = ctx;
    size_t n = (size_t)(a->n * a->n);
    assert_true(k->count < 64);
    k->p = realloc(k->p, (size_t)(k->count + 1) * n * sizeof *k->p);
    memcpy(k->p + (size_t)k->count * n, a->p, n * sizeof *k->p);
    k->layers[k->count] = a->layer;
    k->heads[k->count] = a->head;
    k->n = a->n;
    k->window = a->window;
    k->prefix = a->prefix;
    k->count++;
    k->pairs = b != NULL;
    for (size_t i = 0; b && i < n; i++) k->max_diff = fmax(k->max_diff, fabs((double)b->p[i] - (double)a->p[i]));
    if (b) {
        assert_int_equal(b->layer, a->layer);
        assert_int_equal(b->head, a->head);
    }
    return STATUS_OK;
}

static enum status capture(const struct attention_request *like, int threads, struct kept *k)
{
    struct workers *w;
    *k = (struct kept){0};
    must(workers_new(&w, threads, &err));
    struct attention_request r = *like;
    r.take = keep;
    r.ctx = k;
    r.workers = w;
    enum status st = attention_capture(&r, &err);
    workers_free(w);
    return st;
}

static const int32_t some_ids[] = {5, 1, 30, 7, 7, 12, 39, 0, 22, 18, 3, 9};
enum { N_IDS = sizeof some_ids / sizeof *some_ids };

static struct attention_request request(const struct model *m)
{
    return (struct attention_request){.model = m, .ids = some_ids, .n = N_IDS, .layer = -1, .head = -1};
}

/* Each row: what it sees is positive and sums to 1, the rest is 0 and masked. */
static void check_rows(const struct kept *k, int64_t window, double limit)
{
    for (int64_t m = 0; m < k->count; m++)
        for (int64_t q = 0; q < k->n; q++) {
            const struct attention_map map = {.n = k->n, .window = k->window, .prefix = k->prefix};
            double sum = 0;
            for (int64_t key = 0; key < k->n; key++) {
                double p = (double)k->p[(m * k->n + q) * k->n + key];
                bool sees = key <= q && (window == 0 || q - key < window);
                assert_int_equal(attention_sees(&map, q, key), sees);
                assert_true(sees ? p > 0 : p == 0);
                sum += p;
            }
            assert_true(fabs(sum - 1) < limit);
        }
}

static void maps_of_a_model(void **state)
{
    (void)state;
    static const char *const names[] = {"tiny-gpt2", "tiny-llama", "tiny-glm4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int p = PRECISION_F32; p <= PRECISION_F64; p++) {
            struct model *m = open_model(data_path(names[i]));
            struct attention_request r = request(m);
            struct kept k;
            r.precision = (enum precision)p;
            must(capture(&r, 2, &k));
            assert_int_equal(k.count, m->hp.n_layer * m->hp.n_head);
            for (int64_t c = 0; c < k.count; c++) {
                assert_int_equal(k.layers[c], c / m->hp.n_head);
                assert_int_equal(k.heads[c], c % m->hp.n_head);
            }
            check_rows(&k, 0, 1e-6);
            free(k.p);
            model_close(m);
        }
}

static void one_head_is_the_one_of_all(void **state)
{
    (void)state;
    struct model *m = open_model(data_path("tiny-llama"));
    struct attention_request r = request(m);
    struct kept all, one;
    must(capture(&r, 1, &all));
    for (int64_t layer = -1; layer < m->hp.n_layer; layer++)
        for (int64_t head = -1; head < m->hp.n_head; head++) {
            r.layer = layer;
            r.head = head;
            must(capture(&r, 3, &one));
            assert_int_equal(one.count, (layer < 0 ? m->hp.n_layer : 1) * (head < 0 ? m->hp.n_head : 1));
            size_t n = (size_t)(one.n * one.n);
            for (int64_t i = 0; i < one.count; i++) {
                size_t at = (size_t)(one.layers[i] * m->hp.n_head + one.heads[i]);
                assert_memory_equal(one.p + (size_t)i * n, all.p + at * n, n * sizeof *one.p);
            }
            free(one.p);
        }
    free(all.p);
    model_close(m);
}

static void two_forms_side_by_side(void **state)
{
    (void)state;
    struct fixture f, g;
    fixture_llama(&f, NULL);
    fixture_llama(&g, NULL);
    fixture_find(&g, "model.layers.1.self_attn.q_proj.weight")->data[3] += 1;
    struct model *a = open_model(fixture_write(&f)), *b = open_model(fixture_write(&g));
    struct attention_request r = request(a);
    struct kept k;
    r.against = a;
    must(capture(&r, 2, &k));
    assert_true(k.pairs && k.count == 8 && k.max_diff == 0);
    free(k.p);
    r.against = b;
    r.layer = 0; /* before the damage */
    must(capture(&r, 2, &k));
    assert_true(k.count == 4 && k.max_diff == 0);
    free(k.p);
    r.layer = 1;
    for (int64_t head = 0; head < 4; head++) { /* row 0 of the matrix: head 0 */
        r.head = head;
        must(capture(&r, 2, &k));
        assert_true(k.count == 1 && (head == 0 ? k.max_diff > 1e-4 : k.max_diff == 0));
        free(k.p);
    }
    model_close(a);
    model_close(b);
    fixture_clear(&f);
    fixture_clear(&g);
}

static void windows_are_masked(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    fixture_config(&f, "architectures", "[\"MistralForCausalLM\"]");
    fixture_config(&f, "model_type", "\"mistral\"");
    fixture_config(&f, "sliding_window", "4");
    struct model *m = open_model(fixture_write(&f));
    struct attention_request r = request(m);
    struct kept k;
    must(capture(&r, 2, &k));
    assert_int_equal(k.window, 4);
    check_rows(&k, 4, 1e-6);
    free(k.p);
    model_close(m);
    fixture_clear(&f);
}

/* One id alone; and so many that the heads of a layer come in groups. */
static void short_and_long(void **state)
{
    (void)state;
    struct fixture f;
    fixture_llama(&f, NULL);
    struct model *m = open_model(fixture_write(&f));
    struct attention_request r = request(m);
    struct kept k;
    r.n = 1;
    must(capture(&r, 2, &k));
    assert_int_equal(k.count, 8);
    for (int i = 0; i < 8; i++) assert_true(k.p[i] == 1);
    free(k.p);
    int32_t *ids = calloc(2400, sizeof *ids);
    for (int i = 0; i < 2400; i++) ids[i] = some_ids[i * 7 % N_IDS];
    r = (struct attention_request){
        .model = m, .precision = PRECISION_F64, .ids = ids, .n = 2400, .layer = 0, .head = -1};
    must(capture(&r, 2, &k));
    assert_int_equal(k.count, 4);
    for (int64_t row = 0; row < 4 * 2400; row += 371) {
        double sum = 0;
        for (int64_t key = 0; key < 2400; key++) sum += (double)k.p[row * 2400 + key];
        assert_true(fabs(sum - 1) < 1e-5);
    }
    for (int64_t h = 1; h < 4; h++) /* each head its own */
        assert_true(memcmp(k.p, k.p + h * 2400 * 2400, 2400 * 2400 * sizeof *k.p) != 0);
    free(k.p);
    free(ids);
    model_close(m);
    fixture_clear(&f);
}

static void what_cannot_be_captured(void **state)
{
    (void)state;
    struct fixture_sizes larger = fixture_sizes_default;
    struct fixture f, g;
    larger.layers = 3;
    larger.heads = 8;
    larger.embd = 64;
    fixture_llama(&f, NULL);
    fixture_llama(&g, &larger);
    struct model *a = open_model(fixture_write(&f)), *b = open_model(fixture_write(&g));
    struct kept k;
    struct attention_request r = request(a);
    r.layer = 2;
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    assert_non_null(strstr(err.text, "layer 2: expected 0 to 1"));
    r = request(a);
    r.head = 4;
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    r = request(a);
    r.n = 0;
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    r.n = ATTENTION_IDS_MAX + 1;
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    r = request(a);
    r.ids = (const int32_t[]){3, 40};
    r.n = 2;
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    r = request(a);
    r.against = b;
    assert_int_equal(capture(&r, 1, &k), STATUS_MISMATCH);
    r.model = b;
    r.n = ATTENTION_IDS_MAX; /* refused before the ids are looked at */
    assert_int_equal(capture(&r, 1, &k), STATUS_RANGE);
    assert_non_null(strstr(err.text, "8 heads"));
    model_close(a);
    model_close(b);
    fixture_clear(&f);
    fixture_clear(&g);
}

/* --- labels --- */

static void assert_label(const char *token, int32_t type, const char *expected)
{
    struct kv_string text = {token, strlen(token)};
    /* pieces of SentencePiece stand for themselves, so any bytes can be asked for */
    struct tokenizer t = {.kind = TOKENIZER_SPM, .n_tokens = 1, .tokens = &text, .types = &type};
    struct buf out = {0};
    token_label_put(&t, 0, &out);
    assert_string_equal(out.data, expected);
    buf_clear(&out);
}

static void labels_show_what_is_there(void **state)
{
    (void)state;
    assert_label("Paris", TOKEN_NORMAL, "Paris");
    assert_label("\u2581Paris", TOKEN_NORMAL, "\u2423Paris");
    assert_label("\u2581\u2581", TOKEN_NORMAL, "\u2423\u2423");
    assert_label("\n\t\r", TOKEN_NORMAL, "\\n\\t\\r");
    assert_label("a\\n", TOKEN_NORMAL, "a\\\\n");
    assert_label("<0xE4>", TOKEN_BYTE, "\\xe4");
    assert_label("\u4f60\u597d", TOKEN_NORMAL, "\u4f60\u597d");
    assert_label("\U0001F600", TOKEN_NORMAL, "\U0001F600");
    assert_label("\xE4\xBD", TOKEN_NORMAL, "\\xe4\\xbd");
    assert_label("\x1b[2J", TOKEN_NORMAL, "\\u001b[2J");
    assert_label("\xC2\x9B", TOKEN_NORMAL, "\\u009b");             /* the one-byte CSI */
    assert_label("\u202e\u200b", TOKEN_NORMAL, "\\u202e\\u200b");  /* right to left; no width */
    assert_label("\u0301a", TOKEN_NORMAL, "\u25cc\u0301a");        /* accents of what stands before */
    assert_label("e\u0301", TOKEN_NORMAL, "e\u0301");
    assert_label("\u3000", TOKEN_NORMAL, "\\u3000");
    assert_label("<|end|>", TOKEN_CONTROL, "<|end|>");
}

static void labels_of_ids(void **state)
{
    (void)state;
    struct token_labels l;
    const int32_t ids[] = {0, 5, 99999};
    const char *with = data_path("tiny-llama");
    must(token_labels_make(&l, &with, 1, ids, 3, &err));
    assert_true(l.has_tokenizer && l.n == 3);
    assert_string_not_equal(l.texts[1], "#5");
    assert_string_equal(l.texts[2], "#99999"); /* not in its vocabulary */
    token_labels_clear(&l);
    struct fixture f;
    fixture_llama(&f, NULL);
    const char *paths[] = {fixture_write(&f), with};
    must(token_labels_make(&l, paths, 1, ids, 3, &err));
    assert_true(!l.has_tokenizer);
    assert_string_equal(l.texts[1], "#5");
    token_labels_clear(&l);
    must(token_labels_make(&l, paths, 2, ids, 3, &err)); /* the other form's */
    assert_true(l.has_tokenizer);
    token_labels_clear(&l);
    fixture_file(&f, "tokenizer.json", "{");
    assert_int_not_equal(token_labels_make(&l, paths, 1, ids, 3, &err), STATUS_OK);
    fixture_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_of_a_model),        cmocka_unit_test(one_head_is_the_one_of_all),
        cmocka_unit_test(two_forms_side_by_side), cmocka_unit_test(windows_are_masked),
        cmocka_unit_test(short_and_long),         cmocka_unit_test(what_cannot_be_captured),
        cmocka_unit_test(labels_show_what_is_there), cmocka_unit_test(labels_of_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

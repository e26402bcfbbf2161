/* The pre-tokenizers of published models, by their structure
 * (tests/vectors/tokenizers/pre_tokenizers.json). */
#include "base/file.h"
#include "base/json.h"
#include "formats/tokenizer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct error err;
static char dir[] = "/tmp/test_pre_XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    unlink(path);
    return rmdir(dir);
}

static void write_tokenizer(const struct jvalue *row)
{
    struct buf b = {0};
    const char *token = json_string(json_get(row, "token"));
    buf_puts(&b, "{\"pre_tokenizer\": ");
    json_print(json_get(row, "pre_tokenizer"), &b);
    if (json_get(row, "normalizer")) {
        buf_puts(&b, ", \"normalizer\": ");
        json_print(json_get(row, "normalizer"), &b);
    }
    buf_printf(&b,
               ", \"model\": {\"type\": \"BPE\", \"ignore_merges\": %s, \"vocab\": {\"a\": 0, \"%s\": 1}, "
               "\"merges\": [\"a a\"]}}",
               json_is_true(json_get(row, "ignore_merges")) ? "true" : "false", token ? token : "b");
    char path[64];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(file_write_whole(path, OUTFILE_REPLACE, b.data, b.len, &err), STATUS_OK);
    buf_clear(&b);
}

static void every_name(void **state)
{
    (void)state;
    struct json *doc;
    char path[512];
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/tests/vectors/tokenizers/pre_tokenizers.json", root ? root : ".");
    if (json_load(&doc, path, 1 << 20, &err) != STATUS_OK) fail_msg("%s", err.text);
    size_t n = 0;
    for (const struct jvalue *row = json_first(json_root(doc)); row; row = json_next(row), n++) {
        const char *want = json_string(json_get(row, "pre"));
        struct warnings w = {0};
        struct tokenizer *t;
        write_tokenizer(row);
        if (tokenizer_load(&t, dir, 0, &w, &err) != STATUS_OK) fail_msg("row %zu: %s", n, err.text);
        if (want && (strcmp(t->pre, want) != 0 || !t->pre_exact))
            fail_msg("row %zu is '%s', expected '%s'", n, t->pre, want);
        if (!want && t->pre_exact) fail_msg("row %zu is taken for '%s'", n, t->pre);
        assert_int_equal(warnings_has(&w, "tokenizer-pre-unknown"), !want);
        assert_false(warnings_has(&w, "tokenizer-ignore-merges"));
        tokenizer_free(t);
        warnings_clear(&w);
    }
    assert_int_equal(n, 26);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_name)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

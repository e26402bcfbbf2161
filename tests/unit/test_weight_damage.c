/* What lathe-verify decides without --tolerance, for every type that can be written: an honest copy agrees, with an importance matrix and without;
 * one row scaled, one matrix zeroed, rows of queries and keys in another order, one block's weights doubled do not. Models that are embedded,
 * and one with a column that outweighs all others in the importance matrix, as large models have it. The tools run in this process. */
#include "base/file.h"
#include "convert/convert.h"
#include "quantize/quantize.h"
#include "tests/unit/temp_model.h"
#include "verify/tolerance.h"
#include "verify/verify.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

static int tool(int (*main_)(int, char **), const char *name, ...)
{
    char copies[16][600], *argv[17];
    int n = 0;
    va_list ap;
    snprintf(copies[n++], sizeof copies[0], "%s", name);
    va_start(ap, name);
    for (const char *a; n < 16 && (a = va_arg(ap, const char *)); n++) snprintf(copies[n], sizeof copies[0], "%s", a);
    va_end(ap);
    for (int i = 0; i < n; i++) argv[i] = copies[i];
    argv[n] = NULL;
    return main_(n, argv);
}

static const char *data_of(const char *model, const char *file)
{
    static char paths[4][600];
    static unsigned next;
    const char *root = getenv("LATHE_ROOT");
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/tests/data/%s%s%s", root ? root : ".", model, file ? "/" : "", file ? file : "");
    return p;
}

/* --- files --- */

static const char *type_name(enum dtype t)
{
    static char name[32];
    size_t i = 0;
    for (const char *p = dtype_info(t)->name; *p && i < sizeof name - 1; p++) name[i++] = (char)tolower((unsigned char)*p);
    name[i] = 0;
    return name;
}

/* The recipes ask for a matrix, though some of the encoders do not. */
static bool needs_matrix(enum dtype t)
{
    static const enum dtype types[] = {DTYPE_IQ1_S, DTYPE_IQ1_M, DTYPE_IQ2_XXS, DTYPE_IQ2_XS, DTYPE_IQ2_S, DTYPE_IQ3_XXS};
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i] == t) return true;
    return false;
}

static void quantize(const char *model, enum dtype t, const char *imatrix)
{
    const char *in = temp_path("f32.gguf"), *out = temp_path("q.gguf");
    char pattern[64]; /* embeddings have no entry in a matrix; the searches of types that need one take long */
    snprintf(pattern, sizeof pattern, "%s=%s", needs_matrix(t) ? "blk\\.1\\.attn_" : imatrix ? "blk\\." : ".*", type_name(t));
    int code = imatrix ? tool(quantize_main, "lathe-quantize", in, out, "q8_0", "--tensor-type", pattern, "--force", "--quiet", "--imatrix", imatrix, NULL)
                       : tool(quantize_main, "lathe-quantize", in, out, "q8_0", "--tensor-type", pattern, "--force", "--quiet", NULL);
    if (code != 0) fail_msg("%s: cannot be made %s", model, type_name(t));
}

static int verify(const char *model, const char *gguf)
{
    return tool(verify_main, "lathe-verify", data_of(model, NULL), gguf, "--context", "16", "--quiet", NULL);
}

/* --- damage --- */

/* A tensor of a file in memory, as numbers */
struct image {
    struct buf bytes;
    struct checkpoint *c;
    const struct tensor *t;
    int64_t rows, cols;
    float *values;
    size_t row_bytes;
};

static void open_image(struct image *m, const char *name)
{
    uint64_t n;
    *m = (struct image){0};
    must(ckpt_open(&m->c, temp_path("q.gguf"), &err), "open");
    must(file_read_all(&m->bytes, temp_path("q.gguf"), 1 << 26, &err), "read");
    const struct ckpt_tensor *t = ckpt_find(m->c, name);
    if (!t) fail_msg("no %s", name);
    m->t = t->t;
    m->cols = tensor_cols(m->t);
    m->rows = m->t->n_elements / m->cols;
    assert_true(dtype_bytes(m->t->dtype, m->cols, &n));
    m->row_bytes = (size_t)n;
    m->values = malloc((size_t)m->t->n_elements * sizeof(float));
    must(dtype_decode_f32(m->t->dtype, m->bytes.data + m->t->off_file, m->values, m->t->n_elements, &err), name);
}

static char *row_at(const struct image *m, int64_t row)
{
    return m->bytes.data + m->t->off_file + (size_t)row * m->row_bytes;
}

static void encode_row(const struct image *m, int64_t row)
{
    must(dtype_encode_f32(m->t->dtype, m->values + row * m->cols, row_at(m, row), m->cols, &err), "encode");
}

static void close_image(struct image *m, const char *path)
{
    must(file_write_whole(path, OUTFILE_REPLACE, m->bytes.data, m->bytes.len, &err), path);
    free(m->values);
    buf_clear(&m->bytes);
    ckpt_close(m->c);
}

static void scale_row(const struct image *m)
{
    for (int64_t i = 0; i < m->cols; i++) m->values[9 * m->cols + i] *= 1.75f;
    encode_row(m, 9);
}

static void halve_all(const struct image *m)
{
    for (int64_t i = 0; i < m->t->n_elements; i++) m->values[i] *= 0.5f;
    for (int64_t r = 0; r < m->rows; r++) encode_row(m, r);
}

static void zero_all(const struct image *m)
{
    memset(m->values, 0, (size_t)m->t->n_elements * sizeof(float));
    for (int64_t r = 0; r < m->rows; r++) encode_row(m, r);
}

static void double_block(const struct image *m)
{
    uint32_t n = dtype_info(m->t->dtype)->block_len;
    for (uint32_t i = 0; i < n; i++) m->values[5 * m->cols + i] *= 2;
    encode_row(m, 5);
}

/* Pairs become halves in each head of 32 rows, as bytes */
static void reorder_rows(const struct image *m)
{
    enum { HEAD = 32 };
    char *old = malloc((size_t)m->rows * m->row_bytes);
    memcpy(old, row_at(m, 0), (size_t)m->rows * m->row_bytes);
    for (int64_t r = 0; r < m->rows / HEAD * HEAD; r++) {
        int64_t k = r % HEAD, from = r - k + k % 2 * (HEAD / 2) + k / 2;
        memcpy(row_at(m, r), old + (size_t)from * m->row_bytes, m->row_bytes);
    }
    free(old);
}

static void exchange_rows(const struct image *m)
{
    char *old = malloc(m->row_bytes);
    memcpy(old, row_at(m, 3), m->row_bytes);
    memcpy(row_at(m, 3), row_at(m, 4), m->row_bytes);
    memcpy(row_at(m, 4), old, m->row_bytes);
    free(old);
}

/* Scales of zero: nothing is left, whatever the type */
static void zero_bytes(const struct image *m)
{
    memset(row_at(m, 0), 0, (size_t)m->rows * m->row_bytes);
}

static void zero_bytes_of_row(const struct image *m)
{
    memset(row_at(m, 11), 0, m->row_bytes);
}

struct damage {
    const char *what, *tensor;
    void (*hurt)(const struct image *m);
    bool encodes;      /* needs an encoder that asks for no importance weights */
    bool with_imatrix; /* tried in such files, too */
};
static const struct damage damages[] = {
    {"a row of keys scaled", "blk.0.attn_k.weight", scale_row, true, true},
    {"a row of a feed-forward matrix scaled", "blk.1.ffn_down.weight", scale_row, true, false},
    {"values zeroed", "blk.1.attn_v.weight", zero_all, true, true},
    {"a feed-forward matrix zeroed", "blk.0.ffn_up.weight", zero_all, true, false},
    {"queries in another order", "blk.1.attn_q.weight", reorder_rows, false, true},
    {"keys in another order", "blk.0.attn_k.weight", reorder_rows, false, false},
    {"two rows of keys exchanged", "blk.1.attn_k.weight", exchange_rows, false, false},
    {"a block doubled", "blk.0.ffn_gate.weight", double_block, true, false}, /* with a matrix that may be honest */
};

/* What shows where the type itself is half off: single blocks say nothing there, but a whole row still points where the original does. */
static const struct damage damages_half_off[] = {
    {"queries zeroed", "blk.1.attn_q.weight", zero_bytes, false, true},
    {"a row of queries zeroed", "blk.1.attn_q.weight", zero_bytes_of_row, false, true},
    {"a row of keys zeroed", "blk.1.attn_k.weight", zero_bytes_of_row, false, true},
    {"values zeroed", "blk.1.attn_v.weight", zero_bytes, false, true},
    {"queries in another order", "blk.1.attn_q.weight", reorder_rows, false, true},
    {"two rows of keys exchanged", "blk.1.attn_k.weight", exchange_rows, false, true},
    {"a row of queries scaled", "blk.1.attn_q.weight", scale_row, true, true},
    {"values halved", "blk.1.attn_v.weight", halve_all, true, true},
};

/* --- the matrix --- */

struct tally {
    int n_honest, n_damaged;
};

static void check_honest(const char *model, enum dtype t, const char *imatrix, struct tally *tally)
{
    quantize(model, t, imatrix);
    if (verify(model, temp_path("q.gguf")) != 0)
        fail_msg("%s: an honest %s%s does not agree", model, type_name(t), imatrix ? " with an importance matrix" : "");
    tally->n_honest++;
}

static void check_damages(const char *model, enum dtype t, const char *imatrix, struct tally *tally)
{
    bool half_off = tolerance_type_error(t) >= 0.5;
    for (size_t i = 0; i < (half_off ? COUNT(damages_half_off) : COUNT(damages)); i++) {
        const struct damage *d = half_off ? &damages_half_off[i] : &damages[i];
        if (d->encodes && (!dtype_can_encode(t, false) || (half_off && needs_matrix(t)))) continue; /* IQ1 promises no size */
        if (!d->with_imatrix && imatrix) continue;
        if (needs_matrix(t) && strncmp(d->tensor, "blk.1.attn_", 11) != 0) continue; /* of another type there */
        struct image m;
        open_image(&m, d->tensor);
        assert_int_equal(m.t->dtype, t);
        d->hurt(&m);
        const char *hurt = temp_path("hurt.gguf");
        close_image(&m, hurt);
        int code = verify(model, hurt);
        if (code != 1) fail_msg("%s: %s%s: %s: exit %d", model, type_name(t), imatrix ? " with an importance matrix" : "", d->what, code);
        tally->n_damaged++;
    }
}

/* t, where it can be written with this or that; `damage` too where rows are as long as its blocks */
static void check_type(const char *model, enum dtype t, const char *imatrix, bool damage, struct tally *tally)
{
    const struct dtype_info *info = dtype_info(t);
    if (info->block_len <= 1 || !dtype_can_encode(t, imatrix != NULL) || (needs_matrix(t) && !imatrix)) return;
    check_honest(model, t, imatrix, tally);
    if (damage) check_damages(model, t, imatrix, tally);
}

static void run_model(const char *model, bool damage, struct tally *tally)
{
    char matrix[600]; /* temp_path keeps a few only */
    snprintf(matrix, sizeof matrix, "%s", temp_path("imatrix.gguf"));
    assert_int_equal(tool(convert_main, "lathe-convert", data_of(model, NULL), "-o", temp_path("f32.gguf"), "--type", "f32", "--receipt", "none",
                          "--force", "--quiet", NULL),
                     0);
    assert_int_equal(tool(quantize_main, "lathe-quantize", "--collect-imatrix", data_of(model, NULL), "--tokens", data_of(model, "tokens.txt"),
                          "--context", "32", "-o", matrix, "--force", "--quiet", NULL),
                     0);
    for (int t = 0; t < DTYPE_COUNT; t++) {
        check_type(model, (enum dtype)t, NULL, damage, tally);
        if (damage) check_type(model, (enum dtype)t, matrix, true, tally);
    }
}

static void honest_copies_and_damaged_ones(void **state)
{
    (void)state;
    struct tally tally = {0};
    run_model("tiny-llama", true, &tally);
    run_model("tiny-gpt2", false, &tally);
    print_message("%d honest copies agree, %d damaged ones do not\n", tally.n_honest, tally.n_damaged);
    assert_true(tally.n_honest > 55 && tally.n_damaged > 230);
}

/* The number decides where it is given: a damaged row whose logits are close agrees, an honest copy that is too far does not. */
static void a_tolerance_that_is_given_decides_alone(void **state)
{
    (void)state;
    struct image m;
    const char *llama = data_of("tiny-llama", NULL), *ids = data_of("tiny-llama", "tokens.txt"), *hurt = temp_path("hurt.gguf");
    assert_int_equal(tool(convert_main, "lathe-convert", llama, "-o", temp_path("f32.gguf"), "--type", "f32", "--receipt", "none", "--force",
                          "--quiet", NULL),
                     0);
    quantize("tiny-llama", DTYPE_Q4_0, NULL);
    open_image(&m, "blk.0.attn_k.weight");
    scale_row(&m);
    close_image(&m, hurt);
    assert_int_equal(tool(verify_main, "lathe-verify", llama, hurt, "--tokens", ids, "--quiet", NULL), 1);
    assert_int_equal(tool(verify_main, "lathe-verify", llama, hurt, "--tokens", ids, "--quiet", "--tolerance", "0.5", NULL), 0);
    assert_int_equal(tool(verify_main, "lathe-verify", llama, temp_path("q.gguf"), "--tokens", ids, "--quiet", "--tolerance", "0.001", NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_copies_and_damaged_ones),
        cmocka_unit_test(a_tolerance_that_is_given_decides_alone),
    };
    return cmocka_run_group_tests_name("weight damage", tests, NULL, NULL);
}

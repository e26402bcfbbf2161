#include "tests/unit/faults.h"

#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct error err;

static void must(enum status st, const char *what)
{
    if (st != STATUS_OK) fail_msg("%s: %s: %s %s", what, err.path, err.tensor, err.text);
}

/* --- two sides --- */

static void convert(const struct scene *s, const char *dir, const char *out)
{
    char copies[3][300];
    snprintf(copies[0], sizeof copies[0], "%s", dir);
    snprintf(copies[1], sizeof copies[1], "%s", out);
    snprintf(copies[2], sizeof copies[2], "%s", s->type);
    char *argv[] = {(char[]){"lathe-convert"}, copies[0], (char[]){"-o"}, copies[1], (char[]){"--type"}, copies[2],
                    (char[]){"--receipt"}, (char[]){"none"}, (char[]){"--quiet"}, NULL};
    if (s->convert(COUNT(argv) - 1, argv) != 0) fail_msg("%s is not converted", dir);
}

/* The GGUF of another form of the model, beside the one's */
static struct model *open_form(const struct scene *s, struct family_model *form, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s.gguf", s->family.dir, name);
    convert(s, form->dir, path);
    family_clear(form);
    return family_open(path);
}

void scene_open(struct scene *s, const struct family_row *row, const char *type, int (*tool)(int, char **))
{
    struct family_model form;
    *s = (struct scene){.type = type, .convert = tool};
    family_write(&s->family, row, &family_sizes_small, false);
    snprintf(s->gguf, sizeof s->gguf, "%s/model.gguf", s->family.dir);
    convert(s, s->family.dir, s->gguf);
    s->a = family_open(s->family.dir);
    s->b = family_open(s->gguf);
    if (s->a->arch != row->arch) fail_msg("%s %s is taken for another family", row->arch->family, row->form);
    family_ids(s->a, s->ids, N_IDS);
    must(workers_new(&s->workers, 1, &err), "workers");
    if (s->family.hp.tied && family_write(&form, row, &family_sizes_small, true)) s->untied = open_form(s, &form, "untied");
    if (family_write_unbiased(&form, row, &family_sizes_small)) s->unbiased = open_form(s, &form, "unbiased");
}

void scene_close(struct scene *s)
{
    model_close(s->a);
    model_close(s->b);
    model_close(s->untied);
    model_close(s->unbiased);
    workers_free(s->workers);
    family_clear(&s->family);
}

/* --- damaging a file's bytes --- */

static void write_at(const char *path, uint64_t off, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, (off_t)off), n);
    close(fd);
}

/* The bytes of a weight of B, to be changed and given back with put_back; NULL: B has none. A vector has rows of one number. */
static void *take(struct scene *s, enum role r, int64_t layer, enum part part, int64_t *rows, size_t *row_bytes)
{
    const struct weight *w = model_weight(s->b, r, layer, part);
    if (!w) return NULL;
    assert_true(s->n_undo < UNDO_MAX);
    size_t n = (size_t)w->t->t->size_bytes;
    void *original = malloc(n), *copy = malloc(n);
    must(ckpt_read(w->t, 0, original, n, &err), w->t->t->name);
    memcpy(copy, original, n);
    *rows = w->t->t->n_dims > 1 ? tensor_rows(w->t->t) : w->t->t->n_elements;
    *row_bytes = n / (size_t)*rows;
    s->undo[s->n_undo].t = w->t;
    s->undo[s->n_undo++].bytes = original;
    return copy;
}

static void put_back(struct scene *s, void *data)
{
    const struct tensor *t = s->undo[s->n_undo - 1].t->t;
    if (memcmp(data, s->undo[s->n_undo - 1].bytes, (size_t)t->size_bytes) == 0) fail_msg("%s: nothing was changed", t->name);
    write_at(s->gguf, t->off_file, data, (size_t)t->size_bytes);
    free(data);
}

/* Nothing was changed after all. */
static void let_be(struct scene *s, void *data)
{
    free(data);
    free(s->undo[--s->n_undo].bytes);
}

void scene_undo(struct scene *s)
{
    while (s->n_undo > 0) {
        const struct tensor *t = s->undo[--s->n_undo].t->t;
        write_at(s->gguf, t->off_file, s->undo[s->n_undo].bytes, (size_t)t->size_bytes);
        free(s->undo[s->n_undo].bytes);
    }
}

/* Rows of weight and bias: row first + i becomes what row first + order(i) was. */
typedef int64_t order_fn(const struct scene *s, int64_t i, int64_t n);

static void reorder(struct scene *s, enum role r, int64_t layer, int64_t first, int64_t n, order_fn *order)
{
    for (int part = 0; part < PART_COUNT; part++) {
        int64_t rows;
        size_t size;
        char *data = take(s, r, layer, (enum part)part, &rows, &size);
        if (!data) continue;
        const char *old = s->undo[s->n_undo - 1].bytes;
        for (int64_t i = 0; i < n; i++) memcpy(data + (size_t)(first + i) * size, old + (size_t)(first + order(s, i, n)) * size, size);
        bool same = memcmp(data, old, (size_t)rows * size) == 0; /* a bias of zeros */
        if (same && part == PART_BIAS) let_be(s, data);
        else put_back(s, data);
    }
}

/* Where B has the rows of queries, keys, values */
struct rows {
    enum role role;
    int64_t first, n;
};
static struct rows rows_of(const struct scene *s, char which)
{
    const struct hparams *hp = &s->b->hp;
    int64_t q = hp->n_head * hp->head_dim, k = hp->n_head_kv * hp->head_dim;
    bool fused = model_weight(s->b, ROLE_ATTN_QKV, 0, PART_WEIGHT) != NULL;
    assert_true(!fused || s->b->arch->gguf.qkv == QKV_BLOCKS);
    enum role split = which == 'q' ? ROLE_ATTN_Q : which == 'k' ? ROLE_ATTN_K : ROLE_ATTN_V;
    int64_t first = which == 'q' ? 0 : which == 'k' ? q : q + k;
    return (struct rows){fused ? ROLE_ATTN_QKV : split, fused ? first : 0, which == 'q' ? q : k};
}

static int64_t last_layer(const struct scene *s)
{
    return s->b->hp.n_layer - 1;
}

static bool at(struct scene *s, const char *tap, int64_t layer)
{
    s->tap = tap;
    s->layer = layer;
    return true;
}

/* --- faults: false where the property that they need is missing --- */

/* Halves and pairs of each head's rotated rows exchanged */
static int64_t order_pairs(const struct scene *s, int64_t i, int64_t n)
{
    (void)n;
    const struct hparams *hp = &s->b->hp;
    int64_t r = hp->rope.dim, in_head = i % hp->head_dim, part = in_head / r, j = in_head % r, base = i - in_head + part * r;
    bool halves = hp->rope_halves || s->b->dialect->rope_style == ROPE_HALVES;
    if (part >= (hp->position_2d ? 2 : 1)) return i;
    return base + (halves ? j % 2 * (r / 2) + j / 2 : j < r / 2 ? 2 * j : 2 * (j - r / 2) + 1);
}

static bool rows_in_another_order(struct scene *s, char which, const char *tap)
{
    const struct hparams *hp = &s->b->hp;
    if (hp->rope.type == ROPE_NONE || hp->rope.dim < 4) return false;
    struct rows r = rows_of(s, which);
    reorder(s, r.role, last_layer(s), r.first, r.n, order_pairs);
    return at(s, tap, last_layer(s));
}
static bool queries_as_pairs(struct scene *s) { return rows_in_another_order(s, 'q', "q"); }
static bool keys_as_pairs(struct scene *s) { return rows_in_another_order(s, 'k', "k"); }

static bool transposed(struct scene *s, enum role r, const char *tap)
{
    int64_t rows, layer = last_layer(s);
    size_t size;
    while (layer > 0 && !model_weight(s->b, r, layer, PART_WEIGHT)) layer--;
    const struct weight *w = model_weight(s->b, r, layer, PART_WEIGHT);
    if (!w || tensor_rows(w->t->t) != tensor_cols(w->t->t) || w->t->t->dtype != DTYPE_F32) return false;
    float *data = take(s, r, layer, PART_WEIGHT, &rows, &size);
    const float *old = s->undo[s->n_undo - 1].bytes;
    for (int64_t i = 0; i < rows * rows; i++) data[i] = old[i % rows * rows + i / rows];
    put_back(s, data);
    return at(s, tap, layer);
}
static bool q_transposed(struct scene *s) { return transposed(s, ROLE_ATTN_Q, "q"); }
static bool output_transposed(struct scene *s) { return transposed(s, ROLE_ATTN_OUTPUT, "attn_out"); }
static bool gate_transposed(struct scene *s) { return transposed(s, ROLE_FFN_GATE, "ffn_gate"); }
static bool up_transposed(struct scene *s) { return transposed(s, ROLE_FFN_UP, "ffn_up"); }
static bool down_transposed(struct scene *s) { return transposed(s, ROLE_FFN_DOWN, "ffn_out"); }

/* Rows [x, x + n) of one role and [y, y + n) of another one */
static void exchange(struct scene *s, struct rows x, struct rows y, int64_t layer)
{
    for (int part = 0; part < PART_COUNT; part++) {
        int64_t rows;
        size_t size;
        char *one = take(s, x.role, layer, (enum part)part, &rows, &size), *other = one;
        if (!one) continue;
        size_t at_one = s->n_undo - 1, at_other = at_one;
        if (y.role != x.role) other = take(s, y.role, layer, (enum part)part, &rows, &size), at_other = s->n_undo - 1;
        memcpy(one + (size_t)x.first * size, (char *)s->undo[at_other].bytes + (size_t)y.first * size, (size_t)x.n * size);
        memcpy(other + (size_t)y.first * size, (char *)s->undo[at_one].bytes + (size_t)x.first * size, (size_t)x.n * size);
        write_at(s->gguf, s->undo[at_one].t->t->off_file, one, (size_t)s->undo[at_one].t->t->size_bytes);
        write_at(s->gguf, s->undo[at_other].t->t->off_file, other, (size_t)s->undo[at_other].t->t->size_bytes);
        free(one);
        if (other != one) free(other);
    }
}
static bool keys_for_values(struct scene *s)
{
    exchange(s, rows_of(s, 'k'), rows_of(s, 'v'), last_layer(s));
    return at(s, "k", last_layer(s));
}
static bool queries_for_keys(struct scene *s)
{
    if (s->b->hp.n_head != s->b->hp.n_head_kv) return false;
    exchange(s, rows_of(s, 'q'), rows_of(s, 'k'), last_layer(s));
    return at(s, "q", last_layer(s));
}
static bool gate_for_up(struct scene *s)
{
    int64_t f = s->b->hp.n_ff, layer = last_layer(s);
    struct rows gate = {s->b->hp.gate_up ? ROLE_FFN_UP : ROLE_FFN_GATE, 0, f}, up = {ROLE_FFN_UP, s->b->hp.gate_up ? f : 0, f};
    while (layer > 0 && !model_weight(s->b, gate.role, layer, PART_WEIGHT)) layer--;
    if (!model_weight(s->b, gate.role, layer, PART_WEIGHT) || (gate.role == up.role && !s->b->hp.gate_up)) return false;
    exchange(s, gate, up, layer);
    return at(s, "ffn_gate", layer);
}

/* The last head first */
static int64_t order_heads(const struct scene *s, int64_t i, int64_t n)
{
    return (i + n - s->b->hp.head_dim) % n;
}
static bool heads_of(struct scene *s, char which, const char *tap, int64_t n_heads)
{
    if (n_heads < 2) return false;
    struct rows r = rows_of(s, which);
    reorder(s, r.role, last_layer(s), r.first, r.n, order_heads);
    return at(s, tap, last_layer(s));
}
static bool query_heads_moved(struct scene *s) { return heads_of(s, 'q', "q", s->b->hp.n_head); }
static bool key_heads_moved(struct scene *s) { return heads_of(s, 'k', "k", s->b->hp.n_head_kv); }
static bool value_heads_moved(struct scene *s) { return heads_of(s, 'v', "v", s->b->hp.n_head_kv); }

/* [queries][keys][values] as groups of [queries of a key head, key, value] */
static int64_t order_groups(const struct scene *s, int64_t i, int64_t n)
{
    (void)n;
    const struct hparams *hp = &s->b->hp;
    int64_t d = hp->head_dim, width = hp->n_head / hp->n_head_kv, group = i / ((width + 2) * d), in = i % ((width + 2) * d);
    if (in < width * d) return group * width * d + in;
    in -= width * d;
    return (hp->n_head + in / d * hp->n_head_kv + group) * d + in % d;
}
static bool fused_by_group(struct scene *s)
{
    const struct hparams *hp = &s->b->hp;
    if (hp->n_head_kv < 2 || !model_weight(s->b, ROLE_ATTN_QKV, 0, PART_WEIGHT)) return false;
    reorder(s, ROLE_ATTN_QKV, last_layer(s), 0, (hp->n_head + 2 * hp->n_head_kv) * hp->head_dim, order_groups);
    return at(s, "q", last_layer(s));
}

static bool plus(struct scene *s, enum role r, int64_t layer, float add, const char *tap)
{
    int64_t n;
    size_t size;
    float *data = take(s, r, layer, PART_WEIGHT, &n, &size);
    if (!data) return false;
    assert_int_equal(size, sizeof *data);
    for (int64_t i = 0; i < n; i++) data[i] += add;
    put_back(s, data);
    return at(s, tap, layer);
}
/* The norm before the feed-forward layer; glm4moe has it under another name. */
static bool ffn_norm_plus(struct scene *s)
{
    bool other = !model_weight(s->b, ROLE_FFN_NORM, 0, PART_WEIGHT) && strcmp(s->b->arch->family, "glm4_moe") == 0;
    return plus(s, other ? ROLE_ATTN_POST_NORM : ROLE_FFN_NORM, last_layer(s), -1, "ffn_norm");
}
static bool attn_norm_plus(struct scene *s) { return plus(s, ROLE_ATTN_NORM, last_layer(s), 1, "attn_norm"); }
static bool q_norm_plus(struct scene *s) { return plus(s, ROLE_ATTN_Q_NORM, last_layer(s), 1, "q_norm"); }
static bool k_norm_plus(struct scene *s) { return plus(s, ROLE_ATTN_K_NORM, last_layer(s), -1, "k_norm"); }
static bool output_norm_plus(struct scene *s) { return plus(s, ROLE_OUTPUT_NORM, -1, 1, "norm"); }
static bool post_attn_plus(struct scene *s) { return plus(s, ROLE_ATTN_OUTPUT_NORM, last_layer(s), 1, "attn_norm"); }
static bool post_layer_plus(struct scene *s) { return plus(s, ROLE_LAYER_OUTPUT_NORM, last_layer(s), 1, "residual"); }
static bool branch_norm_plus(struct scene *s)
{
    return model_weight(s->b, ROLE_FFN_NORM, 0, PART_WEIGHT) != NULL && plus(s, ROLE_ATTN_POST_NORM, last_layer(s), 1, "attn_post_norm");
}
static bool ffn_branch_norm_plus(struct scene *s) { return plus(s, ROLE_FFN_POST_NORM, last_layer(s), 1, "ffn_post_norm"); }

static bool another_epsilon(struct scene *s)
{
    s->view.hp.norm_eps = 0.01;
    return at(s, "attn_norm", 0);
}

/* Rotary positions as another block says: what a GGUF's keys may have said is not asked. */
static struct rope *rope_of(struct scene *s)
{
    s->view.hp.rope.runtime = NULL;
    at(s, "q_rope", 0);
    return &s->view.hp.rope;
}
static bool rotates(const struct scene *s)
{
    return s->b->hp.rope.type != ROPE_NONE;
}
static bool another_base(struct scene *s)
{
    if (!rotates(s)) return false;
    rope_of(s)->theta *= 1.1;
    return true;
}
static bool fewer_rotated(struct scene *s)
{
    if (!rotates(s) || s->b->hp.rope.dim < 4) return false;
    rope_of(s)->dim /= 2;
    return true;
}
static bool more_rotated(struct scene *s)
{
    if (!rotates(s) || s->b->hp.position_2d || 2 * s->b->hp.rope.dim > s->b->hp.head_dim) return false;
    rope_of(s)->dim *= 2;
    return true;
}
static bool scaling_made_up(struct scene *s)
{
    if (!rotates(s) || s->b->hp.rope.type != ROPE_DEFAULT) return false;
    rope_of(s)->type = ROPE_LINEAR;
    s->view.hp.rope.factor = 2;
    return true;
}
static bool scaling_lost(struct scene *s)
{
    if (!rotates(s) || s->b->hp.rope.type == ROPE_DEFAULT) return false;
    rope_of(s)->type = ROPE_DEFAULT;
    return true;
}
static bool second_position_lost(struct scene *s)
{
    if (!s->b->hp.position_2d) return false;
    rope_of(s);
    s->view.hp.position_2d = false;
    return true;
}

/* Zeros for a bias that is not all zeros already, which is a fill of convert's */
static bool no_bias(struct scene *s, enum role r, const char *tap)
{
    int64_t n, layer = r == ROLE_OUTPUT || r == ROLE_OUTPUT_NORM ? -1 : last_layer(s);
    size_t size;
    while (layer > 0 && !model_weight(s->b, r, layer, PART_BIAS)) layer--;
    float *data = take(s, r, layer, PART_BIAS, &n, &size);
    bool any = false;
    for (int64_t i = 0; data && i < n; i++) any = any || data[i] != 0;
    if (!any) {
        if (data) let_be(s, data);
        return false;
    }
    memset(data, 0, (size_t)n * size);
    put_back(s, data);
    return at(s, tap, layer);
}
static bool no_qkv_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_QKV, "q"); }
static bool no_q_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_Q, "q"); }
static bool no_k_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_K, "k"); }
static bool no_v_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_V, "v"); }
static bool no_output_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_OUTPUT, "attn_out"); }
static bool no_gate_bias(struct scene *s) { return no_bias(s, ROLE_FFN_GATE, "ffn_gate"); }
static bool no_up_bias(struct scene *s) { return no_bias(s, ROLE_FFN_UP, s->b->hp.gate_up ? "ffn_gate" : "ffn_up"); }
static bool no_down_bias(struct scene *s) { return no_bias(s, ROLE_FFN_DOWN, "ffn_out"); }
static bool no_head_bias(struct scene *s) { return no_bias(s, ROLE_OUTPUT, "logits"); }
static bool no_norm_bias(struct scene *s) { return no_bias(s, ROLE_ATTN_NORM, "attn_norm"); }
static bool no_ffn_norm_bias(struct scene *s) { return no_bias(s, ROLE_FFN_NORM, "ffn_norm"); }
static bool no_post_norm_bias(struct scene *s) { return no_bias(s, ROLE_LAYER_OUTPUT_NORM, "residual"); }
static bool no_last_norm_bias(struct scene *s) { return no_bias(s, ROLE_OUTPUT_NORM, "norm"); }

static bool no_bias_tensors(struct scene *s)
{
    if (!s->unbiased) return false;
    s->view = *s->unbiased;
    return at(s, "q", 0);
}

static bool another_activation(struct scene *s)
{
    s->view.hp.activation = s->b->hp.activation == ACTIVATION_RELU ? ACTIVATION_SILU : ACTIVATION_RELU;
    return at(s, "ffn_act", 0);
}
static bool activation_alike(struct scene *s)
{
    if (s->b->hp.activation != ACTIVATION_GELU_ERF && s->b->hp.activation != ACTIVATION_GELU_TANH) return false;
    s->view.hp.activation = s->b->hp.activation == ACTIVATION_GELU_ERF ? ACTIVATION_GELU_TANH : ACTIVATION_GELU_ERF;
    return at(s, "ffn_act", 0);
}

/* Keys beyond a window are those before a query: a context that sees itself whole has none. */
static bool causal(const struct scene *s)
{
    return s->b->arch->plan == NULL;
}
static int64_t first_local(const struct scene *s)
{
    int64_t l = 0;
    while (l < s->b->hp.n_layer - 1 && hparams_window(&s->b->hp, l) == 0) l++;
    return l;
}
static bool window_made_up(struct scene *s)
{
    if (!causal(s)) return false;
    s->view.hp.window = s->b->hp.window > 0 ? s->b->hp.window + 1 : 3;
    return at(s, "attn_mix", s->b->hp.window > 0 ? first_local(s) : 0);
}
static bool window_lost(struct scene *s)
{
    if (!causal(s) || s->b->hp.window == 0) return false;
    s->view.hp.window = 0;
    return at(s, "attn_mix", first_local(s));
}
static bool window_in_all_layers(struct scene *s)
{
    if (!causal(s) || s->b->hp.window == 0 || !s->b->hp.local || s->b->hp.local[0]) return false;
    s->view.hp.local = NULL;
    return at(s, "attn_mix", 0);
}

static bool output_is_embedding(struct scene *s)
{
    int64_t rows;
    size_t size;
    void *data = take(s, ROLE_OUTPUT, -1, PART_WEIGHT, &rows, &size);
    const struct weight *table = model_weight(s->b, ROLE_TOKEN_EMBD, -1, PART_WEIGHT);
    if (!data) return false;
    assert_int_equal(table->t->t->size_bytes, (size_t)rows * size);
    must(ckpt_read(table->t, 0, data, (size_t)table->t->t->size_bytes, &err), "embedding");
    put_back(s, data);
    return at(s, "logits", -1);
}
static bool output_of_its_own(struct scene *s)
{
    if (!s->untied) return false;
    s->view = *s->untied;
    return at(s, "logits", -1);
}

static int64_t order_next(const struct scene *s, int64_t i, int64_t n)
{
    (void)s;
    return (i + n - 1) % n;
}
static bool shifted(struct scene *s, enum role r, const char *tap)
{
    const struct weight *w = model_weight(s->b, r, -1, PART_WEIGHT);
    if (!w) return false;
    reorder(s, r, -1, 0, tensor_rows(w->t->t), order_next);
    return at(s, tap, -1);
}
static bool embedding_shifted(struct scene *s) { return shifted(s, ROLE_TOKEN_EMBD, "embd"); }
static bool output_shifted(struct scene *s) { return shifted(s, ROLE_OUTPUT, "logits"); }
static bool positions_shifted(struct scene *s) { return shifted(s, ROLE_POSITION_EMBD, "embd"); }

const struct fault faults[] = {
    {"row_order", "queries", queries_as_pairs, "rotary positions"},
    {"row_order", "keys", keys_as_pairs, "rotary positions"},
    {"transpose", "attn_q", q_transposed, "queries in a square matrix of their own"},
    {"transpose", "attn_output", output_transposed, "a square output projection"},
    {"transpose", "ffn_gate", gate_transposed, "a square gate"},
    {"transpose", "ffn_up", up_transposed, "a square matrix up"},
    {"transpose", "ffn_down", down_transposed, "a square matrix down"},
    {"halves_swapped", "keys and values", keys_for_values, "attention"},
    {"halves_swapped", "queries and keys", queries_for_keys, "as many key heads as query heads"},
    {"halves_swapped", "gate and up", gate_for_up, "a gate"},
    {"head_grouping", "query heads", query_heads_moved, "several heads"},
    {"head_grouping", "key heads", key_heads_moved, "several key heads"},
    {"head_grouping", "value heads", value_heads_moved, "several key heads"},
    {"head_grouping", "fused rows", fused_by_group, "a fused matrix of several key heads"},
    {"norm_offset", "attn_norm", attn_norm_plus, "a norm before attention"},
    {"norm_offset", "ffn_norm", ffn_norm_plus, "a norm before the feed-forward layer"},
    {"norm_offset", "q_norm", q_norm_plus, "a norm of queries"},
    {"norm_offset", "k_norm", k_norm_plus, "a norm of keys"},
    {"norm_offset", "attention's post-norm", post_attn_plus, "a norm behind the residual sum"},
    {"norm_offset", "layer's post-norm", post_layer_plus, "a norm behind the residual sum"},
    {"norm_offset", "norm of attention's result", branch_norm_plus, "a norm of what attention adds"},
    {"norm_offset", "norm of the layer's result", ffn_branch_norm_plus, "a norm of what the feed-forward layer adds"},
    {"norm_offset", "last norm", output_norm_plus, "a last norm"},
    {"epsilon", "", another_epsilon, "a norm"},
    {"rope_base", "", another_base, "rotary positions"},
    {"rope_dim", "fewer", fewer_rotated, "four rotated dimensions"},
    {"rope_dim", "more", more_rotated, "a part of a head that is not rotated"},
    {"rope_scaling", "made up", scaling_made_up, "rotary positions without scaling"},
    {"rope_scaling", "lost", scaling_lost, "scaled rotary positions"},
    {"rope_scaling", "second position", second_position_lost, "two positions"},
    {"missing_bias", "attn_qkv", no_qkv_bias, "this bias"},
    {"missing_bias", "attn_q", no_q_bias, "this bias"},
    {"missing_bias", "attn_k", no_k_bias, "this bias"},
    {"missing_bias", "attn_v", no_v_bias, "this bias"},
    {"missing_bias", "attn_output", no_output_bias, "this bias"},
    {"missing_bias", "ffn_gate", no_gate_bias, "this bias"},
    {"missing_bias", "ffn_up", no_up_bias, "this bias"},
    {"missing_bias", "ffn_down", no_down_bias, "this bias"},
    {"missing_bias", "output", no_head_bias, "this bias"},
    {"missing_bias", "attn_norm", no_norm_bias, "this bias"},
    {"missing_bias", "ffn_norm", no_ffn_norm_bias, "this bias"},
    {"missing_bias", "post-norm", no_post_norm_bias, "this bias"},
    {"missing_bias", "last norm", no_last_norm_bias, "this bias"},
    {"missing_bias", "tensors of attention", no_bias_tensors, "a switch for the biases of attention"},
    {"activation", "another", another_activation, "a feed-forward layer"},
    {"activation", "the other GELU", activation_alike, "a GELU"},
    {"window", "other", window_made_up, "causal attention"},
    {"window", "lost", window_lost, "a window"},
    {"window", "in all layers", window_in_all_layers, "a first layer without the window"},
    {"head_tying", "output is the embedding", output_is_embedding, "an output matrix"},
    {"head_tying", "output of its own", output_of_its_own, "a tied output that may be stored"},
    {"row_offset", "embedding", embedding_shifted, "an embedding"},
    {"row_offset", "output", output_shifted, "an output matrix"},
    {"row_offset", "positions", positions_shifted, "learned positions"},
};
const size_t n_faults = COUNT(faults);

#include "inspect/weight_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- sources --- */

static enum status require_model(const struct subject *s, struct error *err)
{
    if (s->model) return STATUS_OK;
    const char *why = s->model_error.text[0] ? s->model_error.text : "no known model family";
    return error_at(err, STATUS_UNSUPPORTED, s->path, NULL, "two forms of one model are compared, but: %s", why);
}

static enum status open_pair(struct weight_source *s, const char *against, struct error *err)
{
    struct warnings warn = {0};
    TRY(require_model(&s->subject, err));
    enum status st = model_open(&s->b, against, &(struct model_options){0}, &warn, err);
    warnings_clear(&warn);
    TRY(st);
    TRY(canonical_open(&s->side_a, s->subject.model, s->b, err));
    TRY(canonical_open(&s->side_b, s->b, s->subject.model, err));
    return weight_pairs_make(&s->pairs, &s->side_a, &s->side_b, err);
}

enum status weight_source_open(struct weight_source *s, const char *path, const char *against,
                               struct workers *workers, struct error *err)
{
    *s = (struct weight_source){.workers = workers};
    TRY(subject_open(&s->subject, path, err));
    enum status st = against ? open_pair(s, against, err) : STATUS_OK;
    if (st != STATUS_OK) weight_source_close(s);
    return st;
}

void weight_source_close(struct weight_source *s)
{
    weight_pairs_clear(&s->pairs);
    canonical_close(&s->side_a);
    canonical_close(&s->side_b);
    model_close(s->b);
    subject_close(&s->subject);
    *s = (struct weight_source){0};
}

/* --- one tensor --- */

static const char *type_name(enum dtype t, bool gguf)
{
    const struct dtype_info *info = dtype_info(t);
    const char *name = gguf ? info->ggml_name : info->st_name;
    return name ? name : info->name;
}

static bool is_gguf(const struct ckpt_tensor *t)
{
    return strcmp(t->container->format->name, "gguf") == 0;
}

/* Names hold the word that was asked for: most people remember a part. */
static enum status no_such(const struct subject *s, const char *name, struct error *err)
{
    error_at(err, STATUS_NOTFOUND, s->path, name, "no such tensor");
    for (size_t i = 0; i < s->ckpt->n_tensors; i++)
        if (strstr(s->ckpt->tensors[i].t->name, name))
            return error_hint(err, "there is '%s'; --tensors lists all", s->ckpt->tensors[i].t->name);
    return error_hint(err, "--tensors lists the names");
}

static bool is_called(const struct canonical_tensor *t, const char *name)
{
    if (!t) return false;
    for (size_t i = 0; t->planned && i < t->planned->n_sources; i++)
        if (strcmp(t->planned->sources[i].t->t->name, name) == 0) return true;
    return strcmp(t->name, name) == 0 || (t->stored && strcmp(t->stored, name) == 0);
}

/* The file that a side's tensor is in; of several the first */
static const char *file_of(const struct canonical *c, const struct canonical_tensor *t)
{
    const struct ckpt_tensor *stored = t->stored ? ckpt_find(c->m->ckpt, t->stored) : NULL;
    return path_base(stored ? stored->container->file.path : c->m->ckpt->path);
}

static enum status find_pair(struct weight_place *p, const struct weight_source *s, const char *name, struct error *err)
{
    const struct weight_pair *w = NULL;
    for (size_t i = 0; i < s->pairs.n && !w; i++)
        if (is_called(s->pairs.items[i].a, name) || is_called(s->pairs.items[i].b, name)) w = &s->pairs.items[i];
    if (!w) return no_such(&s->subject, name, err);
    if (!w->a || !w->b)
        return error_at(err, STATUS_NOTFOUND, (w->a ? s->b : s->subject.model)->ckpt->path, name,
                        "the other form has this tensor, this one has not");
    *p = (struct weight_place){.pair = w,
                               .name = w->a->n_rows <= w->b->n_rows ? w->a->name : w->b->name, /* the part's, if it is one */
                               .dtype_a = type_name(w->a->dtype, s->subject.model->is_gguf),
                               .dtype_b = type_name(w->b->dtype, s->b->is_gguf),
                               .file_a = file_of(&s->side_a, w->a),
                               .file_b = file_of(&s->side_b, w->b)};
    bool vector = w->a->n_cols == 1;
    p->n_rows = vector ? 1 : w->n_rows;
    p->n_cols = vector ? w->n_rows : w->a->n_cols;
    return STATUS_OK;
}

static enum status find_one(struct weight_place *p, const struct weight_source *s, const char *name, struct error *err)
{
    const struct ckpt_tensor *t = ckpt_find(s->subject.ckpt, name);
    if (!t) return no_such(&s->subject, name, err);
    *p = (struct weight_place){.t = t,
                               .name = t->t->name,
                               .dtype_a = type_name(t->t->dtype, is_gguf(t)),
                               .file_a = path_base(t->container->file.path),
                               .n_rows = tensor_rows(t->t),
                               .n_cols = tensor_cols(t->t)};
    return STATUS_OK;
}

enum status weight_find(struct weight_place *p, const struct weight_source *s, const char *name, struct error *err)
{
    TRY(s->b ? find_pair(p, s, name, err) : find_one(p, s, name, err));
    if (p->n_rows > 0 && p->n_cols > 0) return STATUS_OK;
    return error_at(err, STATUS_RANGE, s->subject.path, p->name, "it has no elements to draw");
}

/* --- both forms' numbers --- */

struct walk {
    const struct weight_place *p;
    int64_t unit_rows;
    weight_fn *take;
    void *ctx;
};

static enum status read_side(const struct canonical_tensor *t, int64_t row, int64_t n_rows, int64_t n, float **out,
                             struct error *err)
{
    struct plan_scratch scratch = {0};
    void *p;
    TRY(mem_alloc(&p, (uint64_t)n, sizeof(float), err));
    *out = p;
    enum status st = canonical_read(t, row, n_rows, *out, &scratch, err);
    plan_scratch_clear(&scratch);
    return st;
}

static enum status walk_unit(void *ctx, uint64_t unit, int worker, struct error *err)
{
    (void)worker;
    const struct walk *w = ctx;
    const struct weight_pair *pair = w->p->pair;
    bool vector = pair->a->n_cols == 1;
    int64_t row = (int64_t)unit * w->unit_rows;
    int64_t n_rows = w->p->n_rows - row < w->unit_rows ? w->p->n_rows - row : w->unit_rows;
    int64_t n = n_rows * w->p->n_cols, n_read = vector ? n : n_rows;
    float *a = NULL, *b = NULL;
    enum status st = read_side(pair->a, pair->row_a + row, n_read, n, &a, err);
    if (st == STATUS_OK) st = read_side(pair->b, pair->row_b + row, n_read, n, &b, err);
    if (st == STATUS_OK) st = w->take(w->ctx, row * w->p->n_cols, n, a, b, err);
    free(a);
    free(b);
    return st;
}

enum status weight_walk(const struct weight_source *s, const struct weight_place *p, int64_t multiple, weight_fn *take,
                        void *ctx, struct error *err)
{
    int64_t grain_a = canonical_grain(p->pair->a), grain_b = canonical_grain(p->pair->b);
    int64_t grain = grain_a > grain_b ? grain_a : grain_b;
    struct walk w = {p, (grain + multiple - 1) / multiple * multiple, take, ctx};
    return workers_run(s->workers, (uint64_t)((p->n_rows - 1) / w.unit_rows + 1), walk_unit, &w, err);
}

/* --- its cells --- */

/* What is added up over rows of cells, in their order at the end */
struct row_sums {
    double a, d, max;
    int64_t max_at; /* element */
};
struct filling {
    struct weight_view *v;
    struct row_sums *sums; /* by row of cells */
};

static void add_sums(struct row_sums *s, int64_t first, int64_t n, const double *a, const double *d)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(d[i])) continue;
        s->a += a[i] * a[i];
        s->d += d[i] * d[i];
        if (fabs(d[i]) > s->max) s->max = fabs(d[i]), s->max_at = first + i;
    }
}

static enum status add_pair(void *ctx, int64_t first, int64_t n, const float *a, const float *b, struct error *err)
{
    enum { RUN = 2048 };
    (void)err;
    const struct filling *f = ctx;
    struct weight_view *v = f->v;
    int64_t cell_row = v->a.row_step * v->place.n_cols;
    double x[RUN], y[RUN], d[RUN];
    for (int64_t k = 0, m; k < n; k += m) {
        int64_t at = first + k, left = cell_row - at % cell_row;
        m = n - k < RUN ? n - k : RUN;
        if (m > left) m = left;
        for (int64_t i = 0; i < m; i++) {
            x[i] = (double)a[k + i];
            y[i] = (double)b[k + i];
            d[i] = y[i] - x[i];
        }
        cells_add(&v->a, at, x, m);
        cells_add(&v->b, at, y, m);
        cells_add(&v->d, at, d, m);
        add_sums(&f->sums[at / cell_row], at, m, x, d);
    }
    return STATUS_OK;
}

static void finish_pair(struct weight_view *v, const struct row_sums *sums)
{
    double a = 0, d = 0, n = (double)(v->place.n_rows * v->place.n_cols);
    int64_t at = 0;
    for (int64_t r = 0; r < v->a.rows; r++) {
        a += sums[r].a;
        d += sums[r].d;
        if (sums[r].max > v->max_d) v->max_d = sums[r].max, at = sums[r].max_at;
    }
    v->rms_a = sqrt(a / n);
    v->rms_d = sqrt(d / n);
    v->max_row = at / v->place.n_cols;
    v->max_col = at % v->place.n_cols;
}

static enum status fill_pair(struct weight_view *v, const struct weight_source *s, enum reduction r, int64_t max_cells,
                             struct error *err)
{
    struct cells *cells[] = {&v->a, &v->b, &v->d};
    void *sums;
    for (int i = 0; i < 3; i++) TRY(cells_init(cells[i], r, v->place.n_rows, v->place.n_cols, max_cells, err));
    TRY(mem_alloc(&sums, (uint64_t)v->a.rows, sizeof(struct row_sums), err));
    struct filling f = {v, sums};
    enum status st = weight_walk(s, &v->place, v->a.row_step, add_pair, &f, err);
    for (int i = 0; i < 3; i++) cells_finish(cells[i]);
    if (st == STATUS_OK) finish_pair(v, sums);
    free(sums);
    return st;
}

enum status weight_view_make(struct weight_view *v, struct weight_source *s, const char *name, enum reduction r,
                             int64_t max_cells, struct error *err)
{
    *v = (struct weight_view){0};
    TRY(weight_find(&v->place, s, name, err));
    enum status st = s->b ? fill_pair(v, s, r, max_cells, err)
                          : scan_cells(v->place.t, s->workers, r, max_cells, &v->a, err);
    if (st != STATUS_OK) weight_view_clear(v);
    return st;
}

void weight_view_clear(struct weight_view *v)
{
    cells_clear(&v->a);
    cells_clear(&v->b);
    cells_clear(&v->d);
    *v = (struct weight_view){0};
}

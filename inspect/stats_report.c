#include "inspect/stats_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one tensor --- */

void stats_text_head(struct buf *out)
{
    buf_printf(out, "  %11s %11s %11s %11s %9s %9s", "min", "max", "mean", "std", "kurtosis", "zeros");
}

static void channels_text(const struct channel_stats *c, const char *what, struct buf *out)
{
    if (c->n_outliers > 0)
        buf_printf(out, "  %" PRId64 " outlier %s%s (%" PRId64 ": %.1f x median)", c->n_outliers, what,
                   c->n_outliers == 1 ? "" : "s", c->worst, c->worst_ratio);
}

void stats_text(const struct tensor_stats *s, struct buf *out)
{
    const struct moments *m = &s->m;
    buf_printf(out, "  %11.4g %11.4g %11.4g %11.4g %9.2f %9" PRId64, m->min, m->max, m->mean, s->std,
               s->kurtosis, m->n_zero);
    if (m->n_nan + m->n_inf > 0) buf_printf(out, "  NaN %" PRId64 ", Inf %" PRId64, m->n_nan, m->n_inf);
    if (m->n_subnormal > 0) buf_printf(out, "  subnormal %" PRId64, m->n_subnormal);
    channels_text(&s->rows, "row", out);
    channels_text(&s->cols, "column", out);
}

static void channels_json(const struct channel_stats *c, const char *key, struct jwriter *w)
{
    if (c->n_channels == 0) return;
    jw_begin_object(w, key);
    jw_int(w, "channels", c->n_channels);
    jw_int(w, "outliers", c->n_outliers);
    jw_int(w, "worst", c->worst);
    jw_double(w, "worst_ratio", c->worst_ratio);
    jw_end_object(w);
}

static void moments_json(const struct moments *m, struct jwriter *w)
{
    jw_double(w, "min", m->min);
    jw_double(w, "max", m->max);
    jw_double(w, "mean", m->mean);
    jw_double(w, "std", moments_std(m));
    jw_double(w, "abs_max", fmax(fabs(m->min), fabs(m->max)));
    jw_double(w, "kurtosis", moments_kurtosis(m));
    jw_int(w, "zeros", m->n_zero);
    jw_int(w, "nan", m->n_nan);
    jw_int(w, "inf", m->n_inf);
    jw_int(w, "subnormal", m->n_subnormal);
}

void stats_json(const struct tensor_stats *s, struct jwriter *w)
{
    jw_begin_object(w, "stats");
    moments_json(&s->m, w);
    channels_json(&s->rows, "rows", w);
    channels_json(&s->cols, "columns", w);
    jw_end_object(w);
}

void stats_csv_head(struct buf *out)
{
    buf_puts(
        out,
        ",n,min,max,mean,std,abs_max,kurtosis,zeros,nan,inf,subnormal,outlier_rows,worst_row,worst_row_ratio,"
        "outlier_columns,worst_column,worst_column_ratio");
}

static void channels_csv(const struct channel_stats *c, struct buf *out)
{
    if (c->n_channels == 0)
        buf_puts(out, ",,,");
    else
        buf_printf(out, ",%" PRId64 ",%" PRId64 ",%.17g", c->n_outliers, c->worst, c->worst_ratio);
}

void stats_csv(const struct tensor_stats *s, struct buf *out)
{
    const struct moments *m = &s->m;
    buf_printf(out, ",%" PRId64 ",%.17g,%.17g,%.17g,%.17g,%.17g,%.17g", m->n, m->min, m->max, m->mean, s->std,
               s->abs_max, s->kurtosis);
    buf_printf(out, ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, m->n_zero, m->n_nan, m->n_inf,
               m->n_subnormal);
    channels_csv(&s->rows, out);
    channels_csv(&s->cols, out);
}

/* --- roles --- */

enum status role_stats_begin(struct role_stats *r, const struct subject *s, struct error *err)
{
    memset(r, 0, sizeof *r);
    return roles_init(&r->roles, s, err);
}

void role_stats_add(struct role_stats *r, const struct subject *s, const struct ckpt_tensor *t,
                    const struct tensor_stats *stats)
{
    if (r->roles.n == 0) return;
    const struct tensor_role *role = &r->roles.items[t - s->ckpt->tensors];
    if (role->role == ROLE_COUNT) return;
    struct role_sum *sum = &r->sums[role->role][role->part];
    sum->std_min = sum->n_tensors == 0 || stats->std < sum->std_min ? stats->std : sum->std_min;
    sum->std_max = stats->std > sum->std_max ? stats->std : sum->std_max;
    sum->n_tensors++;
    sum->n_outlier_tensors += stats->rows.n_outliers + stats->cols.n_outliers > 0;
    moments_merge(&sum->m, &stats->m);
}

static void role_line(const struct role_sum *sum, enum role role, enum part part, struct buf *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", role_name(role), part == PART_BIAS ? "bias" : "weight");
    buf_printf(out, "%-24s %7" PRId64 "  %11.4g %11.4g %11.4g %11.4g %9.2f  %.4g to %.4g", name,
               sum->n_tensors, sum->m.min, sum->m.max, sum->m.mean, moments_std(&sum->m),
               moments_kurtosis(&sum->m), sum->std_min, sum->std_max);
    if (sum->n_outlier_tensors > 0) buf_printf(out, "  outlier channels in %" PRId64, sum->n_outlier_tensors);
    buf_puts(out, "\n");
}

void role_stats_text(const struct role_stats *r, struct buf *out)
{
    if (r->roles.n == 0) return;
    buf_printf(out, "\n%-24s %7s  %11s %11s %11s %11s %9s  %s\n", "role", "tensors", "min", "max", "mean",
               "std", "kurtosis", "std of single tensors");
    for (int role = 0; role < ROLE_COUNT; role++)
        for (int part = 0; part < PART_COUNT; part++)
            if (r->sums[role][part].n_tensors > 0)
                role_line(&r->sums[role][part], (enum role)role, (enum part)part, out);
}

void role_stats_json(const struct role_stats *r, struct jwriter *w)
{
    if (r->roles.n == 0) return;
    jw_begin_array(w, "roles");
    for (int role = 0; role < ROLE_COUNT; role++)
        for (int part = 0; part < PART_COUNT; part++) {
            const struct role_sum *sum = &r->sums[role][part];
            if (sum->n_tensors == 0) continue;
            jw_begin_object(w, NULL);
            jw_string(w, "role", role_name((enum role)role));
            jw_string(w, "part", part == PART_BIAS ? "bias" : "weight");
            jw_int(w, "tensors", sum->n_tensors);
            jw_int(w, "n", sum->m.n);
            moments_json(&sum->m, w);
            jw_double(w, "std_min", sum->std_min);
            jw_double(w, "std_max", sum->std_max);
            jw_int(w, "tensors_with_outliers", sum->n_outlier_tensors);
            jw_end_object(w);
        }
    jw_end_array(w);
}

void role_stats_clear(struct role_stats *r)
{
    roles_clear(&r->roles);
    memset(r, 0, sizeof *r);
}

/* What a page is made of. html.c gathers it, html_page.c writes its text, html_data.c the numbers for its script. */
#ifndef LATHE_HTML_REPORT_H
#define LATHE_HTML_REPORT_H

#include "base/options.h"
#include "core/attention.h"
#include "core/metrics.h"
#include "core/scan.h"
#include "core/stats.h"
#include "core/token_labels.h"
#include "core/tokens.h"
#include "inspect/attention.h"
#include "inspect/diff.h"
#include "inspect/roles.h"

/* How far the other model's numbers are from a tensor's. */
struct html_error {
    bool known;
    const char *dtype; /* of the other side */
    double max_abs, rel;  /* rel: root mean square of the difference by the tensor's */
    double sum_a, sum_d;  /* of squares */
    struct cells cells;   /* of largest differences, in the layout of the comparison; values NULL: none */
};
/* One tensor of the checkpoint. */
struct html_tensor {
    bool has_stats;
    struct tensor_stats stats;
    struct cells cells; /* values NULL: no matrix */
    struct html_error error;
};
/* Probabilities as bytes, 255 for 1; a layer's heads one after the other, each row as far as its last key that can be seen. */
struct html_attention {
    int64_t n; /* ids; 0: no text was given */
    int64_t prefix, *windows;
    bool full;            /* rows have n keys: something is seen beyond the diagonal */
    struct buf *a, *b;    /* by layer; b NULL: one model */
    struct token_labels labels;
    bool is_cut; /* the text is longer */
};
struct html_report {
    struct subject s, other;
    bool has_other;
    struct tensor_roles roles;
    struct html_tensor *tensors; /* by tensor of s */
    enum reduction reduction;
    double clip; /* quantile of the cells where the colours end */
    struct diff diff;
    struct tokens tokens;
    struct metrics_result figures; /* of the two models on the tokens */
    bool has_figures;
    const char *no_figures; /* why not; NULL */
    struct html_attention attention;
    struct arena mem;
};

/* The page. */
void html_page(const struct html_report *r, struct buf *out);
void html_data(const struct html_report *r, struct buf *out);
/* Text from anywhere, as HTML text or the value of a quoted attribute. */
void html_text(struct buf *out, const char *text);


/* html_compare.c: fill figures, and the tensors' errors. */
enum status html_compare(struct html_report *r, const struct attention_options *o, struct workers *w, struct progress *progress,
                         struct error *err);
enum status html_errors(struct html_report *r, int64_t max_cells, struct workers *w, struct progress *progress, struct error *err);
/* html_attention.c: runs the text through the model, and through the other one if its heads are as many. */
enum status html_attention_make(struct html_report *r, const char *const *paths, int n_paths, const struct attention_options *o,
                                struct workers *w, struct error *err);
void html_attention_clear(struct html_attention *a, int64_t n_layer);

/* html_files.c: the parts that are compiled in, terminated */
extern const char html_template[], html_style[], html_script[];

#endif

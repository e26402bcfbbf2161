/* The heads that a picture of attention shows: gathered as they come, each pooled to the cells of its tile, with the figures beside it. */
#ifndef LATHE_ATTENTION_VIEW_H
#define LATHE_ATTENTION_VIEW_H

#include "core/attention.h"
#include "plots/colorbar.h"

/* Largest difference of a head between two models */
struct attention_gap {
    double diff; /* B - A, with its sign; NaN if one of them is */
    double a, b;
    int64_t layer, head, query, key;
};
/* One head, over all queries */
struct head_facts {
    double entropy; /* mean over the rows, in nats */
    double first;   /* mean share of the first key, over the rows after the first */
    struct attention_gap gap;
};
struct attention_view {
    int64_t layer0, head0, n_layers, n_heads; /* the selection */
    int64_t n;                                /* ids */
    int64_t side, step;                       /* a tile has side × side cells of step × step ids */
    bool is_difference;
    bool figures;             /* set after init: entropies and shares are wanted, which cost a logarithm per probability */
    double *cells;            /* (n_layers, n_heads, side, side) */
    const double **tiles;     /* (n_layers, n_heads) of them */
    struct head_facts *facts; /* (n_layers, n_heads) */
    int64_t *windows, prefix; /* by layer, of two models the wider one; what a query sees */
    int64_t n_not_finite;     /* probabilities that are no number */
    /* of the last head that came; what a picture of one head shows beside it, by row of cells */
    double *entropy, *first, *row_gap;
};
/* For a selection of n_layers × n_heads over n ids, with tiles of at most max_side cells. */
enum status attention_view_init(struct attention_view *v, const struct attention_request *r, int64_t max_side,
                                struct error *err);
void attention_view_clear(struct attention_view *v);
/* An attention_fn, ctx the view */
enum status attention_view_add(void *v, const struct attention_map *a, const struct attention_map *b,
                               struct error *err);
/* The largest of all heads; NULL without a second model */
const struct attention_gap *attention_view_gap(const struct attention_view *v);

#endif

/* The pictures of gathered attention: one head with its tokens, or many heads as tiles. */
#ifndef LATHE_ATTENTION_DRAW_H
#define LATHE_ATTENTION_DRAW_H

#include "core/token_labels.h"
#include "inspect/attention_view.h"
#include "inspect/output.h"

/* Cells per side of a tile that a page of so many tiles has room for; of one: of a picture with texts */
int64_t attention_tile_side(int64_t n_layers, int64_t n_heads);

struct attention_picture {
    const struct attention_view *view;
    const struct token_labels *labels;
    const char *name_a, *name_b; /* of the models; name_b NULL: one model. Escaped. */
    int64_t n_given;             /* ids before they were cut */
    struct color_scale scale;    /* from attention_scale */
    char clip[160];
};
/* The colours: probabilities from 0 to 1; differences up to what the quantile of the cells does not exceed, zero in the middle. */
enum status attention_scale(struct attention_picture *p, double quantile, struct error *err);
/* Onto the terminal's text. */
void attention_print(const struct attention_picture *p, const struct terminal *t, struct buf *out);
/* Into a file; *line: what was drawn, for people. */
enum status attention_save(const struct attention_picture *p, const struct tool *t, const char *path, enum output_format f,
                           struct buf *line, struct error *err);
/* "layer 3, head 5, query 7 '␣Paris', key 0 '<s>'" and the numbers */
void attention_gap_text(char *dst, size_t size, const struct attention_gap *g, const struct token_labels *labels);

#endif

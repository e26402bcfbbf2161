/* Many small matrices of one size as a page of tiles with one colour scale: all heads of all layers, one role in every layer.
 *
 *     struct multiples m = {.tile = tiles, .rows = n_layers, .cols = n_heads, .cells = 48, ...};
 *     TRY(multiples_draw(&canvas, &m, &place, err));
 */
#ifndef LATHE_MULTIPLES_H
#define LATHE_MULTIPLES_H

#include "plots/colorbar.h"

enum { MULTIPLES_CAPTIONS = 6 };
struct multiples {
    const char *title, *subtitle;
    const char *row_label, *col_label; /* what rows and columns of tiles are; "": they have no number */
    const char *caption[MULTIPLES_CAPTIONS];
    int64_t rows, cols;             /* of tiles */
    int64_t row0, col0;             /* number of the first row and column */
    const double *const *tiles;     /* rows × cols; NULL: there is none */
    const char *const *names;       /* rows × cols texts above the tiles, or NULL */
    int64_t tile_rows, tile_cols;   /* cells of each */
    struct color_scale scale;
    enum colormap map;
    bool texts_apart; /* see struct canvas */
};
/* Cell (r, c) of tile (i, k) covers cell_px × cell_px pixels from (x0 + k * step_x + c * cell_px, y0 + i * step_y + r * cell_px). */
struct multiples_place {
    int x0, y0, step_x, step_y, cell_px;
};
/* Creates and draws c. STATUS_RANGE when the page would be larger than a canvas. */
enum status multiples_draw(struct canvas *c, const struct multiples *m, struct multiples_place *place,
                           struct error *err);
/* Pixels that the longer side of a tile has room for on a page of rows × cols of them */
int64_t multiples_tile_pixels(int64_t rows, int64_t cols);
/* Columns for n tiles in a page that is about as wide as high */
int64_t multiples_columns(int64_t n, int64_t tile_rows, int64_t tile_cols);

#endif

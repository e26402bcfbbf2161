/* How far the matrices of each layer are off, as a picture. */
#ifndef LATHE_WEIGHTS_PLOT_H
#define LATHE_WEIGHTS_PLOT_H

#include "verify/drawing.h"
#include "verify/weights.h"

/* A panel with a line for each role, over the layers; none where no layer has a matrix that both sides have. */
void weights_panel(struct drawing *d, const struct weights_report *r);
/* A PNG of that panel alone, for --weights. */
enum status weights_plot_png(const struct weights_report *r, const char *path_a, const char *path_b, struct buf *out,
                             struct error *err);

#endif

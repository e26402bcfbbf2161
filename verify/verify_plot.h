/* --plot and --points: where two sides part, position by position. */
#ifndef LATHE_VERIFY_PLOT_H
#define LATHE_VERIFY_PLOT_H

#include "verify/verify_report.h"

/* A PNG with a panel each of: KL(A to B) by position with its running mean and the ten worst named, the largest difference of a logit by
 * position beside the tolerance, KL by place in the window where there are several windows, how KL is distributed, and, where weights were looked at, how far each
 * layer's matrices are off. Its texts (iTXt) say
 * what was run, and where in the picture each panel's data are. p->points and p->words are needed. */
enum status verify_plot_png(const struct verify_report *p, struct buf *out, struct error *err);
/* One line per position, with a head line: position,window,token,kl_ab,kl_ba,max_abs_diff,nll_a,nll_b */
void verify_points_csv(const struct verify_report *p, struct buf *out);

#endif

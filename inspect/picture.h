/* --heatmap: one tensor as a PNG. */
#ifndef LATHE_PICTURE_H
#define LATHE_PICTURE_H

#include "core/scan.h"
#include "inspect/subject.h"

struct picture {
    const char *tensor, *output;
    enum reduction reduction;
    double clip; /* quantile of the cells where the colours end */
    struct workers *workers;
};
/* STATUS_NOTFOUND with the nearest name as a hint when there is no such tensor. *line: what was drawn, for people. */
enum status picture_heatmap(const struct subject *s, const struct picture *p, struct buf *line,
                            struct error *err);

#endif

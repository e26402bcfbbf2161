/* The pictures that lathe-inspect makes: which one is asked for, what goes with it, and the run. */
#ifndef LATHE_PICTURES_H
#define LATHE_PICTURES_H

#include "inspect/attention.h"

struct picture_options {
    const char *heatmap, *grid, *histogram; /* a tensor; a role; a tensor */
    const char *output, *against;
    int reduction; /* enum reduction */
    double clip;   /* percent of the cells that the colours reach; the rest is clipped */
    struct attention_options attention;
};
/* What the options are before the command line is read */
#define PICTURE_CLIP         99.9
#define PICTURE_OPTIONS_INIT {.clip = PICTURE_CLIP, .attention = {.layer = -1, .head = -1}}

bool pictures_wanted(const struct picture_options *o);
/* The picture's line, its text on the terminal, or its JSON document into `out`. */
enum status pictures_run(const struct tool *t, const struct picture_options *o, struct buf *out, struct error *err);
/* STATUS_USAGE when an option of pictures is there without the picture that it goes with. */
enum status pictures_check_alone(const struct picture_options *o, struct error *err);

#endif

/* SVG files: the pixels as an embedded PNG that scales without smoothing, texts as text, so that they can be searched and use the reader's
 * fonts. */
#ifndef LATHE_SVG_H
#define LATHE_SVG_H

#include "plots/png.h"

/* c was drawn with texts_apart. Notes become <title> (the first) and <desc> (the others). Deterministic as png_encode is. */
enum status svg_encode(struct buf *out, const struct canvas *c, const struct png_note *notes, int n_notes,
                       struct error *err);

#endif

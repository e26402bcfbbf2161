/* PNG files (libpng): 8-bit indexed colour, no interlace, no gamma; texts as iTXt so that a stray picture explains itself. */
#ifndef LATHE_PNG_H
#define LATHE_PNG_H

#include "plots/canvas.h"

struct png_note {
    const char *key, *text; /* key: 1–79 Latin-1 bytes; text: UTF-8 */
};
/* Encoded bytes appended to out. Deterministic for one libpng and zlib. */
enum status png_encode(struct buf *out, const struct canvas *c, const struct png_note *notes, int n_notes,
                       struct error *err);

#endif

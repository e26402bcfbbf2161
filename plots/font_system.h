/* Glyphs of the system's font (GNU Unifont if it is installed, else what fontconfig offers for monospace), as bitmaps. */
#ifndef LATHE_FONT_SYSTEM_H
#define LATHE_FONT_SYSTEM_H

#include "plots/font.h"

/* false when there is no font, or none of its glyphs is this character. Loads the font at the first call; not thread-safe. */
bool font_system_glyph(uint32_t code_point, struct glyph *g);

#endif

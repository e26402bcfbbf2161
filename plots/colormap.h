/* Colour maps from numbers to colours, as N_LEVELS steps, so that a pixel's palette index gives the number back.
 *
 * Sequential (viridis) for magnitudes: perceptually uniform, readable in grey and by colour-blind people. Diverging (blue – white – red)
 * for signed values, with symmetric limits, so that zero is white, the level in the middle. */
#ifndef LATHE_COLORMAP_H
#define LATHE_COLORMAP_H

#include <stdint.h>

enum colormap { COLORMAP_VIRIDIS, COLORMAP_DIVERGING, COLORMAP_COUNT };
enum { N_LEVELS = 241 };

const char *colormap_name(enum colormap m);
/* Colour of level 0 .. N_LEVELS-1 */
void colormap_color(enum colormap m, int level, uint8_t rgb[3]);
/* Level of v between lo and hi (lo < hi): nearest step, clamped. v must not be NaN. */
int colormap_level(double v, double lo, double hi);

#endif

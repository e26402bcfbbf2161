/* Pictures as text: half blocks in true colour or 256 colours, or a ramp of ASCII, in as many columns as there are.
 *
 *     struct terminal t;
 *     terminal_detect(&t, tool_color(tool));
 *     terminal_heatmap(&t, &h, &out);
 *
 * Cells that have no room are put together by the value of largest magnitude, which the last line says. Titles, labels and captions are
 * printed as they are: texts from files must be escaped before.
 */
#ifndef LATHE_TERMINAL_H
#define LATHE_TERMINAL_H

#include "plots/heatmap.h"
#include "plots/multiples.h"

enum terminal_colors { TERMINAL_ASCII, TERMINAL_256, TERMINAL_TRUECOLOR };
struct terminal {
    enum terminal_colors colors;
    int columns;
};
/* colors: whether they are wanted at all. Which ones: COLORTERM (truecolor, 24bit), TERM (...256color, ...direct). Columns: the terminal's on
 * standard output, else COLUMNS, else 80. */
void terminal_detect(struct terminal *t, bool colors);
void terminal_heatmap(const struct terminal *t, const struct heatmap *h, struct buf *out);
void terminal_multiples(const struct terminal *t, const struct multiples *m, struct buf *out);

#endif

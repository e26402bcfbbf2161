/* --html: a checkpoint as one page that loads nothing: overview, tensors with statistics, weights as pictures, attention over a text, and with a second form of
 * the model what differs.
 *
 *     struct html_options o = {.output = "report.html", ...};
 *     TRY(html_report(tool, &o, workers, out, json, err));
 *
 * inspect/html/ has the page, its style and its script, which are compiled in. What comes from a file is escaped. The same inputs give the same bytes.
 */
#ifndef LATHE_HTML_H
#define LATHE_HTML_H

#include "core/scan.h"
#include "inspect/pictures.h"

/* The text, and another form of the model: the options of pictures. */
enum status html_report(const struct tool *t, const char *output, const struct picture_options *p, struct workers *w,
                        struct buf *out, struct jwriter *json, struct error *err);

#endif

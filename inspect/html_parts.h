/* The parts of the page that are made of a report: for html_page.c. Each writes whole elements. */
#ifndef LATHE_HTML_PARTS_H
#define LATHE_HTML_PARTS_H

#include "inspect/html_report.h"

void html_put_overview(const struct html_report *r, struct buf *out); /* dt and dd */
void html_put_types(const struct html_report *r, struct buf *out);
void html_put_roles(const struct html_report *r, struct buf *out);
void html_put_tensors(const struct html_report *r, struct buf *out);
void html_put_compare(const struct html_report *r, struct buf *out);
void html_put_metadata(const struct html_report *r, struct buf *out);
void html_put_metadata_count(const struct html_report *r, struct buf *out);
size_t html_count_metadata(const struct html_report *r);

#endif

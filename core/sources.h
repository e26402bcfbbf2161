/* Are the files that a result was made of still what they were, and does none of the result take their place?
 *
 *     TRY(sources_check(tool, checkpoint, err));          after the last byte was read, before tool_finish
 *
 * STATUS_IO for one that has changed since it was opened, STATUS_EXISTS for one that a kept file (tool_keep) would replace.
 */
#ifndef LATHE_SOURCES_H
#define LATHE_SOURCES_H

#include "base/options.h"
#include "formats/checkpoint.h"

enum status sources_check(const struct tool *t, const struct checkpoint *c, struct error *err);
/* The first half alone, for an output that is not the tool's to keep. */
enum status sources_unchanged(const struct checkpoint *c, struct error *err);

#endif

/* Everything that reads files, each behind one call: open, look at all there is, close. For malformed files and for fuzzing.
 *
 *     enum status st = reader_find("container")->run(path, &err);
 *
 * STATUS_OK: accepted, and what the reader promises about what it accepts was checked (a broken promise ends the program).
 */
#ifndef LATHE_TEST_READERS_H
#define LATHE_TEST_READERS_H

#include "base/status.h"

#include <stdbool.h>

struct reader {
    const char *name;
    enum status (*run)(const char *path, struct error *err);
    bool folder; /* path is a folder, in which this file is what changes */
    const char *file;
};
extern const struct reader readers[];
extern const size_t n_readers;
const struct reader *reader_find(const char *name); /* NULL if absent */

#endif

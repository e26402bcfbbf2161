/* What the machine has left: told beside what a run needs. */
#ifndef LATHE_RESOURCES_H
#define LATHE_RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

/* Memory that can be had without swapping; false where the system does not say. */
bool memory_available_bytes(uint64_t *bytes);
/* Free for this user on the file system where `path` is, or would be created. */
bool disk_free_bytes(const char *path, uint64_t *bytes);

#endif

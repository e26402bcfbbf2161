#include "base/resources.h"
#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

bool memory_available_bytes(uint64_t *bytes)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    bool found = false;
    uint64_t kib;
    while (f && !found && fgets(line, sizeof line, f)) found = sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1;
    if (f) fclose(f);
    if (found) *bytes = kib * 1024;
    return found;
}

bool disk_free_bytes(const char *path, uint64_t *bytes)
{
    struct statvfs vfs;
    char folder[4096] = ".";
    size_t n = (size_t)(path_base(path) - path);
    if (n >= sizeof folder) return false;
    if (n > 0) {
        memcpy(folder, path, n);
        folder[n] = 0;
    }
    if (statvfs(folder, &vfs) != 0) return false;
    *bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return true;
}

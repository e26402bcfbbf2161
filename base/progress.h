/* A progress line on stderr: bytes done of total, rate, time left; at most ten updates a second, erased at
 * the end. Shown only when stderr is a terminal or when it was asked for; a {0} struct shows nothing.
 * Thread-safe. */
#ifndef LATHE_PROGRESS_H
#define LATHE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool on;
    const char *label; /* not copied */
    uint64_t total_bytes, done_bytes;
    int64_t start_ns, shown_ns;
};
/* force: shown although stderr is no terminal; then plain lines, one a second, no control characters */
void progress_begin(struct progress *p, bool force, bool quiet, const char *label, uint64_t total_bytes);
void progress_add(struct progress *p, uint64_t bytes);
void progress_end(struct progress *p);
/* Erases a line that is being shown, whosesoever; async-signal-safe, for a handler that ends the process. */
void progress_wipe(void);

int64_t clock_ns(void);           /* monotonic */
uint64_t memory_peak_bytes(void); /* peak resident size of this process */
/* "1.23 GiB", "96 MiB", "512 B" into dst; returns dst */
char *format_bytes(char dst[32], uint64_t bytes);
#endif

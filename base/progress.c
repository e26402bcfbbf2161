#include "base/progress.h"
#include "base/memory.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000, BAR_CELLS = 16 };

int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* The kernel's own high-water mark where there is /proc: getrusage counts what the parent had before exec, too. */
uint64_t memory_peak_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "re");
    while (f && kib == 0 && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %llu kB", &kib) != 1) kib = 0;
    }
    if (f) fclose(f);
    struct rusage usage;
    if (kib == 0 && getrusage(RUSAGE_SELF, &usage) == 0) kib = (unsigned long long)usage.ru_maxrss;
    return (uint64_t)kib * 1024;
}

char *format_bytes(char dst[32], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(dst, 32, "%u B", (unsigned)bytes);
        return dst;
    }
    double v = (double)bytes / 1024;
    size_t unit = 0;
    while (v >= 1023.5 && unit < sizeof units / sizeof units[0] - 1) { /* 1023.5 would be shown as 1024 */
        v /= 1024;
        unit++;
    }
    int n = snprintf(dst, 32, "%.*f", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v);
    if (strchr(dst, '.')) { /* no zeros at the end of a fraction */
        while (dst[n - 1] == '0') n--;
        if (dst[n - 1] == '.') n--;
    }
    snprintf(dst + n, 32 - (size_t)n, " %s", units[unit]);
    return dst;
}

/* A line that is written over again, or plain lines for files, pipes and dumb terminals. */
static bool is_live(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    long n = columns ? strtol(columns, NULL, 10) : 0;
    return n > 0 && n < 10000 ? (size_t)n : 80;
}

static atomic_bool line_shown; /* a live line stands on the terminal */

static void write_stderr(const char *text, size_t n)
{
    ssize_t ignored = write(STDERR_FILENO, text, n); /* progress that cannot be shown is no reason to stop */
    (void)ignored;
}

/* "12 s", "3 min 20 s", "2 h 5 min" */
static void format_seconds(char dst[32], double seconds)
{
    long long s = seconds < 1e9 ? llround(seconds) : 999999999;
    if (s < 60)
        snprintf(dst, 32, "%lld s", s);
    else if (s < 3600)
        snprintf(dst, 32, "%lld min %lld s", s / 60, s % 60);
    else
        snprintf(dst, 32, "%lld h %lld min", s / 3600, s % 3600 / 60);
}

static void append_line(const struct progress *p, uint64_t done, int64_t now_ns, bool live, struct buf *b)
{
    char have[32], all[32], rate[32], left[32], label[128];
    double seconds = (double)(now_ns - p->start_ns) / SECOND_NS;
    double per_second = seconds > 0 ? (double)done / seconds : 0;
    text_escape(p->label ? p->label : "", label, sizeof label);
    buf_puts(b, "  ");
    if (live && p->total_bytes > 0) {
        double share = (double)done / (double)p->total_bytes;
        int cells = share < 1 ? (int)(share * BAR_CELLS) : BAR_CELLS;
        buf_append(b, "[", 1);
        for (int i = 0; i < BAR_CELLS; i++) buf_append(b, i < cells ? "#" : "-", 1);
        buf_puts(b, "]  ");
    }
    buf_printf(b, "%s%s%s", label, label[0] ? "  " : "", format_bytes(have, done));
    if (p->total_bytes > 0) buf_printf(b, " of %s", format_bytes(all, p->total_bytes));
    buf_printf(b, "  %s/s", format_bytes(rate, per_second < 1e18 ? (uint64_t)per_second : 0));
    if (p->total_bytes > done && per_second > 0) {
        format_seconds(left, (double)(p->total_bytes - done) / per_second);
        buf_printf(b, "  %s left", left);
    }
}

static void show(const struct progress *p, uint64_t done, int64_t now_ns)
{
    bool live = is_live();
    struct buf line = {0}, b = {0};
    append_line(p, done, now_ns, live, &line);
    size_t n = line.len, width = live ? terminal_width() - 1 : n;
    if (!line.failed) {
        if (live) buf_puts(&b, "\r");
        while (n > width || (n > 0 && n < line.len && ((unsigned char)line.data[n] & 0xc0) == 0x80)) n--;
        buf_append(&b, line.data, n);
        buf_puts(&b, live ? "\x1b[K" : "\n");
    }
    if (!b.failed && b.len > 0) write_stderr(b.data, b.len);
    if (live) atomic_store(&line_shown, true);
    buf_clear(&line);
    buf_clear(&b);
}

void progress_begin(struct progress *p, bool force, bool quiet, const char *label, uint64_t total_bytes)
{
    *p = (struct progress){.label = label, .total_bytes = total_bytes};
    p->on = !quiet && (force || is_live());
    if (p->on) p->start_ns = p->shown_ns = clock_ns();
}

void progress_add(struct progress *p, uint64_t bytes)
{
    if (!p->on) return;
    uint64_t done = __atomic_add_fetch(&p->done_bytes, bytes, __ATOMIC_RELAXED);
    int64_t now = clock_ns(), shown = __atomic_load_n(&p->shown_ns, __ATOMIC_RELAXED);
    /* Whoever moves the time of the last line on writes the next one. */
    if (now - shown < SECOND_NS / 10 || (now - shown < SECOND_NS && !is_live())) return;
    if (__atomic_compare_exchange_n(&p->shown_ns, &shown, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        show(p, done, now);
    }
}

void progress_end(struct progress *p)
{
    if (!p->on) return;
    p->on = false;
    if (is_live()) {
        progress_wipe();
    } else {
        show(p, p->done_bytes, clock_ns());
    }
}

void progress_wipe(void)
{
    if (atomic_exchange(&line_shown, false)) write_stderr("\r\x1b[K", 4);
}

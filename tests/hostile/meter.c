#include "tests/hostile/meter.h"

#include "tests/unit/sanitized.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_size_t now_bytes, peak_bytes;
static size_t start_bytes;
static struct timespec start_time;

void meter_start(void)
{
    start_bytes = atomic_load(&now_bytes);
    atomic_store(&peak_bytes, start_bytes);
    clock_gettime(CLOCK_MONOTONIC, &start_time);
}

struct meter meter_stop(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = (int64_t)(t.tv_sec - start_time.tv_sec) * 1000000000 + (t.tv_nsec - start_time.tv_nsec);
    size_t peak = atomic_load(&peak_bytes);
    return (struct meter){peak > start_bytes ? peak - start_bytes : 0, (size_t)(ns / 1000000)};
}

bool meter_under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload");
}

#if !SANITIZED
/* glibc's own, under our names */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static void *grown(void *p)
{
    if (!p) return NULL;
    size_t now = atomic_fetch_add(&now_bytes, malloc_usable_size(p)) + malloc_usable_size(p), peak = atomic_load(&peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {
    }
    return p;
}

static void shrunk(void *p)
{
    if (p) atomic_fetch_sub(&now_bytes, malloc_usable_size(p));
}

void *malloc(size_t n)
{
    return grown(__libc_malloc(n));
}
void *calloc(size_t n, size_t size)
{
    return grown(__libc_calloc(n, size));
}
void *realloc(void *p, size_t n)
{
    size_t before = p ? malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, n);
    if (!q && n > 0) return NULL;
    atomic_fetch_sub(&now_bytes, before);
    return grown(q);
}
void *aligned_alloc(size_t alignment, size_t n)
{
    return grown(__libc_memalign(alignment, n));
}
int posix_memalign(void **p, size_t alignment, size_t n)
{
    void *q = grown(__libc_memalign(alignment, n));
    if (!q) return ENOMEM;
    *p = q;
    return 0;
}
void free(void *p)
{
    shrunk(p);
    __libc_free(p);
}
#endif

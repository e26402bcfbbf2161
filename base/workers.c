#include "base/workers.h"
#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORKERS_MAX = 4096,
    SPINS = 1000, /* some 50 microseconds */
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct workers {
    int count, n_started; /* threads besides the caller: n_started, count - 1 once all are up */
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    _Atomic uint64_t round; /* a new number starts a run; changed under the lock, watched without */
    atomic_int busy;        /* threads that take part in it now; likewise */
    bool open;              /* threads may still take part */
    bool stop;
    /* the run */
    workers_fn *fn;
    void *ctx;
    uint64_t n_units;
    _Atomic uint64_t next;
    atomic_bool failed;
    uint64_t failed_unit;
    struct error error;
};

struct worker_start {
    struct workers *set;
    int index;
};

/* Units are claimed in ascending order and a claimed one always runs, so that every unit below a failed one
 * has run too: the lowest failure is the same for any number of threads. */
static void drain(struct workers *w, int index)
{
    struct error err;
    while (!atomic_load_explicit(&w->failed, memory_order_relaxed)) {
        uint64_t unit = atomic_fetch_add(&w->next, 1);
        if (unit >= w->n_units) return;
        if (w->fn(w->ctx, unit, index, &err) == STATUS_OK) continue;
        pthread_mutex_lock(&w->lock);
        if (!atomic_load(&w->failed) || unit < w->failed_unit) {
            w->failed_unit = unit;
            w->error = err;
            atomic_store(&w->failed, true);
        }
        pthread_mutex_unlock(&w->lock);
    }
}

/* Runs follow each other within microseconds, and waking a thread takes longer: whoever waits looks for a short while before he sleeps. */
static void spin_while_equal(_Atomic uint64_t *round, uint64_t seen)
{
    for (int i = 0; i < SPINS && atomic_load_explicit(round, memory_order_relaxed) == seen; i++) cpu_relax();
}

static void spin_while_busy(atomic_int *busy)
{
    for (int i = 0; i < SPINS && atomic_load_explicit(busy, memory_order_relaxed) > 0; i++) cpu_relax();
}

static void *worker_main(void *arg)
{
    struct worker_start *start = arg;
    struct workers *w = start->set;
    int index = start->index;
    free(start);
    uint64_t seen = 0;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stop && (!w->open || w->round == seen)) pthread_cond_wait(&w->work, &w->lock);
        if (w->stop) break;
        seen = w->round;
        w->busy++;
        pthread_mutex_unlock(&w->lock);
        drain(w, index);
        pthread_mutex_lock(&w->lock);
        if (--w->busy == 0) pthread_cond_signal(&w->done);
        pthread_mutex_unlock(&w->lock);
        spin_while_equal(&w->round, seen);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int workers_default_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t holds */
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (int)n;
}

static enum status start_thread(struct workers *w, struct error *err)
{
    struct worker_start *start = malloc(sizeof *start);
    if (!start) return error_nomem(err, sizeof *start);
    *start = (struct worker_start){.set = w, .index = w->n_started + 1};
    int code = pthread_create(&w->threads[w->n_started], NULL, worker_main, start);
    if (code != 0) {
        free(start);
        char space[128];
        error_set(err, STATUS_IO, "thread %d of %d could not be started: %s", w->n_started + 2, w->count,
                  strerror_r(code, space, sizeof space));
        return error_hint(err, "try fewer with --threads");
    }
    w->n_started++;
    return STATUS_OK;
}

enum status workers_new(struct workers **out, int n_threads, struct error *err)
{
    *out = NULL;
    if (n_threads < 0 || n_threads > WORKERS_MAX) {
        return error_set(err, STATUS_RANGE, "%d threads: expected 0 to %d", n_threads, WORKERS_MAX);
    }
    struct workers *w;
    void *p, *threads;
    TRY(mem_alloc(&p, 1, sizeof *w, err));
    w = p;
    w->count = n_threads ? n_threads : workers_default_count();
    enum status st = mem_alloc(&threads, (uint64_t)w->count, sizeof *w->threads, err);
    if (st != STATUS_OK) {
        free(w);
        return st;
    }
    w->threads = threads;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    while (st == STATUS_OK && w->n_started < w->count - 1) st = start_thread(w, err);
    if (st != STATUS_OK) {
        workers_free(w);
        return st;
    }
    *out = w;
    return STATUS_OK;
}

void workers_free(struct workers *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->n_started; i++) pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w->threads);
    free(w);
}

int workers_count(const struct workers *w)
{
    return w->count;
}

/* All units are claimed. Threads that have not woken yet are not waited for. */
static void close_run(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->open = false;
    pthread_mutex_unlock(&w->lock);
    spin_while_busy(&w->busy);
    pthread_mutex_lock(&w->lock);
    while (w->busy > 0) pthread_cond_wait(&w->done, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

enum status workers_run(struct workers *w, uint64_t n_units, workers_fn *fn, void *ctx, struct error *err)
{
    if (n_units == 0) return STATUS_OK;
    bool alone = n_units == 1 || w->n_started == 0;
    pthread_mutex_lock(&w->lock);
    w->fn = fn;
    w->ctx = ctx;
    w->n_units = n_units;
    atomic_store(&w->next, 0);
    atomic_store(&w->failed, false);
    if (!alone) {
        w->round++;
        w->open = true;
        pthread_cond_broadcast(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    drain(w, 0);
    if (!alone) close_run(w);
    if (!atomic_load(&w->failed)) return STATUS_OK;
    *err = w->error;
    return err->status;
}

#define _GNU_SOURCE
#include "shrink_platform.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a waiting thread keeps its core before it parks, when there is a core for every thread. */
#define SPIN_NANOSECONDS 40000

typedef struct {
    shrink_pool *pool;
    pthread_t thread;
} worker;

struct shrink_pool {
    size_t threads;
    shrink_work work;
    void *work_context;
    int64_t spin_nanoseconds;
    uint32_t stopping;
    /* Each on its own cache line: `generation` is read by all while spinning, `shares` and `pending` written by all. */
    _Alignas(64) uint32_t generation;   /* one more for every run and for the end */
    uint32_t parked_workers;
    /* generation << 32 | shares << 16 | the first share that nobody has taken */
    _Alignas(64) uint64_t shares;
    uint32_t pending;                   /* shares of this run, but the caller's first, that are not done */
    uint32_t parked_caller;
    _Alignas(64) worker workers[];
};

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void futex_wait(uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns once *word differs from `value`: spins first, then parks, counted in *parked. The count
 * and the word are changed and read in one total order, so that whoever changes the word either
 * sees the count and wakes, or is seen before the thread sleeps. */
static uint32_t wait_while(uint32_t *word, uint32_t value, uint32_t *parked, int64_t spin_nanoseconds) {
    int64_t end = 0;
    for (unsigned turn = 0; spin_nanoseconds > 0; turn++) {
        uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        if (seen != value) return seen;
        pause_core();
        if (turn % 64 == 63) {
            int64_t now = now_nanoseconds();
            if (end == 0) end = now + spin_nanoseconds;
            else if (now >= end) break;
        }
    }
    __atomic_add_fetch(parked, 1, __ATOMIC_SEQ_CST);
    uint32_t seen;
    while ((seen = __atomic_load_n(word, __ATOMIC_SEQ_CST)) == value) futex_wait(word, value);
    __atomic_sub_fetch(parked, 1, __ATOMIC_SEQ_CST);
    return seen;
}

static void wake_parked(uint32_t *word, uint32_t *parked) {
    if (__atomic_load_n(parked, __ATOMIC_SEQ_CST) != 0) futex_wake_all(word);
}

/* Does shares of a run for as long as there are any. Whoever is free takes the next one, so that a
 * thread that the system does not schedule holds nobody up; a thread that comes late finds the
 * shares taken, or those of a later generation, and touches nothing else. */
static void do_shares(shrink_pool *pool, uint32_t generation) {
    uint64_t seen = __atomic_load_n(&pool->shares, __ATOMIC_ACQUIRE);
    for (;;) {
        uint32_t next = seen & 0xffff, count = seen >> 16 & 0xffff;
        if (seen >> 32 != generation || next >= count) return;
        if (!__atomic_compare_exchange_n(&pool->shares, &seen, seen + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        pool->work(pool->work_context, next);
        if (__atomic_sub_fetch(&pool->pending, 1, __ATOMIC_SEQ_CST) == 0) wake_parked(&pool->pending, &pool->parked_caller);
        seen = __atomic_load_n(&pool->shares, __ATOMIC_ACQUIRE);
    }
}

static void *run_worker(void *argument) {
    worker *self = argument;
    shrink_pool *pool = self->pool;
    uint32_t generation = 0;
    for (;;) {
        generation = wait_while(&pool->generation, generation, &pool->parked_workers, pool->spin_nanoseconds);
        if (__atomic_load_n(&pool->stopping, __ATOMIC_ACQUIRE)) return NULL;
        do_shares(pool, generation);
    }
}

static size_t usable_cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

size_t shrink_pool_byte_count(size_t threads) {
    return sizeof(shrink_pool) + threads * sizeof(worker);
}

static void start_generation(shrink_pool *pool) {
    __atomic_add_fetch(&pool->generation, 1, __ATOMIC_SEQ_CST);
    wake_parked(&pool->generation, &pool->parked_workers);
}

static void stop_workers(shrink_pool *pool, size_t end) {
    __atomic_store_n(&pool->stopping, 1, __ATOMIC_RELEASE);
    start_generation(pool);
    for (size_t i = 1; i < end; i++) pthread_join(pool->workers[i].thread, NULL);
}

int shrink_pool_create(void *memory, size_t threads, shrink_pool **result) {
    shrink_pool *pool = memory;
    pool->threads = threads;
    pool->spin_nanoseconds = threads <= usable_cores() ? SPIN_NANOSECONDS : 0;
    pool->generation = 0;
    pool->stopping = 0;
    pool->parked_workers = 0;
    pool->shares = 0;
    pool->pending = 0;
    pool->parked_caller = 0;

    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) return error;
    /* The program's signals are not for these threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_attr_setstacksize(&attributes, SHRINK_POOL_STACK_BYTES);
    for (size_t i = 1; i < threads && error == 0; i++) {
        pool->workers[i].pool = pool;
        error = pthread_create(&pool->workers[i].thread, &attributes, run_worker, &pool->workers[i]);
        if (error != 0) stop_workers(pool, i);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) return error;
    *result = pool;
    return 0;
}

void shrink_pool_destroy(shrink_pool *pool) {
    stop_workers(pool, pool->threads);
}

void shrink_pool_run(void *context, size_t count, shrink_work work, void *work_context) {
    shrink_pool *pool = context;
    if (pool->threads <= 1 || count <= 1) {
        for (size_t i = 0; i < count; i++) work(work_context, i);
        return;
    }
    uint32_t generation = pool->generation + 1;
    pool->work = work;
    pool->work_context = work_context;
    __atomic_store_n(&pool->pending, (uint32_t)(count - 1), __ATOMIC_SEQ_CST);
    __atomic_store_n(&pool->shares, (uint64_t)generation << 32 | (uint64_t)count << 16 | 1, __ATOMIC_RELEASE);
    start_generation(pool);
    work(work_context, 0);
    do_shares(pool, generation);
    for (uint32_t left = __atomic_load_n(&pool->pending, __ATOMIC_ACQUIRE); left != 0;)
        left = wait_while(&pool->pending, left, &pool->parked_caller, pool->spin_nanoseconds);
}

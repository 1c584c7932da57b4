/* What the runtime needs from the operating system: memory, files, threads, atomics, hashing. libc and
 * pthreads only. Functions that can fail return 0 or an errno value. */
#ifndef SHRINK_PLATFORM_H
#define SHRINK_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* posix_memalign and free behind the signatures of `Allocator`; the context is not used. */
void *shrink_system_allocate(void *context, ptrdiff_t byte_count, ptrdiff_t alignment);
void shrink_system_deallocate(void *context, void *pointer);

int shrink_file_open(const char *path, int *descriptor);
/* The size of a regular file; EISDIR or ENODEV for anything else. */
int shrink_file_size(int descriptor, uint64_t *byte_count);
/* Reads the first `byte_count` bytes; ENODATA when the file is shorter. */
int shrink_file_read(int descriptor, void *buffer, uint64_t byte_count);
/* A private read-only mapping of the first `byte_count` (> 0) bytes; those that memory holds already take no faults. */
int shrink_file_map(int descriptor, uint64_t byte_count, const void **base);
void shrink_file_unmap(const void *base, uint64_t byte_count);
void shrink_file_close(int descriptor);

/* An environment variable; NULL when it is not set. */
const char *shrink_environment(const char *name);

/* Counters on plain words, so that Swift memory of any owner can hold them. */
static inline int64_t shrink_atomic_add(int64_t *word, int64_t value) {
    return __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}
/* Takes the next items of `count` for one of `workers`: half of its share of those left, at least one, so
 * that runs are long while there is much to do and all finish together. Returns the first and stores how
 * many; none: `count` and 0. */
static inline int64_t shrink_atomic_take(int64_t *taken, int64_t count, int64_t workers, int64_t least, int64_t *run) {
    int64_t first = __atomic_load_n(taken, __ATOMIC_ACQUIRE);
    do {
        if (first >= count) {
            *run = 0;
            return count;
        }
        *run = (count - first) / (2 * workers);
        if (*run < least) *run = count - first < least ? count - first : least;
    } while (!__atomic_compare_exchange_n(taken, &first, first + *run, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return first;
}
static inline int32_t shrink_atomic_load(const int32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void shrink_atomic_store(int32_t *word, int32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Compresses `count` blocks of 64 bytes into the eight words of a SHA-256 state. */
typedef void (*shrink_sha256_blocks)(uint32_t *state, const uint8_t *blocks, size_t count);
/* By instructions of this processor; NULL when it has none for it. */
shrink_sha256_blocks shrink_sha256_accelerated(void);

/* One share of a parallel piece of work; `worker` is in 0 ..< count. */
typedef void (*shrink_work)(void *context, size_t worker);
/* Calls work(work_context, i) once for every i in 0 ..< count, on any threads, and returns when all
 * calls have returned. */
typedef void (*shrink_parallel_for)(void *context, size_t count, shrink_work work, void *work_context);

/* A fixed set of threads. Waiting workers spin for some tens of microseconds, then park: an idle
 * pool uses no CPU. One caller at a time. */
typedef struct shrink_pool shrink_pool;
#define SHRINK_POOL_MAXIMUM_THREADS 256u

/* Bytes of a pool of `threads` (the caller's own thread included), without the threads' stacks. */
size_t shrink_pool_byte_count(size_t threads);
/* Stack of each of the threads - 1 workers. */
#define SHRINK_POOL_STACK_BYTES (256u * 1024u)
/* Makes a pool in `memory` (aligned to 64) and starts threads - 1 workers. EAGAIN when the system
 * has no more threads; then nothing is left running. */
int shrink_pool_create(void *memory, size_t threads, shrink_pool **pool);
/* Joins the workers. The memory stays the caller's. */
void shrink_pool_destroy(shrink_pool *pool);
/* A `shrink_parallel_for`; `context` is the pool, `count` at most its threads. Shares go to whichever
 * threads are free, share 0 to the caller. */
void shrink_pool_run(void *context, size_t count, shrink_work work, void *work_context);

#ifdef __cplusplus
}
#endif
#endif

#define _GNU_SOURCE
#include "allocation_counter.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local bool counting;
static _Thread_local long calls;

static void count(void) {
    if (counting) calls++;
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *pointer, size_t size) {
    count();
    return __libc_realloc(pointer, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    count();
    void *pointer = __libc_memalign(alignment, size);
    if (pointer == NULL) return ENOMEM;
    *result = pointer;
    return 0;
}

void allocation_counter_begin(void) {
    calls = 0;
    counting = true;
}

long allocation_counter_end(void) {
    counting = false;
    return calls;
}

static const size_t page = 4096;

static size_t mapped(size_t byte_count) {
    size_t padded = (byte_count + 63) & ~(size_t)63;
    return (padded + page - 1) / page * page + page;
}

void *guarded_allocate(size_t byte_count) {
    size_t total = mapped(byte_count);
    char *base = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return NULL;
    mprotect(base + total - page, page, PROT_NONE);
    return base + total - page - ((byte_count + 63) & ~(size_t)63);
}

void guarded_free(void *pointer, size_t byte_count) {
    size_t total = mapped(byte_count);
    munmap((char *)pointer + ((byte_count + 63) & ~(size_t)63) + page - total, total);
}

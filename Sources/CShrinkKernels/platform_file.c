#define _GNU_SOURCE
#include "shrink_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void *shrink_system_allocate(void *context, ptrdiff_t byte_count, ptrdiff_t alignment) {
    (void)context;
    void *pointer = NULL;
    if (byte_count < 0) return NULL;
    if ((size_t)alignment < sizeof(void *)) alignment = sizeof(void *);
    return posix_memalign(&pointer, (size_t)alignment, (size_t)byte_count) == 0 ? pointer : NULL;
}

void shrink_system_deallocate(void *context, void *pointer) {
    (void)context;
    free(pointer);
}

int shrink_file_open(const char *path, int *descriptor) {
    int file;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    do file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (file < 0 && errno == EINTR);
    if (file < 0) return errno;
    *descriptor = file;
    return 0;
}

int shrink_file_size(int descriptor, uint64_t *byte_count) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return ENODEV;
    *byte_count = (uint64_t)status.st_size;
    return 0;
}

int shrink_file_read(int descriptor, void *buffer, uint64_t byte_count) {
    const uint64_t piece = (uint64_t)1 << 30;
    uint64_t done = 0;
    while (done < byte_count) {
        uint64_t rest = byte_count - done;
        ssize_t got = pread(descriptor, (char *)buffer + done, (size_t)(rest < piece ? rest : piece), (off_t)done);
        if (got < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        if (got == 0) return ENODATA;
        done += (uint64_t)got;
    }
    return 0;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* Whether the page at `offset` is in the page cache, asked by a read that does not wait for the disk. Unlike mincore,
 * it tells the truth about files of other users, and sandboxes that allow reads allow it. */
static int is_cached(int descriptor, size_t offset) {
    char byte;
    const struct iovec target = {&byte, 1};
    return preadv2(descriptor, &target, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Pages that memory holds already are mapped at once: a fault for every sixteen takes four times as long. The first
 * that is not there ends it, so that a file costs no more than what memory holds of it: the rest is read when it is
 * needed. A system that cannot do this leaves all to faults. */
static void map_cached(char *mapping, size_t byte_count, int descriptor) {
    const size_t piece = (size_t)4 << 20, step = (size_t)64 << 10;
    for (size_t i = 0; i < byte_count; i += piece) {
        const size_t length = byte_count - i < piece ? byte_count - i : piece;
        for (size_t j = i; j < i + length; j += step) {
            if (!is_cached(descriptor, j)) return;
        }
        if (madvise(mapping + i, length, MADV_POPULATE_READ) != 0) return;
    }
}

int shrink_file_map(int descriptor, uint64_t byte_count, const void **base) {
    if (byte_count > SIZE_MAX) return EOVERFLOW;
    void *mapping = mmap(NULL, (size_t)byte_count, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED) return errno;
    map_cached(mapping, (size_t)byte_count, descriptor);
    *base = mapping;
    return 0;
}

void shrink_file_unmap(const void *base, uint64_t byte_count) {
    munmap((void *)base, (size_t)byte_count);
}

void shrink_file_close(int descriptor) {
    close(descriptor);
}

const char *shrink_environment(const char *name) {
    return getenv(name);
}

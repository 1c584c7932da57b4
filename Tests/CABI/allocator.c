#define _POSIX_C_SOURCE 200112L
#include "cabi.h"

#include <stdlib.h>
#include <string.h>

/* Before each piece, in as much room as its alignment needs. */
typedef struct header {
    void *base;
    size_t byte_count;
} header;

void *counter_allocate(void *context, size_t byte_count, size_t alignment) {
    counter *memory = context;
    memory->calls++;
    CHECK(byte_count > 0 && alignment > 0 && (alignment & (alignment - 1)) == 0);
    if (memory->calls == memory->failing_call) return NULL;
    size_t room = alignment < sizeof(header) ? sizeof(header) : alignment;
    void *base = NULL;
    if (posix_memalign(&base, room, room + byte_count) != 0) return NULL;
    char *pointer = (char *)base + room;
    header *head = (header *)(void *)pointer - 1;
    head->base = base;
    head->byte_count = byte_count;
    /* A pattern that is a large float, so that use of fresh memory shows. */
    memset(pointer, 0x7e, byte_count);
    memory->live++;
    memory->live_bytes += byte_count;
    memory->total_bytes += byte_count;
    return pointer;
}

void counter_deallocate(void *context, void *pointer) {
    counter *memory = context;
    header *head = (header *)pointer - 1;
    memory->live--;
    memory->live_bytes -= head->byte_count;
    memset(pointer, 0x7e, head->byte_count);
    free(head->base);
}

shrink_model_options counted(counter *memory) {
    shrink_model_options options = shrink_model_options_default();
    options.allocate = counter_allocate;
    options.deallocate = counter_deallocate;
    options.allocator_context = memory;
    return options;
}

/* Counts the calls of malloc and its kin that the calling thread makes between begin and end. The
 * functions of libc are replaced in the whole test process; nothing else changes. */
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stddef.h>

void allocation_counter_begin(void);
long allocation_counter_end(void);

/* `byte_count` bytes (rounded up to 64) that end where an unreadable page begins; NULL when there are none. */
void *guarded_allocate(size_t byte_count);
void guarded_free(void *pointer, size_t byte_count);

#endif

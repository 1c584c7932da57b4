/* What a benchmark asks of the machine it runs on: how fast it could be, and which core a thread is on.
 * For tools; no part of the runtime. */
#ifndef SHRINK_MACHINE_H
#define SHRINK_MACHINE_H

#include "shrink_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHRINK_MACHINE_MAXIMUM_THREADS 256u

/* int8 operations a second, two for each product, of all threads together: a loop of the instruction
 * set's multiply-accumulate that touches registers only; the best of several samples. 0 when there is no
 * such loop, when this CPU does not run it, or when there are no threads to be had. */
double shrink_machine_int8_rate(shrink_isa isa, unsigned threads);

/* Bytes a second that all threads together read, each its part of a new buffer of so many bytes, from first
 * to last with prefetching; the best of several passes. 0 when there is no memory or no thread. */
double shrink_machine_read_rate(unsigned threads, size_t byte_count);

/* Bytes of the largest cache of this CPU; 0 when the system does not tell. */
size_t shrink_machine_cache_bytes(void);

/* How many CPUs the calling thread may run on. */
unsigned shrink_machine_cpu_count(void);

/* The CPUs that a thread may run on, as they were before it was pinned. */
typedef struct { unsigned long words[16]; } shrink_machine_cpus;
/* Pins the calling thread to the last CPU that it may run on (the big cores come last on most boards) and
 * gives that CPU's number; -1, with nothing changed, when the system refuses. Threads made from then on
 * inherit it. */
int shrink_machine_pin(shrink_machine_cpus *before);
void shrink_machine_unpin(const shrink_machine_cpus *before);

#ifdef __cplusplus
}
#endif
#endif

/* Loops over registers: the most int8 operations that an instruction set can do. */
#ifndef SHRINK_MACHINE_INT8_LOOPS_H
#define SHRINK_MACHINE_INT8_LOOPS_H

#include "shrink_kernels.h"

/* Writes 64 bytes to `sink`, so that nothing is optimised away. */
typedef void (*machine_loop)(void *sink);

/* The loop of an instruction set and the operations of one call; NULL where there is none. It must run
 * on a CPU that has the instruction set. */
machine_loop machine_int8_loop(shrink_isa isa, double *operations);

#endif

/* What every CPU of the architecture has. */
#define TABLE host_kernels_baseline
#define PIECE 4
#if defined(__aarch64__)
#define TILE_ROWS 6
#else
#define TILE_ROWS 3
#endif
#include "kernels.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define TABLE host_kernels_avx2
#define PIECE 8
#define TILE_ROWS 3
#include "kernels.h"
#pragma clang attribute pop
#endif

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define TABLE host_kernels_avx512
#define PIECE 16
#define TILE_ROWS 6
#include "kernels.h"
#pragma clang attribute pop
#endif

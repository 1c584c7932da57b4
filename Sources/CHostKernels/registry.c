#include "include/host_kernels.h"

extern const host_kernels host_kernels_baseline;
#if defined(__x86_64__)
extern const host_kernels host_kernels_avx2, host_kernels_avx512;
#endif

const host_kernels *host_kernels_at(size_t index) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl") && index-- == 0)
        return &host_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && index-- == 0) return &host_kernels_avx2;
#endif
    return index == 0 ? &host_kernels_baseline : NULL;
}

const host_kernels *host_kernels_best(void) { return host_kernels_at(0); }

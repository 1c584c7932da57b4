#include "include/host_kernels.h"

extern const host_kernels host_kernels_baseline;
#if defined(__x86_64__)
extern const host_kernels host_kernels_avx2, host_kernels_avx512;
#endif

const host_kernels *host_kernels_best(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl"))
        return &host_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &host_kernels_avx2;
#endif
    return &host_kernels_baseline;
}

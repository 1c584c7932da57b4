/* Which tables this library has and which of them this machine runs. */
#include "tables.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* XCR0: which registers the operating system saves (Intel SDM volume 1, 13.3). */
static uint64_t saved_registers(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#define YMM_STATE 0x06u  /* XMM and upper YMM */
#define ZMM_STATE 0xe6u  /* those, mask registers, upper ZMM, ZMM 16...31 */

static int runs(shrink_isa isa) {
    uint32_t a, b, c, d, b7, c7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) return 0;
    uint64_t saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) return 0;
    int avx2 = (saved & YMM_STATE) == YMM_STATE && (b7 & bit_AVX2);
    if (isa == SHRINK_ISA_AVX2) return avx2;
    const uint32_t wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    return avx2 && (saved & ZMM_STATE) == ZMM_STATE && (b7 & wanted) == wanted && (c7 & bit_AVX512VNNI);
}
#endif

static const shrink_kernels *table(shrink_isa isa) {
    switch (isa) {
    case SHRINK_ISA_SCALAR: return &shrink_kernels_scalar;
#if defined(__x86_64__)
    case SHRINK_ISA_AVX2: return &shrink_kernels_avx2;
    case SHRINK_ISA_AVX512_VNNI: return &shrink_kernels_avx512;
#endif
    default: return NULL;
    }
}

shrink_isa_status shrink_isa_query(shrink_isa isa) {
    if (!table(isa)) return SHRINK_ISA_NOT_BUILT;
#if defined(__x86_64__)
    if (isa != SHRINK_ISA_SCALAR && !runs(isa)) return SHRINK_ISA_NOT_ON_CPU;
#endif
    return SHRINK_ISA_READY;
}

const char *shrink_isa_name(shrink_isa isa) {
    switch (isa) {
#define NAME(name, number, text) case SHRINK_ISA_##name: return text;
    SHRINK_ISA_LIST(NAME)
#undef NAME
    default: return "unknown";
    }
}

const shrink_kernels *shrink_kernels_for(shrink_isa isa) {
    return shrink_isa_query(isa) == SHRINK_ISA_READY ? table(isa) : NULL;
}

shrink_isa shrink_isa_best(void) {
    for (int isa = SHRINK_ISA_COUNT - 1; isa > SHRINK_ISA_SCALAR; isa--)
        if (shrink_isa_query((shrink_isa)isa) == SHRINK_ISA_READY) return (shrink_isa)isa;
    return SHRINK_ISA_SCALAR;
}

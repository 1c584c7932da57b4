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
#define AVX_VNNI_BIT (1u << 4)  /* CPUID 7.1, EAX */

/* Each set is asked for with all that its functions may use, those of older sets included: a virtual
 * machine hides what it likes. */
static int runs(shrink_isa isa) {
    uint32_t subleaves, a, b, c1, c7, d;
    if (!__get_cpuid(1, &a, &b, &c1, &d)) return 0;

    const uint32_t sse41 = bit_SSE3 | bit_SSSE3 | bit_SSE41;
    if (isa == SHRINK_ISA_SSE41) return (c1 & sse41) == sse41;

    const uint32_t avx = sse41 | bit_SSE42 | bit_POPCNT | bit_OSXSAVE | bit_AVX;
    if ((c1 & avx) != avx || !__get_cpuid_count(7, 0, &subleaves, &b, &c7, &d)) return 0;
    uint64_t saved = saved_registers();
    if ((saved & YMM_STATE) != YMM_STATE || !(b & bit_AVX2)) return 0;
    if (isa == SHRINK_ISA_AVX2) return 1;
    if (isa == SHRINK_ISA_AVX_VNNI)
        return subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c7, &d) && (a & AVX_VNNI_BIT);
    const uint32_t wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    return (c1 & bit_FMA) && (saved & ZMM_STATE) == ZMM_STATE && (b & wanted) == wanted && (c7 & bit_AVX512VNNI);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Linux's arch/arm64/include/uapi/asm/hwcap.h; older libc headers lack the names. */
#define CAPABILITY_DOTPROD (1ul << 20)    /* HWCAP_ASIMDDP */
#define CAPABILITY_2_I8MM (1ul << 13)     /* HWCAP2_I8MM */

static int runs(shrink_isa isa) {
    if (isa == SHRINK_ISA_NEON) return 1;  /* part of every AArch64 Linux */
    int dotprod = (getauxval(AT_HWCAP) & CAPABILITY_DOTPROD) != 0;
    if (isa == SHRINK_ISA_DOTPROD) return dotprod;
    return dotprod && (getauxval(AT_HWCAP2) & CAPABILITY_2_I8MM);
}
#else
static int runs(shrink_isa isa) { return isa == SHRINK_ISA_SCALAR; }
#endif

static const shrink_kernels *table(shrink_isa isa) {
    switch (isa) {
    case SHRINK_ISA_SCALAR: return &shrink_kernels_scalar;
#if defined(__x86_64__)
    case SHRINK_ISA_SSE41: return &shrink_kernels_sse41;
    case SHRINK_ISA_AVX2: return &shrink_kernels_avx2;
    case SHRINK_ISA_AVX_VNNI: return &shrink_kernels_avxvnni;
    case SHRINK_ISA_AVX512_VNNI: return &shrink_kernels_avx512;
#elif defined(__aarch64__)
    case SHRINK_ISA_NEON: return &shrink_kernels_neon;
    case SHRINK_ISA_DOTPROD: return &shrink_kernels_dotprod;
    case SHRINK_ISA_I8MM: return &shrink_kernels_i8mm;
#endif
    default: return NULL;
    }
}

shrink_isa_status shrink_isa_query(shrink_isa isa) {
    if (!table(isa)) return SHRINK_ISA_NOT_BUILT;
    return isa == SHRINK_ISA_SCALAR || runs(isa) ? SHRINK_ISA_READY : SHRINK_ISA_NOT_ON_CPU;
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

/* Random numbers, guarded memory and the collected output of the driver's cases. */
#ifndef KERNEL_DRIVER_SUPPORT_H
#define KERNEL_DRIVER_SUPPORT_H

#include "shrink_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* -- SplitMix64 -- */

typedef struct { uint64_t state; } random_source;

static uint64_t next(random_source *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A whole number in low...high. */
static int32_t between(random_source *random, int32_t low, int32_t high) {
    return low + (int32_t)((next(random) >> 32) * (uint64_t)(high - low + 1) >> 32);
}

/* In -1 ..< 1, exact. */
static float unit(random_source *random) { return (float)((int32_t)(next(random) >> 40) - (1 << 23)) * 0x1p-23f; }

/* What the floats of one input look like. */
typedef enum { ORDINARY, WIDE, SUBNORMAL, HUGE_ONES, ZEROS, SPECIAL, STYLES } style;

static style any_style(random_source *random) { return (style)between(random, 0, STYLES - 1); }

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static float value_of(style of, random_source *random) {
    static const uint32_t special[] = {0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000, 0, 0x80000000, 0x3f800000, 0xbf800000,
                                       1, 0x80000001, 0x007fffff, 0x7f7fffff, 0xff7fffff, 0x42b0cccd, 0xc2aecccd, 0x7f800001};
    switch (of) {
    case ORDINARY: return unit(random) * 4;
    case WIDE: return unit(random) * 120;
    case SUBNORMAL: return from_bits((uint32_t)next(random) & 0x80ffffff);
    case HUGE_ONES: return unit(random) * 3e38f;
    case ZEROS: return from_bits((uint32_t)next(random) & 0x80000000);
    default: return between(random, 0, 3) == 0 ? from_bits(special[between(random, 0, 15)]) : unit(random);
    }
}

/* -- Memory -- */

/* Arrays end where a page begins that may not be touched, and begin after bytes that must not change. */
#define SLOTS 12
#define SLOT_BYTES ((size_t)4 << 20)
#define CANARY_BYTES 64
#define UNTOUCHED 0xa5

static struct { uint8_t *end, *start; } slots[SLOTS];
static int slots_used;

static void make_memory(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < SLOTS; i++) {
        uint8_t *map = mmap(NULL, SLOT_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + SLOT_BYTES, page, PROT_NONE) != 0) {
            perror("memory");
            exit(3);
        }
        slots[i].end = map + SLOT_BYTES;
    }
}

static void *allocate(size_t bytes) {
    if (slots_used == SLOTS || bytes + CANARY_BYTES > SLOT_BYTES) {
        fprintf(stderr, "a case wants more memory than there is\n");
        exit(3);
    }
    uint8_t *start = slots[slots_used].end - bytes;
    slots[slots_used++].start = start;
    memset(start - CANARY_BYTES, UNTOUCHED, CANARY_BYTES + bytes);
    return start;
}

/* A page that stops whoever reads it; asking memory for it does nothing. */
static const void *untouchable(void) { return slots[0].end; }

static int memory_is_intact(void) {
    for (int i = 0; i < slots_used; i++)
        for (int j = 1; j <= CANARY_BYTES; j++)
            if (*(slots[i].start - j) != UNTOUCHED) return 0;
    return 1;
}

static void release_memory(void) { slots_used = 0; }

static float *floats(size_t count, style of, random_source *random) {
    float *values = allocate(count * sizeof(float));
    for (size_t i = 0; i < count; i++) values[i] = value_of(of, random);
    return values;
}

/* -- Output -- */

#define MOST_WORDS ((size_t)1 << 20)
typedef struct { size_t count; uint32_t word[MOST_WORDS]; } words;

static void put(words *output, uint32_t word) {
    if (output->count == MOST_WORDS) {
        fprintf(stderr, "a case writes more words than are kept\n");
        exit(3);
    }
    output->word[output->count++] = word;
}

/* The bits of floats; a NaN is a NaN, for IEEE 754 leaves its sign and payload open. */
static void put_floats(words *output, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        put(output, (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits);
    }
}

/* -- Quantized rows -- */

static void fill_codes(uint8_t *codes, size_t count, random_source *random) {
    int kind = between(random, 0, 3);
    for (size_t i = 0; i < count; i++)
        codes[i] = kind == 0 ? 255 : kind == 1 ? (uint8_t)(between(random, 0, 1) * 255) : (uint8_t)between(random, 0, 255);
}

static void finish_row(uint8_t *row, size_t count, float scale, int32_t zero) {
    shrink_qrow_tail tail = {scale, zero, 0, 0};
    for (size_t i = 0; i < count; i++) tail.sum += row[i];
    memset(row + count, 0, shrink_qrow_codes(count) - count);
    memcpy(row + shrink_qrow_codes(count), &tail, sizeof tail);
}

/* `rows` random groups, `stride` bytes apart, of `group` rows of `count` codes side by side; nothing follows the last. */
static uint8_t *quantized_groups(size_t rows, size_t group, size_t count, size_t stride, style scales, random_source *random) {
    const size_t bytes = shrink_qrow_bytes(count);
    uint8_t *all = allocate((rows - 1) * stride + group * bytes);
    for (size_t m = 0; m < rows * group; m++) {
        uint8_t *row = all + m / group * stride + m % group * bytes;
        fill_codes(row, count, random);
        float scale = value_of(scales, random);
        finish_row(row, count, scale, between(random, 0, 255));
    }
    return all;
}

static uint8_t *quantized_rows(size_t rows, size_t count, size_t stride, style scales, random_source *random) {
    return quantized_groups(rows, 1, count, stride, scales, random);
}

#endif

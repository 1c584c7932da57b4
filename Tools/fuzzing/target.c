/* One libFuzzer target, TARGET, and what the Swift half of it needs of C: exact blocks of memory, an allocator
 * that can fail, counts, and an end with a message. Compiled once for each target by Tools/fuzz. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(prefix, target) prefix##target
#define EXPANDED(prefix, target) NAME(prefix, target)
#define TEXT(target) #target
#define EXPANDED_TEXT(target) TEXT(target)

int EXPANDED(fuzz_, TARGET)(const uint8_t *data, long size);
long EXPANDED(mutate_, TARGET)(uint8_t *data, long size, long capacity, unsigned seed);

/* Cases, those that were accepted, runs of an entry point or text, and runs left out as too large. */
static long cases, accepted, runs, skipped;

static void report(void) {
    fprintf(stderr, "%s: %ld executions, %ld accepted (%.1f %%), %ld runs of what was accepted, %ld too large to run\n",
            EXPANDED_TEXT(TARGET), cases, accepted, cases ? 100.0 * accepted / cases : 0.0, runs,
            skipped);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    return atexit(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cases++;
    return EXPANDED(fuzz_, TARGET)(data, (long)size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed) {
    return (size_t)EXPANDED(mutate_, TARGET)(data, (long)size, (long)capacity, seed);
}

_Noreturn void fuzz_fail(const char *message) {
    fprintf(stderr, "FINDING: %s\n", message);
    abort();
}

void fuzz_count_accepted(void) { accepted++; }
void fuzz_count_run(void) { runs++; }
void fuzz_count_skipped(void) { skipped++; }

/* --- The models that states are restored into ---------------------------------------------------- */

static _Alignas(64) const uint8_t quantized_model[] = {
#embed "seeds/llama-w8a8.shrink"
};
static _Alignas(64) const uint8_t float_model[] = {
#embed "seeds/llama-fp32.shrink"
};
static _Alignas(64) const uint8_t recurrent_model[] = {
#embed "seeds/lstm-w8a8.shrink"
};

const uint8_t *fuzz_state_model(long index, long *size) {
    *size = index == 0 ? sizeof quantized_model : index == 1 ? sizeof float_model : sizeof recurrent_model;
    return index == 0 ? quantized_model : index == 1 ? float_model : recurrent_model;
}

/* --- Memory ------------------------------------------------------------------------------------ */

/* Blocks beyond this are refused, as a small device would. */
#define LARGEST_BLOCK (16L << 20)

static long live, calls, failing_call;
static int pattern;

/* From now on: which call gives nothing (counted from 1; 0: none), and what fresh memory is filled with. */
void fuzz_allocator_reset(long failing, int fill) {
    failing_call = failing;
    calls = 0;
    pattern = fill;
}

long fuzz_allocator_live(void) { return live; }

/* A block of its own for everything, so that AddressSanitizer sees each end. */
void *fuzz_block(long size, long alignment) {
    void *block;
    if (posix_memalign(&block, alignment < 8 ? 8 : (size_t)alignment, (size_t)size)) return NULL;
    memset(block, pattern, (size_t)size);
    live++;
    return block;
}

void *fuzz_allocate(void *context, long size, long alignment) {
    (void)context;
    return ++calls == failing_call || size > LARGEST_BLOCK ? NULL : fuzz_block(size, alignment);
}

void fuzz_deallocate(void *context, void *block) {
    (void)context;
    live--;
    free(block);
}

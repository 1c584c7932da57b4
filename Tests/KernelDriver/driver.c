/* Runs every kernel of SHRINK_KERNEL_LIST on every instruction set of this machine, over random and
 * adversarial inputs, and compares all that they write with what the scalar table writes, bit by bit.
 * Prints the sets, then a checksum of each kernel's outputs: the same text on every machine, which is
 * what Tools/test-isas compares between processors and emulators. Plain C and no dependency, so that
 * it runs where no Swift does. */
#include "cases.h"

#include <signal.h>
#include <unistd.h>

typedef struct {
    const char *name;
    void (*run)(const shrink_kernels *kernels, random_source *random, words *output);
} kernel_case;

#define CASE(name, result, parameters) {#name, case_##name},
static const kernel_case cases[] = {SHRINK_KERNEL_LIST(CASE)};

static char doing[256];

/* A kernel that touches memory that is not its own, or an instruction that the CPU does not have. */
static void stopped(int signal) {
    char text[320];
    int length = snprintf(text, sizeof text, "signal %d in %s\n", signal, doing);
    if (write(STDERR_FILENO, text, (size_t)length) < 0) _exit(3);
    _exit(2);
}

/* The output of one case; false if a canary was overwritten. */
static int run(const kernel_case *this, shrink_isa isa, uint32_t seed, words *output) {
    random_source random = {seed};
    snprintf(doing, sizeof doing, "%s, %s, seed %u", this->name, shrink_isa_name(isa), seed);
    release_memory();
    output->count = 0;
    this->run(shrink_kernels_for(isa), &random, output);
    if (memory_is_intact()) return 1;
    fprintf(stderr, "%s: wrote before the start of an array\n", doing);
    return 0;
}

static uint64_t checksum_of(const words *output, uint64_t checksum) {
    for (size_t i = 0; i < output->count; i++) checksum = (checksum ^ output->word[i]) * 0x100000001b3u;
    return checksum;
}

int main(void) {
    signal(SIGSEGV, stopped);
    signal(SIGBUS, stopped);
    signal(SIGILL, stopped);
    make_memory();
    static words expected, found;
    shrink_isa sets[SHRINK_ISA_COUNT];
    int set_count = 0, failures = 0;
    printf("sets:");
    for (int isa = 0; isa < SHRINK_ISA_COUNT; isa++) {
        if (shrink_isa_query((shrink_isa)isa) != SHRINK_ISA_READY) continue;
        printf(" %s", shrink_isa_name((shrink_isa)isa));
        if (isa != SHRINK_ISA_SCALAR) sets[set_count++] = (shrink_isa)isa;
    }
    printf("\nbest: %s\n", shrink_isa_name(shrink_isa_best()));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t checksum = 0xcbf29ce484222325u;
        const uint32_t seeds = cases[i].run == case_linear_q8 ? LINEAR_SEEDS : SEEDS;
        for (uint32_t seed = 0; seed < seeds; seed++) {
            failures += !run(&cases[i], SHRINK_ISA_SCALAR, seed, &expected);
            checksum = checksum_of(&expected, checksum);
            for (int s = 0; s < set_count && failures < 20; s++) {
                failures += !run(&cases[i], sets[s], seed, &found);
                size_t at = 0;
                while (at < expected.count && found.word[at] == expected.word[at]) at++;
                if (at == expected.count && found.count == expected.count) continue;
                fprintf(stderr, "%s: word %zu is %08x, scalar %08x\n", doing, at, found.word[at], expected.word[at]);
                failures++;
            }
        }
        printf("%-14s %016llx\n", cases[i].name, (unsigned long long)checksum);
    }
    return failures > 0;
}

/* What this machine can do at most on so many threads, one JSON object a line: int8 operations a second
 * of a register loop of every instruction set, and bytes read from memory. Built and run by Tools/compare-peers. */
#include "limits.h"

#include <pthread.h>

#define SAMPLES 11
#define MAXIMUM_THREADS 256

typedef struct {
    void (*work)(void *);
    void *context;
    int repeat;
    pthread_barrier_t *gate;
} share;

static void *run_share(void *context) {
    share *s = context;
    for (int sample = 0; sample < SAMPLES; sample++) {
        pthread_barrier_wait(s->gate);
        for (int i = 0; i < s->repeat; i++) s->work(s->context);
        pthread_barrier_wait(s->gate);
    }
    return NULL;
}

/* Median seconds in which all threads run `work` on their contexts once. */
static double parallel_seconds(int threads, void (*work)(void *), void *contexts, size_t stride, int repeat) {
    pthread_barrier_t gate;
    pthread_barrier_init(&gate, NULL, (unsigned)threads);
    pthread_t ids[MAXIMUM_THREADS];
    share shares[MAXIMUM_THREADS];
    for (int i = 0; i < threads; i++) {
        shares[i] = (share){work, (char *)contexts + stride * (size_t)i, repeat, &gate};
        if (i > 0 && pthread_create(&ids[i], NULL, run_share, &shares[i]) != 0) {
            fprintf(stderr, "limits: no thread\n");
            exit(1);
        }
    }
    double samples[SAMPLES];
    for (int sample = 0; sample < SAMPLES; sample++) {
        pthread_barrier_wait(&gate);
        double start = now();
        for (int i = 0; i < repeat; i++) work(shares[0].context);
        pthread_barrier_wait(&gate);
        samples[sample] = (now() - start) / repeat;
    }
    for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&gate);
    qsort(samples, SAMPLES, sizeof(double), ascending);
    return samples[SAMPLES / 2];
}

int main(int argc, char **argv) {
    int threads = argc == 2 ? atoi(argv[1]) : 0;
    if (threads < 1 || threads > MAXIMUM_THREADS) {
        fprintf(stderr, "usage: limits THREADS\n");
        return 64;
    }
    char sinks[MAXIMUM_THREADS][64];
    for (int isa = 0; isa < SHRINK_ISA_COUNT; isa++) {
        double operations = 0;
        void (*peak)(void *) = peak_loop((shrink_isa)isa, &operations);
        if (!peak || !shrink_kernels_for((shrink_isa)isa)) continue;
        double taken = parallel_seconds(threads, peak, sinks, sizeof sinks[0], 100);
        printf("{\"isa\": \"%s\", \"threads\": %d, \"gops\": %.1f}\n", shrink_isa_name((shrink_isa)isa), threads,
               threads * operations / taken * 1e-9);
    }
    const size_t bytes = 144u << 20, part = bytes / (size_t)threads / 256 * 256;
    char *buffer = memory(bytes);
    reading parts[MAXIMUM_THREADS];
    for (int i = 0; i < threads; i++) parts[i] = (reading){(const uint64_t *)(buffer + part * (size_t)i), part / 8, 0};
    double taken = parallel_seconds(threads, read_all, parts, sizeof parts[0], 5);
    printf("{\"threads\": %d, \"read_gb_per_second\": %.2f}\n", threads, (double)part * threads / taken * 1e-9);
    free(buffer);
    return 0;
}

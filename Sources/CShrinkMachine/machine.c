#define _GNU_SOURCE
#include "shrink_machine.h"
#include "int8_loops.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 9
#define SHORTEST_SAMPLE 3e-3

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- The same work on several threads -- */

/* `started` opens when all threads exist, or tells them to leave when one could not be made; `gate` begins and
 * ends every sample. */
typedef struct {
    void (*work)(void *);
    long repeat;
    pthread_mutex_t started;
    int abandoned;
    pthread_barrier_t gate;
} team;

typedef struct {
    team *team;
    void *context;
    double begin, end;
} member;

/* Each thread has its own stopwatch: one may leave the gate long before another wakes up. */
static void sample_work(member *m) {
    pthread_barrier_wait(&m->team->gate);
    m->begin = now();
    for (long i = 0; i < m->team->repeat; i++) m->team->work(m->context);
    m->end = now();
    pthread_barrier_wait(&m->team->gate);
}

static void *run_member(void *context) {
    member *m = context;
    pthread_mutex_lock(&m->team->started);
    int abandoned = m->team->abandoned;
    pthread_mutex_unlock(&m->team->started);
    if (abandoned) return NULL;
    for (int sample = 0; sample < SAMPLES; sample++) sample_work(m);
    return NULL;
}

/* The fewest seconds in which every thread runs `work` on its context once; 0 when there are not enough threads.
 * The contexts have been used once, so that what they need is in its place. */
static double seconds(unsigned threads, void (*work)(void *), void *contexts, size_t stride) {
    double start = now();
    work(contexts);
    double once = now() - start;
    team t = {.work = work, .repeat = once < SHORTEST_SAMPLE ? (long)(SHORTEST_SAMPLE / (once > 1e-7 ? once : 1e-7)) + 1 : 1};
    pthread_mutex_init(&t.started, NULL);
    pthread_barrier_init(&t.gate, NULL, threads);
    pthread_t ids[SHRINK_MACHINE_MAXIMUM_THREADS];
    member members[SHRINK_MACHINE_MAXIMUM_THREADS];
    unsigned made = 1;
    pthread_mutex_lock(&t.started);
    for (unsigned i = 0; i < threads; i++) members[i] = (member){&t, (char *)contexts + stride * i, 0, 0};
    while (made < threads && pthread_create(&ids[made], NULL, run_member, &members[made]) == 0) made++;
    t.abandoned = made < threads;
    pthread_mutex_unlock(&t.started);
    double fewest = 0;
    for (int sample = 0; sample < SAMPLES && !t.abandoned; sample++) {
        sample_work(&members[0]);
        double begin = members[0].begin, end = members[0].end;
        for (unsigned i = 1; i < threads; i++) {
            if (members[i].begin < begin) begin = members[i].begin;
            if (members[i].end > end) end = members[i].end;
        }
        double taken = (end - begin) / (double)t.repeat;
        if (sample == 0 || taken < fewest) fewest = taken;
    }
    for (unsigned i = 1; i < made; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&t.gate);
    pthread_mutex_destroy(&t.started);
    return fewest;
}

static int is_possible(unsigned threads) { return threads >= 1 && threads <= SHRINK_MACHINE_MAXIMUM_THREADS; }

/* -- The limits -- */

double shrink_machine_int8_rate(shrink_isa isa, unsigned threads) {
    static char sinks[SHRINK_MACHINE_MAXIMUM_THREADS][64];
    double operations = 0;
    machine_loop loop = machine_int8_loop(isa, &operations);
    if (!loop || shrink_isa_query(isa) != SHRINK_ISA_READY || !is_possible(threads)) return 0;
    double taken = seconds(threads, loop, sinks, sizeof sinks[0]);
    return taken > 0 ? threads * operations / taken : 0;
}

typedef uint64_t wide __attribute__((vector_size(64)));
#define STREAM 4
#define AHEAD 6144

typedef struct { const wide *p; size_t count; uint64_t sum; } reading;

static void read_all(void *context) {
    reading *r = context;
    wide sums[STREAM] = {{0}};
    for (size_t i = 0; i + STREAM <= r->count; i += STREAM)
        for (size_t j = 0; j < STREAM; j++) {
            __builtin_prefetch((const char *)(r->p + i + j) + AHEAD);
            sums[j] += r->p[i + j];
        }
    wide sum = sums[0] + sums[1] + sums[2] + sums[3];
    for (int i = 0; i < 8; i++) r->sum += sum[i];
    __asm__ volatile("" : : "r"(r->sum));
}

double shrink_machine_read_rate(unsigned threads, size_t byte_count) {
    if (!is_possible(threads)) return 0;
    const size_t part = byte_count / threads / (STREAM * sizeof(wide)) * STREAM;
    if (part == 0) return 0;
    void *buffer = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) return 0;
    /* Pages that were only read would all be the one page of zeros. */
    memset(buffer, 1, byte_count);
    reading parts[SHRINK_MACHINE_MAXIMUM_THREADS];
    for (unsigned i = 0; i < threads; i++) parts[i] = (reading){(const wide *)buffer + part * i, part, 0};
    double taken = seconds(threads, read_all, parts, sizeof parts[0]);
    munmap(buffer, byte_count);
    return taken > 0 ? (double)(part * sizeof(wide) * threads) / taken : 0;
}

/* Linux's own account: sysconf believes a virtual machine's CPUID, which may tell of all of the host's caches. */
size_t shrink_machine_cache_bytes(void) {
    size_t largest = 0;
    for (int index = 0; index < 10; index++) {
        char path[80];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        FILE *file = fopen(path, "r");
        if (!file) break;
        unsigned long kibibytes = 0;
        if (fscanf(file, "%lu", &kibibytes) == 1 && kibibytes < (1ul << 30) && kibibytes * 1024 > largest) largest = kibibytes * 1024;
        fclose(file);
    }
    return largest;
}

/* -- Where a thread runs -- */

unsigned shrink_machine_cpu_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int shrink_machine_pin(shrink_machine_cpus *before) {
    _Static_assert(sizeof(cpu_set_t) == sizeof(shrink_machine_cpus), "as many CPUs");
    cpu_set_t set, one;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
    memcpy(before, &set, sizeof set);
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
        if (!CPU_ISSET(cpu, &set)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0 ? cpu : -1;
    }
    return -1;
}

void shrink_machine_unpin(const shrink_machine_cpus *before) {
    cpu_set_t set;
    memcpy(&set, before, sizeof set);
    sched_setaffinity(0, sizeof set, &set);
}

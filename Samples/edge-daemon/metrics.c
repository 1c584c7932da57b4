#include "metrics.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const outcome_names[OUTCOME_COUNT] = {"done", "failed", "timed_out", "cancelled", "rejected"};
static const double bucket_seconds[BUCKET_COUNT - 1] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 25};

void metrics_count(struct metrics *metrics, enum operation operation, enum outcome outcome, int64_t nanoseconds) {
    metrics->requests[operation][outcome]++;
    if (outcome != DONE || operation >= MODEL_OPERATION_COUNT) return;
    struct latency *latency = &metrics->latency[operation];
    double seconds = (double)nanoseconds / 1e9;
    int bucket = 0;
    while (bucket < BUCKET_COUNT - 1 && seconds > bucket_seconds[bucket]) bucket++;
    latency->buckets[bucket]++;
    latency->seconds += seconds;
}

/* Bytes of this process that are in memory; 0 where /proc is not there. */
static long long resident_bytes(void) {
    char text[128];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return 0;
    text[count] = 0;
    char *second;
    strtoll(text, &second, 10);
    return strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static void write_latency(const struct latency *latency, struct buffer *out) {
    uint64_t count = 0;
    buffer_print(out, "{\"buckets\":[");
    for (int i = 0; i < BUCKET_COUNT; i++) {
        count += latency->buckets[i];
        if (i < BUCKET_COUNT - 1) buffer_print(out, "[%g,%llu],", bucket_seconds[i], (unsigned long long)count);
        else buffer_print(out, "[null,%llu]]", (unsigned long long)count);
    }
    buffer_print(out, ",\"count\":%llu,\"sum\":%.6f}", (unsigned long long)count, latency->seconds);
}

void metrics_write(const struct metrics *metrics, const struct gauges *gauges, struct buffer *out) {
    buffer_print(out, "\"requests\":{");
    for (int i = 0; i < OPERATION_COUNT; i++) {
        buffer_print(out, "%s\"%s\":{", i ? "," : "", operation_names[i]);
        for (int j = 0; j < OUTCOME_COUNT; j++)
            buffer_print(out, "%s\"%s\":%llu", j ? "," : "", outcome_names[j], (unsigned long long)metrics->requests[i][j]);
        buffer_print(out, "}");
    }
    buffer_print(out, "},\"latency_seconds\":{");
    for (int i = 0; i < MODEL_OPERATION_COUNT; i++) {
        buffer_print(out, "%s\"%s\":", i ? "," : "", operation_names[i]);
        write_latency(&metrics->latency[i], out);
    }
    buffer_print(
        out,
        "},\"invalid_lines\":%llu,\"tokens\":{\"prompt\":%llu,\"generated\":%llu},\"swaps\":{\"done\":%llu,\"failed\":%llu}",
        (unsigned long long)metrics->invalid_lines, (unsigned long long)metrics->prompt_tokens,
        (unsigned long long)metrics->generated_tokens, (unsigned long long)metrics->swaps_done,
        (unsigned long long)metrics->swaps_failed);
    buffer_print(
        out, ",\"connections\":{\"open\":%u,\"accepted\":%llu,\"refused\":%llu},\"queued\":%u,\"running\":%u", gauges->clients,
        (unsigned long long)metrics->connections, (unsigned long long)metrics->refused_connections, gauges->queued,
        gauges->running);
    buffer_print(
        out, ",\"model\":\"%s\",\"uptime_seconds\":%.3f,\"resident_bytes\":%lld", gauges->fingerprint, gauges->uptime_seconds,
        resident_bytes());
}

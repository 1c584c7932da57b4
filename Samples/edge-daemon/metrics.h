/* Counts of what the daemon did. */
#ifndef EDGE_METRICS_H
#define EDGE_METRICS_H

#include "request.h"

enum outcome { DONE, FAILED, TIMED_OUT, CANCELLED, REJECTED, OUTCOME_COUNT };
enum { BUCKET_COUNT = 13 };

/* Times from arrival to answer. buckets[i] counts those up to bucket_seconds[i], the last one the others. */
struct latency {
    uint64_t buckets[BUCKET_COUNT];
    double seconds;
};

struct metrics {
    uint64_t requests[OPERATION_COUNT][OUTCOME_COUNT];
    struct latency latency[MODEL_OPERATION_COUNT]; /* of requests that were done */
    uint64_t invalid_lines, prompt_tokens, generated_tokens, swaps_done, swaps_failed, connections, refused_connections;
};

void metrics_count(struct metrics *metrics, enum operation operation, enum outcome outcome, int64_t nanoseconds);

/* What is true at the moment. */
struct gauges {
    unsigned clients, queued, running;
    double uptime_seconds;
    const char *fingerprint;
};

/* Members of a JSON object, without the braces; at most 3 KiB. */
void metrics_write(const struct metrics *metrics, const struct gauges *gauges, struct buffer *out);

#endif

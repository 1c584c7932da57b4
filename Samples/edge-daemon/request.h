/* What a line asks for, and how an error is told. README.md describes both. */
#ifndef EDGE_REQUEST_H
#define EDGE_REQUEST_H

#include <shrink.h>
#include <stdbool.h>

#include "buffer.h"
#include "json.h"

/* Those that run the model come first. */
enum operation { EMBED, CLASSIFY, GENERATE, MODEL_OPERATION_COUNT, HEALTH = MODEL_OPERATION_COUNT, METRICS, OPERATION_COUNT };
extern const char *const operation_names[OPERATION_COUNT];

/* What a client may ask for. */
enum { MAX_ID_BYTES = 64, MAX_MESSAGES = 128 };

struct request {
    enum operation operation;
    char id[6 * MAX_ID_BYTES + 3]; /* as JSON: "null" when the request has none */
    shrink_text text, pair;        /* bytes is NULL when not given; text: the prompt, too */
    shrink_message *messages;      /* NULL when not given; to be freed */
    size_t message_count;
    uint32_t max_tokens;
    bool is_streamed;
    shrink_sampling sampling;
};

/* An error as the client is told about it. */
struct failure {
    const char *code;
    bool has_detail;
    int64_t detail;
    char message[200];
};

void failure_set(struct failure *failure, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line: {"id": …, "error": {"code": …, "message": …, "detail": …}}. */
void failure_write(const struct failure *failure, const char *id, struct buffer *out);

/* Reads a request from `count` bytes, followed by a zero byte, which it overwrites and whose strings the request
 * points to. `max_tokens`: the most, and what a request gets that does not say. When it fails, request->id is
 * set if it was there, and nothing is to be freed. `document`: scratch memory. */
bool request_parse(
    struct request *request, struct json_document *document, char *line, size_t count, uint32_t max_tokens,
    struct failure *failure);

#endif

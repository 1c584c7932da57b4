#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const operation_names[OPERATION_COUNT] = {"embed", "classify", "generate", "health", "metrics"};

enum key { OP, ID, TEXT, PAIR, PROMPT, MESSAGES, MAX_TOKENS, TEMPERATURE, TOP_P, TOP_K, SEED, STREAM, KEY_COUNT };

#define BIT(operation) (1u << (operation))
#define ALL_OPERATIONS (BIT(OPERATION_COUNT) - 1)

static const struct {
    const char *name;
    unsigned types;      /* enum json_type */
    unsigned operations; /* that take it */
    const char *expected;
} keys[KEY_COUNT] = {
    [OP] = {"op", JSON_STRING, ALL_OPERATIONS, "a string"},
    [ID] = {"id", JSON_STRING | JSON_INTEGER | JSON_NULL, ALL_OPERATIONS, "a string, an integer or null"},
    [TEXT] = {"text", JSON_STRING, BIT(EMBED) | BIT(CLASSIFY), "a string"},
    [PAIR] = {"pair", JSON_STRING, BIT(CLASSIFY), "a string"},
    [PROMPT] = {"prompt", JSON_STRING, BIT(GENERATE), "a string"},
    [MESSAGES] = {"messages", JSON_ARRAY, BIT(GENERATE), "an array"},
    [MAX_TOKENS] = {"max_tokens", JSON_INTEGER, BIT(GENERATE), "an integer"},
    [TEMPERATURE] = {"temperature", JSON_INTEGER | JSON_NUMBER, BIT(GENERATE), "a number"},
    [TOP_P] = {"top_p", JSON_INTEGER | JSON_NUMBER, BIT(GENERATE), "a number"},
    [TOP_K] = {"top_k", JSON_INTEGER, BIT(GENERATE), "an integer"},
    [SEED] = {"seed", JSON_INTEGER, BIT(GENERATE), "an integer from 0"},
    [STREAM] = {"stream", JSON_BOOLEAN, BIT(GENERATE), "true or false"},
};

void failure_set(struct failure *failure, const char *code, const char *format, ...) {
    failure->code = code;
    failure->has_detail = false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->message, sizeof failure->message, format, arguments);
    va_end(arguments);
}

void failure_write(const struct failure *failure, const char *id, struct buffer *out) {
    buffer_print(out, "{\"id\":%s,\"error\":{\"code\":\"%s\",\"message\":", id, failure->code);
    buffer_string(out, failure->message, strlen(failure->message));
    if (failure->has_detail) buffer_print(out, ",\"detail\":%lld", (long long)failure->detail);
    buffer_append(out, "}}\n", 3);
}

static bool is_string(const struct json_value *value, const char *name) {
    return value->type == JSON_STRING && value->count == strlen(name) && memcmp(value->bytes, name, value->count) == 0;
}

/* The value of a key of an object, or NULL; also of an object that the end of the text cut off. */
static const struct json_value *find(const struct json_document *document, const struct json_value *object, const char *name) {
    const struct json_value *values = document->values;
    size_t end = object->end ? object->end : document->count;
    for (size_t key = (size_t)(object - values) + 1; key + 1 < end; key = values[key + 1].end) {
        if (values[key + 1].end == 0) return NULL;
        if (is_string(&values[key], name)) return &values[key + 1];
    }
    return NULL;
}

/* Copies the id, if there is one that can be told back. */
static bool take_id(struct request *request, const struct json_document *document) {
    strcpy(request->id, "null");
    if (document->count == 0 || document->values[0].type != JSON_OBJECT) return true;
    const struct json_value *id = find(document, document->values, "id");
    if (!id || !(id->type & keys[ID].types)) return true;
    if (id->type == JSON_INTEGER) snprintf(request->id, sizeof request->id, "%lld", (long long)id->integer);
    if (id->type != JSON_STRING) return true;
    if (id->count > MAX_ID_BYTES) return false;
    struct buffer text = {.bytes = request->id, .capacity = sizeof request->id, .limit = sizeof request->id};
    buffer_string(&text, id->bytes, id->count);
    request->id[text.count] = 0;
    return true;
}

/* Messages are objects of "role" and "content", both strings. */
static bool take_messages(
    struct request *request, const struct json_document *document, const struct json_value *array, struct failure *failure) {
    const struct json_value *values = document->values;
    size_t first = (size_t)(array - values) + 1, count = 0;
    for (size_t i = first; i < array->end; i = values[i].end) count++;
    if (count == 0 || count > MAX_MESSAGES) {
        failure_set(failure, "invalid_request", "\"messages\" holds %zu; it must hold 1 to %d", count, MAX_MESSAGES);
        return false;
    }
    request->messages = calloc(count, sizeof *request->messages);
    if (!request->messages) {
        failure_set(failure, "overloaded", "no memory for the messages; try again later");
        return false;
    }
    for (size_t i = first; i < array->end; i = values[i].end) {
        const struct json_value *role = NULL, *content = NULL;
        if (values[i].type == JSON_OBJECT && values[i].end == i + 5) {
            role = find(document, &values[i], "role");
            content = find(document, &values[i], "content");
        }
        if (!role || !content || role->type != JSON_STRING || content->type != JSON_STRING) {
            failure_set(
                failure, "invalid_request", "message %zu must be {\"role\": string, \"content\": string} and nothing else",
                request->message_count);
            return false;
        }
        request->messages[request->message_count++] =
            (shrink_message){{role->bytes, role->count}, {content->bytes, content->count}};
    }
    return true;
}

static bool take_number(
    struct request *request, enum key key, const struct json_value *value, uint32_t max_tokens, struct failure *failure) {
    double low = 0, high = 0;
    switch (key) {
    case MAX_TOKENS: low = 1, high = max_tokens; break;
    case TEMPERATURE: high = 100; break;
    case TOP_P: high = 1; break;
    case TOP_K: high = 1 << 24; break;
    default: high = (double)INT64_MAX;
    }
    if (value->number < low || value->number > high) {
        failure_set(failure, "invalid_request", "\"%s\" must be from %.0f to %.0f", keys[key].name, low, high);
        return false;
    }
    switch (key) {
    case MAX_TOKENS: request->max_tokens = (uint32_t)value->integer; break;
    case TEMPERATURE: request->sampling.temperature = (float)value->number; break;
    case TOP_P: request->sampling.top_p = (float)value->number; break;
    case TOP_K: request->sampling.top_k = (uint32_t)value->integer; break;
    default: request->sampling.seed = (uint64_t)value->integer;
    }
    return true;
}

static bool take_value(
    struct request *request, const struct json_document *document, enum key key, const struct json_value *value,
    uint32_t max_tokens, struct failure *failure) {
    shrink_text text = {value->bytes, value->count};
    if (!(value->type & keys[key].types)) {
        failure_set(failure, "invalid_request", "\"%s\" must be %s", keys[key].name, keys[key].expected);
        return false;
    }
    if (!(BIT(request->operation) & keys[key].operations)) {
        failure_set(
            failure, "invalid_request", "\"%s\" does not take \"%s\"", operation_names[request->operation], keys[key].name);
        return false;
    }
    switch (key) {
    case OP:
    case ID: break;
    case TEXT:
    case PROMPT: request->text = text; break;
    case PAIR: request->pair = text; break;
    case MESSAGES: return take_messages(request, document, value, failure);
    case STREAM: request->is_streamed = value->integer != 0; break;
    default: return take_number(request, key, value, max_tokens, failure);
    }
    return true;
}

static bool take_operation(struct request *request, const struct json_document *document, struct failure *failure) {
    const struct json_value *name = find(document, document->values, "op");
    for (int i = 0; name && i < OPERATION_COUNT; i++) {
        if (!is_string(name, operation_names[i])) continue;
        request->operation = (enum operation)i;
        return true;
    }
    failure_set(failure, "invalid_request", "\"op\" must be \"embed\", \"classify\", \"generate\", \"health\" or \"metrics\"");
    return false;
}

static bool take_members(
    struct request *request, const struct json_document *document, uint32_t max_tokens, struct failure *failure) {
    const struct json_value *values = document->values;
    bool seen[KEY_COUNT] = {false};
    for (size_t i = 1; i < values[0].end; i = values[i + 1].end) {
        int key = 0;
        while (key < KEY_COUNT && !is_string(&values[i], keys[key].name)) key++;
        if (key == KEY_COUNT) {
            int shown = values[i].count < 40 ? (int)values[i].count : 40;
            failure_set(failure, "invalid_request", "unknown key \"%.*s\"", shown, values[i].bytes);
            return false;
        }
        if (seen[key]) {
            failure_set(failure, "invalid_request", "\"%s\" occurs twice", keys[key].name);
            return false;
        }
        seen[key] = true;
        if (!take_value(request, document, (enum key)key, &values[i + 1], max_tokens, failure)) return false;
    }
    bool is_complete = request->operation >= MODEL_OPERATION_COUNT || seen[TEXT] || seen[PROMPT] != seen[MESSAGES];
    if (!is_complete && request->operation == GENERATE)
        failure_set(failure, "invalid_request", "\"generate\" needs \"prompt\" or \"messages\", one of them");
    else if (!is_complete)
        failure_set(failure, "invalid_request", "\"%s\" needs \"text\"", operation_names[request->operation]);
    return is_complete;
}

bool request_parse(
    struct request *request, struct json_document *document, char *line, size_t count, uint32_t max_tokens,
    struct failure *failure) {
    memset(request, 0, sizeof *request);
    request->max_tokens = max_tokens;
    request->sampling = shrink_sampling_default();
    bool is_json = json_parse(document, line, count);
    bool is_id_good = take_id(request, document);
    if (!is_json) {
        failure_set(failure, "invalid_json", "byte %zu: %s", document->offset, document->error);
        return false;
    }
    if (document->values[0].type != JSON_OBJECT) {
        failure_set(failure, "invalid_request", "a request is an object: {\"op\": ...}");
        return false;
    }
    if (!is_id_good) {
        failure_set(failure, "invalid_request", "\"id\" must have at most %d bytes", MAX_ID_BYTES);
        return false;
    }
    if (take_operation(request, document, failure) && take_members(request, document, max_tokens, failure)) return true;
    free(request->messages);
    request->messages = NULL;
    return false;
}

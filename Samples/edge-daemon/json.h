/* Reads one JSON text (RFC 8259) strictly, in place, into a bounded list of values. */
#ifndef EDGE_JSON_H
#define EDGE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_MAX_VALUES = 1024, JSON_MAX_DEPTH = 8 };

enum json_type {
    JSON_NULL = 1 << 0,
    JSON_BOOLEAN = 1 << 1, /* integer: 0 or 1 */
    JSON_INTEGER = 1 << 2, /* without fraction and exponent, and within int64; number has it too */
    JSON_NUMBER = 1 << 3,  /* any other number */
    JSON_STRING = 1 << 4,  /* bytes, count: decoded, UTF-8, may hold zero bytes */
    JSON_ARRAY = 1 << 5,
    JSON_OBJECT = 1 << 6 /* its members follow: a string, then the value, and so on */
};

struct json_value {
    enum json_type type;
    uint32_t end; /* index of the first value after it and all that is inside; 0 while it is not finished */
    const char *bytes;
    size_t count;
    int64_t integer;
    double number;
};

/* Values in the order of the text, so what is inside an array or object follows it. */
struct json_document {
    size_t count;
    const char *error; /* NULL, or what is wrong */
    size_t offset;     /* and at which byte */
    struct json_value values[JSON_MAX_VALUES];
};

/* Parses `count` bytes, followed by a zero byte, and overwrites them with the decoded strings, which the values
 * point to. Refuses invalid UTF-8, lone surrogates, numbers that no double holds, deeper nesting and more values
 * than the limits above. When it fails, the values before the error are there. */
bool json_parse(struct json_document *document, char *text, size_t count);

/* The length of the valid UTF-8 character at `bytes` (`count` > 0 bytes), or 0. */
size_t utf8_length(const char *bytes, size_t count);

#endif

/* Bytes that grow up to a limit, and JSON written into them. */
#ifndef EDGE_BUFFER_H
#define EDGE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *bytes;
    size_t count, capacity;
    size_t limit;
    bool is_full; /* something did not fit, or there was no memory; what came after it was dropped, too */
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t count);
/* Room for `count` more bytes behind the ones that are there, or NULL. */
char *buffer_reserve(struct buffer *buffer, size_t count);
/* Drops the first `count` bytes. An empty buffer keeps no memory worth mentioning. */
void buffer_consume(struct buffer *buffer, size_t count);
/* Empty again, with the memory it has. */
void buffer_clear(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

/* Text as it is, printf's way. */
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The inside of a JSON string: escapes what must be, and writes U+FFFD for bytes that are not UTF-8. */
void buffer_escape(struct buffer *buffer, const char *bytes, size_t count);
/* A JSON string. */
void buffer_string(struct buffer *buffer, const char *bytes, size_t count);
/* Nine digits, which read back as the same float; null when it is not finite. */
void buffer_float(struct buffer *buffer, float number);

#endif

#include "buffer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum { SMALL = 4096 };

char *buffer_reserve(struct buffer *buffer, size_t count) {
    if (buffer->is_full || count > buffer->limit - buffer->count) {
        buffer->is_full = true;
        return NULL;
    }
    if (buffer->capacity - buffer->count < count) {
        size_t capacity = buffer->capacity ? buffer->capacity : 512;
        while (capacity - buffer->count < count) capacity *= 2;
        if (capacity > buffer->limit) capacity = buffer->limit;
        char *bytes = realloc(buffer->bytes, capacity);
        if (!bytes) {
            buffer->is_full = true;
            return NULL;
        }
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->count;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t count) {
    char *room = buffer_reserve(buffer, count);
    if (!room || count == 0) return;
    memcpy(room, bytes, count);
    buffer->count += count;
}

void buffer_consume(struct buffer *buffer, size_t count) {
    buffer->count -= count;
    if (buffer->count) memmove(buffer->bytes, buffer->bytes + count, buffer->count);
    else if (buffer->capacity > SMALL) buffer_free(buffer);
}

void buffer_clear(struct buffer *buffer) {
    buffer->count = 0;
    buffer->is_full = false;
}

void buffer_free(struct buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct buffer){.limit = buffer->limit};
}

void buffer_print(struct buffer *buffer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof text) buffer->is_full = true;
    else buffer_append(buffer, text, (size_t)count);
}

void buffer_escape(struct buffer *buffer, const char *bytes, size_t count) {
    size_t plain = 0; /* where the bytes start that are not written yet */
    for (size_t i = 0; i < count;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t length = c < 0x80 ? 1 : utf8_length(bytes + i, count - i);
        if (length && c >= 0x20 && c != '"' && c != '\\') {
            i += length;
            continue;
        }
        buffer_append(buffer, bytes + plain, i - plain);
        if (length == 0) buffer_append(buffer, "\xEF\xBF\xBD", 3);
        else if (c == '"' || c == '\\') buffer_append(buffer, (char[]){'\\', (char)c}, 2);
        else if (c == '\n') buffer_append(buffer, "\\n", 2);
        else buffer_print(buffer, "\\u%04x", c);
        plain = ++i;
    }
    if (plain < count) buffer_append(buffer, bytes + plain, count - plain);
}

void buffer_string(struct buffer *buffer, const char *bytes, size_t count) {
    buffer_append(buffer, "\"", 1);
    buffer_escape(buffer, bytes, count);
    buffer_append(buffer, "\"", 1);
}

void buffer_float(struct buffer *buffer, float number) {
    char text[32];
    if (!isfinite(number)) {
        buffer_append(buffer, "null", 4);
        return;
    }
    snprintf(text, sizeof text, "%.9g", (double)number);
    buffer_append(buffer, text, strlen(text));
}

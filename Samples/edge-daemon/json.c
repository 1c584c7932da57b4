#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct json_document *document;
    char *start, *at, *end;
    unsigned depth;
};

size_t utf8_length(const char *bytes, size_t count) {
    const unsigned char *b = (const unsigned char *)bytes;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte: no overlong form, no surrogate, at most U+10FFFF */
    size_t length;
    if (b[0] < 0x80) return 1;
    if (b[0] < 0xC2 || b[0] > 0xF4) return 0;
    length = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    if (b[0] == 0xE0) low = 0xA0;
    if (b[0] == 0xED) high = 0x9F;
    if (b[0] == 0xF0) low = 0x90;
    if (b[0] == 0xF4) high = 0x8F;
    if (count < length || b[1] < low || b[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((b[i] & 0xC0) != 0x80) return 0;
    return length;
}

static bool fail(struct parser *p, const char *message) {
    p->document->error = message;
    p->document->offset = (size_t)(p->at - p->start);
    return false;
}

static void skip_space(struct parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) p->at++;
}

static bool skip_literal(struct parser *p, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) return fail(p, "unknown word");
    p->at += length;
    return true;
}

/* The next character, or -1 at the end. */
static int peek(const struct parser *p) { return p->at < p->end ? (unsigned char)*p->at : -1; }

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static void skip_digits(struct parser *p) {
    while (is_digit(peek(p))) p->at++;
}

static bool parse_number(struct parser *p, struct json_value *value) {
    const char *first = p->at;
    bool is_negative = *p->at == '-', is_whole = true;
    if (is_negative) p->at++;
    if (!is_digit(peek(p))) return fail(p, "a digit is missing");
    if (*p->at == '0') p->at++;
    else skip_digits(p);
    if (is_digit(peek(p))) return fail(p, "a number must not start with 0");
    const char *whole_end = p->at;
    if (peek(p) == '.') {
        is_whole = false;
        p->at++;
        if (!is_digit(peek(p))) return fail(p, "a digit is missing after the decimal point");
        skip_digits(p);
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        is_whole = false;
        p->at++;
        if (peek(p) == '+' || peek(p) == '-') p->at++;
        if (!is_digit(peek(p))) return fail(p, "a digit is missing in the exponent");
        skip_digits(p);
    }
    value->number = strtod(first, NULL);
    if (!isfinite(value->number)) return fail(p, "the number is too large");
    int64_t integer = 0;
    for (const char *c = first + is_negative; c < whole_end && is_whole; c++) {
        int digit = *c - '0';
        if (integer < (INT64_MIN + digit) / 10) is_whole = false;
        else integer = integer * 10 - digit; /* negative, as INT64_MIN has no positive twin */
    }
    if (is_whole && !is_negative && integer == INT64_MIN) is_whole = false;
    value->type = is_whole ? JSON_INTEGER : JSON_NUMBER;
    value->integer = is_whole ? (is_negative ? integer : -integer) : 0;
    return true;
}

/* Four hexadecimal digits at p->at, or -1. */
static long parse_hex(struct parser *p) {
    long unit = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        int c = peek(p);
        if (is_digit(c)) unit = unit * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f') unit = unit * 16 + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') unit = unit * 16 + (c - 'A' + 10);
        else return -1;
    }
    return unit;
}

static char *put_scalar(char *out, long c) {
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

static bool parse_escape(struct parser *p, char **out) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = peek(p);
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (name) {
        p->at++;
        *(*out)++ = meanings[name - names];
        return true;
    }
    if (c != 'u') return fail(p, "unknown escape");
    p->at++;
    long unit = parse_hex(p);
    if (unit < 0) return fail(p, "\\u needs four hexadecimal digits");
    if (unit >= 0xDC00 && unit <= 0xDFFF) return fail(p, "the second half of a surrogate pair stands alone");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return fail(p, "the first half of a surrogate pair stands alone");
        p->at += 2;
        long second = parse_hex(p);
        if (second < 0xDC00 || second > 0xDFFF) return fail(p, "the first half of a surrogate pair stands alone");
        unit = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
    }
    *out = put_scalar(*out, unit);
    return true;
}

/* A decoded string is never longer than it is spelled, so it is written over the text. */
static bool parse_string(struct parser *p, struct json_value *value) {
    char *out = ++p->at;
    value->type = JSON_STRING;
    value->bytes = out;
    for (;;) {
        int c = peek(p);
        if (c < 0) return fail(p, "a string does not end");
        if (c < 0x20) return fail(p, "control characters must be escaped");
        if (c == '"') break;
        if (c == '\\') {
            p->at++;
            if (!parse_escape(p, &out)) return false;
            continue;
        }
        size_t length = utf8_length(p->at, (size_t)(p->end - p->at));
        if (length == 0) return fail(p, "this is not UTF-8");
        memmove(out, p->at, length);
        out += length;
        p->at += length;
    }
    p->at++;
    value->count = (size_t)(out - value->bytes);
    return true;
}

static bool parse_value(struct parser *p);

static bool parse_members(struct parser *p, struct json_value *value) {
    bool is_object = *p->at == '{';
    char closing = is_object ? '}' : ']';
    value->type = is_object ? JSON_OBJECT : JSON_ARRAY;
    if (p->depth == JSON_MAX_DEPTH) return fail(p, "nested too deeply");
    p->depth++;
    p->at++;
    skip_space(p);
    if (peek(p) == closing) {
        p->at++;
        p->depth--;
        return true;
    }
    for (;;) {
        if (is_object) {
            skip_space(p);
            if (peek(p) != '"') return fail(p, "a key in quotes is missing");
            if (!parse_value(p)) return false;
            skip_space(p);
            if (peek(p) != ':') return fail(p, "':' is missing");
            p->at++;
        }
        if (!parse_value(p)) return false;
        skip_space(p);
        if (peek(p) == closing) break;
        if (peek(p) != ',') return fail(p, is_object ? "',' or '}' is missing" : "',' or ']' is missing");
        p->at++;
    }
    p->at++;
    p->depth--;
    return true;
}

static bool parse_value(struct parser *p) {
    skip_space(p);
    if (p->document->count == JSON_MAX_VALUES) return fail(p, "too many values");
    struct json_value *value = &p->document->values[p->document->count];
    *value = (struct json_value){.type = JSON_NULL};
    int c = peek(p);
    if (c < 0) return fail(p, "the text ends early");
    p->document->count++;
    bool is_good;
    switch (c) {
    case '{':
    case '[': is_good = parse_members(p, value); break;
    case '"': is_good = parse_string(p, value); break;
    case 't':
        value->type = JSON_BOOLEAN;
        value->integer = 1;
        is_good = skip_literal(p, "true");
        break;
    case 'f':
        value->type = JSON_BOOLEAN;
        is_good = skip_literal(p, "false");
        break;
    case 'n': is_good = skip_literal(p, "null"); break;
    default: is_good = c == '-' || is_digit(c) ? parse_number(p, value) : fail(p, "a value is missing");
    }
    if (is_good) value->end = (uint32_t)p->document->count;
    return is_good;
}

bool json_parse(struct json_document *document, char *text, size_t count) {
    struct parser p = {.document = document, .start = text, .at = text, .end = text + count};
    document->count = 0;
    document->error = NULL;
    document->offset = 0;
    if (!parse_value(&p)) return false;
    skip_space(&p);
    return p.at == p.end || fail(&p, "something follows the value");
}

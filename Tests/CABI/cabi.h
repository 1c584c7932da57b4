/* A test program of the C interface: what its parts share. */
#ifndef CABI_H
#define CABI_H

#include <shrink.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One check; a failed one is printed. */
#define CHECK(condition) check((condition) != 0, #condition, __FILE__, __LINE__)
/* A call that must succeed, and one that must fail with a code. Both look at the shrink_error named `error`. */
#define OK(call) check_code((call), SHRINK_OK, &error, #call, __FILE__, __LINE__)
#define FAILS(code, call) check_code((call), SHRINK_ERROR_##code, &error, #call, __FILE__, __LINE__)

int check(int holds, const char *what, const char *file, int line);
int check_code(shrink_code code, shrink_code expected, const shrink_error *error, const char *what, const char *file, int line);

/* FNV-1a over everything that was computed. */
void add_to_checksum(const void *bytes, size_t count);

/* An allocator that counts, and can fail at one call. */
typedef struct counter {
    size_t calls, live, live_bytes, total_bytes;
    size_t failing_call; /* counted from 1; 0: none */
} counter;
void *counter_allocate(void *context, size_t byte_count, size_t alignment);
void counter_deallocate(void *context, void *pointer);
shrink_model_options counted(counter *memory);

/* The models that the tests run: a language model with a chat template, one of embeddings, one of labels. */
typedef struct paths {
    const char *generate, *embed, *classify;
} paths;

void test_library(void);
void test_generate(const char *path);
void test_embed(const char *path);
void test_classify(const char *path);
void test_sources(const char *path);
void test_limits(const paths *files);
void test_misuse(const paths *files);
void test_states(const char *path);
void test_threads(const char *path);
void test_memory(const paths *files);
void test_recurrent(const char *path);
void test_both_ways(const char *path);

#endif

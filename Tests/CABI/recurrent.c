/* Recurrent models: any number of tokens in the same memory, whatever the steps; and whole inputs read both ways. */
#include "cabi.h"

#include <stdlib.h>
#include <string.h>

static shrink_error error;

#define TOKENS 300u

static shrink_session *session_of(const shrink_model *model, const char *entry, uint32_t chunk, uint32_t threads) {
    shrink_session_options options = shrink_session_options_default();
    options.entry = entry;
    options.chunk = chunk;
    options.threads = threads;
    shrink_session *session = NULL;
    OK(shrink_session_create(model, &options, &session, &error));
    return session;
}

void test_recurrent(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    OK(shrink_model_self_test(model, NULL, 2, &error));
    shrink_model_info info;
    info.struct_size = sizeof info;
    OK(shrink_model_get_info(model, &info, &error));
    CHECK(info.max_context == UINT32_MAX);

    uint32_t tokens[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++) tokens[i] = i * 7919u % info.vocabulary_size;
    const size_t row = info.vocabulary_size * sizeof(float);
    float *expected = malloc(row);
    shrink_rows rows;
    shrink_session *session = session_of(model, "generate", 64, 1);
    CHECK(shrink_session_context(session) == (size_t)PTRDIFF_MAX);
    OK(shrink_session_feed(session, tokens, NULL, TOKENS, &rows, &error));
    memcpy(expected, rows.data, row);
    add_to_checksum(expected, row);

    /* Other steps and threads; a state of one size, whatever the tokens. */
    size_t bytes = shrink_session_saved_bytes(session);
    void *state = malloc(bytes);
    for (uint32_t chunk = 1; chunk < 200; chunk = 3 * chunk + 1) {
        shrink_session *other = session_of(model, "generate", chunk, chunk % 3 + 1);
        OK(shrink_session_feed(other, tokens, NULL, TOKENS / 2, NULL, &error));
        CHECK(shrink_session_saved_bytes(other) == bytes);
        OK(shrink_session_save(other, state, bytes, NULL, &error));
        OK(shrink_session_feed(other, tokens + TOKENS / 2, NULL, TOKENS - TOKENS / 2, &rows, &error));
        CHECK(memcmp(rows.data, expected, row) == 0);
        OK(shrink_session_restore(other, state, bytes, &error));
        CHECK(shrink_session_position(other) == TOKENS / 2);
        OK(shrink_session_feed(other, tokens + TOKENS / 2, NULL, TOKENS - TOKENS / 2, &rows, &error));
        CHECK(memcmp(rows.data, expected, row) == 0);
        shrink_session_free(other);
    }
    add_to_checksum(state, bytes);
    free(state);

    /* All tokens are forgotten, or none. */
    FAILS(INVALID_ARGUMENT, shrink_session_truncate(session, 5, &error));
    CHECK(shrink_session_position(session) == TOKENS);
    OK(shrink_session_truncate(session, 0, &error));
    OK(shrink_session_feed(session, tokens, NULL, TOKENS, &rows, &error));
    CHECK(memcmp(rows.data, expected, row) == 0);

    /* Without a last position, an answer needs a last token. */
    shrink_generate_options generate = shrink_generate_options_default();
    generate.flags = SHRINK_GENERATE_IGNORE_STOP;
    FAILS(INVALID_ARGUMENT, shrink_session_generate(session, tokens, 1, &generate, NULL, &error));
    generate.max_tokens = 400;
    shrink_generated generated;
    OK(shrink_session_generate(session, tokens, 1, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_LENGTH && shrink_session_position(session) == TOKENS + 400);
    add_to_checksum(&generated.last_token, sizeof generated.last_token);
    shrink_session_free(session);

    /* A limit of the model's options holds. */
    shrink_model_options limits = shrink_model_options_default();
    limits.max_context = 20;
    shrink_model *limited = NULL;
    OK(shrink_model_open(path, &limits, &limited, &error));
    session = session_of(limited, "generate", 0, 1);
    CHECK(shrink_session_context(session) == 20);
    FAILS(LIMIT_EXCEEDED, shrink_session_feed(session, tokens, NULL, 21, NULL, &error));
    shrink_session_free(session);
    shrink_model_release(limited);
    free(expected);
    shrink_model_release(model);
}

void test_both_ways(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    OK(shrink_model_self_test(model, NULL, 1, &error));
    shrink_model_info info;
    info.struct_size = sizeof info;
    OK(shrink_model_get_info(model, &info, &error));
    uint32_t tokens[70];
    for (uint32_t i = 0; i < 70; i++) tokens[i] = i * 31u % info.vocabulary_size;
    shrink_session *session = session_of(model, "tag", 0, 2);
    for (size_t count = 1; count <= 70; count += 23) {
        shrink_rows rows;
        OK(shrink_session_feed(session, tokens, NULL, count, &rows, &error));
        CHECK(rows.rows == count && rows.columns == info.label_count);
        for (size_t i = 0; i < rows.rows; i++) add_to_checksum(rows.data + i * rows.stride, rows.columns * sizeof(float));
    }
    shrink_session_free(session);
    shrink_model_release(model);
}

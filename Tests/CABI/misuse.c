/* Wrong arguments, limits and damaged states: an error for each, and nothing else. */
#define _POSIX_C_SOURCE 200809L
#include "cabi.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static shrink_error error;

void test_limits(const paths *files) {
    shrink_model *model;
    shrink_model_options limits = shrink_model_options_default();
    limits.max_file_bytes = 1000;
    FAILS(LIMIT_EXCEEDED, shrink_model_open(files->generate, &limits, &model, &error));
    CHECK(model == NULL && error.detail > 1000);
    limits.max_file_bytes = (uint64_t)error.detail;
    limits.max_context = 40;
    limits.max_threads = 2;
    limits.max_text_bytes = 10;
    if (!OK(shrink_model_open(files->generate, &limits, &model, &error))) return;
    shrink_model_info info;
    info.struct_size = sizeof info;
    OK(shrink_model_get_info(model, &info, &error));
    CHECK(info.max_context == 40);
    shrink_session *session;
    shrink_session_options options = shrink_session_options_default();
    OK(shrink_session_create(model, &options, &session, &error));
    CHECK(shrink_session_context(session) == 40);
    shrink_session_free(session);
    options.context = 41;
    FAILS(LIMIT_EXCEEDED, shrink_session_create(model, &options, &session, &error));
    CHECK(session == NULL && error.detail == 40);
    options.context = 16;
    options.threads = 3;
    FAILS(LIMIT_EXCEEDED, shrink_session_create(model, &options, &session, &error));
    options.threads = 2;
    shrink_memory memory;
    memory.struct_size = sizeof memory;
    OK(shrink_session_predict_memory(model, &options, &memory, &error));
    CHECK(memory.stack_bytes == 256 * 1024);
    options.max_bytes = memory.session_bytes - 1;
    FAILS(LIMIT_EXCEEDED, shrink_session_create(model, &options, &session, &error));
    CHECK((uint64_t)error.detail == memory.session_bytes);
    FAILS(LIMIT_EXCEEDED, shrink_session_predict_memory(model, &options, &memory, &error));
    options.max_bytes++;
    OK(shrink_session_create(model, &options, &session, &error));
    shrink_session_free(session);

    shrink_tokenizer *tokenizer;
    shrink_tokens tokens;
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    OK(shrink_tokenizer_encode(tokenizer, "0123456789", 10, NULL, &tokens, &error));
    FAILS(LIMIT_EXCEEDED, shrink_tokenizer_encode(tokenizer, "0123456789.", 11, NULL, &tokens, &error));
    shrink_message talk = {{"user", 4}, {"0123456", 7}};
    FAILS(LIMIT_EXCEEDED, shrink_tokenizer_encode_chat(tokenizer, &talk, 1, 0, &tokens, &error));
    talk.content.count = 6;
    OK(shrink_tokenizer_encode_chat(tokenizer, &talk, 1, 0, &tokens, &error));
    shrink_tokenizer_free(tokenizer);
    shrink_model_release(model);

    limits = shrink_model_options_default();
    limits.max_session_bytes = 1000;
    OK(shrink_model_open(files->embed, &limits, &model, &error));
    FAILS(LIMIT_EXCEEDED, shrink_session_create(model, NULL, &session, &error));
    FAILS(LIMIT_EXCEEDED, shrink_model_self_test(model, NULL, 1, &error));
    shrink_model_release(model);
}

/* Structs of programs that are older or newer than the library. */
static void test_struct_sizes(const char *path, shrink_model *model) {
    shrink_model *other;
    struct {
        shrink_model_options known;
        uint64_t later[2];
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.known.struct_size = sizeof newer;
    OK(shrink_model_open(path, &newer.known, &other, &error));
    shrink_model_release(other);
    newer.later[1] = 1;
    FAILS(INVALID_ARGUMENT, shrink_model_open(path, &newer.known, &other, &error));
    /* An older program: what comes after its struct is not looked at. */
    shrink_model_options older = shrink_model_options_default();
    older.struct_size = offsetof(shrink_model_options, max_file_bytes);
    older.max_file_bytes = 1;
    older.flags = 0xffffffffu;
    OK(shrink_model_open(path, &older, &other, &error));
    shrink_model_release(other);
    const size_t wrong[] = {0, 4, 7, 12, sizeof older + 1, 5000, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        older = shrink_model_options_default();
        older.struct_size = wrong[i];
        FAILS(INVALID_ARGUMENT, shrink_model_open(path, &older, &other, &error));
        CHECK(other == NULL);
        shrink_model_info info;
        memset(&info, 0, sizeof info);
        info.struct_size = wrong[i];
        FAILS(INVALID_ARGUMENT, shrink_model_get_info(model, &info, &error));
        shrink_session_options session_options = shrink_session_options_default();
        session_options.struct_size = wrong[i];
        shrink_session *session;
        FAILS(INVALID_ARGUMENT, shrink_session_create(model, &session_options, &session, &error));
        CHECK(session == NULL);
    }
    struct {
        shrink_model_info known;
        uint64_t later;
    } more;
    memset(&more, 0xff, sizeof more);
    more.known.struct_size = sizeof more;
    OK(shrink_model_get_info(model, &more.known, &error));
    CHECK(more.later == 0 && more.known.vocabulary_size > 0);
    shrink_model_info less;
    memset(&less, 0xff, sizeof less);
    less.struct_size = offsetof(shrink_model_info, vocabulary_size);
    OK(shrink_model_get_info(model, &less, &error));
    CHECK(less.file_bytes > 0 && less.vocabulary_size == 0xffffffffu);
}

void test_misuse(const paths *files) {
    shrink_model *model = NULL, *labels = NULL, *other = (shrink_model *)(void *)&error;
    FAILS(INPUT_OUTPUT, shrink_model_open("no/such/file", NULL, &other, &error));
    CHECK(other == NULL && error.detail == ENOENT);
    CHECK(shrink_model_open("no/such/file", NULL, &other, NULL) == SHRINK_ERROR_INPUT_OUTPUT);
    FAILS(INPUT_OUTPUT, shrink_model_open("/", NULL, &other, &error));
    FAILS(INPUT_OUTPUT, shrink_model_open("/dev/zero", NULL, &other, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_open(NULL, NULL, &other, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_open(files->embed, NULL, NULL, &error));
    FAILS(INPUT_OUTPUT, shrink_model_open_fd(-1, NULL, &other, &error));
    int ends[2];
    CHECK(pipe(ends) == 0);
    FAILS(INPUT_OUTPUT, shrink_model_open_fd(ends[0], NULL, &other, &error));
    close(ends[0]);
    close(ends[1]);
    FAILS(INVALID_ARTIFACT, shrink_model_open_memory(NULL, 0, NULL, &other, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_open_memory(NULL, 10, NULL, &other, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_open_memory("x", SIZE_MAX, NULL, &other, &error));
    shrink_model_options options = shrink_model_options_default();
    options.flags = 1u << 20;
    FAILS(INVALID_ARGUMENT, shrink_model_open(files->embed, &options, &other, &error));
    options = shrink_model_options_default();
    options.allocate = counter_allocate;
    FAILS(INVALID_ARGUMENT, shrink_model_open(files->embed, &options, &other, &error));

    if (!OK(shrink_model_open(files->generate, NULL, &model, &error))) return;
    if (!OK(shrink_model_open(files->classify, NULL, &labels, &error))) return;
    test_struct_sizes(files->embed, model);

    /* NULL handles and outputs. */
    shrink_model_release(NULL);
    CHECK(shrink_model_retain(NULL) == NULL);
    shrink_session_free(NULL);
    shrink_tokenizer_free(NULL);
    shrink_detokenizer_free(NULL);
    shrink_session_cancel(NULL);
    shrink_session_clear_cancel(NULL);
    CHECK(shrink_session_position(NULL) == 0 && shrink_session_context(NULL) == 0 && shrink_session_saved_bytes(NULL) == 0);
    CHECK(strcmp(shrink_session_instruction_set(NULL), "") == 0 && shrink_tokenizer_is_stop(NULL, 1) == 0);
    shrink_session *session;
    shrink_tokenizer *tokenizer;
    shrink_detokenizer *detokenizer;
    shrink_text text;
    shrink_tokens tokens;
    shrink_entry_info entry;
    entry.struct_size = sizeof entry;
    uint32_t token = 1;
    FAILS(INVALID_ARGUMENT, shrink_model_get_info(model, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_info(NULL, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_entry(model, 99, &entry, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_label(model, 0, &text, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_label(labels, 3, &text, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_label(labels, 0, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_get_manifest(NULL, &text, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_self_test(NULL, NULL, 0, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_self_test(model, "abacus", 0, &error));
    FAILS(INVALID_ARGUMENT, shrink_model_self_test(model, NULL, 1000, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_create(NULL, &tokenizer, &error));
    CHECK(tokenizer == NULL);
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_create(model, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_detokenizer_create(model, 8, &detokenizer, &error));
    CHECK(detokenizer == NULL);
    FAILS(INVALID_ARGUMENT, shrink_session_create(NULL, NULL, &session, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_create(model, NULL, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode(NULL, "a", 1, NULL, &tokens, &error));
    FAILS(INVALID_ARGUMENT, shrink_detokenizer_push(NULL, 1, &text, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_feed(NULL, &token, NULL, 1, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_generate(NULL, &token, 1, NULL, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_restore(NULL, "", 0, &error));

    shrink_session_options wanted = shrink_session_options_default();
    wanted.entry = "embed";
    FAILS(INVALID_ARGUMENT, shrink_session_create(model, &wanted, &session, &error));
    wanted = shrink_session_options_default();
    wanted.instruction_set = "abacus";
    FAILS(INVALID_ARGUMENT, shrink_session_create(model, &wanted, &session, &error));
#if defined(__aarch64__)
    wanted.instruction_set = "avx2";
#else
    wanted.instruction_set = "neon";
#endif
    FAILS(UNSUPPORTED_ISA, shrink_session_create(model, &wanted, &session, &error));
    wanted = shrink_session_options_default();
    wanted.threads = 257;
    FAILS(INVALID_ARGUMENT, shrink_session_create(model, &wanted, &session, &error));
    wanted = shrink_session_options_default();
    wanted.chunk = 100000;
    FAILS(LIMIT_EXCEEDED, shrink_session_create(model, &wanted, &session, &error));
    wanted = shrink_session_options_default();
    wanted.reserved = 1;
    FAILS(INVALID_ARGUMENT, shrink_session_create(model, &wanted, &session, &error));
    CHECK(session == NULL);
    const char *forced = getenv("SHRINK_ISA");
    char *kept = forced ? strdup(forced) : NULL;
    setenv("SHRINK_ISA", "abacus", 1);
    FAILS(UNSUPPORTED_ISA, shrink_session_create(model, NULL, &session, &error));
    setenv("SHRINK_ISA", "scalar", 1);
    if (OK(shrink_session_create(model, NULL, &session, &error)))
        CHECK(strcmp(shrink_session_instruction_set(session), "scalar") == 0);
    shrink_session_free(session);
    if (kept) setenv("SHRINK_ISA", kept, 1);
    else unsetenv("SHRINK_ISA");
    free(kept);

    OK(shrink_session_create(model, NULL, &session, &error));
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode(tokenizer, NULL, 1, NULL, &tokens, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode(tokenizer, "a", 1, NULL, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode(tokenizer, "a", SIZE_MAX, NULL, &tokens, &error));
    FAILS(LIMIT_EXCEEDED, shrink_tokenizer_encode(tokenizer, "a", (size_t)1 << 40, NULL, &tokens, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode_chat(tokenizer, NULL, 1, 0, &tokens, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode_chat(tokenizer, NULL, 0, 64, &tokens, &error));

    uint32_t beyond = UINT32_MAX;
    FAILS(INVALID_ARGUMENT, shrink_session_feed(session, NULL, NULL, 1, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_feed(session, &token, NULL, 0, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_feed(session, &token, NULL, SIZE_MAX, NULL, &error));
    FAILS(LIMIT_EXCEEDED, shrink_session_feed(session, &token, NULL, (size_t)1 << 30, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_feed(session, &beyond, NULL, 1, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_feed(session, (const uint32_t *)(const void *)((const char *)&token + 1), NULL, 1, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_sample(session, &token, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_truncate(session, 1, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_truncate(session, SIZE_MAX, &error));
    CHECK(shrink_session_feed(session, &token, NULL, 1, NULL, NULL) == SHRINK_OK);
    FAILS(INVALID_ARGUMENT, shrink_session_sample(session, NULL, &error));
    shrink_sampling sampling = shrink_sampling_default();
    sampling.temperature = -1;
    FAILS(INVALID_ARGUMENT, shrink_session_set_sampling(session, &sampling, &error));
    sampling.temperature = (float)HUGE_VAL;
    FAILS(INVALID_ARGUMENT, shrink_session_set_sampling(session, &sampling, &error));
    sampling.temperature = 1;
    sampling.top_p = 1.5f;
    FAILS(INVALID_ARGUMENT, shrink_session_set_sampling(session, &sampling, &error));
    shrink_generate_options generate = shrink_generate_options_default();
    generate.flags = 2;
    shrink_generated generated;
    FAILS(INVALID_ARGUMENT, shrink_session_generate(session, &token, 1, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_ERROR && generated.last_token == SHRINK_NO_TOKEN && generated.token_count == 0);

    float values[300];
    shrink_input inputs[2] = {{"tokens", SHRINK_TYPE_UINT32, 0, &token, 1}, {"tokens", SHRINK_TYPE_UINT32, 0, &token, 1}};
    shrink_output output = {"output", SHRINK_TYPE_FLOAT32, 0, values, 300, 0};
    size_t position = shrink_session_position(session);
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 2, &output, 1, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 0, &output, 1, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 1, &output, 2, &error));
    inputs[0].type = SHRINK_TYPE_FLOAT32;
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 1, &output, 1, &error));
    inputs[0].type = SHRINK_TYPE_INT32;
    inputs[0].name = NULL;
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 1, &output, 1, &error));
    inputs[0].name = "tokens";
    output.name = "logits";
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 1, &output, 1, &error));
    output.name = "output";
    output.capacity = 10;
    FAILS(LIMIT_EXCEEDED, shrink_session_run(session, inputs, 1, &output, 1, &error));
    output.capacity = 300;
    output.data = NULL;
    FAILS(INVALID_ARGUMENT, shrink_session_run(session, inputs, 1, &output, 1, &error));
    CHECK(shrink_session_position(session) == position);

    /* Handles that do not belong together. */
    shrink_session *classifier;
    OK(shrink_session_create(labels, NULL, &classifier, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_classify(classifier, tokenizer, "a", 1, NULL, values, 300, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_embed(session, tokenizer, "a", 1, values, 300, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_generate(classifier, &token, 1, NULL, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_set_sampling(classifier, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_save(classifier, values, sizeof values, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_restore(classifier, values, sizeof values, &error));
    CHECK(shrink_session_saved_bytes(classifier) == 0);
    shrink_tokenizer *words;
    OK(shrink_tokenizer_create(labels, &words, &error));
    FAILS(LIMIT_EXCEEDED, shrink_session_classify(classifier, words, "a", 1, NULL, values, 2, NULL, &error));
    CHECK(error.detail == 3);
    FAILS(INVALID_ARGUMENT, shrink_session_classify(classifier, words, "a", 1, NULL, NULL, 3, NULL, &error));
    FAILS(INVALID_ARGUMENT, shrink_tokenizer_encode_chat(words, NULL, 0, 0, &tokens, &error));
    shrink_tokenize_options tokenize = shrink_tokenize_options_default();
    tokenize.max_tokens = 2;
    FAILS(LIMIT_EXCEEDED, shrink_tokenizer_encode(words, "a cat", 5, &tokenize, &tokens, &error));
    shrink_tokenizer_free(words);
    shrink_session_free(classifier);
    shrink_tokenizer_free(tokenizer);
    shrink_session_free(session);
    shrink_model_release(labels);
    shrink_model_release(model);
}

void test_states(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    shrink_session_options options = shrink_session_options_default();
    options.entry = "generate";
    options.context = 64;
    shrink_session *session, *second;
    OK(shrink_session_create(model, &options, &session, &error));
    uint32_t tokens[20];
    for (uint32_t i = 0; i < 20; i++) tokens[i] = i * 11 % 250;
    shrink_rows rows;
    OK(shrink_session_feed(session, tokens, NULL, 19, NULL, &error));
    size_t need = shrink_session_saved_bytes(session), written = 0;
    unsigned char *state = malloc(need + 1), *damaged = malloc(need + 1);
    CHECK(need > 19 * 16 && state != NULL && damaged != NULL);
    FAILS(LIMIT_EXCEEDED, shrink_session_save(session, state, need - 1, NULL, &error));
    CHECK((size_t)error.detail == need);
    FAILS(INVALID_ARGUMENT, shrink_session_save(session, NULL, need, NULL, &error));
    OK(shrink_session_save(session, state, need, &written, &error));
    CHECK(written == need);
    add_to_checksum(state, need);
    OK(shrink_session_feed(session, tokens + 19, NULL, 1, &rows, &error));
    float *expected = malloc(rows.columns * sizeof *expected);
    memcpy(expected, rows.data, rows.columns * sizeof *expected);

    /* Another context, chunk and number of threads go on with the same bits. */
    options.context = 100;
    options.chunk = 2;
    options.threads = 2;
    OK(shrink_session_create(model, &options, &second, &error));
    OK(shrink_session_restore(second, state, need, &error));
    CHECK(shrink_session_position(second) == 19);
    uint32_t token;
    FAILS(INVALID_ARGUMENT, shrink_session_sample(second, &token, &error));
    OK(shrink_session_feed(second, tokens + 19, NULL, 1, &rows, &error));
    CHECK(memcmp(expected, rows.data, rows.columns * sizeof *expected) == 0);

    /* Every byte counts, and so does every length. */
    for (size_t at = 0; at < need; at += 1 + need / 301) {
        memcpy(damaged, state, need);
        damaged[at] ^= 0x10;
        FAILS(INVALID_STATE, shrink_session_restore(second, damaged, need, &error));
        CHECK(shrink_session_position(second) == 0);
    }
    for (size_t count = 0; count < need; count += 1 + need / 101)
        FAILS(INVALID_STATE, shrink_session_restore(second, state, count, &error));
    FAILS(INVALID_STATE, shrink_session_restore(second, state, need + 1, &error));
    FAILS(INVALID_ARGUMENT, shrink_session_restore(second, NULL, need, &error));
    OK(shrink_session_restore(second, state, need, &error));
    OK(shrink_session_feed(second, tokens + 19, NULL, 1, &rows, &error));
    CHECK(memcmp(expected, rows.data, rows.columns * sizeof *expected) == 0);
    shrink_session_free(second);

    options.context = 18;
    OK(shrink_session_create(model, &options, &second, &error));
    FAILS(LIMIT_EXCEEDED, shrink_session_restore(second, state, need, &error));
    CHECK(error.detail == 19);
    shrink_session_free(second);
    shrink_session_free(session);
    free(expected);
    free(damaged);
    free(state);
    shrink_model_release(model);
}

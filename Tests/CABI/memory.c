/* Every allocation fails once: an error each time, and every byte comes back. A step allocates nothing. */
#include "cabi.h"

#include <stdlib.h>
#include <string.h>

static shrink_error error;

static int ignore(void *context, uint32_t token, const char *text, size_t text_bytes) {
    (void)context, (void)token, (void)text, (void)text_bytes;
    return 0;
}

/* Everything that takes memory. Returns the first error. */
static shrink_code use_generate(const char *path, const shrink_model_options *options, int reads) {
    shrink_model_options own = *options;
    if (reads) own.flags = SHRINK_MODEL_READ_INTO_MEMORY;
    shrink_model *model = NULL;
    shrink_tokenizer *tokenizer = NULL;
    shrink_detokenizer *detokenizer = NULL;
    shrink_session *session = NULL;
    shrink_tokens tokens;
    shrink_text piece;
    char *state = NULL;
    shrink_message talk = {{"user", 4}, {"the cat\xff in the hat", 19}};
    shrink_session_options wanted = shrink_session_options_default();
    wanted.context = 100;
    wanted.threads = 2;
    shrink_generate_options generate = shrink_generate_options_default();
    generate.on_token = ignore;
    generate.max_tokens = 3;
    shrink_code code = shrink_model_open(path, &own, &model, &error);
    if (code == SHRINK_OK) code = shrink_model_self_test(model, NULL, 1, &error);
    if (code == SHRINK_OK) code = shrink_tokenizer_create(model, &tokenizer, &error);
    if (code == SHRINK_OK) code = shrink_tokenizer_encode(tokenizer, "the \xff dog ran", 13, NULL, &tokens, &error);
    if (code == SHRINK_OK) code = shrink_tokenizer_encode_chat(tokenizer, &talk, 1, 0, &tokens, &error);
    if (code == SHRINK_OK) code = shrink_detokenizer_create(model, 0, &detokenizer, &error);
    if (code == SHRINK_OK) code = shrink_detokenizer_push(detokenizer, 100, &piece, &error);
    if (code == SHRINK_OK) code = shrink_session_create(model, &wanted, &session, &error);
    if (code == SHRINK_OK)
        code = shrink_session_generate(session, tokens.ids, tokens.count < 50 ? tokens.count : 50, &generate, NULL, &error);
    if (code == SHRINK_OK) {
        size_t need = shrink_session_saved_bytes(session);
        state = malloc(need);
        code = shrink_session_save(session, state, need, NULL, &error);
        if (code == SHRINK_OK) code = shrink_session_restore(session, state, need, &error);
    }
    free(state);
    shrink_model_release(model);
    shrink_detokenizer_free(detokenizer);
    shrink_session_free(session);
    shrink_tokenizer_free(tokenizer);
    return code;
}

static shrink_code use_embed(const char *path, const shrink_model_options *options, int reads) {
    shrink_model_options own = *options;
    if (reads) own.flags = SHRINK_MODEL_READ_INTO_MEMORY;
    shrink_model *model = NULL;
    shrink_tokenizer *tokenizer = NULL;
    shrink_session *session = NULL;
    float vector[32];
    char text[600];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)("\xc3\xa9 caT"[i % 6]);
    shrink_code code = shrink_model_open(path, &own, &model, &error);
    if (code == SHRINK_OK) code = shrink_tokenizer_create(model, &tokenizer, &error);
    if (code == SHRINK_OK) code = shrink_session_create(model, NULL, &session, &error);
    if (code == SHRINK_OK) code = shrink_session_embed(session, tokenizer, text, sizeof text, vector, 32, &error);
    shrink_session_free(session);
    shrink_tokenizer_free(tokenizer);
    shrink_model_release(model);
    return code;
}

typedef shrink_code (*user)(const char *path, const shrink_model_options *options, int reads);

static void fail_everywhere(user use, const char *path) {
    for (int reads = 0; reads < 2; reads++) {
        counter memory = {0, 0, 0, 0, 0};
        shrink_model_options options = counted(&memory);
        OK(use(path, &options, reads));
        CHECK(memory.live == 0 && memory.live_bytes == 0);
        size_t calls = memory.calls;
        CHECK(calls >= 5);
        for (size_t failing = 1; failing <= calls; failing++) {
            counter short_memory = {0, 0, 0, 0, failing};
            options = counted(&short_memory);
            FAILS(OUT_OF_MEMORY, use(path, &options, reads));
            CHECK(error.detail > 0);
            CHECK(short_memory.live == 0 && short_memory.live_bytes == 0);
        }
    }
}

/* What is predicted is what is asked for, to the byte. */
static void predict(const char *path, const shrink_session_options *wanted) {
    for (unsigned reads = 0; reads < 2; reads++) {
        counter memory = {0, 0, 0, 0, 0};
        shrink_model_options options = counted(&memory);
        options.flags = reads ? SHRINK_MODEL_READ_INTO_MEMORY : 0;
        shrink_model *model;
        shrink_session *session;
        if (!OK(shrink_model_open(path, &options, &model, &error))) return;
        shrink_memory predicted;
        predicted.struct_size = sizeof predicted;
        OK(shrink_session_predict_memory(model, wanted, &predicted, &error));
        CHECK(predicted.model_bytes == memory.live_bytes);
        size_t before = memory.total_bytes;
        OK(shrink_session_create(model, wanted, &session, &error));
        CHECK(memory.total_bytes - before == predicted.session_bytes);
        shrink_session_free(session);
        shrink_model_release(model);
        CHECK(memory.live == 0);
    }
}

/* The library calls nothing else that allocates: the build is checked for that. */
static void count_steps(const char *path) {
    counter memory = {0, 0, 0, 0, 0};
    shrink_model_options options = counted(&memory);
    shrink_model *model;
    shrink_session *session;
    shrink_detokenizer *detokenizer;
    if (!OK(shrink_model_open(path, &options, &model, &error))) return;
    shrink_session_options wanted = shrink_session_options_default();
    wanted.threads = 2;
    OK(shrink_session_create(model, &wanted, &session, &error));
    OK(shrink_detokenizer_create(model, 0, &detokenizer, &error));
    size_t before = memory.calls;
    shrink_sampling sampling = shrink_sampling_default();
    sampling.temperature = 0.8f;
    sampling.top_k = 40;
    sampling.top_p = 0.9f;
    OK(shrink_session_set_sampling(session, &sampling, &error));
    uint32_t tokens[70];
    for (uint32_t i = 0; i < 70; i++) tokens[i] = i;
    shrink_generate_options generate = shrink_generate_options_default();
    generate.on_token = ignore;
    generate.max_tokens = 20;
    generate.flags = SHRINK_GENERATE_IGNORE_STOP;
    OK(shrink_session_generate(session, tokens, 70, &generate, NULL, &error));
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t token;
        shrink_text text;
        OK(shrink_session_feed(session, tokens + i, NULL, 1, NULL, &error));
        OK(shrink_session_sample(session, &token, &error));
        OK(shrink_detokenizer_push(detokenizer, token, &text, &error));
    }
    CHECK(memory.calls == before);
    shrink_detokenizer_free(detokenizer);
    shrink_session_free(session);
    shrink_model_release(model);
    CHECK(memory.live == 0);
}

void test_memory(const paths *files) {
    fail_everywhere(use_generate, files->generate);
    fail_everywhere(use_embed, files->embed);
    shrink_session_options wanted = shrink_session_options_default();
    predict(files->embed, &wanted);
    predict(files->generate, &wanted);
    wanted.entry = "score";
    wanted.threads = 3;
    wanted.context = 50;
    predict(files->generate, &wanted);
    count_steps(files->generate);
}

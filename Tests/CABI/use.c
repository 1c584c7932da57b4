/* The ordinary use of every function; all results go into the checksum. */
#define _POSIX_C_SOURCE 200809L
#include "cabi.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static shrink_error error;

void test_library(void) {
    CHECK(shrink_abi_version() == SHRINK_ABI_VERSION);
    CHECK(strcmp(shrink_version(), SHRINK_VERSION) == 0);
    for (int code = SHRINK_OK; code <= SHRINK_ERROR_INVALID_STATE; code++)
        CHECK(strcmp(shrink_code_name((shrink_code)code), "unknown error") != 0);
    CHECK(strcmp(shrink_code_name((shrink_code)999), "unknown error") == 0);

    size_t length = shrink_cpu_describe(NULL, 0);
    char *whole = malloc(length + 1), part[8];
    CHECK(length > 0 && whole != NULL);
    CHECK(shrink_cpu_describe(whole, length + 1) == length && strlen(whole) == length);
    CHECK(strstr(whole, "  scalar  ") != NULL || strncmp(whole, "* scalar  ", 10) == 0);
    CHECK(whole[0] == '*' || strstr(whole, "\n* ") != NULL);
    CHECK(shrink_cpu_describe(part, sizeof part) == length && strlen(part) == 7 && memcmp(part, whole, 7) == 0);
    CHECK(shrink_cpu_describe(part, 1) == length && part[0] == 0);
    free(whole);
}

typedef struct lines {
    int count, warnings;
    char last[256];
} lines;

static void keep_line(void *context, shrink_log_level level, const char *message) {
    lines *log = context;
    log->count++;
    if (level == SHRINK_LOG_WARNING) log->warnings++;
    CHECK(strlen(message) < sizeof log->last && strchr(message, '\n') == NULL);
    strncpy(log->last, message, sizeof log->last - 1);
}

/* --------------------------------------------------------------------------------- language models */

typedef struct answer {
    size_t tokens, bytes, stop_after;
    char text[4096];
} answer;

static int collect(void *context, uint32_t token, const char *text, size_t text_bytes) {
    answer *so_far = context;
    if (token != SHRINK_NO_TOKEN) so_far->tokens++;
    if (CHECK(so_far->bytes + text_bytes <= sizeof so_far->text) && text_bytes > 0)
        memcpy(so_far->text + so_far->bytes, text, text_bytes);
    so_far->bytes += text_bytes;
    return so_far->stop_after != 0 && so_far->tokens == so_far->stop_after;
}

static shrink_message message(const char *role, const char *content) {
    shrink_message result = {{role, strlen(role)}, {content, strlen(content)}};
    return result;
}

void test_generate(const char *path) {
    lines log = {0, 0, ""};
    shrink_model_options model_options = shrink_model_options_default();
    model_options.log = keep_line;
    model_options.log_context = &log;
    model_options.flags = SHRINK_MODEL_VERIFY_WEIGHTS;
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, &model_options, &model, &error))) return;
    CHECK(log.count == 1 && strstr(log.last, path) != NULL);

    shrink_model_info info;
    info.struct_size = sizeof info;
    OK(shrink_model_get_info(model, &info, &error));
    CHECK(info.struct_size == sizeof info && info.vocabulary_size > 256 && info.max_context == 128);
    CHECK(info.flags == (SHRINK_MODEL_HAS_TOKENIZER | SHRINK_MODEL_HAS_CHAT_TEMPLATE | SHRINK_MODEL_HAS_SELF_TEST));
    add_to_checksum(info.fingerprint, sizeof info.fingerprint);
    int has_generate = 0;
    for (uint32_t i = 0; i < info.entry_count; i++) {
        shrink_entry_info entry;
        entry.struct_size = sizeof entry;
        OK(shrink_model_get_entry(model, i, &entry, &error));
        CHECK(entry.columns == info.vocabulary_size && (entry.flags & SHRINK_ENTRY_HAS_STATE));
        if (strcmp(entry.name, "generate") == 0) has_generate = 1;
    }
    CHECK(has_generate);
    shrink_text manifest;
    OK(shrink_model_get_manifest(model, &manifest, &error));
    CHECK(manifest.count > 2 && manifest.bytes[0] == '{');
    OK(shrink_model_self_test(model, NULL, 0, &error));
    OK(shrink_model_self_test(model, "scalar", 2, &error));

    /* Tokens and text. */
    shrink_tokenizer *tokenizer;
    shrink_tokens tokens;
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    const char *text = "the \xf0\x9f\x98\x80 cat\xff in the hat";
    OK(shrink_tokenizer_encode(tokenizer, text, strlen(text), NULL, &tokens, &error));
    CHECK(tokens.count > 5 && tokens.was_cut == 0);
    add_to_checksum(tokens.ids, tokens.count * sizeof *tokens.ids);
    shrink_detokenizer *detokenizer;
    OK(shrink_detokenizer_create(model, 0, &detokenizer, &error));
    char back[256];
    size_t back_bytes = 0;
    for (size_t i = 0; i <= tokens.count; i++) {
        shrink_text piece;
        if (i < tokens.count) OK(shrink_detokenizer_push(detokenizer, tokens.ids[i], &piece, &error));
        else OK(shrink_detokenizer_finish(detokenizer, &piece, &error));
        /* Whole characters: no piece starts inside of one. */
        CHECK(piece.count == 0 || ((unsigned char)piece.bytes[0] & 0xc0) != 0x80);
        memcpy(back + back_bytes, piece.bytes, piece.count);
        back_bytes += piece.count;
    }
    const char *expected = "the \xf0\x9f\x98\x80 cat\xef\xbf\xbd in the hat";
    CHECK(back_bytes == strlen(expected) && memcmp(back, expected, back_bytes) == 0);
    shrink_detokenizer_free(detokenizer);

    shrink_tokenize_options tokenize = shrink_tokenize_options_default();
    const char *special = "a<|im_end|>";
    OK(shrink_tokenizer_encode(tokenizer, special, strlen(special), &tokenize, &tokens, &error));
    CHECK(tokens.count > 2);
    tokenize.flags = SHRINK_TOKENIZE_PARSE_SPECIAL;
    OK(shrink_tokenizer_encode(tokenizer, special, strlen(special), &tokenize, &tokens, &error));
    CHECK(tokens.count == 2 && shrink_tokenizer_is_stop(tokenizer, tokens.ids[1]) && !shrink_tokenizer_is_stop(tokenizer, tokens.ids[0]));
    tokenize.max_tokens = 1;
    OK(shrink_tokenizer_encode(tokenizer, special, strlen(special), &tokenize, &tokens, &error));
    CHECK(tokens.count == 1 && tokens.was_cut == 1);

    shrink_message conversation[2];
    conversation[0] = message("user", "the red cat");
    conversation[1] = message("assistant", "in the <|im_end|>");
    OK(shrink_tokenizer_encode_chat(tokenizer, conversation, 2, SHRINK_CHAT_NO_PROMPT, &tokens, &error));
    size_t without_prompt = tokens.count;
    add_to_checksum(tokens.ids, tokens.count * sizeof *tokens.ids);
    OK(shrink_tokenizer_encode_chat(tokenizer, conversation, 2, SHRINK_CHAT_PARSE_SPECIAL, &tokens, &error));
    CHECK(tokens.count != without_prompt);
    uint32_t prompt[64];
    OK(shrink_tokenizer_encode(tokenizer, "the dog ran in", 14, NULL, &tokens, &error));
    size_t prompt_count = tokens.count < 64 ? tokens.count : 64;
    memcpy(prompt, tokens.ids, prompt_count * sizeof *prompt);

    /* Greedy generation equals feeding and sampling by hand. */
    shrink_session_options options = shrink_session_options_default();
    options.entry = "generate";
    options.chunk = 3;
    shrink_session *session;
    OK(shrink_session_create(model, &options, &session, &error));
    CHECK(log.count == 2 && log.warnings == 0);
    CHECK(shrink_session_context(session) == 128 && shrink_session_position(session) == 0);
    CHECK(strlen(shrink_session_instruction_set(session)) > 0);
    answer greedy = {0, 0, 0, ""};
    shrink_generate_options generate = shrink_generate_options_default();
    generate.on_token = collect;
    generate.context = &greedy;
    generate.max_tokens = 12;
    generate.flags = SHRINK_GENERATE_IGNORE_STOP;
    shrink_generated generated;
    OK(shrink_session_generate(session, prompt, prompt_count, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_LENGTH && generated.token_count == 12 && greedy.tokens == 12);
    CHECK(shrink_session_position(session) == prompt_count + 11);
    add_to_checksum(greedy.text, greedy.bytes);
    uint32_t last = generated.last_token;

    OK(shrink_session_truncate(session, 0, &error));
    shrink_rows rows;
    OK(shrink_session_feed(session, prompt, NULL, prompt_count, &rows, &error));
    CHECK(rows.rows == 1 && rows.columns == info.vocabulary_size);
    add_to_checksum(rows.data, rows.columns * sizeof *rows.data);
    uint32_t token = 0;
    OK(shrink_session_sample(session, &token, &error));
    for (int i = 1; i < 12; i++) {
        OK(shrink_session_feed(session, &token, NULL, 1, &rows, &error));
        OK(shrink_session_sample(session, &token, &error));
    }
    CHECK(token == last);
    add_to_checksum(rows.data, rows.columns * sizeof *rows.data);

    /* A seed decides; the caller stops; the context ends. */
    shrink_sampling sampling = shrink_sampling_default();
    sampling.temperature = 0.9f;
    sampling.top_k = 40;
    sampling.top_p = 0.95f;
    sampling.seed = 7;
    answer drawn[2];
    for (int i = 0; i < 2; i++) {
        memset(&drawn[i], 0, sizeof drawn[i]);
        generate.context = &drawn[i];
        OK(shrink_session_set_sampling(session, &sampling, &error));
        OK(shrink_session_truncate(session, 0, &error));
        OK(shrink_session_generate(session, prompt, prompt_count, &generate, &generated, &error));
        add_to_checksum(drawn[i].text, drawn[i].bytes);
    }
    CHECK(drawn[0].bytes == drawn[1].bytes && memcmp(drawn[0].text, drawn[1].text, drawn[0].bytes) == 0);
    memset(&drawn[0], 0, sizeof drawn[0]);
    drawn[0].stop_after = 3;
    generate.context = &drawn[0];
    OK(shrink_session_generate(session, prompt, 1, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_CALLER && generated.token_count == 3);
    generate.on_token = NULL;
    generate.max_tokens = 0;
    OK(shrink_session_generate(session, prompt, 1, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_CONTEXT && shrink_session_position(session) == 128);
    FAILS(LIMIT_EXCEEDED, shrink_session_feed(session, prompt, NULL, 1, NULL, &error));

    /* A stop token ends: the only likely one is it. */
    OK(shrink_session_truncate(session, 1, &error));
    CHECK(shrink_session_position(session) == 1);
    FAILS(INVALID_ARGUMENT, shrink_session_sample(session, &token, &error));
    OK(shrink_session_set_sampling(session, NULL, &error));
    shrink_session_free(session);
    shrink_tokenizer_free(tokenizer);

    /* "score" gives a row for each token, and the rows do not depend on the chunks. */
    options = shrink_session_options_default();
    options.entry = "score";
    OK(shrink_session_create(model, &options, &session, &error));
    OK(shrink_session_feed(session, prompt, NULL, prompt_count, &rows, &error));
    CHECK(rows.rows == prompt_count && rows.columns == info.vocabulary_size);
    float *scores = malloc(rows.rows * rows.columns * sizeof *scores), *run = malloc(rows.rows * rows.columns * sizeof *run);
    for (size_t i = 0; i < rows.rows; i++)
        memcpy(scores + i * rows.columns, rows.data + i * rows.stride, rows.columns * sizeof *scores);
    OK(shrink_session_truncate(session, 0, &error));
    shrink_input input = {"tokens", SHRINK_TYPE_UINT32, 0, prompt, prompt_count};
    shrink_output output = {"output", SHRINK_TYPE_FLOAT32, 0, run, rows.rows * rows.columns, 0};
    OK(shrink_session_run(session, &input, 1, &output, 1, &error));
    CHECK(output.count == prompt_count * info.vocabulary_size && memcmp(run, scores, output.count * sizeof *run) == 0);
    add_to_checksum(run, output.count * sizeof *run);
    free(scores);
    free(run);
    shrink_model_release(model);
    /* The session keeps the model alive. */
    OK(shrink_session_truncate(session, 0, &error));
    OK(shrink_session_feed(session, prompt, NULL, prompt_count, &rows, &error));
    shrink_session_free(session);
}

/* ------------------------------------------------------------------------------------ embeddings */

void test_embed(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    shrink_entry_info entry;
    entry.struct_size = sizeof entry;
    OK(shrink_model_get_entry(model, 0, &entry, &error));
    CHECK(strcmp(entry.name, "embed") == 0 && entry.columns == 32 && entry.max_tokens == 16 && entry.flags == 0);
    shrink_tokenizer *tokenizer;
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    shrink_session *session;
    OK(shrink_session_create(model, NULL, &session, &error));
    float vector[32], again[32];
    OK(shrink_session_embed(session, tokenizer, "The cat sat.", 12, vector, 32, &error));
    float norm = 0;
    for (int i = 0; i < 32; i++) norm += vector[i] * vector[i];
    CHECK(norm > 0.999f && norm < 1.001f);
    add_to_checksum(vector, sizeof vector);

    /* By hand, and with buffers by name. */
    shrink_tokens tokens;
    OK(shrink_tokenizer_encode(tokenizer, "The cat sat.", 12, NULL, &tokens, &error));
    shrink_rows rows;
    OK(shrink_session_feed(session, tokens.ids, tokens.segments, tokens.count, &rows, &error));
    CHECK(rows.rows == 1 && rows.columns == 32 && memcmp(rows.data, vector, sizeof vector) == 0);
    shrink_input inputs[2] = {
        {"segments", SHRINK_TYPE_UINT32, 0, tokens.segments, tokens.count}, {"tokens", SHRINK_TYPE_INT32, 0, tokens.ids, tokens.count}};
    shrink_output output = {"output", SHRINK_TYPE_FLOAT32, 0, again, 32, 0};
    OK(shrink_session_run(session, inputs, 2, &output, 1, &error));
    CHECK(output.count == 32 && memcmp(again, vector, sizeof vector) == 0);
    OK(shrink_session_run(session, inputs, 2, NULL, 0, &error));

    /* A long text is cut before the last special token. */
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 4 == 3 ? ' ' : "cat"[i % 4];
    OK(shrink_session_embed(session, tokenizer, text, sizeof text, vector, 32, &error));
    add_to_checksum(vector, sizeof vector);
    OK(shrink_session_embed(session, tokenizer, text, 14 * 4, again, 32, &error));
    CHECK(memcmp(again, vector, sizeof vector) == 0);
    shrink_tokenize_options plain = shrink_tokenize_options_default();
    plain.flags = SHRINK_TOKENIZE_PLAIN;
    OK(shrink_tokenizer_encode(tokenizer, text, 8, &plain, &tokens, &error));
    CHECK(tokens.count == 2);
    /* Two special tokens around an empty text are a text. */
    OK(shrink_session_embed(session, tokenizer, NULL, 0, vector, 32, &error));
    shrink_session_free(session);
    shrink_tokenizer_free(tokenizer);
    shrink_model_release(model);
}

void test_classify(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    const char *names[3] = {"bad", "good", "so-so"};
    for (uint32_t i = 0; i < 3; i++) {
        shrink_text label;
        OK(shrink_model_get_label(model, i, &label, &error));
        CHECK(label.count == strlen(names[i]) && memcmp(label.bytes, names[i], label.count) == 0);
    }
    shrink_session_options options = shrink_session_options_default();
    options.entry = "classify";
    shrink_session *session;
    OK(shrink_session_create(model, &options, &session, &error));
    shrink_tokenizer *tokenizer;
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    float scores[3], pair_scores[3];
    uint32_t best = 9;
    OK(shrink_session_classify(session, tokenizer, "a red cat", 9, NULL, scores, 3, &best, &error));
    float sum = scores[0] + scores[1] + scores[2];
    CHECK(sum > 0.999f && sum < 1.001f && best < 3);
    for (int i = 0; i < 3; i++) CHECK(scores[i] <= scores[best]);
    shrink_tokenize_options tokenize = shrink_tokenize_options_default();
    tokenize.pair = "a dog";
    tokenize.pair_bytes = 5;
    OK(shrink_session_classify(session, tokenizer, "a red cat", 9, &tokenize, pair_scores, 3, NULL, &error));
    CHECK(memcmp(scores, pair_scores, sizeof scores) != 0);
    shrink_tokens tokens;
    OK(shrink_tokenizer_encode(tokenizer, "a red cat", 9, &tokenize, &tokens, &error));
    CHECK(tokens.segments[0] == 0 && tokens.segments[tokens.count - 1] == 1);
    tokenize.max_tokens = 4;
    FAILS(LIMIT_EXCEEDED, shrink_session_classify(session, tokenizer, "a red cat", 9, &tokenize, scores, 3, NULL, &error));
    add_to_checksum(scores, sizeof scores);
    add_to_checksum(pair_scores, sizeof pair_scores);
    shrink_tokenizer_free(tokenizer);
    shrink_session_free(session);
    shrink_model_release(model);
}

/* --------------------------------------------------------------------------------------- sources */

static void embed_once(shrink_model *model, float *vector) {
    shrink_tokenizer *tokenizer;
    shrink_session *session;
    OK(shrink_tokenizer_create(model, &tokenizer, &error));
    OK(shrink_session_create(model, NULL, &session, &error));
    OK(shrink_session_embed(session, tokenizer, "a dog ran", 9, vector, 32, &error));
    shrink_session_free(session);
    shrink_tokenizer_free(tokenizer);
}

void test_sources(const char *path) {
    int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    off_t size = lseek(file, 0, SEEK_END);
    void *bytes = NULL;
    CHECK(size > 0 && posix_memalign(&bytes, 64, (size_t)size + 64) == 0);
    CHECK(pread(file, bytes, (size_t)size, 0) == size);
    float expected[32], vector[32];
    for (int i = 0; i < 6; i++) {
        shrink_model_options options = shrink_model_options_default();
        if (i % 2 == 1) options.flags = SHRINK_MODEL_READ_INTO_MEMORY;
        shrink_model *model = NULL;
        if (i / 2 == 0) OK(shrink_model_open(path, &options, &model, &error));
        else if (i / 2 == 1) OK(shrink_model_open_fd(file, &options, &model, &error));
        else OK(shrink_model_open_memory(bytes, (size_t)size, &options, &model, &error));
        if (model == NULL) continue;
        shrink_memory memory;
        memory.struct_size = sizeof memory;
        OK(shrink_session_predict_memory(model, NULL, &memory, &error));
        CHECK(memory.mapped_bytes == (i % 2 == 0 && i < 4 ? (uint64_t)size : 0));
        CHECK((memory.model_bytes > (uint64_t)size) == (i % 2 == 1));
        embed_once(model, i == 0 ? expected : vector);
        CHECK(i == 0 || memcmp(expected, vector, sizeof vector) == 0);
        CHECK(shrink_model_retain(model) == model);
        shrink_model_release(model);
        shrink_model_release(model);
    }
    /* The descriptor is as it was. */
    CHECK(lseek(file, 0, SEEK_CUR) == size);
    close(file);

    /* Memory that is not aligned must be copied; damaged bytes are refused, damaged weights when asked. */
    shrink_model *model = NULL;
    char *shifted = (char *)bytes + 4;
    memmove(shifted, bytes, (size_t)size);
    shrink_model_options options = shrink_model_options_default();
    FAILS(INVALID_ARGUMENT, shrink_model_open_memory(shifted, (size_t)size, &options, &model, &error));
    CHECK(model == NULL);
    options.flags = SHRINK_MODEL_READ_INTO_MEMORY;
    OK(shrink_model_open_memory(shifted, (size_t)size, &options, &model, &error));
    shrink_model_release(model);
    for (off_t at = 0; at < size; at += 1 + size / 97) {
        shifted[at] ^= 1;
        options.flags = SHRINK_MODEL_READ_INTO_MEMORY | SHRINK_MODEL_VERIFY_WEIGHTS;
        shrink_code code = shrink_model_open_memory(shifted, (size_t)size, &options, &model, &error);
        CHECK((code == SHRINK_ERROR_INVALID_ARTIFACT || code == SHRINK_ERROR_UNSUPPORTED_VERSION) && model == NULL);
        shifted[at] ^= 1;
    }
    for (off_t count = 0; count < size; count += 1 + size / 61)
        FAILS(INVALID_ARTIFACT, shrink_model_open_memory(shifted, (size_t)count, &options, &model, &error));
    free(bytes);
}

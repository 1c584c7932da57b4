#include "answer.h"

#include <stdlib.h>
#include <string.h>

/* What the library says, in the protocol's words. */
static bool fail(struct failure *failure, const shrink_error *error) {
    const char *code = error->code == SHRINK_ERROR_INVALID_ARGUMENT ? "invalid_request"
        : error->code == SHRINK_ERROR_LIMIT_EXCEEDED                ? "limit_exceeded"
        : error->code == SHRINK_ERROR_CANCELLED                     ? "cancelled"
                                                                    : "model_error";
    failure_set(failure, code, "%s", error->message);
    failure->has_detail = true;
    failure->detail = error->detail;
    return false;
}

static bool fail_too_long(struct failure *failure) {
    failure_set(
        failure, "limit_exceeded", "the answer is longer than the daemon's buffer; ask for less, or raise --output-bytes");
    return false;
}

static void begin(const struct answer *answer) {
    buffer_clear(answer->line);
    buffer_print(answer->line, "{\"id\":%s", answer->request->id);
}

/* Ends a line, if it fitted. */
static bool end(const struct answer *answer, struct failure *failure) {
    buffer_print(answer->line, ",\"model\":\"%s\"}\n", answer->engine->fingerprint);
    return !answer->line->is_full || fail_too_long(failure);
}

static bool tokenize(
    const struct answer *answer, const shrink_tokenize_options *options, shrink_tokens *tokens, struct failure *failure) {
    shrink_error error;
    const shrink_text *text = &answer->request->text;
    return shrink_tokenizer_encode(answer->lane->tokenizer, text->bytes, text->count, options, tokens, &error) == SHRINK_OK
        || fail(failure, &error);
}

static void write_token_count(struct answer *answer, const shrink_tokens *tokens) {
    answer->prompt_tokens = tokens->count;
    buffer_print(answer->line, ",\"tokens\":%zu,\"truncated\":%s", tokens->count, tokens->was_cut ? "true" : "false");
}

static bool embed(struct answer *answer, struct failure *failure) {
    shrink_session *session = answer->lane->sessions[EMBED];
    shrink_tokenize_options options = shrink_tokenize_options_default();
    shrink_tokens tokens;
    shrink_rows rows;
    shrink_error error;
    options.max_tokens = shrink_session_context(session);
    if (!tokenize(answer, &options, &tokens, failure)) return false;
    if (shrink_session_feed(session, tokens.ids, tokens.segments, tokens.count, &rows, &error) != SHRINK_OK)
        return fail(failure, &error);
    begin(answer);
    write_token_count(answer, &tokens);
    buffer_print(answer->line, ",\"vector\":[");
    for (size_t i = 0; i < rows.columns; i++) {
        if (i) buffer_append(answer->line, ",", 1);
        buffer_float(answer->line, rows.data[i]);
    }
    buffer_print(answer->line, "]");
    return end(answer, failure);
}

static void write_label(const struct answer *answer, uint32_t index) {
    shrink_text label = {"", 0};
    shrink_model_get_label(answer->engine->model, index, &label, NULL);
    buffer_string(answer->line, label.bytes, label.count);
}

static bool classify(struct answer *answer, struct failure *failure) {
    shrink_session *session = answer->lane->sessions[CLASSIFY];
    const struct request *request = answer->request;
    uint32_t count = answer->engine->columns[CLASSIFY], best;
    shrink_tokenize_options options = shrink_tokenize_options_default();
    shrink_tokens tokens;
    shrink_error error;
    options.pair = request->pair.bytes;
    options.pair_bytes = request->pair.count;
    options.max_tokens = shrink_session_context(session);
    /* Tokenized for its own sake: the answer tells how long the text was, and whether it was cut. */
    if (!tokenize(answer, &options, &tokens, failure)) return false;
    begin(answer);
    write_token_count(answer, &tokens);
    float *scores = malloc(count * sizeof *scores);
    if (!scores) {
        failure_set(failure, "overloaded", "no memory for the scores; try again later");
        return false;
    }
    bool is_good = shrink_session_classify(
                       session, answer->lane->tokenizer, request->text.bytes, request->text.count, &options, scores, count, &best,
                       &error) == SHRINK_OK;
    if (is_good) {
        buffer_print(answer->line, ",\"label\":");
        write_label(answer, best);
        for (uint32_t i = 0; i < count; i++) {
            buffer_print(answer->line, "%s{\"label\":", i ? "," : ",\"scores\":[");
            write_label(answer, i);
            buffer_print(answer->line, ",\"score\":");
            buffer_float(answer->line, scores[i]);
            buffer_print(answer->line, "}");
        }
        buffer_print(answer->line, "]");
    }
    free(scores);
    return is_good ? end(answer, failure) : fail(failure, &error);
}

/* A stream gets a line for each piece of text; otherwise the text grows in the one line of the answer. */
static int take_token(void *context, uint32_t token, const char *text, size_t text_bytes) {
    struct answer *answer = context;
    (void)token;
    if (text_bytes == 0) return 0;
    if (!answer->request->is_streamed) {
        buffer_escape(answer->line, text, text_bytes);
        return answer->line->is_full;
    }
    begin(answer);
    buffer_print(answer->line, ",\"delta\":");
    buffer_string(answer->line, text, text_bytes);
    buffer_print(answer->line, "}\n");
    return answer->line->is_full || !answer->send(answer->send_context, answer->line);
}

static bool generate(struct answer *answer, struct failure *failure) {
    static const char *const stops[] = {"end", "length", "context", "caller", "error"};
    shrink_session *session = answer->lane->sessions[GENERATE];
    shrink_tokenizer *tokenizer = answer->lane->tokenizer;
    const struct request *request = answer->request;
    shrink_tokens tokens;
    shrink_generated generated;
    shrink_error error;
    if (request->messages) {
        if (shrink_tokenizer_encode_chat(tokenizer, request->messages, request->message_count, 0, &tokens, &error) != SHRINK_OK)
            return fail(failure, &error);
    } else if (!tokenize(answer, NULL, &tokens, failure)) {
        return false;
    }
    if (tokens.count == 0) {
        failure_set(failure, "invalid_request", "the prompt is empty");
        return false;
    }
    if (shrink_session_truncate(session, 0, &error) != SHRINK_OK) return fail(failure, &error);
    if (shrink_session_set_sampling(session, &request->sampling, &error) != SHRINK_OK) return fail(failure, &error);
    answer->prompt_tokens = tokens.count;
    begin(answer);
    buffer_print(answer->line, ",\"text\":\"");
    shrink_generate_options options = shrink_generate_options_default();
    options.on_token = take_token;
    options.context = answer;
    options.max_tokens = request->max_tokens;
    shrink_code code = shrink_session_generate(session, tokens.ids, answer->prompt_tokens, &options, &generated, &error);
    answer->generated_tokens = generated.token_count;
    if (code != SHRINK_OK) return fail(failure, &error);
    if (generated.stop == SHRINK_STOP_CALLER) return fail_too_long(failure); /* or the stream was stopped, which its job tells */
    if (request->is_streamed) begin(answer);
    else buffer_append(answer->line, "\"", 1);
    buffer_print(
        answer->line, ",\"stop\":\"%s\",\"prompt_tokens\":%llu,\"tokens\":%llu", stops[generated.stop],
        (unsigned long long)answer->prompt_tokens, (unsigned long long)answer->generated_tokens);
    return end(answer, failure);
}

bool answer_run(struct answer *answer, struct failure *failure) {
    static bool (*const runs[MODEL_OPERATION_COUNT])(struct answer *, struct failure *) = {embed, classify, generate};
    enum operation operation = answer->request->operation;
    if (answer->lane->sessions[operation]) return runs[operation](answer, failure);
    failure_set(
        failure, "unsupported", "this model does not %s; it can %s", operation_names[operation],
        engine_operations(answer->engine));
    return false;
}

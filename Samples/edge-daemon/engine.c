#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void log_library(void *context, shrink_log_level level, const char *message) {
    (void)context;
    if (level == SHRINK_LOG_WARNING) log_line("libshrink: %s", message);
}

static bool fail(const char *path, const char *what, const shrink_error *error, shrink_code *reason) {
    *reason = error->code;
    log_line("%s: %s: %s: %s (%lld)", path, what, shrink_code_name(error->code), error->message, (long long)error->detail);
    return false;
}

static bool open_model(struct engine *engine, const struct options *options, shrink_code *reason) {
    const char *path = options->model_path;
    shrink_error error;
    shrink_model_options model_options = shrink_model_options_default();
    model_options.log = log_library;
    model_options.max_text_bytes = options->request_bytes;
    model_options.flags = SHRINK_MODEL_VERIFY_WEIGHTS;
    if (options->reads_into_memory) model_options.flags |= SHRINK_MODEL_READ_INTO_MEMORY;
    if (shrink_model_open(path, &model_options, &engine->model, &error) != SHRINK_OK)
        return fail(path, "the model cannot be opened", &error, reason);
    if (shrink_model_self_test(engine->model, NULL, options->threads, &error) != SHRINK_OK)
        return fail(path, "the self-test failed", &error, reason);
    return true;
}

static bool read_info(struct engine *engine, const struct options *options, shrink_code *reason) {
    shrink_error error;
    shrink_model_info info = {.struct_size = sizeof info};
    if (shrink_model_get_info(engine->model, &info, &error) != SHRINK_OK)
        return fail(options->model_path, "the model does not tell what it is", &error, reason);
    for (int i = 0; i < 32; i++) snprintf(engine->fingerprint + 2 * i, 3, "%02x", info.fingerprint[i]);
    for (uint32_t i = 0; i < info.entry_count; i++) {
        shrink_entry_info entry = {.struct_size = sizeof entry};
        if (shrink_model_get_entry(engine->model, i, &entry, &error) != SHRINK_OK)
            return fail(options->model_path, "the model does not tell what it can do", &error, reason);
        for (int operation = 0; operation < MODEL_OPERATION_COUNT; operation++) {
            if (strcmp(entry.name, operation_names[operation]) != 0) continue;
            uint32_t most = entry.flags & SHRINK_ENTRY_HAS_STATE ? info.max_context : entry.max_tokens;
            engine->columns[operation] = entry.columns;
            engine->contexts[operation] = options->context < most ? options->context : most;
        }
    }
    if (*engine_operations(engine)) return true;
    *reason = SHRINK_ERROR_INVALID_ARGUMENT;
    log_line("%s: the model can neither embed nor classify nor generate; quantize one that can", options->model_path);
    return false;
}

static bool make_lane(struct engine *engine, struct lane *lane, const struct options *options, shrink_code *reason) {
    shrink_error error;
    if (shrink_tokenizer_create(engine->model, &lane->tokenizer, &error) != SHRINK_OK)
        return fail(options->model_path, "no tokenizer", &error, reason);
    for (int i = 0; i < MODEL_OPERATION_COUNT; i++) {
        if (engine->columns[i] == 0) continue;
        shrink_session_options session_options = shrink_session_options_default();
        session_options.entry = operation_names[i];
        session_options.context = engine->contexts[i];
        session_options.threads = options->threads;
        if (shrink_session_create(engine->model, &session_options, &lane->sessions[i], &error) != SHRINK_OK)
            return fail(options->model_path, "no session", &error, reason);
    }
    return true;
}

struct engine *engine_open(const struct options *options, shrink_code *reason) {
    *reason = SHRINK_ERROR_OUT_OF_MEMORY;
    struct engine *engine = calloc(1, sizeof *engine + options->workers * sizeof *engine->lanes);
    if (!engine) {
        log_line("%s: no memory to open the model", options->model_path);
        return NULL;
    }
    engine->lane_count = options->workers;
    bool is_good = open_model(engine, options, reason) && read_info(engine, options, reason);
    for (unsigned i = 0; is_good && i < engine->lane_count; i++) is_good = make_lane(engine, &engine->lanes[i], options, reason);
    if (is_good) return engine;
    engine_free(engine);
    return NULL;
}

void engine_free(struct engine *engine) {
    for (unsigned i = 0; i < engine->lane_count; i++) {
        for (int j = 0; j < MODEL_OPERATION_COUNT; j++) shrink_session_free(engine->lanes[i].sessions[j]);
        shrink_tokenizer_free(engine->lanes[i].tokenizer);
    }
    shrink_model_release(engine->model);
    free(engine);
}

const char *engine_operations(const struct engine *engine) {
    static const char *const names[] = {
        "", "embed", "classify", "embed and classify", "generate", "embed and generate", "classify and generate",
        "embed, classify and generate",
    };
    return names[(engine->columns[EMBED] != 0) | (engine->columns[CLASSIFY] != 0) << 1 | (engine->columns[GENERATE] != 0) << 2];
}

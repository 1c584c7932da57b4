/* Own threads, the caller's threads, cancelling from another thread, one model shared by many. */
#define _POSIX_C_SOURCE 200809L
#include "cabi.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static shrink_error error;

typedef struct share {
    shrink_task_fn task;
    void *context;
    size_t index;
} share;

static void *run_share(void *context) {
    share *own = context;
    own->task(own->context, own->index);
    return NULL;
}

/* A thread for each share, in no good order. */
static void on_fresh_threads(void *context, size_t count, shrink_task_fn task, void *task_context) {
    ++*(size_t *)context;
    pthread_t threads[8];
    share shares[8];
    if (!CHECK(count <= 8)) return;
    for (size_t i = 0; i < count; i++) {
        share own = {task, task_context, count - 1 - i};
        shares[i] = own;
        CHECK(pthread_create(&threads[i], NULL, run_share, &shares[i]) == 0);
    }
    for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void on_this_thread(void *context, size_t count, shrink_task_fn task, void *task_context) {
    ++*(size_t *)context;
    for (size_t i = 0; i < count; i++) task(task_context, i);
}

enum { TOKENS = 100, COLUMNS_MOST = 400 };

static void run_prompt(const shrink_model *model, const shrink_session_options *options, float *logits) {
    uint32_t tokens[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++) tokens[i] = i * 31 % 250;
    shrink_session *session;
    shrink_rows rows;
    shrink_error own;
    shrink_code code = shrink_session_create(model, options, &session, &own);
    if (code == SHRINK_OK) code = shrink_session_feed(session, tokens, NULL, TOKENS, &rows, &own);
    if (code == SHRINK_OK) memcpy(logits, rows.data, (rows.columns < COLUMNS_MOST ? rows.columns : COLUMNS_MOST) * sizeof *logits);
    else memset(logits, 0xff, COLUMNS_MOST * sizeof *logits);
    shrink_session_free(session);
}

typedef struct client {
    const shrink_model *model;
    float logits[COLUMNS_MOST];
} client;

static void *serve(void *context) {
    client *own = context;
    run_prompt(own->model, NULL, own->logits);
    return NULL;
}

typedef struct interruption {
    shrink_session *session;
    size_t tokens;
    pthread_t thread;
} interruption;

static void *cancel_session(void *context) {
    struct timespec moment = {0, 2000000};
    nanosleep(&moment, NULL);
    shrink_session_cancel(((interruption *)context)->session);
    return NULL;
}

static int cancel_at_third(void *context, uint32_t token, const char *text, size_t text_bytes) {
    (void)token, (void)text, (void)text_bytes;
    interruption *own = context;
    if (++own->tokens == 3) {
        CHECK(pthread_create(&own->thread, NULL, cancel_session, own) == 0);
        /* Waits for it, so that the next step meets the flag. */
        pthread_join(own->thread, NULL);
    }
    return 0;
}

void test_threads(const char *path) {
    shrink_model *model = NULL;
    if (!OK(shrink_model_open(path, NULL, &model, &error))) return;
    static float expected[COLUMNS_MOST], logits[COLUMNS_MOST];
    memset(expected, 0, sizeof expected);
    run_prompt(model, NULL, expected);
    add_to_checksum(expected, sizeof expected);
    for (uint32_t threads = 2; threads <= 3; threads++) {
        for (int way = 0; way < 3; way++) {
            size_t calls = 0;
            shrink_session_options options = shrink_session_options_default();
            options.threads = threads;
            options.parallel_context = &calls;
            if (way == 1) options.parallel_for = on_fresh_threads;
            if (way == 2) options.parallel_for = on_this_thread;
            memset(logits, 0, sizeof logits);
            run_prompt(model, &options, logits);
            CHECK(memcmp(expected, logits, sizeof logits) == 0);
            CHECK((calls > 0) == (way != 0));
        }
    }

    static client clients[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        clients[i].model = model;
        CHECK(pthread_create(&threads[i], NULL, serve, &clients[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK(memcmp(expected, clients[i].logits, sizeof expected) == 0);
    }

    interruption stop;
    memset(&stop, 0, sizeof stop);
    OK(shrink_session_create(model, NULL, &stop.session, &error));
    shrink_generate_options generate = shrink_generate_options_default();
    generate.on_token = cancel_at_third;
    generate.context = &stop;
    generate.flags = SHRINK_GENERATE_IGNORE_STOP;
    shrink_generated generated;
    uint32_t prompt[4] = {1, 2, 3, 4};
    FAILS(CANCELLED, shrink_session_generate(stop.session, prompt, 4, &generate, &generated, &error));
    CHECK(generated.stop == SHRINK_STOP_ERROR && generated.token_count == 3 && shrink_session_position(stop.session) == 6);
    FAILS(CANCELLED, shrink_session_feed(stop.session, prompt, NULL, 1, NULL, &error));
    CHECK(shrink_session_position(stop.session) == 6);
    shrink_session_clear_cancel(stop.session);
    OK(shrink_session_feed(stop.session, prompt, NULL, 1, NULL, &error));
    shrink_session_free(stop.session);
    shrink_model_release(model);
}

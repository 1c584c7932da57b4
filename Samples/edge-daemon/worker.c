/* The threads that run the model. Each has its lane of the engine: a tokenizer and sessions of its own. */
#include <stdlib.h>

#include "answer.h"
#include "log.h"
#include "server.h"

struct worker {
    struct server *server;
    unsigned index;
    struct job *job;
    struct buffer line;
};

struct engine *engine_drop(struct engine *engine) {
    return --engine->references == 0 ? engine : NULL;
}

static bool send_line(void *context, const struct buffer *line) {
    struct worker *worker = context;
    struct server *server = worker->server;
    struct job *job = worker->job;
    pthread_mutex_lock(&server->lock);
    if (job->client->out.count + line->count > server->options->output_bytes / 4 * 3) job_stop(job, READER_TOO_SLOW);
    bool goes_on = job->reason == NOT_STOPPED;
    if (goes_on) buffer_append(&job->client->out, line->bytes, line->count);
    pthread_mutex_unlock(&server->lock);
    if (goes_on) server_wake(server);
    return goes_on;
}

/* Hands the last line to the client and counts. Under the lock. */
static void finish(struct worker *worker, const struct answer *answer, bool is_done, struct failure *failure) {
    struct server *server = worker->server;
    struct job *job = worker->job;
    struct client *client = job->client;
    enum outcome outcome = is_done ? DONE : FAILED;
    if (!is_done && job->reason != NOT_STOPPED) outcome = job_failure(job->reason, failure);
    if (client->descriptor < 0) outcome = CANCELLED;
    else if (is_done) buffer_append(&client->out, worker->line.bytes, worker->line.count);
    else failure_write(failure, job->request.id, &client->out);
    client->running = NULL;
    server->running--;
    server->metrics.prompt_tokens += answer->prompt_tokens;
    server->metrics.generated_tokens += answer->generated_tokens;
    metrics_count(&server->metrics, job->request.operation, outcome, now_nanoseconds() - job->arrived_at);
    if (server->queued) pthread_cond_signal(&server->work); /* the client's next request may run, maybe elsewhere */
}

static void *work(void *context) {
    struct worker *worker = context;
    struct server *server = worker->server;
    pthread_mutex_lock(&server->lock);
    while ((worker->job = queue_take(server))) {
        struct job *job = worker->job;
        struct engine *engine = server->engine;
        struct lane *lane = &engine->lanes[worker->index];
        struct failure failure;
        struct answer answer = {
            .engine = engine, .lane = lane, .request = &job->request, .line = &worker->line, .send = send_line,
            .send_context = worker};
        engine->references++;
        server->running++;
        job->client->running = job;
        job->session = lane->sessions[job->request.operation];
        if (job->session) shrink_session_clear_cancel(job->session); /* of the request before */
        pthread_mutex_unlock(&server->lock);

        bool is_done = answer_run(&answer, &failure);

        pthread_mutex_lock(&server->lock);
        finish(worker, &answer, is_done, &failure);
        engine = engine_drop(engine);
        pthread_mutex_unlock(&server->lock);
        if (engine) engine_free(engine);
        job_free(job);
        buffer_clear(&worker->line);
        buffer_consume(&worker->line, 0);
        server_wake(server);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    buffer_free(&worker->line);
    free(worker);
    return NULL;
}

unsigned workers_start(struct server *server, pthread_t *threads) {
    for (unsigned i = 0; i < server->options->workers; i++) {
        struct worker *worker = calloc(1, sizeof *worker);
        if (worker) *worker = (struct worker){.server = server, .index = i, .line = {.limit = server->options->output_bytes / 2}};
        if (!worker || pthread_create(&threads[i], NULL, work, worker) != 0) {
            free(worker);
            log_line("no memory for %u workers; start fewer with --workers", server->options->workers);
            return i;
        }
    }
    return server->options->workers;
}

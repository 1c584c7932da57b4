/* One connection: lines in, lines out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "server.h"

enum { READ_BYTES = 4096, SOCKET_BYTES = 65536 };

struct client *client_create(const struct options *options, int descriptor, int64_t now) {
    struct client *client = calloc(1, sizeof *client);
    if (!client) return NULL;
    /* The kernel's share of what a client leaves unread is bounded, too. */
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_BYTES}, sizeof(int));
    client->descriptor = descriptor;
    client->in.limit = options->request_bytes + 1; /* with the line break */
    client->out.limit = options->output_bytes;
    client->active_at = now;
    return client;
}

/* Whether one more request may be taken from it. */
static bool may_ask(const struct server *server, const struct client *client) {
    unsigned requests = client->waiting_count + (client->running != NULL);
    return client->descriptor >= 0 && requests < server->options->client_requests && client_has_room(server, client);
}

bool client_wants_input(const struct server *server, const struct client *client) {
    return !client->is_ended && client->in.count < client->in.limit && may_ask(server, client);
}

void client_read(struct server *server, struct client *client) {
    struct buffer *in = &client->in;
    size_t wanted = in->limit - in->count < READ_BYTES ? in->limit - in->count : READ_BYTES;
    char *room = buffer_reserve(in, wanted);
    ssize_t count = -1;
    if (room) {
        size_t most = in->capacity < in->limit ? in->capacity : in->limit;
        count = recv(client->descriptor, room, most - in->count, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    }
    if (count > 0) {
        in->count += (size_t)count;
        client->active_at = now_nanoseconds();
    } else if (count == 0) {
        client->is_ended = true;
    } else {
        pthread_mutex_lock(&server->lock);
        client_leave(server, client);
        pthread_mutex_unlock(&server->lock);
    }
}

void client_write(struct server *server, struct client *client) {
    struct buffer *out = &client->out;
    pthread_mutex_lock(&server->lock);
    ssize_t count = 0;
    if (out->count && !out->is_full) count = send(client->descriptor, out->bytes, out->count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) {
        client->active_at = client->stuck_since = now_nanoseconds();
        buffer_consume(out, (size_t)count);
        if (client->waiting && client_has_room(server, client)) pthread_cond_signal(&server->work);
    } else if (out->is_full || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        client_leave(server, client); /* is_full: there was no memory for an answer */
    }
    pthread_mutex_unlock(&server->lock);
}

static void write_health(const struct server *server, const char *id, struct buffer *out) {
    buffer_print(
        out, "{\"id\":%s,\"ready\":true,\"model\":\"%s\",\"can\":[", id, server->engine->fingerprint);
    for (int i = 0, count = 0; i < MODEL_OPERATION_COUNT; i++)
        if (server->engine->columns[i]) buffer_print(out, "%s\"%s\"", count++ ? "," : "", operation_names[i]);
    buffer_print(out, "],\"uptime_seconds\":%.3f}\n", (double)(now_nanoseconds() - server->started_at) / 1e9);
}

static void write_metrics(const struct server *server, const char *id, struct buffer *out) {
    struct gauges gauges = {
        .clients = server->client_count, .queued = server->queued, .running = server->running,
        .uptime_seconds = (double)(now_nanoseconds() - server->started_at) / 1e9, .fingerprint = server->engine->fingerprint};
    buffer_print(out, "{\"id\":%s,", id);
    metrics_write(&server->metrics, &gauges, out);
    buffer_append(out, "}\n", 2);
}

static void take_line(struct server *server, struct client *client, const char *line, size_t count) {
    struct failure failure;
    size_t blank = 0;
    while (blank < count && strchr(" \t\r", line[blank]) && line[blank]) blank++;
    if (blank == count) return;
    struct job *job = malloc(sizeof *job + count + 1);
    if (!job) {
        client_refuse(server, client, "overloaded", "no memory for the request; try again later");
        return;
    }
    *job = (struct job){.client = client, .arrived_at = now_nanoseconds(), .deadline = INT64_MAX};
    if (server->options->request_seconds)
        job->deadline = job->arrived_at + server->options->request_seconds * INT64_C(1000000000);
    memcpy(job->line, line, count);
    job->line[count] = 0;
    bool is_request = request_parse(&job->request, server->document, job->line, count, server->options->max_tokens, &failure);
    bool is_waiting = false;
    enum operation operation = job->request.operation;
    pthread_mutex_lock(&server->lock);
    if (!is_request) {
        server->metrics.invalid_lines++;
        failure_write(&failure, job->request.id, &client->out);
    } else if (operation < MODEL_OPERATION_COUNT) {
        is_waiting = queue_add(server, job, &failure);
        if (!is_waiting) {
            metrics_count(&server->metrics, operation, REJECTED, 0);
            failure_write(&failure, job->request.id, &client->out);
        }
    } else {
        metrics_count(&server->metrics, operation, DONE, 0);
        (operation == HEALTH ? write_health : write_metrics)(server, job->request.id, &client->out);
    }
    pthread_mutex_unlock(&server->lock);
    if (!is_waiting) job_free(job);
}

void client_take_lines(struct server *server, struct client *client) {
    struct buffer *in = &client->in;
    size_t start = 0;
    bool is_partial = false;
    for (;;) {
        pthread_mutex_lock(&server->lock);
        bool goes_on = start < in->count && may_ask(server, client);
        pthread_mutex_unlock(&server->lock);
        if (!goes_on) break;
        size_t from = start > client->scanned ? start : client->scanned;
        char *end = memchr(in->bytes + from, '\n', in->count - from);
        if (!end) {
            client->scanned = in->count;
            is_partial = true;
            break;
        }
        take_line(server, client, in->bytes + start, (size_t)(end - (in->bytes + start)));
        start = (size_t)(end - in->bytes) + 1;
    }
    if (start) {
        buffer_consume(in, start);
        client->scanned = client->scanned > start ? client->scanned - start : 0;
        client->line_since = 0;
    }
    const char *code = NULL, *message = NULL;
    if (is_partial && in->count == in->limit)
        code = "too_long", message = "the line is longer than --request-bytes allows; the connection ends";
    else if (is_partial && client->is_ended)
        code = "invalid_json", message = "the last line has no end";
    if (!code) return;
    client_refuse(server, client, code, message);
    client_end_input(client);
}

void client_end_input(struct client *client) {
    client->is_ended = true;
    client->scanned = 0;
    buffer_free(&client->in);
}

void client_refuse(struct server *server, struct client *client, const char *code, const char *message) {
    struct failure failure;
    failure_set(&failure, code, "%s", message);
    pthread_mutex_lock(&server->lock);
    server->metrics.invalid_lines++;
    failure_write(&failure, "null", &client->out);
    pthread_mutex_unlock(&server->lock);
}

void client_leave(struct server *server, struct client *client) {
    if (client->descriptor < 0) return;
    close(client->descriptor);
    client->descriptor = -1;
    client->is_ended = true;
    if (client->running) job_stop(client->running, CLIENT_LEFT);
    queue_expire(server, client, now_nanoseconds(), CLIENT_LEFT);
    buffer_free(&client->in);
    buffer_free(&client->out);
}

void client_free(struct client *client) {
    buffer_free(&client->in);
    buffer_free(&client->out);
    free(client);
}

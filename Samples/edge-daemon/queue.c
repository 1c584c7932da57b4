/* Waiting requests: in order for each connection, which take turns. One connection runs one request at a time. */
#include <stdlib.h>

#include "log.h"
#include "server.h"

bool queue_add(struct server *server, struct job *job, struct failure *failure) {
    /* Those that a free worker is about to take do not wait. */
    if (server->queued + server->running >= server->options->queued + server->options->workers) {
        failure_set(failure, "overloaded", "%u requests wait already; try again later", server->options->queued);
        return false;
    }
    struct job **last = &job->client->waiting;
    while (*last) last = &(*last)->next;
    *last = job;
    job->client->waiting_count++;
    server->queued++;
    pthread_cond_signal(&server->work);
    return true;
}

static struct job *take_first(struct server *server, struct client *client) {
    struct job *job = client->waiting;
    client->waiting = job->next;
    job->next = NULL;
    client->waiting_count--;
    server->queued--;
    return job;
}

struct job *queue_take(struct server *server) {
    unsigned slots = server->options->clients;
    while (!server->workers_end) {
        for (unsigned i = 1; i <= slots && server->queued; i++) {
            unsigned slot = (server->turn + i) % slots;
            struct client *client = server->clients[slot];
            if (!client || !client->waiting || client->running || !client_has_room(server, client)) continue;
            server->turn = slot;
            return take_first(server, client);
        }
        pthread_cond_wait(&server->work, &server->lock);
    }
    return NULL;
}

void job_stop(struct job *job, enum reason reason) {
    if (job->reason != NOT_STOPPED) return;
    job->reason = reason;
    if (job->session) shrink_session_cancel(job->session);
}

enum outcome job_failure(enum reason reason, struct failure *failure) {
    switch (reason) {
    case OUT_OF_TIME: failure_set(failure, "timeout", "the request took longer than the daemon allows"); return TIMED_OUT;
    case SHUTTING_DOWN: failure_set(failure, "shutting_down", "the daemon ends; connect again later"); return CANCELLED;
    case READER_TOO_SLOW:
        failure_set(
            failure, "slow_reader", "the answer does not fit into the daemon's buffer, because the client does not read it");
        return CANCELLED;
    default: failure_set(failure, "cancelled", "the client has left"); return CANCELLED;
    }
}

int64_t queue_expire(struct server *server, struct client *client, int64_t now, enum reason reason) {
    int64_t next = INT64_MAX;
    struct job **link = &client->waiting;
    while (*link) {
        struct job *job = *link;
        if (reason == OUT_OF_TIME && job->deadline > now) {
            if (job->deadline < next) next = job->deadline;
            link = &job->next;
            continue;
        }
        *link = job->next;
        client->waiting_count--;
        server->queued--;
        struct failure failure;
        enum outcome outcome = job_failure(reason, &failure);
        metrics_count(&server->metrics, job->request.operation, outcome, now - job->arrived_at);
        if (reason != CLIENT_LEFT) failure_write(&failure, job->request.id, &client->out);
        job_free(job);
    }
    return next;
}

void job_free(struct job *job) {
    free(job->request.messages);
    free(job);
}

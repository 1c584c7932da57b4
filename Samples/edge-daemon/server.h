/* What the threads of the daemon share: the loop, which owns all connections, and the workers, which run the model. */
#ifndef EDGE_SERVER_H
#define EDGE_SERVER_H

#include <pthread.h>

#include "buffer.h"
#include "engine.h"
#include "listener.h"
#include "metrics.h"
#include "options.h"
#include "request.h"

/* Why a request was stopped before its end. */
enum reason { NOT_STOPPED, OUT_OF_TIME, CLIENT_LEFT, READER_TOO_SLOW, SHUTTING_DOWN };

struct job {
    struct job *next;
    struct client *client;
    struct request request; /* points into the line */
    int64_t arrived_at, deadline;
    enum reason reason;
    shrink_session *session; /* that runs it; NULL as long as it waits */
    char line[];
};

/* A connection. The loop makes, reads and frees it. `out` and what follows are under the server's lock. */
struct client {
    int descriptor; /* -1: it left, and is freed when its running job has ended */
    bool is_ended;  /* nothing more is read; what is owed is sent, then it is closed */
    struct buffer in;
    size_t scanned; /* bytes of `in` that hold no line break */
    int64_t active_at;
    int64_t line_since; /* when the line began that is not complete; 0: none */
    int64_t stuck_since; /* when the output was last taken by the client; 0: there is none */

    struct buffer out;
    struct job *waiting; /* in order */
    struct job *running;
    unsigned waiting_count;
};

struct server {
    const struct options *options;
    struct listener listener;
    int signals;             /* signalfd */
    int wake;                /* eventfd: something changed that the loop cares for */
    struct json_document *document; /* of the loop */
    int64_t started_at, accept_again_at, phase_end;
    enum phase { SERVING, ENDING, FLUSHING, ENDED } phase;
    bool is_loading, wants_reload; /* a thread opens a model; and shall do so again */
    pthread_t loader;

    pthread_mutex_t lock; /* for all below, and the clients' halves */
    pthread_cond_t work;
    bool workers_end;
    bool is_loaded; /* the loader has ended */
    struct client **clients; /* options->clients slots, NULL where free */
    unsigned client_count, turn, queued, running;
    struct engine *engine; /* for the next requests */
    struct metrics metrics;
};

/* What each connection's output holds at most, in parts of options->output_bytes: requests start, and the loop answers,
 * up to a quarter; streams go on up to three quarters; the last line of an answer is at most half of it. So every last
 * line fits, whatever a client leaves unread. */
static inline bool client_has_room(const struct server *server, const struct client *client) {
    return client->out.count <= server->options->output_bytes / 4;
}

/* server.c */
int server_run(const struct options *options);
void server_wake(struct server *server);

/* queue.c; all under the lock */
bool queue_add(struct server *server, struct job *job, struct failure *failure);
/* Waits for a job whose turn it is; NULL when the workers shall end. */
struct job *queue_take(struct server *server);
void job_stop(struct job *job, enum reason reason);
/* How a stopped job is told to its client, and counted. */
enum outcome job_failure(enum reason reason, struct failure *failure);
/* Answers waiting jobs with an error: all, or those with a deadline up to `now`. Returns the next deadline. */
int64_t queue_expire(struct server *server, struct client *client, int64_t now, enum reason reason);
void job_free(struct job *job);

/* worker.c */
/* Returns how many threads were started: options->workers, or fewer after a line in the log. */
unsigned workers_start(struct server *server, pthread_t *threads);
/* One reference to an engine less, under the lock. Returns it when it was the last: to be freed without the lock. */
struct engine *engine_drop(struct engine *engine);

/* reload.c; the loop calls them */
void reload_start(struct server *server);
void reload_finish(struct server *server);

/* client.c; the loop calls them */
struct client *client_create(const struct options *options, int descriptor, int64_t now);
bool client_wants_input(const struct server *server, const struct client *client);
void client_read(struct server *server, struct client *client);
void client_write(struct server *server, struct client *client);
/* Handles the lines that have arrived, as far as there is room for their answers. */
void client_take_lines(struct server *server, struct client *client);
/* Writes an error that belongs to no request. */
void client_refuse(struct server *server, struct client *client, const char *code, const char *message);
/* Reads no more from it, and forgets what has not been handled. */
void client_end_input(struct client *client);
/* Closes the connection and stops its requests. Under the lock. */
void client_leave(struct server *server, struct client *client);
void client_free(struct client *client);

#endif

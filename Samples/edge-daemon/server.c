/* The loop: it waits for connections, lines, signals, workers and deadlines, and for nothing else. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "log.h"
#include "server.h"

#define SECOND INT64_C(1000000000)

void server_wake(struct server *server) {
    uint64_t one = 1;
    ssize_t written = write(server->wake, &one, sizeof one); /* fails only when the loop is to wake anyway */
    (void)written;
}

/* Notes a deadline that is `seconds` (0: never) after `since`; whether it has passed. */
static bool has_passed(int64_t since, unsigned seconds, int64_t now, int64_t *next) {
    if (seconds == 0) return false;
    int64_t deadline = since + seconds * SECOND;
    if (deadline <= now) return true;
    if (deadline < *next) *next = deadline;
    return false;
}

/* Deadlines of one connection and its requests; lowers *next to the nearest. Under the lock. */
static void keep_deadlines(struct server *server, struct client *client, int64_t now, int64_t *next) {
    const struct options *options = server->options;
    int64_t waiting = queue_expire(server, client, now, OUT_OF_TIME);
    if (waiting < *next) *next = waiting;
    struct job *job = client->running;
    if (job && job->reason == NOT_STOPPED) {
        if (job->deadline <= now) job_stop(job, OUT_OF_TIME);
        else if (job->deadline < *next) *next = job->deadline;
    }
    if (client->descriptor < 0) return;

    if (client->out.count == 0) client->stuck_since = 0;
    else if (client->stuck_since == 0) client->stuck_since = now;
    if (client->stuck_since && has_passed(client->stuck_since, options->send_seconds, now, next)) {
        client_leave(server, client);
        return;
    }
    /* Time runs for a sender only while the daemon listens to it. */
    if (client->in.count == 0 || !client_wants_input(server, client)) client->line_since = 0;
    else if (client->line_since == 0) client->line_since = now;
    if (client->line_since && has_passed(client->line_since, options->line_seconds, now, next)) {
        struct failure failure;
        failure_set(&failure, "timeout", "the line did not end in time; the connection ends");
        server->metrics.invalid_lines++;
        failure_write(&failure, "null", &client->out);
        client_end_input(client);
    }
    bool is_idle = !client->running && !client->waiting && client->out.count == 0 && client->in.count == 0;
    if (is_idle && has_passed(client->active_at, options->idle_seconds, now, next)) client_leave(server, client);
}

/* Frees the connections that are over. Under the lock. */
static void reap(struct server *server) {
    for (unsigned i = 0; i < server->options->clients; i++) {
        struct client *client = server->clients[i];
        if (!client || client->running) continue;
        bool owes = client->waiting || client->out.count || client->in.count;
        if (client->is_ended && !owes) client_leave(server, client);
        if (client->descriptor >= 0) continue;
        client_free(client);
        server->clients[i] = NULL;
        server->client_count--;
    }
}

static void refuse_connection(struct server *server, int descriptor) {
    static const char line[] = "{\"id\":null,\"error\":{\"code\":\"too_many_clients\",\"message\":\"try again later\"}}\n";
    ssize_t sent = send(descriptor, line, sizeof line - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
    close(descriptor);
    server->metrics.refused_connections++;
}

static void accept_clients(struct server *server, int64_t now) {
    for (int i = 0; i < 16; i++) { /* not for ever, as others wait */
        int descriptor = accept4(server->listener.descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
            log_line("no more connections for a second: %s; raise the limit of open files, or lower --clients", strerror(errno));
            server->accept_again_at = now + SECOND;
            return;
        }
        unsigned slot = 0;
        pthread_mutex_lock(&server->lock);
        while (slot < server->options->clients && server->clients[slot]) slot++;
        struct client *client = slot < server->options->clients ? client_create(server->options, descriptor, now) : NULL;
        if (client) {
            server->clients[slot] = client;
            server->client_count++;
            server->metrics.connections++;
        } else {
            refuse_connection(server, descriptor);
        }
        pthread_mutex_unlock(&server->lock);
    }
}

/* Stops in three steps, each begun by a signal or by the end of the step before: take no more requests; stop those
 * that have not ended; forget the clients that have not read the end of it. */
static void stop_further(struct server *server, int64_t now) {
    if (server->phase == SERVING) {
        notify("STOPPING=1");
        listener_close(&server->listener);
    }
    pthread_mutex_lock(&server->lock);
    if (server->phase == SERVING) log_line("ending: %u requests run, %u wait", server->running, server->queued);
    for (unsigned i = 0; i < server->options->clients; i++) {
        struct client *client = server->clients[i];
        if (!client) continue;
        if (server->phase == SERVING) client_end_input(client);
        if (server->phase == ENDING) {
            if (client->running) job_stop(client->running, SHUTTING_DOWN);
            queue_expire(server, client, now, SHUTTING_DOWN);
        }
        if (server->phase == FLUSHING) client_leave(server, client);
    }
    pthread_mutex_unlock(&server->lock);
    server->phase_end = server->phase == SERVING ? now + server->options->grace_seconds * SECOND
        : server->phase == ENDING                ? now + SECOND
                                                 : INT64_MAX;
    if (server->phase < ENDED) server->phase++;
}

static void take_signals(struct server *server, int64_t now) {
    struct signalfd_siginfo info;
    while (read(server->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) reload_start(server);
        else stop_further(server, now);
    }
}

static void serve_client(struct server *server, struct client *client, short events) {
    if (client->descriptor >= 0 && events & (POLLHUP | POLLERR | POLLNVAL)) {
        pthread_mutex_lock(&server->lock);
        client_leave(server, client);
        pthread_mutex_unlock(&server->lock);
    }
    if (client->descriptor >= 0 && events & POLLOUT) client_write(server, client);
    if (client->descriptor >= 0 && events & POLLIN && !client->is_ended) client_read(server, client);
}

/* What to wait for, in the order of the slots; polled[i] is whose entry i + 3 is. Returns how many. */
static unsigned list_descriptors(struct server *server, struct pollfd *entries, struct client **polled) {
    unsigned count = 0;
    entries[0] = (struct pollfd){.fd = server->signals, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = server->wake, .events = POLLIN};
    entries[2] = (struct pollfd){.fd = server->accept_again_at ? -1 : server->listener.descriptor, .events = POLLIN};
    for (unsigned i = 0; i < server->options->clients; i++) {
        struct client *client = server->clients[i];
        if (!client || client->descriptor < 0) continue;
        short events = 0; /* that it left is always told */
        if (client_wants_input(server, client)) events |= POLLIN;
        if (client->out.count || client->out.is_full) events |= POLLOUT;
        polled[count] = client;
        entries[3 + count++] = (struct pollfd){.fd = client->descriptor, .events = events};
    }
    return 3 + count;
}

/* Handles what is due, and returns the milliseconds until something will be, or -1. */
static int keep_time(struct server *server, int64_t now) {
    int64_t next = INT64_MAX;
    if (server->phase != SERVING && server->phase_end <= now) stop_further(server, now);
    if (server->phase != SERVING) next = server->phase_end;
    if (server->accept_again_at && server->accept_again_at <= now) server->accept_again_at = 0;
    if (server->accept_again_at && server->accept_again_at < next) next = server->accept_again_at;
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->options->clients; i++)
        if (server->clients[i]) keep_deadlines(server, server->clients[i], now, &next);
    reap(server);
    pthread_mutex_unlock(&server->lock);
    if (next == INT64_MAX) return -1;
    int64_t milliseconds = (next - now) / 1000000 + 1;
    return milliseconds < 60 * 60 * 1000 ? (int)milliseconds : 60 * 60 * 1000;
}

static void loop(struct server *server, struct pollfd *entries, struct client **polled) {
    for (;;) {
        int timeout = keep_time(server, now_nanoseconds());
        pthread_mutex_lock(&server->lock);
        unsigned count = list_descriptors(server, entries, polled);
        bool is_over = server->phase != SERVING && server->client_count == 0;
        pthread_mutex_unlock(&server->lock);
        if (is_over) return;
        if (poll(entries, count, timeout) < 0) continue;
        int64_t now = now_nanoseconds();
        uint64_t wakes;
        if (entries[1].revents && read(server->wake, &wakes, sizeof wakes) > 0) reload_finish(server);
        for (unsigned i = 3; i < count; i++) serve_client(server, polled[i - 3], entries[i].revents);
        if (entries[0].revents) take_signals(server, now);
        if (entries[2].revents && server->phase == SERVING) accept_clients(server, now);
        for (unsigned i = 0; i < server->options->clients; i++)
            if (server->clients[i]) client_take_lines(server, server->clients[i]);
    }
}

/* Signals come through a descriptor; SIGPIPE is what writing to a log that nobody reads would bring. */
static int open_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigdelset(&signals, SIGPIPE);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void end_workers(struct server *server, const pthread_t *threads, unsigned count) {
    pthread_mutex_lock(&server->lock);
    server->workers_end = true;
    pthread_cond_broadcast(&server->work);
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
    if (server->is_loading) pthread_join(server->loader, NULL);
}

static int serve(struct server *server, struct pollfd *entries, struct client **polled, pthread_t *threads) {
    const struct options *options = server->options;
    server->signals = open_signals();
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->signals < 0 || server->wake < 0) {
        log_line("no descriptors to begin with: %s", strerror(errno));
        return EX_OSERR;
    }
    if (!listener_open(&server->listener, options)) return EX_UNAVAILABLE;
    int code = EX_OK;
    shrink_code reason;
    server->engine = engine_open(options, &reason);
    if (!server->engine) {
        code = reason == SHRINK_ERROR_OUT_OF_MEMORY ? EX_OSERR : EX_DATAERR;
    } else {
        server->engine->references = 1;
        unsigned count = workers_start(server, threads);
        if (count == options->workers) {
            log_line(
                "ready: serving model %.16s, which can %s, at %s", server->engine->fingerprint, engine_operations(server->engine),
                options->socket_path);
            notify("READY=1");
            loop(server, entries, polled);
        } else {
            code = EX_OSERR;
        }
        end_workers(server, threads, count);
        engine_free(server->engine);
    }
    listener_close(&server->listener);
    if (code == EX_OK) log_line("ended");
    return code;
}

int server_run(const struct options *options) {
    struct server server = {.options = options, .started_at = now_nanoseconds()};
    int code = EX_OSERR;
    pthread_mutex_init(&server.lock, NULL);
    pthread_cond_init(&server.work, NULL);
    server.document = malloc(sizeof *server.document);
    server.clients = calloc(options->clients, sizeof *server.clients);
    struct pollfd *entries = calloc(options->clients + 3, sizeof *entries);
    struct client **polled = calloc(options->clients, sizeof *polled);
    pthread_t *threads = calloc(options->workers, sizeof *threads);
    if (server.document && server.clients && entries && polled && threads) code = serve(&server, entries, polled, threads);
    else log_line("no memory to begin with; lower --clients");
    free(threads);
    free(polled);
    free(entries);
    free(server.clients);
    free(server.document);
    return code;
}

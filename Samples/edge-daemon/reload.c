/* Exchange of the model while requests run: a thread opens and tests the new one; requests that run keep the old. */
#include <string.h>

#include "log.h"
#include "server.h"

static void *load(void *context) {
    struct server *server = context;
    shrink_code reason;
    struct engine *engine = engine_open(server->options, &reason), *unused = NULL;
    pthread_mutex_lock(&server->lock);
    if (engine) {
        engine->references = 1;
        unused = engine_drop(server->engine);
        server->engine = engine;
        server->metrics.swaps_done++;
    } else {
        server->metrics.swaps_failed++;
    }
    server->is_loaded = true;
    log_line("%s model %.16s", engine ? "swapped: serving" : "not swapped: still serving", server->engine->fingerprint);
    pthread_mutex_unlock(&server->lock);
    if (unused) engine_free(unused);
    server_wake(server);
    return NULL;
}

void reload_start(struct server *server) {
    if (server->phase != SERVING) return;
    if (server->is_loading) {
        server->wants_reload = true; /* the file may have changed after it was opened */
        return;
    }
    notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(now_nanoseconds() / 1000));
    int code = pthread_create(&server->loader, NULL, load, server);
    if (code == 0) {
        server->is_loading = true;
        return;
    }
    log_line("the model cannot be loaded: no thread: %s; send SIGHUP again later", strerror(code));
    notify("READY=1");
}

void reload_finish(struct server *server) {
    pthread_mutex_lock(&server->lock);
    bool is_loaded = server->is_loaded;
    server->is_loaded = false;
    pthread_mutex_unlock(&server->lock);
    if (!is_loaded) return;
    pthread_join(server->loader, NULL);
    server->is_loading = false;
    if (server->phase == SERVING) notify("READY=1");
    if (!server->wants_reload) return;
    server->wants_reload = false;
    reload_start(server);
}

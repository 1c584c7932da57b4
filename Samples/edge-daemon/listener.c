#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

/* A lock that ends with the process, however that ends. */
static bool take_lock(struct listener *listener) {
    snprintf(listener->lock_path, sizeof listener->lock_path, "%s.lock", listener->path);
    for (;;) {
        struct stat ours, there;
        listener->lock = open(listener->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (listener->lock < 0) {
            log_line("%s: cannot be made: %s; see --socket", listener->lock_path, strerror(errno));
            return false;
        }
        if (flock(listener->lock, LOCK_EX | LOCK_NB) != 0) {
            log_line("%s: another edge-daemon serves it; stop that one, or see --socket", listener->path);
            break;
        }
        /* The one that had it may have removed the file after we opened it. */
        bool is_there = fstat(listener->lock, &ours) == 0 && stat(listener->lock_path, &there) == 0;
        if (is_there && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) return true;
        close(listener->lock);
    }
    close(listener->lock);
    listener->lock = -1;
    return false;
}

/* Removes a socket that nobody listens at. */
static bool remove_stale(const struct sockaddr_un *address) {
    struct stat status;
    const char *path = address->sun_path;
    if (lstat(path, &status) != 0) {
        if (errno == ENOENT) return true;
        log_line("%s: %s; see --socket", path, strerror(errno));
        return false;
    }
    if (!S_ISSOCK(status.st_mode)) {
        log_line("%s: there is a file that is no socket; remove it, or see --socket", path);
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_stale = probe >= 0 && connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    if (probe >= 0) close(probe);
    if (!is_stale) {
        log_line("%s: another program listens there; stop it, or see --socket", path);
        return false;
    }
    if (unlink(path) == 0) return true;
    log_line("%s: a stale socket cannot be removed: %s", path, strerror(errno));
    return false;
}

bool listener_open(struct listener *listener, const struct options *options) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    *listener = (struct listener){.descriptor = -1, .lock = -1, .path = options->socket_path};
    strcpy(address.sun_path, options->socket_path);
    if (!take_lock(listener)) return false;
    if (!remove_stale(&address)) goto failed;
    listener->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->descriptor < 0 || bind(listener->descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        log_line("%s: cannot be bound: %s; see --socket", listener->path, strerror(errno));
        goto failed;
    }
    /* Nobody can connect before listen(), so nobody slips in before the mode is set. */
    if (chmod(listener->path, options->socket_mode) != 0 || lstat(listener->path, &status) != 0
        || listen(listener->descriptor, 64) != 0) {
        log_line("%s: cannot be listened at: %s", listener->path, strerror(errno));
        unlink(listener->path);
        goto failed;
    }
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return true;
failed:
    if (listener->descriptor >= 0) close(listener->descriptor);
    listener->descriptor = -1;
    unlink(listener->lock_path);
    close(listener->lock);
    return false;
}

void listener_close(struct listener *listener) {
    struct stat status;
    if (listener->descriptor < 0) return;
    if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device && status.st_ino == listener->inode)
        unlink(listener->path);
    close(listener->descriptor);
    listener->descriptor = -1;
    unlink(listener->lock_path);
    close(listener->lock);
}

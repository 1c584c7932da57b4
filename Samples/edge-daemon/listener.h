/* The socket file: one daemon at a time, nothing left behind. */
#ifndef EDGE_LISTENER_H
#define EDGE_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "options.h"

struct listener {
    int descriptor; /* -1: closed */
    int lock;
    const char *path;
    char lock_path[128];
    dev_t device; /* of the socket file that is ours */
    ino_t inode;
};

/* Listens at options->socket_path. A socket that a killed daemon left there is removed; one that someone listens at, or
 * a file that is no socket, is not. False after a line in the log. */
bool listener_open(struct listener *listener, const struct options *options);
/* Stops listening and removes the files. */
void listener_close(struct listener *listener);

#endif

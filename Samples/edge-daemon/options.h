/* The command line. */
#ifndef EDGE_OPTIONS_H
#define EDGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Times are in seconds; 0 means never. */
struct options {
    const char *model_path;
    const char *socket_path;
    unsigned socket_mode;
    unsigned workers;         /* requests that run at the same time, each with its own sessions */
    unsigned threads;         /* of each session */
    unsigned context;         /* tokens of prompt and answer together, or of a text */
    unsigned max_tokens;      /* of an answer */
    unsigned clients;         /* connections */
    unsigned client_requests; /* of one connection that wait or run */
    unsigned queued;          /* requests that wait, of all connections */
    size_t request_bytes;     /* the longest line */
    size_t output_bytes;      /* that one connection has not read yet */
    unsigned request_seconds; /* from the arrival of a request to the end of its answer */
    unsigned line_seconds;    /* from the first byte of a line to its end */
    unsigned send_seconds;    /* without a byte of the output taken */
    unsigned idle_seconds;    /* without a request */
    unsigned grace_seconds;   /* for what runs when the daemon is told to stop */
    bool reads_into_memory;
};

/* Exits with 0 after --help and --version, with 64 (EX_USAGE) after a line about what is wrong. */
struct options options_parse(int count, char **arguments);

#endif

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <shrink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

static const char help[] =
    "usage: edge-daemon [OPTION]... MODEL.shrink\n"
    "Answers embed, classify and generate requests, JSON lines on a Unix socket.\n"
    "SIGHUP opens MODEL.shrink anew; SIGTERM and SIGINT end the daemon.\n"
    "\n"
    "  -s, --socket PATH          where to listen (/run/edge-daemon/socket)\n"
    "      --socket-mode OCTAL    who may connect (0660)\n"
    "  -w, --workers N            requests that run at the same time (2)\n"
    "  -t, --threads N            threads for each of them (1)\n"
    "      --context N            tokens of prompt and answer, or of a text (1024)\n"
    "      --max-tokens N         tokens of an answer (512)\n"
    "      --clients N            connections (64)\n"
    "      --client-requests N    of one connection that wait or run (4)\n"
    "      --queued N             requests that wait, of all connections (64)\n"
    "      --request-bytes N      the longest request (65536)\n"
    "      --output-bytes N       unread output of one connection (262144)\n"
    "      --request-timeout S    seconds for a request, with the wait (120)\n"
    "      --line-timeout S       seconds for the rest of a line to arrive (10)\n"
    "      --send-timeout S       seconds in which a client reads nothing (60)\n"
    "      --idle-timeout S       seconds without a request; 0: for ever (600)\n"
    "      --grace S              seconds for running requests at the end (5)\n"
    "      --read-into-memory     copy the model instead of mapping its file\n"
    "  -h, --help\n"
    "      --version\n";

static void refuse(const char *name, const char *text, const char *expected) {
    fprintf(stderr, "edge-daemon: --%s %s: expected %s; see --help\n", name, text, expected);
    exit(EX_USAGE);
}

static unsigned long number(const char *name, const char *text, unsigned long low, unsigned long high, int base) {
    char *end, expected[64];
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (*text >= '0' && *text <= '9' && *end == 0 && errno == 0 && value >= low && value <= high) return value;
    if (base == 8) snprintf(expected, sizeof expected, "an octal number up to %lo", high);
    else snprintf(expected, sizeof expected, "a number from %lu to %lu", low, high);
    refuse(name, text, expected);
    return 0;
}

struct options options_parse(int count, char **arguments) {
    struct options o = {
        .socket_path = "/run/edge-daemon/socket", .socket_mode = 0660, .workers = 2, .threads = 1, .context = 1024,
        .max_tokens = 512, .clients = 64, .client_requests = 4, .queued = 64, .request_bytes = 65536,
        .output_bytes = 262144, .request_seconds = 120, .line_seconds = 10, .send_seconds = 60, .idle_seconds = 600,
        .grace_seconds = 5,
    };
    unsigned request_bytes = 65536, output_bytes = 262144;
    enum { SOCKET_MODE = 256, READ_INTO_MEMORY, VERSION, NUMBERS };
    const struct { const char *name; unsigned *value, low, high; char letter; } numbers[] = {
        {"workers", &o.workers, 1, 64, 'w'},
        {"threads", &o.threads, 1, 64, 't'},
        {"context", &o.context, 1, 1u << 24, 0},
        {"max-tokens", &o.max_tokens, 1, 1u << 24, 0},
        {"clients", &o.clients, 1, 1024, 0},
        {"client-requests", &o.client_requests, 1, 64, 0},
        {"queued", &o.queued, 1, 65536, 0},
        {"request-bytes", &request_bytes, 1024, 1u << 24, 0},
        {"output-bytes", &output_bytes, 1u << 16, 1u << 28, 0},
        {"request-timeout", &o.request_seconds, 0, 1000000, 0},
        {"line-timeout", &o.line_seconds, 0, 1000000, 0},
        {"send-timeout", &o.send_seconds, 0, 1000000, 0},
        {"idle-timeout", &o.idle_seconds, 0, 1000000, 0},
        {"grace", &o.grace_seconds, 0, 1000000, 0},
    };
    enum { NUMBER_COUNT = sizeof numbers / sizeof *numbers, OTHERS = 5 };
    struct option table[NUMBER_COUNT + OTHERS + 1] = {
        {"socket", required_argument, NULL, 's'},
        {"socket-mode", required_argument, NULL, SOCKET_MODE},
        {"read-into-memory", no_argument, NULL, READ_INTO_MEMORY},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, VERSION},
    };
    for (int i = 0; i < NUMBER_COUNT; i++)
        table[OTHERS + i] = (struct option){numbers[i].name, required_argument, NULL, NUMBERS + i};
    opterr = 0; /* one line about it is enough */
    for (int letter; (letter = getopt_long(count, arguments, "s:w:t:h", table, NULL)) != -1;) {
        switch (letter) {
        case 's': o.socket_path = optarg; continue;
        case SOCKET_MODE: o.socket_mode = (unsigned)number("socket-mode", optarg, 0, 0777, 8); continue;
        case READ_INTO_MEMORY: o.reads_into_memory = true; continue;
        case 'h': fputs(help, stdout); exit(EX_OK);
        case VERSION: printf("edge-daemon with libshrink %s\n", shrink_version()); exit(EX_OK);
        case '?':
            fprintf(stderr, "edge-daemon: %s: unknown, or without its value; see --help\n", arguments[optind - 1]);
            exit(EX_USAGE);
        }
        for (int i = 0; i < NUMBER_COUNT; i++)
            if (letter == NUMBERS + i || letter == numbers[i].letter)
                *numbers[i].value = (unsigned)number(numbers[i].name, optarg, numbers[i].low, numbers[i].high, 10);
    }
    o.request_bytes = request_bytes;
    o.output_bytes = output_bytes;
    if (strlen(o.socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path - sizeof ".lock" || *o.socket_path == 0)
        refuse("socket", o.socket_path, "a path of 1 to 101 bytes");
    if (optind + 1 != count) {
        fprintf(stderr, "edge-daemon: expected the path of one model file, not %d; see --help\n", count - optind);
        exit(EX_USAGE);
    }
    o.model_path = arguments[optind];
    return o;
}

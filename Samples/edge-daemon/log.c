#include "log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void log_line(const char *format, ...) {
    char text[1024] = "edge-daemon: ";
    size_t start = strlen(text), room = sizeof text - start - 1;
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text + start, room, format, arguments);
    va_end(arguments);
    if (count < 0) return;
    size_t length = start + ((size_t)count < room ? (size_t)count : room - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) text[i] = '?';
    text[length++] = '\n';
    /* There is nowhere to tell that the log cannot be written. */
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written;
}

void notify(const char *format, ...) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof address.sun_path || (*path != '/' && *path != '@')) return;
    memcpy(address.sun_path, path, length);
    if (*path == '@') address.sun_path[0] = 0; /* a name without a file */
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof text) return;
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return;
    if (sendto(descriptor, text, (size_t)count, MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        log_line("the service manager at %s does not listen", path);
    close(descriptor);
}

int64_t now_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

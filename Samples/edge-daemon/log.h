/* One line a message, to standard error and to the service manager. */
#ifndef EDGE_LOG_H
#define EDGE_LOG_H

#include <stdint.h>

/* A line on standard error, written at once. Control characters become '?'. Any thread. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells the service manager, if there is one ($NOTIFY_SOCKET), what sd_notify(3) would tell it: "READY=1", … */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Nanoseconds of a clock that never goes back. */
int64_t now_nanoseconds(void);

#endif

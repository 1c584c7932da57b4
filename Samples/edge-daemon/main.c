/* edge-daemon: a model on a Unix socket. README.md tells the protocol. */
#include <malloc.h>
#include <sysexits.h>

#include "log.h"
#include "server.h"

int main(int count, char **arguments) {
    struct options options = options_parse(count, arguments);
    if (shrink_abi_version() != SHRINK_ABI_VERSION) {
        log_line("libshrink has ABI version %u, this program needs %d; build it again", shrink_abi_version(), SHRINK_ABI_VERSION);
        return EX_UNAVAILABLE;
    }
#ifdef __GLIBC__
    /* One heap for all threads, which gives large blocks back at once: memory stays where the limits put it. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 65536);
    mallopt(M_TRIM_THRESHOLD, 131072);
#endif
    return server_run(&options);
}

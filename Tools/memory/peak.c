#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What Embedded Swift without Foundation asks C for: the peak of resident memory, a file's size, and a line of text. */
long measure_peak_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * 1024L : -1;
}

long measure_file_bytes(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (long)status.st_size : -1;
}

int measure_report(long file, long predicted, long peak) {
    long above = peak - file - predicted;
    printf("file %.1f MiB, predicted %.2f MiB, peak resident %.1f MiB: %.2f MiB above file + prediction\n",
           file / 1048576.0, predicted / 1048576.0, peak / 1048576.0, above / 1048576.0);
    return above <= 3L << 20 ? 0 : 1;
}

void measure_failure(const char *message, long detail) { fprintf(stderr, "%s (%ld)\n", message, detail); }

/* Usage: cabi GENERATE.shrink EMBED.shrink CLASSIFY.shrink RECURRENT.shrink BOTH-WAYS.shrink. Prints a checksum of all results, which is the same on
 * every machine, and how many checks failed. Without arguments: describes the CPU. */
#include "cabi.h"

#include <stdlib.h>

static unsigned long checks, failures;
static uint64_t checksum = 14695981039346656037u;

int check(int holds, const char *what, const char *file, int line) {
    checks++;
    if (holds) return 1;
    failures++;
    printf("FAIL %s:%d: %s\n", file, line, what);
    return 0;
}

int check_code(shrink_code code, shrink_code expected, const shrink_error *error, const char *what, const char *file, int line) {
    int right = code == expected && error->code == code && error->message != NULL && error->message[0] != 0;
    if (!right)
        printf("got \"%s\" (%s, %lld), expected \"%s\":\n", shrink_code_name(code), error->message, (long long)error->detail,
               shrink_code_name(expected));
    return check(right, what, file, line);
}

void add_to_checksum(const void *bytes, size_t count) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < count; i++) checksum = (checksum ^ byte[i]) * 1099511628211u;
}

int main(int count, char **arguments) {
    if (count == 1) {
        char text[2000];
        shrink_cpu_describe(text, sizeof text);
        fputs(text, stdout);
        return 0;
    }
    if (count != 6) return 64;
    paths files = {arguments[1], arguments[2], arguments[3]};
    test_library();
    test_generate(files.generate);
    test_embed(files.embed);
    test_classify(files.classify);
    test_sources(files.embed);
    test_limits(&files);
    test_misuse(&files);
    test_states(files.generate);
    test_threads(files.generate);
    test_memory(&files);
    test_recurrent(arguments[4]);
    test_both_ways(arguments[5]);
    printf("checksum %016llx\n%lu checks, %lu failed\n", (unsigned long long)checksum, checks, failures);
    return failures != 0;
}
